"""What a pyramid is told in training."""

from functools import partial
from types import SimpleNamespace

import pytest
import torch
from hydra import compose, initialize_config_dir
from PIL import Image

from ganlab.callbacks import Health, SampleGrid
from ganlab.callbacks.observer import fixed_fakes
from ganlab.cli import conf_dir
from ganlab.config import ConfigError
from ganlab.data import synthetic
from ganlab.data.batch import Batch
from ganlab.losses import Nonsaturating, path_length
from ganlab.networks import dcgan, stylegan2
from ganlab.networks.base import Condition, Discriminator
from ganlab.nn.pyramid import gaussian_pyramid
from ganlab.nn.randomness import latents_at
from ganlab.runs.classes import count_classes
from ganlab.sampling import Sampler, conditions_of
from ganlab.systems import GAN, R1
from ganlab.systems.checks import check_labels
from ganlab.systems.conditioning import CoarseReals, Conditioner, Labels
from ganlab.systems.trainer import make_trainer


def batch(size=32):
    image = torch.rand(3, 1, size, size, generator=torch.Generator().manual_seed(0)) * 2 - 1
    return Batch(image, torch.arange(3), torch.arange(3))


@pytest.mark.parametrize(("size", "sizes"), [(None, [16, 32]), (20, [20, 32])])
def test_coarse_is_the_level_below_of_the_same_images(size, sizes):
    given = batch()
    kept, condition = CoarseReals(size)(given)
    assert kept is given
    assert torch.equal(condition.coarse, gaussian_pyramid(given.image, sizes)[0])
    assert condition.label is None


def test_a_size_below_one_is_refused():
    with pytest.raises(ValueError, match=r"model\.conditioner\.size"):
        CoarseReals(0)


def test_labels_are_those_of_the_batch_and_at_evaluation_take_turns():
    labels = Labels(5)
    given = batch()
    kept, condition = labels(given)
    assert kept is given
    assert torch.equal(condition.label, given.label)
    assert labels.at([0, 4, 5, 12]).label.tolist() == [0, 4, 0, 2]
    assert labels.at(range(3)).label.dtype == torch.int64


def test_labels_of_unlabelled_images_are_refused():
    given = batch()
    with pytest.raises(ValueError, match=r"model\.conditioner tells labels and these images have"):
        Labels(5)(Batch(given.image, None, given.index))
    with pytest.raises(ValueError, match=r"model\.conditioner\.num_labels must be at least 2"):
        Labels(1)


@pytest.mark.parametrize("number", [2, 4])
def test_another_number_of_classes_is_refused_by_its_key(number):
    data = synthetic(num=6, resolution=16)
    data.prepare_data()
    data.setup()
    message = rf"num_labels={number}, and the images of data=images have 3 classes "
    with pytest.raises(ValueError, match=message):
        Labels(number).check(data)
    Labels(3).check(data)
    Labels(number).check(None)


class Taking(Discriminator):
    def __init__(self, num_labels):
        super().__init__()
        self.num_labels = num_labels


@pytest.mark.parametrize(
    ("told", "taken", "message"),
    [
        (None, 3, r"model\.discriminator\.num_labels=3, and nothing tells it labels: model/cond"),
        (2, 3, r"discriminator\.num_labels=3 and model\.conditioner\.num_labels=2 differ"),
        (2, 0, r"tells 2 labels, and neither network takes any"),
    ],
)
def test_networks_that_take_other_classes_are_refused(told, taken, message):
    conditioner = Conditioner() if told is None else Labels(told)
    with pytest.raises(ValueError, match=message):
        check_labels(conditioner, {"discriminator": Taking(taken)})
    check_labels(Labels(3), {"discriminator": Taking(3), "generator": Taking(0)})
    check_labels(Conditioner(), {"discriminator": Taking(0)})


def folders(place, counts):
    for name, count in counts.items():
        (place / name).mkdir(parents=True)
        for number in range(count):
            Image.new("RGB", (32, 32), (number, 0, 0)).save(place / name / f"{number}.png")
    return place


def numbers_of(*words):
    with initialize_config_dir(str(conf_dir()), version_base="1.3"):
        config = count_classes(compose("train", ["data=folder", "data.resolution=32", *words]))
    parts = ("conditioner", "generator", "discriminator")
    return [config.model[part].num_labels for part in parts]


@pytest.mark.usefixtures("hydra_is_clean")
@pytest.mark.parametrize("model", ["dcgan", "stylegan", "stylegan2"])
def test_the_preset_takes_the_number_of_classes_from_the_data(model, tmp_path):
    place = folders(tmp_path / "images", {"cats": 2, "dogs": 1, "owls": 1})
    chosen = (f"model={model}", "model/conditioner=labels", f"data.path={place}")
    assert numbers_of(*chosen) == [3, 3, 3]
    assert numbers_of(*chosen, "model.conditioner.num_labels=5") == [5, 5, 5]


@pytest.mark.usefixtures("hydra_is_clean")
def test_data_without_classes_is_refused(tmp_path):
    place = folders(tmp_path / "images", {".": 3})
    with pytest.raises(ConfigError, match=r"num_labels=auto, and .* have no labels: put them into"):
        numbers_of("model/conditioner=labels", f"data.path={place}")


def test_a_discriminator_of_classes_answers_for_the_one_it_is_told():
    torch.manual_seed(0)
    network = dcgan.Discriminator(32, channels=1, width=4, num_labels=3).eval()
    images, seen = batch().image, []
    network.to_logit.register_forward_hook(lambda _, __, output: seen.append(output.flatten(1)))
    for label in range(3):
        logits = network(images, Condition(label=torch.full((3,), label)))
        assert torch.equal(logits, seen[-1][:, label])
    assert not torch.equal(seen[-1][:, 0], seen[-1][:, 1])


def test_a_conditional_model_trains_shows_and_scores_itself(tmp_path):
    """StyleGAN2 by label, with everything that watches a run."""
    torch.manual_seed(0)
    sizes = {"resolution": 16, "channels": 3, "width": 4, "max_width": 8, "num_labels": 3}
    generator = stylegan2.Generator(latent_dim=8, style_dim=8, mapping_layers=2, **sizes)
    discriminator = stylegan2.Discriminator(group_size=4, mapping_layers=2, **sizes)
    adam = partial(torch.optim.Adam, lr=1e-3)
    system = GAN(
        generator,
        discriminator,
        Nonsaturating(),
        adam,
        adam,
        conditioner=Labels(3),
        mixing_probability=0.9,
        generator_penalties={"path_length": path_length},
        penalties={"r1": R1(1.0)},
        kimg=0.032,
    )
    data = synthetic(num=32, resolution=16, channels=3, batch_size=8, seed=0)
    grid = SampleGrid(tmp_path, 0.016, num=4)
    make_trainer("cpu", callbacks=[grid, Health(0.016, num=4)]).fit(system, datamodule=data)
    assert len(grid.saved()) == 3
    shown, latents = grid.images(system), latents_at(system.generator_ema, range(1), 0)
    for label, image in enumerate(shown):  # a column a class, a row a latent
        told = system.generator_ema(latents, Condition(label=torch.tensor([label])))
        assert torch.allclose(image, told[0], atol=1e-5)
    grid.num = 64
    shown = grid.images(system)
    assert (len(shown), grid.width(system)) == (8 * 3, 3)
    latent = latents_at(system.generator_ema, [5], 0)
    told = system.generator_ema(latent, Condition(label=torch.tensor([1])))
    assert torch.allclose(shown[3 * 5 + 1], told[0], atol=1e-5)
    told = Sampler(system.generator_ema, 0, condition_at=conditions_of(system)).batch(range(4))
    assert torch.equal(told, torch.cat(list(fixed_fakes(system, 4, 0, 4))))
    assert conditions_of(SimpleNamespace(conditioner=Conditioner())) is None
