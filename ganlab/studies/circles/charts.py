"""Figures 4 and 8 of Tan, Wen, Yang: what channels hold at an artifact, and what styles give them.

b_mu, b_sigma = affine_biases(generator, "8x8/1")                       # (C,) each
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from torch import Tensor

from ganlab.networks.base import Generator
from ganlab.report import figures
from ganlab.report.drawings import Drawing

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MARKED = 64  # more channels than this are a line without markers
KINDS = {"background": "s", "object": "^", "artifact": "o"}  # pixel -> marker, as they are drawn


def affine_biases(generator: Generator, layer: str) -> tuple[Tensor, Tensor]:
    """Biases of a layer's style affine, (C,) each: of the shift and of the scale.

    The scale is s + 1 (`StyleModulation`), so that its bias includes the 1.

    Raises:
        ValueError: the layer has no style, or one that does not shift.
    """
    affines: dict[str, Any] = getattr(generator, "affines", {})
    points = getattr(generator, "points", {})
    if layer not in affines or f"{layer}/style" not in points:
        raise ValueError(f"{layer} has no style that scales and shifts")
    scale, shift = affines[layer].scaled()[1].detach().cpu().chunk(2)
    return shift, scale + 1


def draw_biases(
    b_mu: Tensor,  # (C,)
    b_sigma: Tensor,  # (C,)
    unit: int,  # the one that is ringed
    layer: str,
) -> Drawing:
    """Figure 8: |b_sigma| over |b_mu|, a dot a channel, the unit ringed."""
    x, y = b_mu.abs().numpy(), b_sigma.abs().numpy()
    with figures.styled():
        figure, (axes,) = figures.new_figure(3.6, 2.9)
        axes.scatter(x, y, s=9, color=figures.PALETTE[0], linewidths=0)
        colour = figures.PALETTE[1]
        ring: dict[str, Any] = {"s": 110, "facecolors": "none", "edgecolors": colour}
        axes.scatter(x[unit], y[unit], label=f"unit {unit}", linewidths=1.6, **ring)
        axes.set(xlabel="|b_mu|", ylabel="|b_sigma|, the 1 included", title=layer)
        axes.legend(loc="best")
    numbers: dict[str, Any] = {
        "b_mu": b_mu.numpy(),
        "b_sigma": b_sigma.numpy(),
        "unit": unit,
        "layer": layer,
    }
    caption = (
        f"Biases of scale and shift of every channel of {layer} (Figure 8); ringed: unit {unit}, "
        "the strongest at the artifact of most images"
    )
    return Drawing(figure, numbers, caption)


def draw_intensities(
    near: Mapping[str, Tensor],  # background, object, artifact -> (C,) values of one layer
    far: Mapping[str, Tensor],  # the same of the last layer
    layers: tuple[str, str],  # their names
    numbers: figures.Numbers,  # what else the figure knows: latent, positions
    caption: str,
) -> Drawing:
    """Figure 4: magnitude over channels; panel a leaves the artifact out, b and c have it."""
    plain = {name: near[name] for name in ("background", "object")}
    panels = (("a", plain, layers[0]), ("b", near, layers[0]), ("c", far, layers[1]))
    found = dict(numbers)
    with figures.styled():
        figure, all_axes = figures.new_figure(9.6, 2.9, panels=3, columns=3)
        for axes, (letter, values, layer) in zip(all_axes, panels, strict=True):
            draw_channels(axes, values)
            room = 1.3 * axes.get_ylim()[1]  # for the legend
            axes.locator_params(axis="x", integer=True)
            axes.set(title=f"({letter}) {layer}", xlabel="channel", ylim=(0, room))
            found |= {f"{letter}/{kind}": each.numpy() for kind, each in values.items()}
        all_axes[0].set_ylabel("magnitude")
    return Drawing(figure, found, caption)


def draw_channels(axes: "Axes", values: Mapping[str, Tensor]) -> None:
    """One line a pixel over channels, with its mean magnitude in the legend."""
    for place, (kind, marker) in enumerate(KINDS.items()):
        if kind in values:
            height = np.abs(values[kind].numpy())
            axes.plot(
                height,
                color=figures.PALETTE[place],
                linestyle=figures.DASHES[place],
                linewidth=0.9,
                marker=marker if len(height) <= MARKED else None,
                markersize=2.5,
                label=f"{kind}, mean {height.mean():.3g}",
            )
    axes.legend(fontsize=7)
