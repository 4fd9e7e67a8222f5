"""StyleGAN3: layers that act on continuous signals, so that details move with what they are on.

Karras et al.: "Alias-Free Generative Adversarial Networks" (arXiv:2106.12423): sections 2 and 3,
appendices C (filters), D (sizes) and F (input, magnitudes, mapping). Config T has 3x3 convolutions
and separable filters; config R, equivariant to rotation too, has 1x1 convolutions, radial filters
and twice the channels: `kernel_size=1 radial=true width=64 max_width=1024` at 1024 px.

A signal is known by its cut-off and its sampling rate, both for a canvas of side 1 that the image
fills; around it lies a margin, so that borders cannot leak into the image.
"""

from collections.abc import Sequence
from math import ceil, log2, pi, sqrt
from typing import cast

import torch
from torch import Tensor, nn

from ganlab.networks import base
from ganlab.networks.base import Condition, one_hot_labels
from ganlab.nn.alias_free import FilteredLeakyReLU, Filters, Signal
from ganlab.nn.equalized import EqualizedLinear
from ganlab.nn.mapping import JointMapping
from ganlab.nn.modulation import ToImage, check_clamp, modulated_conv2d, noise_source
from ganlab.nn.style import check_mapping, layer_rows

MARGIN = 10  # pixels around the canvas, on each side, at every rate (appendix D)


def schedule(
    resolution: int,
    num_layers: int = 14,  # N, without the one that makes the image
    num_critical: int = 2,  # layers at the end that use all of the image's spectrum
    first_cutoff: float = 2.0,  # f_c,0
    first_stopband: float = 2**2.1,  # f_t,0
    last_stopband_rel: float = 2**0.3,  # f_t,N over f_c,N
    margin: int = MARGIN,
) -> list[Signal]:
    """The signals that N layers put out, and the image: N + 1 of them, section 3.2 and figure 4.

    Cut-offs and stop-bands grow geometrically up to the critically sampled layers; the rate is the
    least power of two that holds the stop-band, at most the image's.

    Raises:
        ValueError: a resolution that is no power of two from 8, or counts and frequencies that make
            no schedule; names the keys.
    """
    key = "model.generator."
    if resolution < 8 or resolution & (resolution - 1):
        raise ValueError(
            f"{key}resolution (data.resolution) must be a power of two from 8, got {resolution}"
        )
    if not 0 <= num_critical < num_layers or margin < 0:
        raise ValueError(
            f"{key}num_layers must exceed num_critical, and no count be below 0, got "
            f"num_layers={num_layers}, num_critical={num_critical}, margin={margin}"
        )
    if not 0 < first_cutoff < min(first_stopband, resolution / 2) or last_stopband_rel <= 1:
        raise ValueError(
            f"{key}first_cutoff must be above 0, below first_stopband and below half the "
            f"resolution, and last_stopband_rel above 1, got {first_cutoff}, {first_stopband} and "
            f"{last_stopband_rel}"
        )
    last_cutoff = resolution / 2  # f_c,N = s_N / 2
    last_stopband = last_cutoff * last_stopband_rel
    signals = []
    for i in range(num_layers + 1):
        exponent = min(i / (num_layers - num_critical), 1)
        cutoff = first_cutoff * (last_cutoff / first_cutoff) ** exponent
        stopband = first_stopband * (last_stopband / first_stopband) ** exponent
        rate = 2 ** ceil(log2(min(2 * stopband, resolution)))
        # the last layer and the image fill the canvas alone (appendix D)
        size = resolution if i >= num_layers - 1 else rate + 2 * margin
        signals.append(Signal(cutoff, stopband, rate, size))
    return signals


class FourierInput(nn.Module):
    """Sines over an infinite plane, moved and turned by the style: section 3.1, appendix F.

    `transform` is the inverse of what is to be done to the whole image, in its coordinates.
    """

    frequencies: Tensor  # (C, 2), cycles over the canvas
    phases: Tensor  # (C,), cycles
    transform: Tensor  # (3, 3)

    def __init__(
        self,
        channels: int,
        style_dim: int,
        signal: Signal,
    ) -> None:
        super().__init__()
        self.signal = signal
        self.weight = nn.Parameter(torch.randn(channels, channels))
        self.affine = EqualizedLinear(style_dim, 4, gain=1.0)
        nn.init.zeros_(self.affine.weight)
        self.affine.bias.data.copy_(torch.tensor([1.0, 0.0, 0.0, 0.0]))  # no move at the start
        # a uniform point of the disc of f_c: for a Rayleigh r, exp(-r^2 / 2) is uniform on [0, 1],
        # and its root is the radius
        direction = torch.randn(channels, 2)
        r = direction.norm(dim=1, keepdim=True)
        scale = signal.cutoff * (-r.square() / 4).exp()
        self.register_buffer("frequencies", direction / r * scale)
        self.register_buffer("phases", torch.rand(channels) - 0.5)
        self.register_buffer("transform", torch.eye(3))

    def motions(self, style: Tensor) -> Tensor:
        """(N, W) -> (N, 3, 3): the inverse rotation and translation of each sample, appendix F."""
        t = self.affine(style)  # (N, 4): r_c, r_s, t_x, t_y
        c, s, x, y = (t / t[:, :2].norm(dim=1, keepdim=True)).unbind(dim=1)
        zero, one = torch.zeros_like(c), torch.ones_like(c)
        turn = torch.stack([c, -s, zero, s, c, zero, zero, zero, one], dim=1).view(-1, 3, 3)
        shift = torch.stack([one, zero, -x, zero, one, -y, zero, zero, one], dim=1).view(-1, 3, 3)
        return turn @ shift @ self.transform

    def forward(self, style: Tensor) -> Tensor:
        """(N, W) -> (N, C, size, size)."""
        motion, rate, size = self.motions(style), self.signal.rate, self.signal.size
        phases = self.phases + (self.frequencies @ motion[:, :2, 2:]).squeeze(2)  # (N, C)
        frequencies = self.frequencies @ motion[:, :2, :2]  # (N, C, 2)
        # a transform that enlarges frequencies past the cut-off fades them out before they alias
        beyond = (frequencies.norm(dim=2) - self.signal.cutoff) / (rate / 2 - self.signal.cutoff)
        x = (torch.arange(size, device=style.device) + 0.5 - size / 2) / rate
        grid = torch.stack(torch.meshgrid(x, x, indexing="xy"), dim=2).to(style)  # (H, W, 2): x, y
        cycles = torch.einsum("hwd,ncd->nhwc", grid, frequencies) + phases[:, None, None]
        waves = (2 * pi * cycles).sin() * (1 - beyond).clamp(0, 1)[:, None, None]
        mixed: Tensor = waves @ (self.weight / sqrt(len(self.weight))).T
        return mixed.permute(0, 3, 1, 2).contiguous()


class UnitMagnitude(nn.Module):
    """Divides by the running root mean square of its inputs, one number: appendix F.

    It replaces what noise and normalization of the outputs did, and is constant in evaluation.
    """

    mean_square: Tensor  # ()

    def __init__(
        self,
        decay: float = 0.999,  # share of the mean that stays, a step of training
    ) -> None:
        super().__init__()
        self.decay = decay
        self.register_buffer("mean_square", torch.ones(()))

    def forward(self, x: Tensor) -> Tensor:
        """Any shape."""
        if self.training:
            self.mean_square.lerp_(x.detach().square().mean().to(self.mean_square), 1 - self.decay)
        return x * self.mean_square.rsqrt()


class Layer(nn.Module):
    """Modulated convolution, bias, filtered LeakyReLU: one layer of neurons (figure 4a)."""

    def __init__(
        self,
        incoming: Signal,
        outgoing: Signal,
        in_channels: int,
        out_channels: int,
        style_dim: int,
        kernel_size: int,
        filters: Filters,
        critical: bool,
        clamp: float | None,
    ) -> None:
        super().__init__()
        self.magnitude = UnitMagnitude()
        self.affine = EqualizedLinear(style_dim, in_channels, gain=1.0, bias_init=1.0)
        shape = (out_channels, in_channels, kernel_size, kernel_size)
        self.weight = nn.Parameter(torch.randn(shape))
        self.bias = nn.Parameter(torch.zeros(out_channels))
        size = incoming.size + kernel_size - 1  # every sample that the kernel touches is kept
        self.activation = FilteredLeakyReLU(incoming, outgoing, size, filters, critical, clamp)

    def forward(self, x: Tensor, style: Tensor) -> Tensor:
        """(N, in, H, H), (N, W) -> (N, out, H', H')."""
        scales = self.affine(style)
        # demodulation undoes the scale of both; of unit size, they leave its eps without effect
        scales = scales * scales.square().mean(dim=1, keepdim=True).rsqrt()
        weight = self.weight * self.weight.square().mean(dim=(1, 2, 3), keepdim=True).rsqrt()
        x = modulated_conv2d(self.magnitude(x), weight, scales, padding=weight.shape[-1] - 1)
        maps: Tensor = self.activation(x + self.bias[:, None, None])
        return maps


class Generator(base.StyleGenerator):
    """Fourier features, layers of rising bandwidth, a 1x1 convolution to the image; no noise.

    `layers` are the filtered LeakyReLUs, read on the output's grid with its margins: `36x36/0`,
    `36x36/1`, and so on; at 1024 px the last two are `1044x1044/2` and `1024x1024/0`. The first
    style moves the input, the others belong to layers in order, the last to the image.

    Raises:
        ValueError: a resolution that is no power of two from 8, a schedule, widths, a clamp or a
            mapping network that cannot be; names the keys.
    """

    mean_style: Tensor  # (W,), running mean of the styles in training
    mean_style_decay = 0.998

    def __init__(
        self,
        resolution: int = 1024,  # a power of two
        channels: int = 3,  # of the image
        latent_dim: int = 512,  # numbers in a latent
        style_dim: int = 512,  # numbers in a style
        width: float = 32,  # channels at the image's cut-off, twice as many at half of it
        max_width: int = 512,  # cap on that doubling
        widths: Sequence[int] | None = None,  # of each layer; None = by width and max_width
        kernel_size: int = 3,  # 3 = config T, 1 = config R
        radial: bool = False,  # True = round filters, config R
        num_layers: int = 14,  # without the one that makes the image
        num_critical: int = 2,  # layers at the end that use all of the image's spectrum
        first_cutoff: float = 2.0,  # cycles over the image that the input holds
        first_stopband: float = 2**2.1,
        last_stopband_rel: float = 2**0.3,  # over half the resolution
        margin: int = MARGIN,  # pixels around each map
        filter_taps: int = 6,  # length of filters, in samples of the coarser grid
        upsampling: int = 2,  # of the grid of a nonlinearity
        output_scale: float = 0.25,  # of the image
        mapping_layers: int = 2,
        mapping_lr_multiplier: float = 0.01,  # relative speed of learning of the mapping
        num_labels: int = 0,  # classes of a conditional generator; 0 = unconditional
        clamp: float | None = 256.0,  # limit of activations and of the image before its scale
    ) -> None:
        super().__init__()
        signals = schedule(
            resolution,
            num_layers,
            num_critical,
            first_cutoff,
            first_stopband,
            last_stopband_rel,
            margin,
        )
        sizes = {"latent_dim": latent_dim, "style_dim": style_dim, "mapping_layers": mapping_layers}
        check_mapping("generator", mapping_lr_multiplier, **sizes)
        check_clamp("generator", clamp)
        self.widths = layer_widths(signals, width, max_width, widths)
        self.resolution, self.channels, self.latent_dim = resolution, channels, latent_dim
        self.num_labels, self.output_scale = num_labels, output_scale
        inputs = [signals[0], *signals[:-1]]  # of each layer and of the image
        self.style_sizes = [signal.size for signal in (signals[0], *inputs)]
        self.mapping = JointMapping(
            latent_dim, style_dim, mapping_layers, num_labels, mapping_lr_multiplier
        )
        self.input = FourierInput(self.widths[0], style_dim, signals[0])
        filters, kernel = Filters(filter_taps, upsampling, radial), kernel_size
        self.convs = nn.ModuleList()
        incoming = self.widths[0]
        for i, wide in enumerate(self.widths):
            critical, ends = i >= num_layers - num_critical, (inputs[i], signals[i])
            layer = Layer(*ends, incoming, wide, style_dim, kernel, filters, critical, clamp)
            self.convs.append(layer)
            incoming = wide
        self.magnitude = UnitMagnitude()
        self.to_image = ToImage(incoming, channels, style_dim, clamp)
        self.register_buffer("mean_style", torch.zeros(style_dim))

    def named_convs(self) -> dict[str, Layer]:
        """`<size>x<size>/<position>` -> layer, input to output."""
        found: dict[str, Layer] = {}
        for layer, size in zip(self.convs, self.output_sizes(), strict=True):
            position = sum(name.startswith(f"{size}x") for name in found)
            found[f"{size}x{size}/{position}"] = cast(Layer, layer)
        return found

    def output_sizes(self) -> list[int]:
        """Samples along a side of what each layer puts out."""
        return [*self.style_sizes[2:], self.resolution][: len(self.convs)]

    @property
    def layers(self) -> dict[str, nn.Module]:
        """`<size>x<size>/<position>` -> the filtered LeakyReLU of that layer."""
        return {name: layer.activation for name, layer in self.named_convs().items()}

    @property
    def affines(self) -> dict[str, nn.Module]:
        """Layer -> what turns its style into scales of its inputs; `<size>/image` of the image."""
        affines: dict[str, nn.Module] = {n: conv.affine for n, conv in self.named_convs().items()}
        image = f"{self.resolution}x{self.resolution}/image"
        return {**affines, image: self.to_image.affine}

    def map(self, latents: Tensor, condition: Condition | None = None) -> Tensor:
        """The style of every layer, all alike: (N, Z) -> (N, L, W)."""
        labels = one_hot_labels(condition, self.num_labels)
        style: Tensor = self.mapping(latents, labels)
        return style[:, None].expand(-1, self.num_styles, -1)

    def synthesize(self, styles: Tensor, noise: str = "random") -> Tensor:
        """Styles to images, (N, L, W) -> (N, C, H, W); no layer takes noise, of whichever kind."""
        noise_source(noise, None)  # a ValueError of what no generator knows
        rows = layer_rows(styles)
        x = self.input(rows[0])
        for layer, row in zip(self.convs, rows[1:-1], strict=True):
            x = layer(x, row)
        images: Tensor = self.to_image(self.magnitude(x), rows[-1])
        return images * self.output_scale

    def forward(self, latents: Tensor, condition: Condition | None = None) -> Tensor:
        """Map latents to images, (N, Z) -> (N, C, H, W)."""
        return self.synthesize(self.map(latents, condition))


def layer_widths(
    signals: Sequence[Signal], width: float, max_width: int, given: Sequence[int] | None
) -> list[int]:
    """Channels of each layer's output: inversely as its cut-off, or a given table.

    Raises:
        ValueError: a width below 1, or a table of another length than there are layers.
    """
    if given is None:
        half = signals[-1].cutoff
        given = [round(min(width * half / each.cutoff, max_width)) for each in signals[:-1]]
    if len(given) != len(signals) - 1 or min(given) < 1:
        raise ValueError(
            f"model.generator.widths must be {len(signals) - 1} numbers from 1 on, one a layer, "
            f"got {list(given)}"
        )
    return list(given)
