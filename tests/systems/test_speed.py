"""What is meant for GPUs changes a training by its rounding alone, and is asked for by name."""

from functools import partial

import pytest
import torch

from ganlab.data import synthetic
from ganlab.losses import Nonsaturating
from ganlab.networks import progan, stylegan2
from ganlab.nn.transfer import to_device
from ganlab.systems import GAN, R1, Growth
from ganlab.systems.compatibility import fitting_groups
from ganlab.systems.optimizers import optimizer_of, step_alike
from ganlab.systems.trainer import make_trainer

SIZES = {"resolution": 16, "channels": 3, "width": 4, "max_width": 8}
ADAM = partial(torch.optim.Adam, lr=1e-3, eps=1e-3)


def styled():
    torch.manual_seed(0)
    generator = stylegan2.Generator(latent_dim=6, style_dim=6, mapping_layers=2, **SIZES)
    networks = generator, stylegan2.Discriminator(**SIZES), Nonsaturating()
    return GAN(*networks, ADAM, ADAM, penalties={"r1": R1(1.0)}, kimg=0.032)


def growing():
    torch.manual_seed(0)
    generator, growth = progan.Generator(latent_dim=6, **SIZES), Growth(16, 0.008, 0.008)
    networks = generator, progan.Discriminator(**SIZES), Nonsaturating()
    return GAN(*networks, ADAM, ADAM, growth=growth, kimg=0.048)


def fitted(system, flip=False, **options):
    data = synthetic(num=24, resolution=16, channels=3, batch_size=8, flip=flip)
    trainer = make_trainer("cpu", **options)
    trainer.fit(system, datamodule=data)
    return system.state_dict(), trainer, data


def assert_alike(found, expected, **tolerance):
    for name, value in expected.items():
        if isinstance(value, torch.Tensor):
            torch.testing.assert_close(found[name], value, msg=name, **tolerance)


def test_fused_adam_takes_the_same_steps():
    plain, trainer, _ = fitted(styled())
    fused, other, _ = fitted(styled(), fused=True)
    groups = [o.param_groups[0]["fused"] for each in (trainer, other) for o in each.optimizers]
    assert groups == [None, None, True, True]
    assert_alike(fused, plain, rtol=1e-4, atol=1e-6)


def test_one_kernel_that_a_config_asks_of_one_optimizer_stays():
    numbers = [torch.nn.Parameter(torch.zeros(3))]
    asked = optimizer_of(
        "generator_optimizer", partial(torch.optim.Adam, lr=0.1, fused=True), numbers
    )
    assert asked.param_groups[0]["fused"] is True
    saved = [torch.optim.Adam(numbers, lr=0.1).state_dict()]
    step_alike(saved, [asked])
    assert saved[0]["param_groups"][0]["fused"] is True


def test_a_run_goes_on_fused_or_not_as_it_is_told(tmp_path):
    def resumed(system, path, **options):
        trainer = make_trainer("cpu", **options)
        data = synthetic(num=24, resolution=16, channels=3, batch_size=8)
        trainer.fit(system, datamodule=data, ckpt_path=path)
        return [o.param_groups[0]["fused"] for o in trainer.optimizers]

    _, trainer, _ = fitted(styled(), fused=True)
    trainer.save_checkpoint(tmp_path / "a.ckpt")
    longer = styled()
    longer.kimg = 0.048
    assert resumed(longer, tmp_path / "a.ckpt") == [None, None]
    groups = trainer.optimizers[0].state_dict()["param_groups"]
    fitting_groups(groups, longer.configure_optimizers()[0], "groups", longer)  # is not refused


def test_images_on_the_device_are_those_of_the_memory():
    """Mirrored ones included; labels and addresses, too."""
    plain, _, data = fitted(styled(), flip=True)
    resident, _, other = fitted(styled(), flip=True, resident_mb=1.0)
    assert_alike(resident, plain, rtol=0, atol=0)
    indices, flips = next(iter(data.stream()))
    assert flips.any()
    assert torch.equal(other.train_batch(indices, flips).image, data.batch(indices, flips).image)


def test_images_that_do_not_fit_stay_where_they_are():
    _, _, data = fitted(styled(), resident_mb=1e-6)
    assert data._resident is None


@pytest.mark.parametrize(
    ("make", "backend"), [(styled, "eager"), (growing, "eager"), (styled, "cudagraphs")]
)
def test_compiled_blocks_paint_the_same_fakes(make, backend):
    """With backends that run the captured graphs as they are, where there is no GPU."""
    plain, _, _ = fitted(make())
    system = make()
    compiled, _, _ = fitted(system, compile=backend)
    assert system.generator.compiled
    assert system.generator_ema.backend is None
    assert_alike(compiled, plain, rtol=1e-5, atol=1e-6)


def test_a_backend_that_fails_is_left_out_in_one_line(capsys):
    def broken(graph, inputs):
        raise RuntimeError("no compiler\nhere")

    plain, _, _ = fitted(styled())
    system = styled()
    found, _, _ = fitted(system, compile=broken)
    assert system.generator.backend is None
    notes = [line for line in capsys.readouterr().err.splitlines() if "trainer.compile" in line]
    assert len(notes) == 1
    assert "no compiler here" in notes[0]
    assert_alike(found, plain, rtol=0, atol=0)


def test_numbers_reach_the_cpu_as_they_are():
    drawn = torch.randn(3)
    assert to_device(drawn, "cpu") is drawn
    assert to_device(drawn, torch.device("meta")).is_meta
