"""StyleGAN: published sizes, switches, growth, points, noise, styles."""

import itertools

import pytest
import torch
from torch import Tensor, nn

from ganlab.networks import progan
from ganlab.networks.stylegan import Discriminator, Generator
from ganlab.nn.growing import Stage
from ganlab.nn.norm import InstanceNorm, PixelInstanceNorm, PixelNorm, SwitchableNorm
from ganlab.nn.style import mix, truncate
from ganlab.nn.tracing import edited, recorded

N = 3
SMALL = {
    "resolution": 32,
    "channels": 1,
    "latent_dim": 16,
    "style_dim": 16,
    "width": 4,
    "max_width": 8,
}
NO_STYLE = {"mapping_layers": 0, "style": False, "input": "latent"}
PROGAN = {**NO_STYLE, "noise": False, "blur": False, "norm": PixelNorm}


def small(seed: int = 0, **switches) -> Generator:
    """A small generator in evaluation mode, with parameters that start at zero drawn instead."""
    torch.manual_seed(seed)
    generator = Generator(**{**SMALL, **switches})
    with torch.no_grad():
        for parameter in generator.parameters():
            if not parameter.any():
                parameter.normal_(0, 0.3)
    return generator.eval().requires_grad_(False)


def latents(seed: int = 0) -> Tensor:
    return torch.randn(N, SMALL["latent_dim"], generator=torch.Generator().manual_seed(seed))


def size(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


class TestSizes:
    """Karras et al. 2019, section 2: 26.2M parameters in G, 23.1M in the traditional one."""

    def test_generator_and_discriminator_are_as_large_as_published(self):
        with torch.device("meta"):
            assert round(size(Generator()) / 1e6, 1) == 26.2
            assert round(size(Discriminator()) / 1e6, 1) == 23.1

    def test_without_its_steps_it_is_as_large_as_progan(self):
        with torch.device("meta"):
            baseline = Generator(**PROGAN)
            assert round(size(baseline) / 1e6, 1) == 23.1
            assert size(baseline) == size(progan.Generator())
            assert size(Discriminator(blur=False)) == size(progan.Discriminator())

    def test_the_8_px_discriminator_costs_what_its_layers_do(self):
        """By hand: 1x1 from the image, 3x3 convolutions, 4x4 to 2 wide, one logit; with biases."""
        network = Discriminator(resolution=8, channels=3, width=4, max_width=64)
        from_images = (3 * 4 + 4) + (3 * 8 + 8)
        at_8 = (4 * 4 * 9 + 4) + (4 * 8 * 9 + 8)
        at_4 = (9 * 8 * 9 + 8) + (8 * 16 * 16 + 16) + (16 + 1)
        assert size(network) == from_images + at_8 + at_4


def test_without_its_steps_it_computes_what_progan_computes():
    torch.manual_seed(0)
    reference = progan.Generator(32, 1, 16, 4, 8)
    baseline = small(**PROGAN)
    for parameter in reference.parameters():
        nn.init.normal_(parameter)
    convolutions = [layer.convolution for block in reference.blocks for layer in block]
    baseline.dense.weight.copy_(convolutions[0].weight)
    layers = list(baseline.active_layers().values())
    for ours, theirs in zip(layers, convolutions, strict=True):
        ours.bias.copy_(theirs.bias)
        for module in ours.convolution.modules():
            if hasattr(module, "weight"):
                module.weight.copy_(theirs.weight)
    baseline.to_image.load_state_dict(reference.to_image.state_dict())
    for stage in (Stage(3), Stage(2, 0.3), Stage(0)):
        baseline.grow_to(stage)
        reference.grow_to(stage)
        torch.testing.assert_close(baseline(latents()), reference(latents()))


class TestSwitches:
    @pytest.mark.parametrize(
        ("switches", "message"),
        [
            ({"style": False}, "style=false .* the same image of every latent"),
            ({"style": False}, r"set model\.generator\.input=latent and .*\.mapping_layers=0, or"),
            ({"style": False, "input": "latent"}, "no use for a mapping network"),
            ({"input": "noise"}, "input must be one of const, latent, style"),
            ({"input": "latent", "latent_dim": 8}, "latent_dim must equal style_dim"),
            ({"mapping_layers": 0, "latent_dim": 8}, "mapping_layers=0"),
            ({"resolution": 24}, "power of two from 8"),
            ({"width": 0}, "at least 1"),
            ({"latent_dim": 0}, r"model\.generator\.latent_dim must be at least 1, got 0"),
            ({"style_dim": 0}, r"model\.generator\.style_dim must be at least 1, got 0"),
            ({"mapping_lr_multiplier": 0.0}, r"model\.generator\.mapping_lr_multiplier .* got 0"),
        ],
    )
    def test_what_makes_no_sense_is_refused(self, switches, message):
        with pytest.raises(ValueError, match=message):
            Generator(**{**SMALL, **switches})

    @pytest.mark.parametrize(
        "switches",
        [
            {},
            {"input": "latent"},
            {"input": "style"},
            {"mapping_layers": 0},
            {"noise": False},
            {"blur": False},
            NO_STYLE,
            {"style": False, "input": "style"},
            PROGAN,
        ],
        ids=lambda s: "-".join(s) or "complete",
    )
    def test_every_meaningful_one_makes_images_of_latents(self, switches):
        generator = small(**switches)
        images = generator(latents())
        assert images.shape == (N, 1, 32, 32)
        assert images.isfinite().all()
        assert images.std(dim=0).max() > 0

    @pytest.mark.parametrize("norm", [PixelNorm, PixelInstanceNorm, SwitchableNorm])
    def test_a_norm_swaps_one_object_a_layer_and_nothing_else(self, norm):
        def inventory(network):
            return {name: type(module) for name, module in network.named_modules()}

        before, after = inventory(small()), inventory(small(norm=norm))
        assert before.keys() == after.keys()
        changed = {name for name in before if before[name] is not after[name]}
        assert changed == {name for name in before if name.endswith(".norm")}

    def test_pin_starts_as_the_vanilla_network(self):
        torch.manual_seed(0)
        pin = Generator(**SMALL, norm=PixelInstanceNorm).eval()
        vanilla = Generator(**SMALL, norm=InstanceNorm).eval()
        missing = vanilla.load_state_dict(pin.state_dict(), strict=False)
        assert not missing.missing_keys
        assert torch.equal(pin(latents()), vanilla(latents()))


class TestGrowth:
    @pytest.mark.parametrize("switches", [{}, PROGAN], ids=["complete", "progan"])
    def test_alpha_0_is_the_enlarged_stage_before_and_alpha_1_the_next(self, switches):
        generator = small(**switches)
        for level in (1, 2, 3):
            generator.grow_to(Stage(level - 1))
            before = generator(latents())
            generator.grow_to(Stage(level, 0.0))
            repeated = before.repeat_interleave(2, dim=2).repeat_interleave(2, dim=3)
            assert torch.equal(generator(latents()), repeated)
            generator.grow_to(Stage(level, 1.0))
            after = generator(latents())
            generator.grow_to(Stage(level, 0.25))
            torch.testing.assert_close(generator(latents()), 0.75 * repeated + 0.25 * after)

    def test_the_discriminator_fades_a_level_in(self):
        torch.manual_seed(0)
        discriminator = Discriminator(32, 1, 4, 8)
        for level in (1, 2, 3):
            images = torch.randn(N, 1, 4 * 2**level, 4 * 2**level)
            halved = nn.functional.avg_pool2d(images, 2)
            discriminator.grow_to(Stage(level - 1))
            before = discriminator(halved)
            discriminator.grow_to(Stage(level, 0.0))
            torch.testing.assert_close(discriminator(images), before)
            discriminator.grow_to(Stage(level))
            assert not torch.allclose(discriminator(images), before)

    def test_reals_are_faded_as_fakes_are(self):
        discriminator, images = Discriminator(32, 1, 4, 8), torch.randn(N, 1, 32, 32)
        discriminator.grow_to(Stage(2, 0.25))
        at_16 = nn.functional.avg_pool2d(images, 2)
        at_8 = nn.functional.avg_pool2d(at_16, 2)
        enlarged = at_8.repeat_interleave(2, dim=2).repeat_interleave(2, dim=3)
        torch.testing.assert_close(discriminator.views(images), 0.75 * enlarged + 0.25 * at_16)

    @pytest.mark.parametrize(("switches", "own"), [({}, 0), ({"input": "latent"}, 1)])
    def test_styles_beyond_the_active_ones_change_nothing(self, switches, own):
        generator = small(**switches)
        assert generator.num_styles == own + 8
        for level in range(4):
            generator.grow_to(Stage(level))
            assert generator.active_styles == own + 2 * (level + 1)
            styles = generator.map(latents()).clone()
            images = generator.synthesize(styles, "const")
            styles[:, generator.active_styles :] += 1
            assert torch.equal(generator.synthesize(styles, "const"), images)
            styles[:, generator.active_styles - 1] += 1
            assert not torch.equal(generator.synthesize(styles, "const"), images)


class TestPoints:
    def test_they_stand_between_the_layers_in_the_order_they_fire(self):
        generator = small()
        names = [
            name
            for layer in generator.layers
            for name in (layer, f"{layer}/norm", f"{layer}/style")
        ]
        with recorded({**generator.layers, **generator.points}) as outputs:
            generator(latents())
        assert list(outputs) == names

    def test_norm_is_before_the_affine_and_style_after_it(self):
        generator = small()
        with recorded({**generator.layers, **generator.points}) as outputs:
            generator(latents())
        style = generator.map(latents())[:, 3]
        activation, normal = outputs["8x8/1"], outputs["8x8/1/norm"]
        torch.testing.assert_close(normal, nn.InstanceNorm2d(8, eps=1e-8)(activation))
        scale, shift = generator.affines["8x8/1"](style)[:, :, None, None].chunk(2, dim=1)
        torch.testing.assert_close(outputs["8x8/1/style"], normal * (scale + 1) + shift)

    def test_a_unit_zeroed_after_the_style_is_off_and_before_the_norm_is_not(self):
        generator = small()
        unit = torch.arange(8)[:, None, None] != 2

        def image(name):
            network = {**generator.layers, **generator.points}
            with edited(network, {name: lambda x: x * unit}), recorded(network) as outputs:
                generator(latents())
            return outputs["8x8/1/style"][:, 2]

        assert not image("8x8/1/style").any()
        assert image("8x8/1").any()

    def test_they_follow_growth_and_the_style_switch(self):
        generator = small()
        generator.grow_to(Stage(0))
        assert list(generator.points) == ["4x4/0/norm", "4x4/0/style", "4x4/1/norm", "4x4/1/style"]
        assert list(generator.affines) == ["4x4/0", "4x4/1"]
        plain = small(**NO_STYLE)
        assert all(name.endswith("/norm") for name in plain.points)
        assert plain.affines == {}

    @pytest.mark.parametrize("switches", [{}, {"noise": False}, {"input": "latent"}, PROGAN])
    def test_layers_that_do_not_depend_on_the_latent_are_flagged(self, switches):
        generator = small(**switches)
        with recorded(generator.layers) as outputs:
            generator(latents())
        same = [name for name, x in outputs.items() if torch.equal(x, x[:1].expand_as(x))]
        assert generator.latent_independent == same


class TestNoise:
    def test_training_draws_and_evaluation_does_not(self):
        generator, styles = small(), small().map(latents())
        const = generator.synthesize(styles, "const")
        assert torch.equal(generator(latents()), const)
        assert not torch.equal(generator.train()(latents()), const)

    def test_random_is_new_each_time_and_none_is_without(self):
        generator = small()
        styles = generator.map(latents())
        first, second = (generator.synthesize(styles, "random") for _ in range(2))
        assert not torch.equal(first, second)
        silent = generator.synthesize(styles, "none")
        assert torch.equal(generator.synthesize(styles, "none"), silent)
        for layer in generator.active_layers().values():
            layer.noise.strength.zero_()
        assert torch.equal(generator.synthesize(styles, "random"), silent)

    def test_it_comes_from_whoever_wants_to_draw_it(self):
        generator, shapes = small(), []

        def zeros(shape):
            shapes.append(tuple(shape))
            return torch.zeros(shape)

        generator.draw_noise = zeros
        before = torch.get_rng_state()
        styles = generator.map(latents())
        drawn = generator.synthesize(styles, "random")
        assert torch.equal(torch.get_rng_state(), before)
        torch.testing.assert_close(drawn, generator.synthesize(styles, "none"))
        sizes = [s for s in (4, 8, 16, 32) for _ in (0, 1)]
        assert shapes == [(N, 1, s, s) for s in sizes]

    def test_another_kind_is_refused(self):
        generator = small()
        with pytest.raises(ValueError, match="noise must be one of random, const, none"):
            generator.synthesize(generator.map(latents()), "fixed")

    def test_a_generator_without_it_is_the_same_in_every_mode(self):
        generator = small(noise=False)
        styles = generator.map(latents())
        images = [generator.synthesize(styles, kind) for kind in ("random", "const", "none")]
        assert torch.equal(images[0], images[1])
        assert torch.equal(images[0], images[2])


class TestStyles:
    def test_all_styles_of_b_make_b(self):
        generator = small()
        a, b = generator.map(latents(0)), generator.map(latents(1))
        mixed = generator.synthesize(mix(a, b, 0), "const")
        assert torch.equal(mixed, generator(latents(1)))

    def test_layers_before_the_crossover_are_those_of_a(self):
        generator = small()
        a, b = generator.map(latents(0)), generator.map(latents(1))
        for crossover in (1, 4, 7):
            with recorded(generator.points) as of_a:
                generator.synthesize(a, "const")
            with recorded(generator.points) as mixed:
                generator.synthesize(mix(a, b, crossover), "const")
            names = [name for name in of_a if name.endswith("/style")]
            same = [torch.equal(of_a[name], mixed[name]) for name in names]
            assert same == [i < crossover for i in range(8)]

    @pytest.mark.parametrize(
        "switches", [{}, {"input": "latent"}, {"style": False, "input": "style"}]
    )
    def test_truncation_by_one_changes_nothing_and_by_zero_leaves_one_image(self, switches):
        generator = small(**switches)
        nn.init.normal_(generator.mean_style)
        if generator.input == "latent":
            generator.mean_style[0] = 0
        styles = generator.map(latents())
        whole = generator.synthesize(truncate(styles, generator.mean_style, 1.0), "const")
        assert torch.equal(whole, generator(latents()))
        none = generator.synthesize(truncate(styles, generator.mean_style, 0.0), "const")
        torch.testing.assert_close(none, none[:1].expand_as(none))

    def test_the_mean_style_follows_with_a_decay_of_995_in_a_thousand(self):
        generator = small()
        styles = [torch.randn(5, 8, 16) for _ in range(3)]
        expected = torch.zeros(8, 16)
        for each in styles:
            generator.update_mean_style(each)
            expected = 0.995 * expected + 0.005 * each.mean(dim=0)
        torch.testing.assert_close(generator.mean_style, expected)

    def test_a_latent_at_the_input_has_a_row_of_its_own(self):
        generator = small(input="latent")
        styles = generator.map(latents())
        assert torch.equal(styles[:, 0], latents())
        assert torch.equal(styles[:, 1], generator.mapping(latents()))
        assert generator.style_sizes == [4, 4, 4, 8, 8, 16, 16, 32, 32]
        generator.update_mean_style(styles)
        assert not generator.mean_style[0].any()
        assert generator.mean_style[1:].any()
        shorter = styles.clone()
        shorter[:, 0] *= 0.3
        images = [generator.synthesize(each, "const") for each in (styles, shorter)]
        torch.testing.assert_close(images[0], images[1])

    def test_each_style_belongs_to_its_layer(self):
        generator = small()
        assert generator.style_sizes == [4, 4, 8, 8, 16, 16, 32, 32]
        styles = generator.map(latents())
        points = [name for name in generator.points if name.endswith("/style")]
        with recorded(generator.points) as before:
            generator.synthesize(styles, "const")
        for row, name in itertools.product((0, 3, 7), points):
            moved = styles.clone()
            moved[:, row] += 1
            with recorded(generator.points) as after:
                generator.synthesize(moved, "const")
            assert torch.equal(before[name], after[name]) == (points.index(name) < row)
