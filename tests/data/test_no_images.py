import pytest
import torch
from lightning import Trainer

from ganlab.data import NoImages
from ganlab.networks.dcgan import Generator
from ganlab.systems.pretrained import Pretrained


def test_a_test_pass_is_one_black_image():
    data = NoImages(resolution=16, channels=3)
    (batch,) = data.test_dataloader()
    assert batch.image.shape == (1, 3, 16, 16)
    assert set(batch.image.flatten().tolist()) == {-1.0}
    assert data.eval_images(None) == data.eval_images(50) == len(data.test_dataloader())


def test_its_images_are_not_to_be_had():
    data = NoImages(resolution=16, channels=3)
    for use in (lambda: data.dataset, data.train_dataloader):
        with pytest.raises(ValueError, match=r"data=folder data\.path=<folder>"):
            use()


def test_a_pretrained_system_is_tested_on_it_and_stays_as_it_is():
    system = Pretrained(Generator(32, 1, 4, 2, 8))
    before = {name: value.clone() for name, value in system.state_dict().items()}
    trainer = Trainer(accelerator="cpu", logger=False, enable_progress_bar=False,
                      enable_checkpointing=False, enable_model_summary=False)  # fmt: skip
    trainer.test(system, datamodule=NoImages(32, 1), verbose=False)
    system.train()
    assert not system.generator_ema.training
    assert not any(parameter.requires_grad for parameter in system.parameters())
    assert all(torch.equal(value, before[name]) for name, value in system.state_dict().items())
    assert list(system.networks()) == ["generator_ema"]
