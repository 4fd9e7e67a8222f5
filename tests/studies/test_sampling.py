from functools import partial
from types import SimpleNamespace

import pytest
import torch
from study_toys import ConvGenerator, small_dcgan
from torch import nn

from ganlab.networks.base import Condition, StyleGenerator
from ganlab.nn.randomness import latents_at
from ganlab.sampling import Sampler, evaluating
from ganlab.studies.ranks import Ranks

GENERATORS = pytest.mark.parametrize("make", [ConvGenerator, small_dcgan])


def drawn(generator, indices=range(11), edits=None, **options):
    return torch.cat([*Sampler(generator, 3, **options).batches(indices, edits)])


@GENERATORS
@pytest.mark.parametrize("batch_size", [1, 2, 11, 100])
def test_images_do_not_depend_on_the_batch(make, batch_size):
    generator = make()
    expected = generator(latents_at(generator, range(11), 3)).detach()
    assert torch.allclose(drawn(generator, batch_size=batch_size), expected, atol=1e-5)


@GENERATORS
def test_an_image_belongs_to_its_address(make):
    generator = make()
    images = drawn(generator)
    assert torch.allclose(drawn(generator, [9, 2, 4]), images[[9, 2, 4]], atol=1e-5)
    assert (images[0] - images[1]).abs().max() > 1e-3


def test_batches_have_the_asked_size():
    sizes = [len(images) for images in Sampler(ConvGenerator(), 0, batch_size=4).batches(range(11))]
    assert sizes == [4, 4, 3]
    with pytest.raises(ValueError, match="batch_size"):
        next(Sampler(ConvGenerator(), 0, batch_size=0).batches(range(3)))


@pytest.mark.parametrize(("num", "world_size"), [(10, 1), (10, 3), (2, 4)])
def test_ranks_share_the_addresses_without_overlap(num, world_size):
    trainers = [SimpleNamespace(global_rank=r, world_size=world_size) for r in range(world_size)]
    shares = [list(Ranks(trainer).share(range(num))) for trainer in trainers]
    assert sorted(index for share in shares for index in share) == list(range(num))
    assert max(map(len, shares)) - min(map(len, shares)) <= 1


def test_generating_leaves_modes_statistics_and_random_state_alone():
    generator = small_dcgan().train()
    frozen = generator.stages["4x4"].eval()
    modes = [module.training for module in generator.modules()]
    state = {name: value.clone() for name, value in generator.state_dict().items()}
    random_state = torch.get_rng_state()
    images = drawn(generator, batch_size=4)
    assert [module.training for module in generator.modules()] == modes
    assert not frozen.training
    assert all(torch.equal(state[name], value) for name, value in generator.state_dict().items())
    assert torch.equal(torch.get_rng_state(), random_state)
    assert not images.requires_grad
    assert torch.is_grad_enabled()


def test_mode_comes_back_after_an_error():
    network = nn.Dropout()
    with pytest.raises(ZeroDivisionError), evaluating(network):
        1 / network.training
    assert network.training


def test_of_many_scales_the_finest_is_taken():
    class Pyramid(ConvGenerator):
        def forward(self, latents, condition=None):
            image = super().forward(latents)
            return [nn.functional.avg_pool2d(image, 2), image]

    assert torch.equal(drawn(Pyramid()), drawn(ConvGenerator()))


class Styled(StyleGenerator):
    latent_dim, resolution = 2, 1
    mean_style = torch.tensor([1.0, -1.0])

    def map(self, latents, condition):
        return latents[:, None].expand(-1, 3, -1)  # (N, L, W)

    def synthesize(self, styles, noise="const"):
        assert noise == "const", "an evaluation must not draw noise"
        return styles.mean((1, 2))[:, None, None, None]

    def forward(self, latents, condition=None):
        return self.synthesize(self.map(latents, condition))


def test_truncation_moves_styles_to_their_mean():
    plain = drawn(Styled())
    assert torch.equal(drawn(Styled(), truncation=0.0), torch.zeros_like(plain))
    assert torch.allclose(drawn(Styled(), truncation=1.0), plain)
    assert torch.allclose(drawn(Styled(), truncation=0.25), plain / 4)
    with pytest.raises(ValueError, match=r"truncation=0\.5 needs a generator with styles"):
        drawn(ConvGenerator(), truncation=0.5)


def test_edits_may_depend_on_the_address():
    generator = ConvGenerator()

    def only(indices, index):
        keep = torch.tensor([i != index for i in indices]).float()[:, None, None, None]
        return {"8x8/0": lambda x: x * keep}

    plain = drawn(generator, batch_size=4)
    edited = drawn(generator, batch_size=4, edits=partial(only, index=6))
    changed = (plain != edited).flatten(1).any(1)
    assert changed.nonzero().flatten().tolist() == [6]
    everywhere = drawn(generator, edits={"8x8/0": torch.zeros_like})
    assert torch.allclose(everywhere, generator.to_image.bias.tanh().expand_as(everywhere))
    with pytest.raises(KeyError, match=r"9x9/0.*4x4/0, 4x4/1, 8x8/0"):
        drawn(generator, edits={"9x9/0": torch.zeros_like})


def test_conditions_come_by_address():
    class Labelled(ConvGenerator):
        def forward(self, latents, condition=None):
            return condition.label.float()[:, None, None, None].expand(-1, 1, 8, 8)

    images = Sampler(
        Labelled(), 0, condition_at=lambda i: Condition(label=torch.tensor(i) * 2)
    ).batch([5, 3])
    assert images[:, 0, 0, 0].tolist() == [10, 6]
