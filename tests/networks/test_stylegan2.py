"""StyleGAN2: published parameter counts, order of styles, noise, labels, residual gains."""

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import one_hot

from ganlab.networks.base import Condition
from ganlab.networks.stylegan2 import Discriminator, Generator, ResidualBlock
from ganlab.nn.mapping import JointMapping
from ganlab.nn.resample import downsample2x, fir_kernel, upsample2x

SIZES = {"resolution": 16, "channels": 2, "width": 4, "max_width": 8}
N = 4


def small_generator(**changes: object) -> Generator:
    torch.manual_seed(0)
    sizes = {**SIZES, "latent_dim": 6, "style_dim": 5, "mapping_layers": 2}
    return Generator(**{**sizes, **changes})


def small_discriminator(**changes: object) -> Discriminator:
    torch.manual_seed(1)
    return Discriminator(**{**SIZES, **changes})


def counted(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def on_meta(network: type, **settings: object) -> nn.Module:
    with torch.device("meta"):
        return network(**settings)


# Trainable numbers, the mapping included; noise maps and filters are buffers. At 1024 px they are
# those that NVIDIA's PyTorch code prints (Karras et al. 2020 round to 30 and 29 million for F, 25
# and 24 for E); at 256 px they follow from the same layer table.
PUBLISHED = [
    ({"resolution": 1024, "width": 32, "mapping_layers": 2}, 28_794_124, 29_012_513),  # auto
    ({"resolution": 1024, "width": 32}, 28_794_124 + 6 * 262_656, 29_012_513),  # config F
    ({"resolution": 256, "width": 128}, 30_034_338, 28_864_129),  # config F
    ({"resolution": 256, "width": 64}, 24_767_458, 24_001_089),  # paper256
]


@pytest.mark.parametrize(("settings", "generator", "discriminator"), PUBLISHED)
def test_full_sizes_have_the_published_numbers_of_parameters(settings, generator, discriminator):
    assert counted(on_meta(Generator, **settings)) == generator
    of_both = {key: settings[key] for key in ("resolution", "width")}
    assert counted(on_meta(Discriminator, **of_both)) == discriminator


def test_config_e_is_the_smaller_one_of_the_paper():
    assert round(counted(on_meta(Generator, width=16)) / 1e6) == 25
    assert round(counted(on_meta(Discriminator, width=16)) / 1e6) == 24


def test_layers_of_config_f_have_the_published_numbers_of_parameters():
    """A table printed by NVIDIA's code for 1024 px: every layer with its style's affine."""
    generator = on_meta(Generator)
    convs = generator.styled_convs()
    expected = {"4x4/0": 2_622_465, "64x64/1": 2_622_465, "128x128/0": 1_442_561}
    expected |= {"128x128/1": 721_409, "1024x1024/0": 51_297, "1024x1024/1": 25_665}
    assert {name: counted(convs[name]) for name in expected} == expected
    assert counted(generator.by_size()["128x128"].to_image) == 132_099
    noise = sum(conv.noise_const.numel() for conv in convs.values())
    assert noise == 16 + 2 * sum(4**i for i in range(3, 11))
    assert generator.num_styles == 18
    blocks = on_meta(Discriminator).blocks
    assert counted(blocks["1024x1024"]) == 2_048 + 9_248 + 18_496
    assert counted(blocks["8x8"]) == 262_144 + 2 * 2_359_808


def test_channels_follow_the_table():
    generator = on_meta(Generator, resolution=1024, width=16)
    widths = {name: conv.conv.weight.shape[0] for name, conv in generator.styled_convs().items()}
    assert widths["32x32/1"] == widths["4x4/0"] == 512
    assert [widths[f"{r}x{r}/1"] for r in (64, 128, 256, 512, 1024)] == [256, 128, 64, 32, 16]


@pytest.mark.parametrize("network", [Generator, Discriminator])
@pytest.mark.parametrize("resolution", [2, 48, 100])
def test_other_resolutions_are_refused(network, resolution):
    name = network.__name__.lower()
    with pytest.raises(ValueError, match=f"model.{name}.resolution .* power of two.* {resolution}"):
        network(resolution=resolution)


def test_impossible_widths_are_refused():
    with pytest.raises(ValueError, match=r"model\.generator\.width"):
        Generator(resolution=8, width=0)
    with pytest.raises(ValueError, match="mapping_layers"):
        Generator(resolution=8, width=4, mapping_layers=0)


@pytest.mark.parametrize(
    ("network", "options", "message"),
    [
        (Generator, {"latent_dim": 0}, "latent_dim must be at least 1, got 0"),
        (Generator, {"latent_dim": 0, "num_labels": 3}, "latent_dim must be at least 1, got 0"),
        (Generator, {"style_dim": 0}, "style_dim must be at least 1, got 0"),
        (Generator, {"mapping_lr_multiplier": 0.0}, "mapping_lr_multiplier must be above 0, got 0"),
        (Generator, {"clamp": 0.0}, "clamp must be above 0, or null, got 0"),
        (Generator, {"clamp": -256.0}, "clamp must be above 0, or null, got -256"),
        (Discriminator, {"clamp": -256.0}, "clamp must be above 0, or null, got -256"),
        (Discriminator, {"num_labels": 3, "mapping_layers": -1}, "mapping_layers must be"),
        (Discriminator, {"num_labels": 3, "mapping_lr_multiplier": 0}, "mapping_lr_multiplier"),
    ],
)
def test_what_cannot_be_is_refused_by_its_key(network, options, message):
    key = rf"model\.{network.__name__.lower()}\."
    with pytest.raises(ValueError, match=f"{key}{message}"):
        network(resolution=8, width=4, **options)


def test_an_unconditional_discriminator_maps_nothing():
    Discriminator(resolution=8, width=4, mapping_layers=0, mapping_lr_multiplier=0.0)


class TestStyles:
    def test_the_map_gives_every_layer_the_same_style(self):
        generator = small_generator()
        latents = torch.randn(N, 6)
        styles = generator.map(latents)
        assert styles.shape == (N, generator.num_styles, 5)
        assert generator.num_styles == 6
        assert (styles == styles[:, :1]).all()
        torch.testing.assert_close(generator.map(3 * latents), styles)  # normalized first

    def test_mapping_is_the_formula(self):
        torch.manual_seed(0)
        mapping = JointMapping(3, 4, num_layers=2, lr_multiplier=0.01)
        first, second = (affine for affine in mapping.affines)
        nn.init.normal_(first.bias)
        assert first.weight.std() > 20  # stored as N(0, 1) / 0.01
        x = torch.randn(N, 3)
        expected = x / (x.square().mean(dim=1, keepdim=True) + 1e-8).sqrt()
        for affine, fan_in in ((first, 3), (second, 4)):
            expected = expected @ (affine.weight * 0.01 / fan_in**0.5).T + 0.01 * affine.bias
            expected = torch.where(expected > 0, expected, 0.2 * expected) * 2**0.5
        torch.testing.assert_close(mapping(x, None), expected)

    def test_style_n_moves_layer_n_and_nothing_before(self):
        """The image of a resolution shares its style with the next layer (w index 2b + 1)."""
        generator = small_generator().eval()
        styles = generator.map(torch.randn(N, 6))
        names = list(generator.layers)
        assert names == ["4x4/0", "8x8/0", "8x8/1", "16x16/0", "16x16/1"]
        for n in range(generator.num_styles):
            changed = styles.clone()
            changed[:, n] += 1.0
            seen = [self.activations(generator, s) for s in (styles, changed)]
            for i, name in enumerate(names):
                assert torch.equal(seen[0][name], seen[1][name]) == (i < n), (n, name)
            assert not torch.equal(*(generator.synthesize(s, "const") for s in (styles, changed)))

    @staticmethod
    def activations(generator: Generator, styles: Tensor) -> dict[str, Tensor]:
        kept: dict[str, Tensor] = {}
        handles = [
            module.register_forward_hook(
                lambda m, i, output, name=name: kept.update({name: output})
            )
            for name, module in generator.layers.items()
        ]
        generator.synthesize(styles, "const")
        for handle in handles:
            handle.remove()
        return kept

    def test_a_style_is_filed_under_the_maps_it_scales(self):
        """A layer that doubles the size scales the smaller maps, its input."""
        generator, seen = small_generator(), []
        for conv in generator.styled_convs().values():
            conv.register_forward_hook(lambda m, i, output: seen.append(i[0].shape[-1]))
        last = generator.by_size()["16x16"].to_image
        last.register_forward_hook(lambda m, i, output: seen.append(i[0].shape[-1]))
        generator(torch.randn(N, 6))
        assert generator.style_sizes == seen

    def test_images_of_all_resolutions_are_summed(self):
        """Figure 7b: with one ToImage at work, the image is its output, enlarged to the end."""
        generator, kernel = small_generator().eval(), fir_kernel([1, 3, 3, 1])
        styles = generator.map(torch.randn(N, 6))
        kept = {}
        for name, block in generator.by_size().items():
            block.to_image.register_forward_hook(
                lambda m, i, output, name=name: kept.update({name: output})
            )
        image = generator.synthesize(styles, "const")
        expected = upsample2x(upsample2x(kept["4x4"], kernel) + kept["8x8"], kernel)
        torch.testing.assert_close(image, expected + kept["16x16"])

    def test_affines_are_named_by_layer_and_by_image(self):
        generator = small_generator()
        images = ["4x4/image", "8x8/image", "16x16/image"]
        assert list(generator.affines) == [*generator.layers, *images]
        inputs = [affine(torch.randn(1, 5)).shape[1] for affine in generator.affines.values()]
        assert inputs == [8, 8, 8, 8, 4, 8, 8, 4]

    def test_mean_style_follows_with_a_decay_of_0_995(self):
        generator = small_generator()
        styles = [generator.map(torch.randn(N, 6)) for _ in range(2)]
        for batch in styles:
            generator.update_mean_style(batch)
        means = [batch[:, 0].mean(dim=0) for batch in styles]
        expected = 0.005 * 0.995 * means[0] + 0.005 * means[1]
        torch.testing.assert_close(generator.mean_style, expected)
        assert not generator.mean_style.requires_grad


class TestNoise:
    @pytest.fixture
    def generator(self):
        generator = small_generator()
        with torch.no_grad():
            for conv in generator.styled_convs().values():
                conv.noise_strength.fill_(0.5)
        return generator

    def test_evaluation_is_fixed_and_training_is_not(self, generator):
        latents = torch.randn(N, 6)
        assert not torch.equal(generator(latents), generator(latents))
        generator.eval()
        assert torch.equal(generator(latents), generator(latents))
        styles = generator.map(latents)
        assert torch.equal(generator(latents), generator.synthesize(styles, "const"))
        assert not torch.equal(generator(latents), generator.synthesize(styles, "none"))
        assert not torch.equal(generator.synthesize(styles), generator.synthesize(styles, "random"))

    def test_fresh_noise_comes_from_the_given_source_alone(self, generator):
        latents = torch.randn(N, 6)
        images = []
        for seed in (5, 5, 6):
            rng = torch.Generator().manual_seed(seed)
            generator.draw_noise = lambda shape, rng=rng: torch.randn(shape, generator=rng)
            before = torch.get_rng_state()
            images.append(generator(latents))
            assert torch.equal(torch.get_rng_state(), before)
        assert torch.equal(images[0], images[1])
        assert not torch.equal(images[0], images[2])

    def test_noise_differs_between_samples_and_layers(self, generator):
        shapes = []

        def draw(shape: torch.Size) -> Tensor:
            shapes.append(tuple(shape))
            return torch.randn(shape)

        generator.draw_noise = draw
        generator(torch.randn(N, 6))
        assert shapes == [(N, 1, size, size) for size in (4, 8, 8, 16, 16)]

    def test_an_unknown_kind_is_refused(self, generator):
        with pytest.raises(ValueError, match="noise must be one of"):
            generator.synthesize(generator.map(torch.randn(N, 6)), "fixed")


class TestResidualBlock:
    def test_it_is_figure_7c(self):
        torch.manual_seed(0)
        kernel = fir_kernel([1, 3, 3, 1])
        block, x = ResidualBlock(3, 5, (1, 3, 3, 1), None), torch.randn(N, 3, 8, 8)
        for conv in (block.conv0, block.conv1):
            nn.init.normal_(conv.bias)
        weights = [m.weight / m.weight[0].numel() ** 0.5 for m in (block.conv0, block.conv1)]
        y = nn.functional.conv2d(x, weights[0], block.conv0.bias, padding=1)
        y = nn.functional.leaky_relu(y, 0.2) * 2**0.5
        padded = nn.functional.pad(y, (2, 2, 2, 2))
        y = nn.functional.conv2d(padded, kernel.expand(3, 1, 4, 4), groups=3)
        y = nn.functional.conv2d(y, weights[1], block.conv1.bias, stride=2)
        y = nn.functional.leaky_relu(y, 0.2) * 2**0.5
        skip = nn.functional.conv2d(downsample2x(x, kernel), block.skip.weight / 3**0.5)
        assert block.skip.bias is None
        torch.testing.assert_close(block(x), (y + skip) / 2**0.5)

    def test_clamp_limits_each_path(self):
        torch.manual_seed(0)
        block = ResidualBlock(3, 5, (1, 3, 3, 1), 0.1)
        nn.init.ones_(block.conv1.bias)
        for module, limit in ((block.activation0, 0.1), (block.activation1, 0.1 * 0.5**0.5)):
            seen = []
            module.register_forward_hook(lambda m, i, output, seen=seen: seen.append(output))
            block(torch.randn(N, 3, 8, 8))
            torch.testing.assert_close(seen[0].abs().max(), torch.tensor(limit))


class TestMinibatch:
    def test_a_logit_knows_its_group(self):
        discriminator, images = small_discriminator(group_size=N), torch.randn(N, 2, 16, 16)
        together = discriminator(images)
        alone = torch.cat([discriminator(image) for image in images.split(1)])
        assert not torch.allclose(together, alone)

    def test_without_it_every_image_stands_alone(self):
        discriminator, images = small_discriminator(group_size=0), torch.randn(N, 2, 16, 16)
        alone = torch.cat([discriminator(image) for image in images.split(1)])
        torch.testing.assert_close(discriminator(images), alone)


class TestLabels:
    def test_images_depend_on_the_label(self):
        generator = small_generator(num_labels=3).eval()
        latents = torch.randn(1, 6).expand(3, -1)
        images = generator(latents, Condition(label=torch.tensor([0, 1, 1])))
        assert not torch.allclose(images[0], images[1])
        torch.testing.assert_close(images[1], images[2])

    def test_latent_and_embedded_label_are_normalized_apart(self):
        torch.manual_seed(0)
        mapping = JointMapping(6, 5, num_layers=1, num_labels=3)
        inputs = []
        mapping.affines[0].register_forward_hook(lambda m, i, o: inputs.append(i[0]))
        label = torch.tensor([2, 0, 1, 2])
        latents = torch.randn(N, 6)
        mapping(latents, one_hot(label, 3).float())
        embedded = mapping.embed.weight.T[label] / 3**0.5 + mapping.embed.bias
        for part, whole in ((inputs[0][:, :6], latents), (inputs[0][:, 6:], embedded)):
            rms = whole.square().mean(dim=1, keepdim=True).sqrt()
            torch.testing.assert_close(part, whole / rms, rtol=1e-5, atol=1e-6)

    def test_the_logit_is_a_projection_on_the_mapped_label(self):
        discriminator = small_discriminator(num_labels=3, group_size=0)
        features = []
        discriminator.to_logit.register_forward_hook(lambda m, i, output: features.append(output))
        images, label = torch.randn(N, 2, 16, 16), torch.tensor([2, 0, 1, 2])
        logits = discriminator(images, Condition(label=label))
        for n in range(N):
            one = one_hot(label[n : n + 1], 3).float()
            mapped = discriminator.label_mapping(None, one)[0]
            expected = features[0][n] @ mapped / len(mapped) ** 0.5
            torch.testing.assert_close(logits[n], expected)
        assert features[0].shape == (N, 8)

    def test_every_parameter_is_used(self):
        condition = Condition(label=torch.tensor([2, 0, 1, 2]))
        generator, discriminator = small_generator(num_labels=3), small_discriminator(num_labels=3)
        nn.init.normal_(discriminator.to_logit.bias)
        images = generator(torch.randn(N, 6), condition)
        (discriminator(images, condition) * torch.randn(N)).sum().backward()
        for network in (generator, discriminator):
            assert all(parameter.grad is not None for parameter in network.parameters())

    def test_a_missing_label_is_named(self):
        for condition in (None, Condition()):
            message = r"a network of 3 labels got none.*model/conditioner=labels"
            with pytest.raises(ValueError, match=message):
                small_generator(num_labels=3)(torch.randn(N, 6), condition)

    def test_without_labels_a_condition_is_ignored(self):
        generator, latents = small_generator().eval(), torch.randn(N, 6)
        told = generator(latents, Condition(label=torch.zeros(N, dtype=torch.long)))
        assert torch.equal(told, generator(latents))


@pytest.mark.parametrize("architecture", ["orig", "skip", "resnet"])
class TestArchitectures:
    def test_every_parameter_of_the_generator_is_used(self, architecture):
        generator = small_generator(architecture=architecture, widths={4: 7, 8: 5, 16: 3})
        with torch.no_grad():
            for conv in generator.styled_convs().values():
                conv.noise_strength.fill_(1.0)
        generator(torch.randn(N, 6)).square().sum().backward()
        assert all(each.grad is not None for each in generator.parameters())
        images = [name for name in generator.affines if name.endswith("image")]
        assert len(images) == (3 if architecture == "skip" else 1)

    def test_every_parameter_of_the_discriminator_is_used(self, architecture):
        critic = small_discriminator(architecture=architecture, widths={4: 8, 8: 5, 16: 3})
        critic(torch.randn(N, 2, 16, 16)).sum().backward()
        assert all(each.grad is not None for each in critic.parameters())


def test_four_pixels_are_a_resolution():
    generator = small_generator(resolution=4, widths=None)
    images = generator(torch.randn(N, 6))
    assert images.shape == (N, 2, 4, 4)
    critic = small_discriminator(resolution=4)
    assert critic(images).shape == (N,)


def test_an_unknown_architecture_is_refused_by_its_key():
    with pytest.raises(
        ValueError, match=r"model\.generator\.architecture must be one of orig, skip"
    ):
        small_generator(architecture="dense")
    with pytest.raises(ValueError, match=r"model\.discriminator\.widths must give channels"):
        small_discriminator(widths={4: 2, 8: 2})


def test_the_projection_may_have_a_width_of_its_own_and_no_layers():
    """Without layers a label is its normalized embedding."""
    critic = small_discriminator(num_labels=3, mapping_layers=0, label_dim=6, dense_width=5)
    label = torch.tensor([0, 2, 1, 1])
    features = {}
    critic.to_logit.register_forward_hook(lambda _, __, out: features.update(x=out))
    with torch.no_grad():
        found = critic(torch.randn(N, 2, 16, 16), Condition(label=label))
        rows = critic.label_mapping.embed(torch.eye(3)[label])
    rows = rows / rows.square().mean(dim=1, keepdim=True).add(1e-8).sqrt()
    torch.testing.assert_close(found, (features["x"] * rows).sum(dim=1) / 6**0.5)


def test_a_logit_a_class_is_chosen_by_the_label_soft_or_not():
    critic = small_discriminator(num_labels=3, class_logits=True)
    images = torch.randn(N, 2, 16, 16)
    with torch.no_grad():
        each = [critic(images, Condition(label=torch.full((N,), k))) for k in range(3)]
        soft = critic(images, Condition(label=torch.tensor([0.5, 0.25, 0.0]).repeat(N, 1)))
    torch.testing.assert_close(soft, 0.5 * each[0] + 0.25 * each[1])
