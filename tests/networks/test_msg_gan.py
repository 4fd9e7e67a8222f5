"""MSG-GAN: every scale an image, on two backbones; combine functions, views, gradients."""

from itertools import pairwise

import pytest
import torch

from ganlab.losses import Relativistic, Wasserstein, gradient_penalty
from ganlab.networks.msg_gan import Combine, Discriminator, Generator, StyleGenerator
from ganlab.nn.minibatch import MinibatchStd
from ganlab.nn.style import mix
from ganlab.nn.tracing import recorded

SIZES = [4, 8, 16, 32]
SMALL = {"resolution": 32, "channels": 2, "width": 4, "max_width": 16}
BACKBONES = [Generator, StyleGenerator]


def small(generator, seed=0, **options):
    torch.manual_seed(seed)
    styles = {"style_dim": 12, "mapping_layers": 2} if generator is StyleGenerator else {}
    return generator(**SMALL, latent_dim=12, **styles, **options)


def judge(seed=1, **options):
    torch.manual_seed(seed)
    return Discriminator(**SMALL, **options)


def latents(generator, n=4):
    return generator.sample_latents(n, torch.Generator().manual_seed(2))


def reals(n=4):
    return torch.rand(n, 2, 32, 32, generator=torch.Generator().manual_seed(3)) * 2 - 1


@pytest.mark.parametrize("backbone", BACKBONES)
class TestGenerators:
    def test_every_scale_is_an_image_coarse_to_fine(self, backbone):
        images = small(backbone)(latents(small(backbone)))
        assert [tuple(image.shape) for image in images] == [(4, 2, size, size) for size in SIZES]

    def test_a_scale_is_a_1x1_convolution_of_its_block(self, backbone):
        """o_i = r_i(a_i): moving the finest block moves the finest image alone."""
        generator = small(backbone).eval()
        z = latents(generator)
        before = generator(z)
        with torch.no_grad():
            for parameter in generator.blocks["16x16"].parameters():
                parameter.add_(torch.randn(parameter.shape))
        after = generator(z)
        moved = [not torch.equal(a, b) for a, b in zip(before, after, strict=True)]
        assert moved == [False, False, True, True]

    def test_latents_act_by_their_direction_only(self, backbone):
        generator = small(backbone).eval()
        z = latents(generator)
        for a, b in zip(generator(z), generator(7 * z), strict=True):
            torch.testing.assert_close(a, b, atol=1e-4, rtol=1e-4)

    @pytest.mark.parametrize("scale", range(4))
    def test_a_gradient_at_any_scale_reaches_the_start(self, backbone, scale):
        """Multi-scale gradients: each image teaches all blocks up to its own, and none after."""
        generator = small(backbone)
        generator(latents(generator))[scale].square().sum().backward()
        reached = {
            size: any(p.grad is not None and bool(p.grad.any()) for p in block.parameters())
            for size, block in generator.blocks.items()
        }
        assert list(reached.values()) == [size <= SIZES[scale] for size in SIZES]

    def test_what_cannot_be_is_refused_by_name(self, backbone):
        with pytest.raises(ValueError, match=r"model\.generator\.resolution.*data\.resolution.*48"):
            backbone(resolution=48)
        with pytest.raises(ValueError, match=r"model\.generator\.width"):
            backbone(resolution=32, width=0)

    @pytest.mark.parametrize("name", ["latent_dim", "mapping_lr_multiplier"])
    def test_a_mapping_that_cannot_be_is_refused_by_name(self, backbone, name):
        if backbone is StyleGenerator:
            with pytest.raises(ValueError, match=rf"model\.generator\.{name} must be .*, got 0"):
                backbone(resolution=32, **{name: 0})


class TestStyles:
    """What the system and the studies ask of a style generator."""

    def test_forward_is_map_then_synthesize_with_constant_noise_in_evaluation(self):
        generator = small(StyleGenerator).eval()
        strengthen(generator)
        z = latents(generator)
        styles = generator.map(z)
        assert styles.shape == (4, generator.num_styles, 12) == (4, 8, 12)
        assert generator.style_sizes == [4, 4, 8, 8, 16, 16, 32, 32]
        const = generator.synthesize(styles, noise="const")
        for a, b in zip(generator(z), const, strict=True):
            assert torch.equal(a, b)
        for kind in ("random", "none"):
            assert not torch.equal(generator.synthesize(styles, noise=kind)[-1], const[-1])

    def test_noise_comes_from_whoever_sets_its_source(self):
        generator = small(StyleGenerator).train()
        strengthen(generator)
        z, shapes = latents(generator), []

        def draw(shape):
            shapes.append(tuple(shape))
            return torch.zeros(shape)

        generator.draw_noise = draw
        quiet = generator.synthesize(generator.map(z), noise="none")
        assert torch.equal(generator(z)[-1], quiet[-1])
        assert shapes == [(4, 1, size, size) for size in generator.style_sizes]

    def test_style_n_acts_from_layer_n_on(self):
        generator = small(StyleGenerator).eval()
        ours, theirs = generator.map(latents(generator)), generator.map(-latents(generator))
        before = generator.synthesize(ours, noise="none")
        for crossover in range(generator.num_styles):
            after = generator.synthesize(mix(ours, theirs, crossover), noise="none")
            moved = [not torch.equal(a, b) for a, b in zip(before, after, strict=True)]
            assert moved == [size >= SIZES[crossover // 2] for size in SIZES]

    def test_mean_style_follows_with_the_paper_s_decay(self):
        generator, styles = small(StyleGenerator), torch.ones(3, 8, 12)
        generator.update_mean_style(styles)
        torch.testing.assert_close(generator.mean_style, torch.full((12,), 0.005))
        for _ in range(2000):
            generator.update_mean_style(styles)
        torch.testing.assert_close(generator.mean_style, torch.ones(12), atol=1e-3, rtol=0)

    def test_affines_turn_a_style_into_scales_and_shifts(self):
        generator = small(StyleGenerator)
        assert list(generator.affines) == list(generator.layers)
        for size, affine in zip(generator.style_sizes, generator.affines.values(), strict=True):
            channels = min(4 * 32 // size, 16)
            assert affine(torch.zeros(1, 12)).shape == (1, 2 * channels)


def strengthen(generator):
    """Let noise be heard: its strength starts at 0."""
    with torch.no_grad():
        for name, parameter in generator.named_parameters():
            if name.endswith("strength"):
                parameter.fill_(0.5)


class TestCombine:
    """phi against sums written out, one pixel and channel at a time."""

    maps, image = torch.randn(2, 6, 3, 3), torch.randn(2, 2, 3, 3)

    def at(self, x, weight, scale, bias, n, o, row, column):
        total = bias[o] if bias is not None else 0.0
        for i in range(x.shape[1]):
            total = total + x[n, i, row, column] * weight[o, i, 0, 0] * scale
        return total

    def check(self, found, expected):
        for index in [(0, 0, 0, 0), (1, 1, 2, 1), (0, found.shape[1] - 1, 1, 2)]:
            torch.testing.assert_close(found[index], expected(*index))

    def test_simple_is_the_maps_then_the_image(self):
        combine = Combine("simple", 6, 2)
        found = combine(self.maps, self.image)
        assert combine.out_channels == 8
        assert torch.equal(found[:, :6], self.maps)
        assert torch.equal(found[:, 6:], self.image)

    def test_lin_cat_is_the_maps_then_a_convolved_image(self):
        combine = Combine("lin_cat", 6, 2)
        torch.nn.init.normal_(combine.before.bias)
        found = combine(self.maps, self.image)
        assert combine.out_channels == found.shape[1] == 9
        assert torch.equal(found[:, :6], self.maps)
        weight, bias = combine.before.weight, combine.before.bias
        self.check(found[:, 6:], lambda *index: self.at(self.image, weight, 2**-0.5, bias, *index))

    def test_cat_lin_convolves_both_to_as_many_maps(self):
        combine = Combine("cat_lin", 6, 2)
        found = combine(self.maps, self.image)
        assert combine.out_channels == found.shape[1] == 6
        both, weight = torch.cat([self.maps, self.image], dim=1), combine.after.weight
        self.check(found, lambda *index: self.at(both, weight, 8**-0.5, None, *index))

    def test_another_name_is_refused_with_those_there_are(self):
        with pytest.raises(ValueError, match=r"discriminator\.combine.*simple, lin_cat, cat_lin"):
            judge(combine="sum")


@pytest.mark.parametrize("combine", ["simple", "lin_cat", "cat_lin"])
@pytest.mark.parametrize("blur", [False, True])
class TestDiscriminator:
    def test_the_logit_looks_at_every_scale(self, combine, blur):
        discriminator = judge(combine=combine, blur=blur)
        views = [view.requires_grad_() for view in discriminator.views(reals())]
        logits = discriminator(views)
        assert logits.shape == (4,)
        for gradient in torch.autograd.grad(logits.sum(), views):
            assert gradient.flatten(1).any(dim=1).all()

    def test_without_the_minibatch_a_logit_is_its_sample_s_own(self, combine, blur):
        discriminator = judge(combine=combine, blur=blur, group_size=0)
        views = discriminator.views(reals())
        alone = torch.cat([discriminator([v[i : i + 1] for v in views]) for i in range(4)])
        torch.testing.assert_close(alone, discriminator(views), atol=1e-5, rtol=1e-5)


def test_views_are_block_means_down_to_4x4():
    images = reals()
    views = judge().views(images)
    assert [view.shape[-1] for view in views] == SIZES
    assert torch.equal(views[-1], images)
    for view in views[:-1]:
        block = 32 // view.shape[-1]
        means = images.unfold(2, block, block).unfold(3, block, block).mean(dim=(-2, -1))
        torch.testing.assert_close(view, means, atol=1e-6, rtol=1e-5)


def test_the_minibatch_is_measured_at_every_scale():
    """The last map of each scale is the deviation of the maps before it over the batch."""
    discriminator = judge(group_size=4)
    measured = {n: m for n, m in discriminator.named_modules() if isinstance(m, MinibatchStd)}
    with recorded(measured) as outputs, torch.no_grad():
        discriminator(discriminator.views(reals()))
    assert sorted(output.shape[-1] for output in outputs.values()) == SIZES
    for output in outputs.values():
        maps, deviation = output[:, :-1], output[:, -1]
        expected = maps.std(dim=0, correction=0).mean()
        assert expected > 0.01
        torch.testing.assert_close(deviation, expected.expand_as(deviation), atol=1e-4, rtol=1e-4)


def convolution(a, b, kernel, bias=True):
    return a * b * kernel**2 + b * bias


def widths(resolution=1024):
    sizes = [2**i for i in range(2, resolution.bit_length())]
    return [min(16 * resolution // size, 512) for size in sizes]


def count(network):
    return sum(parameter.numel() for parameter in network.parameters())


def test_full_size_has_the_layers_of_the_paper_s_tables():
    """Deviation joined at each scale, the image at each but the finest; 512 maps to 32 px."""
    wide = widths()
    assert wide == [512, 512, 512, 512, 256, 128, 64, 32, 16]
    with torch.device("meta"):
        generator, discriminator = Generator(), Discriminator()
    painted = convolution(512, 512, 4) + convolution(512, 512, 3) + convolution(512, 3, 1)
    for coarse, fine in pairwise(wide):
        painted += convolution(coarse, fine, 3) + convolution(fine, fine, 3)
        painted += convolution(fine, 3, 1)
    assert count(generator) == painted
    judged = convolution(3, 16, 1)
    for coarse, fine in pairwise(wide):
        joined = 1 if fine == 16 else 3 + 1
        judged += convolution(fine + joined, fine, 3) + convolution(fine, coarse, 3)
    judged += convolution(512 + 3 + 1, 512, 3) + convolution(512, 512, 4) + convolution(512, 1, 1)
    assert count(discriminator) == judged


def test_wgan_gp_walks_all_scales_of_a_sample_by_one_epsilon():
    """The penalty against a loop over samples and scales, with gradients of their own graph."""
    discriminator, generator = judge(group_size=0), small(Generator)
    real, fake = discriminator.views(reals()), generator(latents(generator))
    epsilon = torch.tensor([0.1, 0.4, 0.6, 0.9])
    found = gradient_penalty(discriminator, real, fake, None, lambda n: epsilon[:n], weight=10.0)
    terms = []
    for i in range(4):
        mixed = [
            (epsilon[i] * r[i : i + 1] + (1 - epsilon[i]) * f[i : i + 1]).detach().requires_grad_()
            for r, f in zip(real, fake, strict=True)
        ]
        for gradient in torch.autograd.grad(discriminator(mixed).sum(), mixed):
            terms.append((gradient.norm() - 1) ** 2)
    torch.testing.assert_close(found, 10 * torch.stack(terms).mean())
    found.backward()
    weights = {n: p for n, p in discriminator.named_parameters() if n.endswith("weight")}
    assert [name for name, p in weights.items() if p.grad is None or not p.grad.any()] == []


@pytest.mark.parametrize("loss", [Relativistic, Wasserstein])
def test_the_generator_learns_from_every_scale(loss):
    """No scale is left to the scales around it: each 1x1 convolution is taught by D itself."""
    discriminator, generator = judge(), small(Generator)
    views = discriminator.views(reals())
    images = generator(latents(generator))
    relative = discriminator(views) if getattr(loss, "relativistic", False) else None
    loss.generator(discriminator(images), relative).backward()
    for to_image in generator.to_image:
        assert to_image.weight.grad.any()


def test_the_authors_own_rules_are_options():
    """Raw latents, no norm after the first layer; half a block's maps made of its image."""
    generator = small(Generator, normalize=False, first_norm=False)
    z = latents(generator)
    with recorded(generator.layers) as outputs:
        generator(z)
    made = torch.nn.functional.conv_transpose2d(
        z[:, :, None, None],
        generator.blocks["4x4"][0].convolution.weight.flip(2, 3).transpose(0, 1) * (2 / 192) ** 0.5,
    )
    expected = torch.nn.functional.leaky_relu(made, 0.2)
    torch.testing.assert_close(outputs["4x4/0"], expected, atol=1e-5, rtol=1e-5)
    discriminator = judge(combine="half", deviation="last", image_activation=False)
    stds = [m for m in discriminator.modules() if isinstance(m, MinibatchStd)]
    assert len(stds) == 1
    assert discriminator(discriminator.views(reals())).shape == (4,)
    with pytest.raises(ValueError, match=r"model\.discriminator\.deviation must be all or last"):
        judge(deviation="first")
