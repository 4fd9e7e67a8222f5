"""The figures of Tan, Wen, Yang for one generator, each with the numbers it shows beside it.

| file | figure | what it shows |
|---|---|---|
| `figure3_maps` | 3 | an image with an artifact, and maps of one of its layers |
| `figure4_intensity` | 4 | magnitude over channels at artifact, object and background |
| `figure5_noise` | 5 | the same latent with noise drawn anew |
| `figure6_early_units` | 6 | the strongest unit at the artifact switched off, again and again |
| `figure7_one_unit` | 7 | one unit switched off in several images |
| `figure8_biases` | 8 | biases of scale and shift of every channel |
| `figure9_late_units` | 9 | as Figure 6, in a late layer |
| `figure10_one_left` | 10 | all units but one switched off in a late layer |
| `figure11_norm` | 11 | maps with and without the artifact, before and after the norm |
| `figure15_rho` | 15 | what PIN's channels chose, layer by layer |

Figures 13 and 14, which need other generators, are in `grids`.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor

from ganlab.report import figures, images
from ganlab.report.drawings import Drawing
from ganlab.report.panels import (
    MARKED,
    Panel,
    Row,
    panel_figure,
    picture,
    pictures,
    signed_map,
    wrap_rows,
)
from ganlab.report.rho import rho_by_layer, rho_drawing
from ganlab.studies.circles.case import CircleCase, noise_words, side_of
from ganlab.studies.circles.maps import (
    State,
    affine_biases,
    all_but_one,
    around_norm,
    compared_pixels,
    fresh_noise,
    one_by_one,
    standing,
    state,
    takes_noise,
    trace,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

NUM_MAPS, NUM_DRAWS, NUM_PAIRS = 15, 5, 4  # of Figures 3, 5 and 11
ROW = 8  # cells in a row of Figure 3, at most
NUM_ROWS, EARLY_STEPS, LATE_STEPS, NUM_ALONE = 2, 3, 5, 6  # of Figures 6, 9 and 10
PAIRED_SIZE = 32  # px of Figure 11's maps
MARKERS = 64  # more channels than this are a line without markers in Figure 4
KINDS = {"background": "s", "object": "^", "artifact": "o"}  # pixel -> marker, as they are drawn
SCALED = "each map on its own scale, dark blue negative, yellow positive"
RINGED = "ring: where the last layer peaks"
Numbers = dict[str, ArrayLike]


class Omitted(Exception):  # noqa: N818 - a figure that this generator has no use for, not an error
    """Says why."""


def draw_figures(case: CircleCase) -> tuple[dict[str, Drawing], list[str]]:
    """All that this generator allows, by the name of its file; and why others are missing."""
    found, notes = {}, []
    for name, draw in FIGURES.items():
        try:
            found[name] = draw(case)
        except Omitted as reason:
            notes.append(f"{name} is not drawn: {reason}")
    return found, notes


def marked_drawing(rows: Sequence[Row], numbers: Numbers, caption: str) -> Drawing:
    """Rows of marked pictures and maps."""
    return Drawing(panel_figure(rows, MARKED), numbers, caption)


def draw_figure_3(case: CircleCase) -> Drawing:
    """The worst image and maps of it, of channels evenly spaced: chosen by nothing they show."""
    index, place, layer = case.worst[0], case.place[0], case.layer(case.map_size)
    found, maps = trace(case.sampler, [index], case.points, [layer])
    last = maps[layer].shape[1] - 1
    chosen = np.linspace(0, last, min(last + 1, NUM_MAPS)).round().astype(int).tolist()
    cells = [picture(found[0], f"latent {index}").marked(place)]
    cells += [signed_map(maps[layer][0, unit], f"{unit}") for unit in chosen]
    columns = -(-len(cells) // -(-len(cells) // ROW))  # rows as even as can be
    numbers: Numbers = {"index": index, "layer": layer, "place": place, "units": chosen}
    numbers |= {"image": images.to_uint8(found[0]), "maps": maps[layer][0, chosen]}
    caption = f"Maps of {layer} of every so many channels (Figure 3), {SCALED}{case.below(1)}"
    return marked_drawing(wrap_rows(cells, columns), numbers, caption)


def draw_figure_4(case: CircleCase) -> Drawing:
    """What all channels hold at three pixels; panel a leaves the artifact out, b and c have it."""
    index, place = case.worst[0], case.place[0]
    layers = (case.layer(case.map_size), list(case.points)[-1])
    _, maps = trace(case.sampler, [index], case.points, layers)
    numbers: Numbers = {"index": index, "layers": layers}
    values = []  # a layer's: kind of pixel -> (C,)
    for which, layer in zip(("near", "far"), layers, strict=True):
        where = compared_pixels(place, maps[layer].shape[2:], case.sampler.seed, index)
        values.append({kind: maps[layer][0, :, y, x] for kind, (y, x) in where.items()})
        numbers |= {f"{which}/{kind}/pixel": pixel for kind, pixel in where.items()}
    near, far = values
    plain = {kind: near[kind] for kind in ("background", "object")}
    panels = (("a", plain, layers[0]), ("b", near, layers[0]), ("c", far, layers[1]))
    with figures.house_style():
        figure, line = figures.new_figure(9.6, 2.9, panels=3, columns=3)
        for axes, (letter, found, layer) in zip(line, panels, strict=True):
            draw_channels(axes, found)
            axes.locator_params(axis="x", integer=True)
            axes.set(title=f"({letter}) {layer}", xlabel="channel")
            numbers |= {f"{letter}/{kind}": each for kind, each in found.items()}
        line[0].set_ylabel("magnitude")
    caption = (
        f"Magnitude of every channel at three pixels of latent {index} (Figure 4): the artifact's, "
        "a random one in the middle ninth (object) and a random one on the rim (background); "
        f"(c) is the last layer{case.below(1)}"
    )
    return Drawing(figure, numbers, caption)


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
                marker=marker if len(height) <= MARKERS else None,
                markersize=2.5,
                label=f"{kind}, mean {height.mean():.3g}",
            )
    axes.legend(fontsize=7)
    axes.set_ylim(0, 1.3 * axes.get_ylim()[1])  # room for the legend


def draw_figure_5(case: CircleCase) -> Drawing:
    """The worst image under fresh noise, and how much each pixel moves."""
    if not takes_noise(case.generator):
        raise Omitted("this generator has no noise to draw anew")
    index = case.worst[0]
    found = fresh_noise(case.sampler, index, NUM_DRAWS, case.points)
    draws = pictures(found.images, [f"draw {i}" for i in range(NUM_DRAWS)])
    cells = [cell.marked(place) for cell, place in zip(draws, found.place, strict=True)]
    cells.append(signed_map(found.spread, f"deviation, to {float(found.spread.max()):.2g}"))
    numbers: Numbers = {"index": index, "images": images.to_uint8(found.images)}
    numbers |= {"place": found.place, "spread": found.spread}
    caption = (
        f"Latent {index} with noise drawn anew (Figure 5); {RINGED}; last: "
        f"standard deviation of each pixel (of -1 to 1) over the draws{case.below(1)}"
    )
    return marked_drawing([("same latent", cells)], numbers, caption)


def ablation_caption(case: CircleCase, figure: int, num: int) -> str:
    """Which figure it is, and what is to be known of its `num` images and their noise."""
    return f"(Figure {figure}; {noise_words(case.sampler)}{case.below(num)}); {RINGED}"


def state_numbers(states: Sequence[State]) -> Numbers:
    """What is shown of each state, in order."""
    return {
        "images": images.to_uint8(torch.stack([each.image for each in states])),
        "place": torch.stack([each.place for each in states]),
        "prominence": [each.prominence for each in states],
    }


def ring_panels(
    states: Sequence[State], titles: Sequence[str], cells: int | None = None
) -> list[Panel]:
    """Images with their rings, and boxes around one of `cells` x `cells` pixels of the layer."""
    shown = pictures([each.image for each in states], titles)
    return [
        cell.marked(each.place, None if cells is None else each.spot, cells or 1)
        for cell, each in zip(shown, states, strict=True)
    ]


def draw_iterations(case: CircleCase, layer: str, steps: int, figure: int) -> Drawing:
    """Figures 6 and 9: units switched off one after the other, a row a latent.

    A box is the layer's pixel at the artifact, whose strongest unit goes next.
    """
    chosen = case.worst[:NUM_ROWS]
    numbers: Numbers = {"indices": chosen, "layer": layer}
    rows: list[Row] = []
    for index in chosen:
        states = one_by_one(case.sampler, index, case.points, layer, steps)
        titles = ["all units", *(f"- {each.units[-1]}" for each in states[1:])]
        rows.append((f"latent {index}", ring_panels(states, titles, side_of(layer))))
        numbers |= {f"{index}/{name}": each for name, each in state_numbers(states).items()}
        numbers[f"{index}/units"] = np.array(states[-1].units, dtype=np.int64)
    caption = (
        f"Units of {layer} set to zero one after the other, each the strongest at the artifact as "
        f"it then is {ablation_caption(case, figure, NUM_ROWS)}; box: its pixel in {layer}"
    )
    return marked_drawing(rows, numbers, caption)


def draw_figure_7(case: CircleCase) -> Drawing:
    """The same early unit switched off in several images."""
    layer, (unit, share), chosen = case.early_layer, case.common_unit, case.worst[: case.num_shown]
    befores, afters = (
        [state(case.sampler, index, case.points, layer, units) for index in chosen]
        for units in ((), (unit,))
    )
    pairs = zip(befores, afters, strict=True)
    moved = [float((before.place - after.place).norm()) for before, after in pairs]
    numbers: Numbers = {"indices": chosen, "layer": layer, "unit": unit}
    numbers |= {"share": share, "moved": moved}
    for name, states in (("before", befores), ("after", afters)):
        numbers |= {f"{name}/{key}": each for key, each in state_numbers(states).items()}
    caption = (
        f"Unit {unit} of {layer} set to zero: the strongest at the artifact in {share:.0%} of "
        f"these images {ablation_caption(case, 7, case.num_shown)}; moved: in shares of the side"
    )
    first = ring_panels(befores, [f"latent {index}" for index in chosen])
    second = ring_panels(afters, [f"moved {distance:.2f}" for distance in moved])
    return marked_drawing([("all units", first), (f"without {unit}", second)], numbers, caption)


def draw_figure_8(case: CircleCase) -> Drawing:
    """|b_sigma| over |b_mu|, a dot a channel, the unit of Figure 7 ringed."""
    layer = case.early_layer
    try:
        b_mu, b_sigma = affine_biases(case.generator, layer)
    except ValueError as error:
        raise Omitted(str(error)) from error
    x, y, unit = b_mu.abs().numpy(), b_sigma.abs().numpy(), case.common_unit[0]
    with figures.house_style():
        figure, (axes,) = figures.new_figure(3.6, 2.9)
        axes.scatter(x, y, s=9, color=figures.PALETTE[0], linewidths=0)
        ring = axes.scatter(x[unit], y[unit], s=110, linewidths=1.6, label=f"unit {unit}")
        ring.set(facecolors="none", edgecolors=figures.PALETTE[1])
        axes.set(xlabel="|b_mu|", ylabel="|b_sigma|, the 1 included", title=layer)
        axes.legend(loc="best")
    numbers: Numbers = {"b_mu": b_mu, "b_sigma": b_sigma, "unit": unit, "layer": layer}
    caption = (
        f"Biases of scale and shift of every channel of {layer} (Figure 8); ringed: unit {unit}, "
        "the strongest at the artifact of most images"
    )
    return Drawing(figure, numbers, caption)


def draw_figure_10(case: CircleCase) -> Drawing:
    """All late units but one."""
    index, layer = case.worst[0], case.late_layer
    whole, alone = all_but_one(case.sampler, index, case.points, layer, NUM_ALONE)
    states = [whole, *alone.values()]
    cells = ring_panels(states, ["all units", *(f"{unit} alone" for unit in alone)])
    numbers = state_numbers(states) | {"index": index, "layer": layer}
    numbers["units"] = np.array(list(alone), dtype=np.int64)
    caption = (
        f"All units of {layer} but one set to zero, for those strongest at the artifact "
        f"{ablation_caption(case, 10, 1)}"
    )
    return marked_drawing([(f"latent {index}", cells)], numbers, caption)


def draw_figure_11(case: CircleCase) -> Drawing:
    """Maps that have the artifact over maps that do not, each before and after the norm."""
    index, layer = case.worst[0], case.layer(PAIRED_SIZE)
    if f"{layer}/norm" not in case.generator.points:
        raise Omitted("this generator's layers have no norm to look before and after")
    pair = around_norm(case.sampler, index, layer)
    heights = [standing(maps, case.place[0]) for maps in pair]
    order = heights[1].argsort(descending=True, stable=True).tolist()
    few = max(1, min(NUM_PAIRS, len(order) // 2))
    rows: list[Row] = []
    numbers: Numbers = {"index": index, "layer": layer}
    for group, units in (("artifact", order[:few]), ("other", order[-few:])):
        numbers[f"{group}/units"] = units
        for when, maps, height in zip(("before", "after"), pair, heights, strict=True):
            cells = [signed_map(maps[unit], f"{unit}: x{height[unit]:.3g}") for unit in units]
            rows.append((f"{group} maps\n{when}", [cell.marked(case.place[0]) for cell in cells]))
            numbers[f"{group}/{when}"] = maps[units]
            numbers[f"{group}/{when}/standing"] = height[units]
    caption = (
        f"Maps of {layer} of latent {index} before and after its norm (Figure 11), {SCALED}: those "
        "where the artifact stands highest above the median magnitude (x times) after it, and "
        f"those where it stands lowest{case.below(1)}"
    )
    return marked_drawing(rows, numbers, caption)


def draw_figure_15(case: CircleCase) -> Drawing:
    """What PIN chose."""
    rho = rho_by_layer(case.generator)
    if not rho:
        raise Omitted("only norms of kind PIN (model/norm=pin) have a rho")
    return rho_drawing(rho, unit="layer (Figure 15)")


FIGURES: dict[str, Callable[[CircleCase], Drawing]] = {
    "figure3_maps": draw_figure_3,
    "figure4_intensity": draw_figure_4,
    "figure5_noise": draw_figure_5,
    # early units: the artifact moves; late ones: it changes its look
    "figure6_early_units": lambda case: draw_iterations(case, case.early_layer, EARLY_STEPS, 6),
    "figure7_one_unit": draw_figure_7,
    "figure8_biases": draw_figure_8,
    "figure9_late_units": lambda case: draw_iterations(case, case.late_layer, LATE_STEPS, 9),
    "figure10_one_left": draw_figure_10,
    "figure11_norm": draw_figure_11,
    "figure15_rho": draw_figure_15,
}
