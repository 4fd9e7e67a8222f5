"""Deep convolutional GAN.

Radford, Metz, Chintala: "Unsupervised Representation Learning with Deep Convolutional Generative
Adversarial Networks" (arXiv:1511.06434), section 3, with the kernels of the authors' code (4, not
the 5 in print) and, at 32 px, the stages of Heikka: "Face synthesis with DCGAN", section 3.2.

A network is a table of square maps, from the first to half the image's size. Every map doubles in
size and halves in channels: 2x2 to 16x16 at 32 px, 4x4 to 32x32 at 64 px, and so on to 256 px.
Networks of other shapes give the table itself, `widths`; images that are no squares have a first
map that is none, 4x8 for 64x128 px. A generator may be told a class: one 1
among `num_labels` numbers beside the latent; its discriminator then has a logit for each class, of
which the image's own counts (Mescheder et al., arXiv:1801.04406, appendix D).
"""

from collections import OrderedDict
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from ganlab.networks import base
from ganlab.networks.base import Condition, Images, one_hot_labels
from ganlab.nn.frames import Frame, Resolution
from ganlab.nn.precision import in_single

RESOLUTIONS = (32, 64, 128, 256)


def map_widths(
    network: str, resolution: int, width: int, max_width: int, widths: Sequence[int] | None = None
) -> dict[int, int]:
    """Size of each hidden map -> its channels, coarse to fine; both networks share the table.

    Raises:
        ValueError: a resolution that is no power of two from 32 to 256, a width below 1, or given
            widths too many to halve the resolution so often; the message names the key of
            `network`, "generator" or "discriminator".
    """
    if widths is not None:
        return given_widths(network, resolution, widths)
    if resolution not in RESOLUTIONS:
        raise ValueError(
            f"model.{network}.resolution (data.resolution) must be a power of two from 32 to 256 "
            f"for dcgan, got {resolution}"
        )
    if min(width, max_width) < 1:
        raise ValueError(f"model.{network}.width and max_width must be at least 1")
    first = 2 if resolution == 32 else 4  # the latent's kernel: Heikka 3.2 at 32 px, Radford above
    finest = resolution // 2
    sizes = [first * 2**i for i in range((finest // first).bit_length())]
    return {size: min(width * finest // size, max_width) for size in sizes}


def given_widths(network: str, resolution: int, widths: Sequence[int]) -> dict[int, int]:
    """The table of given channels, coarse to fine: half the resolution is the last map's size."""
    if not widths or min(widths) < 1 or resolution < 1 or resolution % 2 ** len(widths):
        raise ValueError(
            f"model.{network}.widths must be numbers from 1 on, coarse to fine, as many as "
            f"resolution={resolution} can be halved, got {list(widths)}"
        )
    first = resolution // 2 ** len(widths)
    return {first * 2**i: wide for i, wide in enumerate(widths)}


def stage(convolution: nn.Module, norm: nn.Module | None, activation: nn.Module) -> nn.Sequential:
    """Convolution, normalization if any, activation, under these names."""
    named = {"convolution": convolution, "norm": norm, "activation": activation}
    return nn.Sequential(
        OrderedDict((k, module) for k, module in named.items() if module is not None)
    )


def initialize(module: nn.Module) -> None:
    """Radford section 4: weights N(0, 0.02); batch norm gamma N(1, 0.02) and beta 0, as coded."""
    if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
        nn.init.normal_(module.weight, 0.0, 0.02)
    elif isinstance(module, nn.BatchNorm2d):
        nn.init.normal_(module.weight, 1.0, 0.02)
    else:
        return
    if module.bias is not None:
        nn.init.zeros_(module.bias)


class Generator(base.Generator):
    """Transposed convolutions, batch norm and ReLU; tanh at the end, so images are in [-1, 1].

    Without `tanh` their range has no limit, as critics of WGAN-GP take them in some projects.

    `layers` are the ReLUs: `2x2/0` to `16x16/0` at 32 px, `4x4/0` to `32x32/0` at 64 px.

    Raises:
        ValueError: a resolution that is no power of two from 32 to 256, widths that cannot be, or
            an unknown prior.
    """

    def __init__(
        self,
        resolution: Resolution = 64,  # power of two, 32 to 256; or height and width
        channels: int = 3,  # of the image
        latent_dim: int = 100,  # numbers in a latent
        width: int = 128,  # channels of the finest hidden map, doubled at each coarser one
        max_width: int = 1024,  # cap on that doubling
        prior: str = "normal",  # or "uniform" on [-1, 1), as Radford
        widths: Sequence[int] | None = None,  # of each map, coarse to fine; None = by width
        bias: bool = False,  # in each convolution
        num_labels: int = 0,  # classes of a conditional generator; 0 = unconditional
        tanh: bool = True,  # at the end
    ) -> None:
        super().__init__()
        self.frame = frame = Frame.of("generator", resolution)
        table = map_widths("generator", frame.size, width, max_width, widths)
        self.unbounded = not tanh
        self.resolution, self.channels, self.latent_dim = frame.size, channels, latent_dim
        self.prior, self.num_labels = base.known_prior(prior), num_labels
        self.stages = nn.ModuleDict()
        incoming, kernel, stride, padding = latent_dim + num_labels, frame.at(min(table)), 1, 0
        for size, outgoing in table.items():
            up = nn.ConvTranspose2d(incoming, outgoing, kernel, stride, padding, bias=bias)
            self.stages[frame.name(size)] = stage(up, nn.BatchNorm2d(outgoing), nn.ReLU())
            incoming, kernel, stride, padding = outgoing, (4, 4), 2, 1
        self.to_image = nn.ConvTranspose2d(incoming, channels, 4, 2, 1, bias=bias)
        self.apply(initialize)

    @property
    def layers(self) -> dict[str, nn.Module]:
        """`<size>x<size>/0` -> the ReLU of that stage, coarse to fine."""
        return {
            f"{name}/0": module.get_submodule("activation") for name, module in self.stages.items()
        }

    def forward(self, latents: Tensor, condition: Condition | None = None) -> Tensor:
        """Map latents to images, (N, Z) -> (N, C, H, W); of a condition the label is used."""
        labels = one_hot_labels(condition, self.num_labels)
        told = latents if labels is None else torch.cat([latents, labels], dim=1)
        x = told[:, :, None, None]  # (N, Z + num_labels, 1, 1)
        for module in self.stages.values():
            x = module(x)  # (N, width, size, size), twice the size each time
        images: Tensor = in_single(self.to_image, x)
        return images if self.unbounded else images.tanh()


class Discriminator(base.Discriminator):
    """The generator mirrored: strided convolutions, LeakyReLU 0.2, no batch norm at the input.

    Reals and fakes are to be passed separately, so that each batch norm sees one kind at a time.
    With batch norm a logit depends on its whole batch; penalties on the gradient of a single
    logit, as WGAN-GP's, assume that it does not: `batch_norm=False` gives biases instead.

    Raises:
        ValueError: a resolution that is no power of two from 32 to 256, or widths that cannot be.
    """

    def __init__(
        self,
        resolution: Resolution = 64,  # power of two, 32 to 256; or height and width
        channels: int = 3,  # of the image
        width: int = 128,  # channels of the finest hidden map, doubled at each coarser one
        max_width: int = 1024,  # cap on that doubling
        batch_norm: bool = True,  # False = biases instead
        widths: Sequence[int] | None = None,  # of each map, coarse to fine; None = by width
        bias: bool = False,  # in each convolution, beside batch norm too
        num_labels: int = 0,  # classes, one of which it must be told; 0 = unconditional
    ) -> None:
        super().__init__()
        frame = Frame.of("discriminator", resolution)
        table = map_widths("discriminator", frame.size, width, max_width, widths)
        self.num_labels = num_labels
        self.stages = nn.ModuleDict()
        incoming, bias = channels, bias or not batch_norm
        for size, outgoing in reversed(table.items()):
            normed = batch_norm and len(self.stages) > 0  # not at the input
            down = nn.Conv2d(incoming, outgoing, 4, 2, 1, bias=bias)
            norm = nn.BatchNorm2d(outgoing) if normed else None
            self.stages[frame.name(size)] = stage(down, norm, nn.LeakyReLU(0.2))
            incoming = outgoing
        self.to_logit = nn.Conv2d(incoming, max(num_labels, 1), frame.at(min(table)), bias=bias)
        self.apply(initialize)

    @property
    def finest_first(self) -> list[tuple[nn.Module, ...]]:
        """The convolutions but the last."""
        return [(module,) for module in self.stages.values()]

    def forward(self, images: Images, condition: Condition | None = None) -> Tensor:
        """Score images, (N, C, H, W) -> (N,) logits: the sigmoid of the papers is in the loss."""
        x = images
        for module in self.stages.values():
            x = module(x)  # (N, width, size, size), half the size each time
        logits: Tensor = self.to_logit(x).flatten(1)  # (N, max(num_labels, 1))
        labels = one_hot_labels(condition, self.num_labels)
        return logits[:, 0] if labels is None else (logits * labels).sum(dim=1)
