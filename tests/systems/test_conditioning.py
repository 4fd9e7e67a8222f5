"""What a pyramid is told in training."""

from functools import partial
from types import SimpleNamespace

import pytest
import torch

from ganlab.callbacks import Health, SampleGrid
from ganlab.callbacks.observer import fixed_fakes
from ganlab.data import synthetic
from ganlab.data.batch import Batch
from ganlab.losses import Nonsaturating, path_length
from ganlab.networks import stylegan2
from ganlab.nn.pyramid import gaussian_pyramid
from ganlab.sampling import Sampler, conditions_of
from ganlab.systems import GAN, R1
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
    told = Sampler(system.generator_ema, 0, condition_at=conditions_of(system)).batch(range(4))
    assert torch.equal(told, torch.cat(list(fixed_fakes(system, 4, 0, 4))))
    assert conditions_of(SimpleNamespace(conditioner=Conditioner())) is None
