"""StyleGAN3: tables of the paper, filters against scipy, equivariance, one layer by hand."""

import numpy as np
import pytest
import torch
from resampled import plain_resample
from scipy import signal as dsp
from torch.nn import functional as F

from ganlab.networks.base import Condition
from ganlab.networks.stylegan3 import (
    Filters,
    FourierInput,
    Generator,
    Layer,
    Signal,
    schedule,
)

SMALL = {
    "resolution": 32,
    "latent_dim": 6,
    "style_dim": 5,
    "width": 4,
    "max_width": 8,
    "num_layers": 5,
}


def small(**changes: object) -> Generator:
    torch.manual_seed(0)
    return Generator(**{**SMALL, **changes}).eval()


def names(resolution: int, **options: object) -> list[str]:
    with torch.device("meta"):
        generator = Generator(resolution, **options)
    sizes = [name.split("x")[0] for name in generator.layers]
    return [f"{size}_{wide}" for size, wide in zip(sizes, generator.widths, strict=True)]


class TestSizes:
    def test_the_layers_at_1024_px_are_those_of_config_t(self):
        """As the layers of the published networks are called: size and channels."""
        assert names(1024) == [
            "36_512", "36_512", "52_512", "52_512", "84_512", "148_512", "148_512", "276_323",
            "276_203", "532_128", "1044_81", "1044_51", "1044_32", "1024_32",
        ]  # fmt: skip

    def test_the_layers_at_256_px_are_those_of_config_r(self):
        options = {"width": 256, "max_width": 1024, "kernel_size": 1, "radial": True}
        assert names(256, **options) == [
            "36_1024", "36_1024", "36_1024", "52_1024", "52_1024", "84_1024", "84_1024",
            "148_1024", "148_1024", "148_724", "276_512", "276_362", "276_256", "256_256",
        ]  # fmt: skip

    def test_config_t_has_as_many_parameters_as_the_paper_counts(self):
        """22.3 M, figure 3."""
        with torch.device("meta"):
            generator = Generator(1024)
        counted = sum(parameter.numel() for parameter in generator.parameters())
        assert counted / 1e6 == pytest.approx(22.3, abs=0.05)

    @pytest.mark.parametrize("resolution", [8, 64, 256, 1024])
    def test_cutoffs_grow_geometrically_to_half_the_resolution(self, resolution):
        signals = schedule(resolution)
        cutoffs = [each.cutoff for each in signals]
        assert cutoffs[0] == 2
        assert cutoffs[-3:] == [resolution / 2] * 3  # the critically sampled, and the image
        ratios = np.divide(cutoffs[1:-2], cutoffs[:-3])
        np.testing.assert_allclose(ratios, (resolution / 4) ** (1 / 12), rtol=1e-12)
        stopbands = [each.stopband for each in signals]
        assert stopbands[0] == pytest.approx(2**2.1)
        assert stopbands[-1] == pytest.approx(resolution / 2 * 2**0.3)
        for each in signals:
            assert each.rate >= min(2 * each.stopband, resolution)
            assert each.cutoff + each.half_width == max(each.stopband, each.rate / 2)

    def test_channels_are_as_the_inverse_of_the_cutoff(self):
        generator = small(width=10, max_width=1000)
        expected = [10 * 16 / each.cutoff for each in schedule(32, 5)[:-1]]
        assert generator.widths == [round(wide) for wide in expected]

    def test_a_table_of_widths_is_taken(self):
        assert small(widths=[9, 8, 7, 6, 5]).widths == [9, 8, 7, 6, 5]

    @pytest.mark.parametrize(
        ("changes", "key"),
        [
            ({"resolution": 48}, "resolution"),
            ({"num_layers": 2}, "num_layers"),
            ({"first_cutoff": 5.0}, "first_cutoff"),
            ({"widths": [4, 4]}, "widths"),
            ({"width": 0}, "widths"),
            ({"clamp": 0.0}, "clamp"),
            ({"mapping_layers": 0}, "mapping_layers"),
        ],
    )
    def test_what_cannot_be_is_refused_by_its_key(self, changes, key):
        with pytest.raises(ValueError, match=rf"model\.generator\..*{key}"):
            small(**changes)


class TestEquivariance:
    def fourier(self) -> FourierInput:
        torch.manual_seed(0)
        return FourierInput(6, 5, Signal(2.0, 4.0, 16, 36))

    def test_the_input_moves_with_its_transform(self):
        """A shift by whole samples is a roll, inside; a quarter turn turns the map."""
        layer, style = self.fourier(), torch.zeros(1, 5)
        with torch.no_grad():
            plain = layer(style)
            layer.transform[:2, 2] = torch.tensor([-3 / 16, -5 / 16])  # the inverse of the move
            moved = layer(style)
            layer.transform.copy_(torch.tensor([[0.0, 1, 0], [-1, 0, 0], [0, 0, 1]]))
            turned = layer(style)
        torch.testing.assert_close(moved[..., 5:, 3:], plain[..., :-5, :-3], atol=1e-4, rtol=0)
        assert not torch.allclose(turned, plain, atol=0.1)
        torch.testing.assert_close(turned, plain.rot90(-1, (2, 3)), atol=1e-4, rtol=0)

    def test_the_style_moves_and_turns_the_input_as_a_transform_does(self):
        layer = self.fourier()
        style = torch.zeros(1, 5)
        with torch.no_grad():
            layer.affine.bias.copy_(torch.tensor([0.0, 2.0, 0.5, -0.25]))  # a quarter, and a move
            styled = layer(style)
            layer.affine.bias.copy_(torch.tensor([1.0, 0.0, 0.0, 0.0]))
            turn = torch.tensor([[0.0, -1, 0], [1, 0, 0], [0, 0, 1]])
            shift = torch.tensor([[1.0, 0, -0.25], [0, 1, 0.125], [0, 0, 1]])  # t over |r| = 2
            layer.transform.copy_(turn @ shift)
            torch.testing.assert_close(styled, layer(style), atol=1e-4, rtol=0)

    def test_frequencies_lie_in_the_disc_of_the_cutoff_and_fill_it(self):
        torch.manual_seed(0)
        radius = FourierInput(4000, 2, Signal(2.0, 4.0, 16, 36)).frequencies.norm(dim=1)
        assert radius.max() <= 2
        share = (radius < 1).float().mean()  # a quarter of the area
        assert share == pytest.approx(0.25, abs=0.03)

    def test_what_would_alias_fades_out(self):
        layer = self.fourier()
        with torch.no_grad():
            layer.transform[:2, :2] *= 1000  # all frequencies far past half the rate
            assert not layer(torch.zeros(1, 5)).any()

    @pytest.mark.parametrize("options", [{}, {"kernel_size": 1, "radial": True}])
    def test_images_move_with_the_input(self, options):
        """EQ-T by whole pixels, eq. 3, of the inside: an untrained network holds it to a share."""
        generator = small(width=16, max_width=16, **options)
        latents = torch.randn(2, 6)
        with torch.no_grad():
            plain = generator(latents)
            generator.input.transform[0, 2] = -4 / 32  # four pixels to the right
            moved = generator(latents)
        error = (moved[..., 4:] - plain[..., :-4]).square().mean()
        power = plain.square().mean()
        assert 10 * torch.log10(4 * power / error) > 35  # dB, of a signal's range of 2 rms

    def test_images_of_config_r_turn_with_the_input(self):
        turn = torch.tensor([[0.0, 1, 0], [-1, 0, 0], [0, 0, 1]])
        errors = {}
        for name, options in {"t": {}, "r": {"kernel_size": 1, "radial": True}}.items():
            generator = small(width=16, max_width=16, **options)
            latents = torch.randn(2, 6)
            with torch.no_grad():
                plain = generator(latents)
                generator.input.transform.copy_(turn)
                turned = generator(latents)
            difference = turned - plain.rot90(-1, (2, 3))
            errors[name] = (difference.square().mean() / plain.square().mean()).item()
        assert errors["r"] < 1e-6  # a quarter turn maps the grid onto itself
        assert errors["t"] > 0.1  # 3x3 kernels do not turn with it


class TestLayer:
    def test_a_layer_is_the_formula(self):
        """Per sample, weights modulated and demodulated, inputs over their magnitude."""
        torch.manual_seed(0)
        ends = Signal(4.0, 8.0, 16, 20), Signal(8.0, 14.0, 32, 38)
        layer = Layer(*ends, 3, 4, 5, 3, Filters(), critical=False, clamp=0.9)
        layer.bias.data.normal_()
        layer.magnitude.mean_square.fill_(2.5)
        layer.eval()
        inputs, style = torch.randn(2, 3, 20, 20), torch.randn(2, 5)
        scales = style @ layer.affine.weight.T / 5**0.5 + layer.affine.bias
        rows = []
        for sample, scale in zip(inputs, scales, strict=True):
            weight = layer.weight * scale[None, :, None, None]
            weight = weight / weight.square().sum((1, 2, 3), keepdim=True).sqrt()
            rows.append(F.conv2d(sample[None] / 2.5**0.5, weight, layer.bias, padding=2))
        x = torch.cat(rows)  # (2, 4, 22, 22): one rate up twice over the output's, then half
        up = torch.tensor(dsp.firwin(24, 4.0, width=2 * 4.0, fs=64), dtype=torch.float32)
        down = torch.tensor(dsp.firwin(12, 8.0, width=2 * 8.0, fs=64), dtype=torch.float32)
        total = 37 * 2 + 1 + 24 + 12 - 2 - 22 * 4
        padding = (total + 4) // 2, total - (total + 4) // 2
        x = plain_resample(x, up, 4, 1, padding) * 16
        x = (F.leaky_relu(x, 0.2) * 2**0.5).clamp(-0.9, 0.9)
        expected = plain_resample(x, down, 1, 2, (0, 0))
        with torch.no_grad():
            torch.testing.assert_close(layer(inputs, style), expected, atol=1e-5, rtol=1e-4)

    def test_the_magnitude_follows_its_inputs_in_training_alone(self):
        generator = small()
        before = generator.convs[1].magnitude.mean_square.clone()
        generator(torch.randn(2, 6))
        assert torch.equal(generator.convs[1].magnitude.mean_square, before)
        generator.train()(torch.randn(2, 6))
        assert not torch.equal(generator.convs[1].magnitude.mean_square, before)


class TestStyles:
    def test_the_first_style_moves_the_input_and_the_last_the_image(self):
        generator = small()
        torch.nn.init.normal_(generator.input.affine.weight)
        styles = generator.map(torch.randn(2, 6))
        assert styles.shape == (2, 7, 5)
        assert generator.style_sizes == [36, 36, *generator.output_sizes()]
        with torch.no_grad():
            plain = generator.synthesize(styles)
            for row in (0, 3, 6):
                changed = styles.clone()
                changed[:, row] += 1
                assert not torch.allclose(generator.synthesize(changed), plain)

    def test_noise_is_checked_and_has_no_effect(self):
        generator = small()
        styles = generator.map(torch.randn(1, 6))
        assert torch.equal(generator.synthesize(styles), generator.synthesize(styles, "none"))
        with pytest.raises(ValueError, match="noise must be"):
            generator.synthesize(styles, "loud")

    def test_images_depend_on_the_label(self):
        generator = small(num_labels=3)
        latents = torch.randn(1, 6).expand(3, -1)
        images = generator(latents, Condition(label=torch.tensor([0, 1, 1])))
        assert not torch.allclose(images[0], images[1])
        torch.testing.assert_close(images[1], images[2])
        with pytest.raises(ValueError, match="label"):
            generator(latents)

    def test_the_image_is_scaled_by_a_quarter(self):
        latents = torch.randn(2, 6)
        small_, plain = small(), small(output_scale=1.0)
        torch.testing.assert_close(4 * small_(latents), plain(latents))
