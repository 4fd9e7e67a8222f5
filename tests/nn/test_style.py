"""Parts of a style-based generator, and what can be done to styles."""

import pytest
import torch
from torch import nn

from ganlab.nn.blocks import Halving, StyleLayer
from ganlab.nn.modulation import noise_source
from ganlab.nn.norm import InstanceNorm, NoNorm
from ganlab.nn.style import (
    Mapping,
    NoiseInjection,
    StyleModulation,
    bands,
    copy_styles,
    mix,
    truncate,
)

N, L, W = 4, 6, 8


def styles(seed=0):
    return torch.randn(N, L, W, generator=torch.Generator().manual_seed(seed))


class TestMapping:
    def test_only_the_direction_of_a_latent_counts(self):
        mapping, latents = Mapping(5, W), torch.randn(N, 5)
        torch.testing.assert_close(mapping(3 * latents), mapping(latents))

    def test_without_layers_a_style_is_the_normalized_latent(self):
        latents = torch.randn(N, W)
        expected = latents / latents.square().mean(dim=1, keepdim=True).sqrt()
        torch.testing.assert_close(Mapping(W, W, num_layers=0)(latents), expected)

    def test_agrees_with_the_layers_written_out(self):
        mapping, x = Mapping(5, W, num_layers=3), torch.randn(N, 5)
        expected = x / x.square().mean(dim=1, keepdim=True).sqrt()
        for name, weight in mapping.named_parameters():
            if name.endswith("weight"):
                scale = 0.01 * (2 / weight.shape[1]) ** 0.5
                expected = nn.functional.leaky_relu(expected @ (scale * weight).T, 0.2)
        torch.testing.assert_close(mapping(x), expected)

    def test_a_weight_moves_the_style_a_hundredth_as_far(self):
        """What an equal step on all weights changes, by learning rate multiplier."""
        changes = []
        for multiplier in (1.0, 0.01):
            torch.manual_seed(0)
            mapping, latents = Mapping(W, W, 1, multiplier), torch.ones(1, W)
            before = mapping(latents)
            with torch.no_grad():
                for parameter in mapping.parameters():
                    parameter += 1e-3
            changes.append((mapping(latents) - before).abs().mean())
        torch.testing.assert_close(changes[1] / changes[0], torch.tensor(0.01), rtol=1e-2, atol=0)

    def test_refuses_what_cannot_be(self):
        with pytest.raises(ValueError, match="mapping_layers=0"):
            Mapping(5, W, num_layers=0)
        with pytest.raises(ValueError, match="at least 0"):
            Mapping(5, W, num_layers=-1)


class TestStyleModulation:
    def test_scales_by_one_more_than_the_first_half_and_shifts_by_the_second(self):
        modulation, x, style = StyleModulation(3, W), torch.randn(N, 3, 5, 5), torch.randn(N, W)
        nn.init.normal_(modulation.affine.bias)
        numbers = modulation.affine(style)
        y = modulation(x, style)
        for n in range(N):
            for c in range(3):
                expected = x[n, c] * (numbers[n, c] + 1) + numbers[n, 3 + c]
                torch.testing.assert_close(y[n, c], expected)

    def test_a_style_of_zero_changes_nothing_at_first(self):
        x = torch.randn(N, 3, 5, 5)
        assert torch.equal(StyleModulation(3, W)(x, torch.zeros(N, W)), x)


def noisy(layer, x, kind, draw=None):
    return layer(x, noise_source(kind, draw)(layer, len(x)))


class TestNoiseInjection:
    def noisy(self):
        layer = NoiseInjection(3, 5)
        nn.init.normal_(layer.strength)
        return layer

    def test_starts_silent(self):
        x = torch.randn(N, 3, 5, 5)
        assert torch.equal(noisy(NoiseInjection(3, 5), x, "random"), x)

    def test_random_noise_is_one_plane_a_sample_times_a_strength_per_channel(self):
        layer = self.noisy()
        drawn = torch.randn(N, 1, 5, 5)
        added = noisy(layer, torch.zeros(N, 3, 5, 5), "random", lambda shape: drawn)
        for n in range(N):
            for c in range(3):
                torch.testing.assert_close(added[n, c], layer.strength[c] * drawn[n, 0])

    def test_constant_noise_is_the_layers_own_plane(self):
        layer = self.noisy()
        added = noisy(layer, torch.zeros(N, 3, 5, 5), "const")
        expected = layer.strength[:, None, None] * layer.noise_const
        torch.testing.assert_close(added, expected.expand(N, -1, -1, -1))

    def test_none_is_silence(self):
        x = torch.randn(N, 3, 5, 5)
        assert torch.equal(noisy(self.noisy(), x, "none"), x)


class TestStyleLayer:
    def test_order_is_convolution_noise_bias_activation_norm_style(self):
        convolution = nn.Conv2d(2, 3, 3, padding=1, bias=False)
        layer = StyleLayer(convolution, 3, 5, InstanceNorm(3), noise=True, style_dim=W)
        for parameter in (layer.bias, layer.noise.strength, layer.style.affine.bias):
            nn.init.normal_(parameter)
        x, style, noise = torch.randn(N, 2, 5, 5), torch.randn(N, W), torch.randn(N, 1, 5, 5)
        y = layer(x, style, noise)
        expected = convolution(x) + layer.noise.strength[:, None, None] * noise
        expected = nn.functional.leaky_relu(expected + layer.bias[:, None, None], 0.2)
        expected = layer.style(nn.InstanceNorm2d(3, eps=1e-8)(expected), style)
        torch.testing.assert_close(y, expected)

    def test_every_part_can_be_left_out(self):
        layer = StyleLayer(nn.Identity(), 3, 5, NoNorm(3), noise=False, style_dim=None)
        x = torch.rand(N, 3, 5, 5)
        assert torch.equal(layer(x, None, layer.drawn(noise_source("random", None), N)), x)
        assert [name for name, _ in layer.named_parameters()] == ["bias"]


class TestHalving:
    def test_keeps_a_constant_away_from_the_edge(self):
        """The blur sums to one and averaging keeps a mean."""
        halving = Halving(1, 1)
        nn.init.zeros_(halving.convolution.weight)
        halving.convolution.weight.data[0, 0, 1, 1] = 1 / halving.convolution.scale
        y = halving(torch.full((1, 1, 12, 12), 3.0))
        torch.testing.assert_close(y[:, :, 1:-1, 1:-1], torch.full((1, 1, 4, 4), 3.0))

    def test_blur_is_one_module_more_and_no_parameter_more(self):
        with_blur, without = Halving(2, 3, blur=True), Halving(2, 3, blur=False)
        assert type(with_blur.blur).__name__ == "Blur"
        assert isinstance(without.blur, nn.Identity)
        assert [n for n, _ in with_blur.named_parameters()] == [
            n for n, _ in without.named_parameters()
        ]


class TestTruncate:
    def test_psi_one_changes_nothing_and_psi_zero_leaves_the_mean(self):
        mean = torch.randn(W)
        assert torch.equal(truncate(styles(), mean, 1.0), styles())
        assert torch.equal(truncate(styles(), mean, 0.0), mean.expand(N, L, W))

    def test_psi_moves_towards_the_mean_of_each_layer(self):
        mean = torch.randn(L, W)
        expected = mean + 0.7 * (styles() - mean)
        torch.testing.assert_close(truncate(styles(), mean, 0.7), expected)

    @pytest.mark.parametrize("cutoff", [0, 2, L, L + 3])
    def test_layers_from_the_cutoff_on_stay(self, cutoff):
        drawn = truncate(styles(), torch.zeros(W), 0.5, cutoff)
        torch.testing.assert_close(drawn[:, :cutoff], 0.5 * styles()[:, :cutoff])
        assert torch.equal(drawn[:, cutoff:], styles()[:, cutoff:])


class TestMix:
    def test_crossover_zero_is_b_and_after_the_last_layer_is_a(self):
        a, b = styles(0), styles(1)
        assert torch.equal(mix(a, b, 0), b)
        assert torch.equal(mix(a, b, L), a)

    def test_every_sample_has_a_crossover_of_its_own(self):
        a, b, places = styles(0), styles(1), [0, 2, 5, 6]
        mixed = mix(a, b, torch.tensor(places))
        for n, place in enumerate(places):
            assert torch.equal(mixed[n, :place], a[n, :place])
            assert torch.equal(mixed[n, place:], b[n, place:])

    def test_copying_bands_one_after_the_other_ends_at_the_source(self):
        source, target = styles(0), styles(1)
        sizes = [4, 4, 8, 32, 64, 1024]
        found = bands(sizes)
        assert found == {"coarse": [0, 1, 2], "middle": [3], "fine": [4, 5]}
        for layers in found.values():
            target = copy_styles(source, target, layers)
        assert torch.equal(target, source)

    def test_copying_leaves_other_layers_alone(self):
        source, target = styles(0), styles(1)
        mixed = copy_styles(source, target, [1, 4])
        for layer in range(L):
            assert torch.equal(mixed[:, layer], (source if layer in (1, 4) else target)[:, layer])


def test_noise_per_channel_is_one_number_a_channel_times_a_strength_a_pixel():
    layer = NoiseInjection(3, 4, per="channel")
    nn.init.normal_(layer.strength)
    noise, x = torch.randn(2, 3, 1, 1), torch.randn(2, 3, 4, 4)
    out = layer(x, noise)
    assert layer.noise_shape == (3, 1, 1)
    torch.testing.assert_close(out, x + layer.strength[None, None] * noise)
    with pytest.raises(ValueError, match=r"model\.generator\.noise_per"):
        NoiseInjection(3, 4, per="row")
