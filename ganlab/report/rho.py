"""Histograms of rho, the share of PN that each channel of a PIN generator chose.

Tan, Wen, Yang: "Systematic Analysis and Removal of Circular Artifacts for StyleGAN", figure 15: 0
is instance normalization alone, 1 pixel normalization alone.
"""

from collections.abc import Mapping

import torch
from torch import Tensor

from ganlab.networks.base import Generator
from ganlab.nn.norm import PixelInstanceNorm
from ganlab.report.distributions import histogram
from ganlab.report.drawings import Drawing


def rho_by_layer(generator: Generator) -> dict[str, Tensor]:
    """`8x8/0` -> (C,) rho on the CPU, to the present level; empty where no norm has a rho."""
    return {
        name.removesuffix("/norm"): module.rho.detach().cpu()
        for name, module in generator.points.items()
        if isinstance(module, PixelInstanceNorm)
    }


def rho_by_resolution(generator: Generator) -> dict[str, Tensor]:
    """`8x8` -> rho of all channels of that resolution, to the present level; empty without any."""
    found: dict[str, list[Tensor]] = {}
    for name, rho in rho_by_layer(generator).items():
        found.setdefault(name.partition("/")[0], []).append(rho)
    return {size: torch.cat(each) for size, each in found.items()}


def rho_drawing(
    rho: Mapping[str, Tensor],  # panel -> values in [0, 1]
    bins: int = 20,
    unit: str = "resolution",  # what a panel is
) -> Drawing:
    """One panel an entry; the numbers are the histograms and, as `<panel>/rho`, every value."""
    values = {name: each.numpy() for name, each in rho.items()}
    figure, numbers = histogram(
        values, bins, xlabel="rho: 0 = IN, 1 = PN", ylabel="share of channels"
    )
    numbers |= {f"{name}/rho": each for name, each in values.items()}
    return Drawing(figure, numbers, f"rho of every channel, by {unit}")
