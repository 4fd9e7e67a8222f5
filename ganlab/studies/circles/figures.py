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

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ganlab.report import figures, images
from ganlab.report.drawings import Drawing
from ganlab.report.rho import rho_by_layer, rho_drawing
from ganlab.studies.circles.ablations import draw_alone, draw_iterated, draw_one_unit
from ganlab.studies.circles.case import CircleCase
from ganlab.studies.circles.charts import affine_biases, draw_biases, draw_intensities
from ganlab.studies.circles.layers import layer_at, noise_words, side_of, under_threshold
from ganlab.studies.circles.maps import (
    around_norm,
    compared_pixels,
    fresh_noise,
    takes_noise,
    traced,
)
from ganlab.studies.circles.panels import drawn_cells, picture, signed_map
from ganlab.studies.circles.spikes import pixels
from ganlab.studies.circles.units import State, all_but_one, commonest_unit, one_by_one, state

NUM_MAPS, NUM_DRAWS, NUM_PAIRS = 15, 5, 4  # of Figures 3, 5 and 11
ROW = 8  # cells in a row of Figure 3, at most
NUM_ROWS, EARLY_STEPS, LATE_STEPS, NUM_ALONE = 2, 3, 5, 6  # of Figures 6, 9 and 10
PAIRED_SIZE = 32  # px of Figure 11's maps
SCALED = "each map on its own scale, dark blue negative, yellow positive"


class Omitted(Exception):  # noqa: N818 - a figure that this generator has no use for, not an error
    """Says why."""


def drawn_circle_figures(case: CircleCase) -> tuple[dict[str, Drawing], list[str]]:
    """All that this generator allows, by the name of its file; and why others are missing."""
    found, notes = {}, []
    for name, draw in FIGURES.items():
        try:
            found[name] = draw(case)
        except Omitted as reason:
            notes.append(f"{name} is not drawn: {reason}")
    return found, notes


def maps_layer(case: CircleCase) -> str:
    """Figures 3, 4, 9 and 10: the first layer of 128x128, or of the highest level there is."""
    return layer_at(list(case.points), case.map_size)


def early_layer(case: CircleCase) -> str:
    """Figures 6, 7 and 8: the second layer of 8x8."""
    return layer_at(list(case.points), case.ablate_size, -1)


def evenly(num: int, count: int) -> list[int]:
    """At most `count` of `num` channels, evenly spaced: chosen by number, by nothing they show."""
    chosen: list[int] = np.linspace(0, num - 1, min(num, count)).round().astype(int).tolist()
    return chosen


def draw_figure_3(case: CircleCase) -> Drawing:
    """The worst image and maps of it."""
    index, place, layer = case.worst[0], case.place[0], maps_layer(case)
    found, maps = traced(case.sampler, [index], case.points, [layer])
    chosen = evenly(maps[layer].shape[1], NUM_MAPS)
    cells = [picture(found[0], f"latent {index}").marked(place)]
    cells += [signed_map(maps[layer][0, unit], f"{unit}") for unit in chosen]
    columns = -(-len(cells) // -(-len(cells) // ROW))  # rows as even as can be
    rows = [("", cells[start : start + columns]) for start in range(0, len(cells), columns)]
    numbers: dict[str, Any] = {
        "index": index,
        "layer": layer,
        "place": place.numpy(),
        "image": images.to_uint8(found[0]).numpy(),
        "units": chosen,
        "maps": maps[layer][0, chosen].numpy(),
    }
    below = under_threshold([index], case.affected[:1])
    caption = f"Maps of {layer} of every so many channels (Figure 3), {SCALED}{below}"
    return Drawing(drawn_cells(rows), numbers, caption)


def draw_figure_4(case: CircleCase) -> Drawing:
    """What all channels hold at three pixels."""
    index, place, layers = case.worst[0], case.place[0], (maps_layer(case), list(case.points)[-1])
    names = list(dict.fromkeys(layers))
    _, maps = traced(case.sampler, [index], case.points, names)
    near, far = (values_at(case, maps[layer][0], place) for layer in layers)
    numbers: figures.Numbers = {"index": np.array(index), "layers": np.array(layers)}
    for which, (_, where) in (("near", near), ("far", far)):
        numbers |= {f"{which}/{kind}/pixel": pixel.numpy() for kind, pixel in where.items()}
    below = under_threshold([index], case.affected[:1])
    caption = (
        f"Magnitude of every channel at three pixels of latent {index} (Figure 4): the artifact's, "
        "a random one in the middle ninth (object) and a random one on the rim (background); "
        f"(c) is the last layer{below}"
    )
    return draw_intensities(near[0], far[0], layers, numbers, caption)


def values_at(
    case: CircleCase, maps: Tensor, place: Tensor
) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Kind of pixel -> values (C,) of (C, H, W) maps there, and where it is."""
    where = compared_pixels(place, maps.shape[1:], case.sampler.seed, case.worst[0])
    return {kind: maps[:, y, x] for kind, (y, x) in where.items()}, where


def draw_figure_5(case: CircleCase) -> Drawing:
    """The worst image under fresh noise, and how much each pixel moves."""
    if not takes_noise(case.generator):
        raise Omitted("this generator has no noise to draw anew")
    index = case.worst[0]
    found = fresh_noise(case.sampler, index, NUM_DRAWS, case.points)
    cells = [
        picture(image, f"draw {i}").marked(place)
        for i, (image, place) in enumerate(zip(found.images, found.place, strict=True))
    ]
    cells.append(signed_map(found.spread, f"deviation, to {float(found.spread.max()):.2g}"))
    numbers: dict[str, Any] = {
        "index": index,
        "images": images.to_uint8(found.images).numpy(),
        "place": found.place.numpy(),
        "spread": found.spread.numpy(),
    }
    caption = (
        f"Latent {index} with noise drawn anew (Figure 5); ring: where the last layer peaks; last: "
        "standard deviation of each pixel (of -1 to 1) over the draws"
        f"{under_threshold([index], case.affected[:1])}"
    )
    return Drawing(drawn_cells([("same latent", cells)]), numbers, caption)


def draw_iterations(case: CircleCase, layer: str, steps: int, figure: int) -> Drawing:
    """Figures 6 and 9."""
    chosen = case.worst[:NUM_ROWS]
    rows = {index: one_by_one(case.sampler, index, case.points, layer, steps) for index in chosen}
    below = under_threshold(chosen, case.affected[:NUM_ROWS])
    words = f"Figure {figure}; {noise_words(case.sampler)}{below}"
    return draw_iterated(rows, layer, side_of(layer), words)


def draw_figure_6(case: CircleCase) -> Drawing:
    """Early units: the artifact moves."""
    return draw_iterations(case, early_layer(case), EARLY_STEPS, 6)


def draw_figure_9(case: CircleCase) -> Drawing:
    """Late units: it changes its look."""
    return draw_iterations(case, late_layer(case), LATE_STEPS, 9)


def late_layer(case: CircleCase) -> str:
    """Figures 9 and 10: the first layer of 128x128, or of the highest level there is."""
    return layer_at(list(case.points), case.late_ablate_size)


def unit_of(case: CircleCase) -> tuple[int, float]:
    """Figures 7 and 8: the unit of the early layer that most of the worst images have in common."""
    layer = early_layer(case)
    return commonest_unit(case.sampler, case.worst, case.points, layer)


def draw_figure_7(case: CircleCase) -> Drawing:
    """One early unit in several images."""
    layer, (unit, share) = early_layer(case), unit_of(case)
    chosen = case.worst[: case.num_shown]

    def without(index: int, units: tuple[int, ...]) -> State:
        return state(case.sampler, index, case.points, layer, units)

    pairs = {index: (without(index, ()), without(index, (unit,))) for index in chosen}
    below = under_threshold(chosen, case.affected[: case.num_shown])
    words = f"Figure 7; {noise_words(case.sampler)}{below}"
    return draw_one_unit(pairs, unit, share, layer, words)


def draw_figure_8(case: CircleCase) -> Drawing:
    """Its biases among all."""
    layer = early_layer(case)
    try:
        b_mu, b_sigma = affine_biases(case.generator, layer)
    except ValueError as error:
        raise Omitted(str(error)) from error
    return draw_biases(b_mu, b_sigma, unit_of(case)[0], layer)


def draw_figure_10(case: CircleCase) -> Drawing:
    """All late units but one."""
    index, layer = case.worst[0], late_layer(case)
    whole, alone = all_but_one(case.sampler, index, case.points, layer, NUM_ALONE)
    below = under_threshold([index], case.affected[:1])
    words = f"Figure 10; {noise_words(case.sampler)}{below}"
    return draw_alone(index, whole, alone, layer, words)


def standing(maps: Tensor, place: Tensor) -> Tensor:
    """Magnitude at a place over the median magnitude of each map, (C, H, W), (2,) -> (C,)."""
    y, x = pixels(place, maps.shape[1:])
    medians = maps.abs().flatten(1).median(1).values.clamp(min=torch.finfo(maps.dtype).tiny)
    return maps[:, y, x].abs() / medians


def draw_figure_11(case: CircleCase) -> Drawing:
    """Maps that have the artifact over maps that do not, each before and after the norm."""
    index, place = case.worst[0], case.place[0]
    layer = layer_at(list(case.points), PAIRED_SIZE)
    if f"{layer}/norm" not in getattr(case.generator, "points", {}):
        raise Omitted("this generator's layers have no norm to look before and after")
    pair = around_norm(case.sampler, index, layer)
    heights = [standing(maps, place) for maps in pair]
    order = heights[1].argsort(descending=True, stable=True).tolist()
    few = max(1, min(NUM_PAIRS, len(order) // 2))
    rows, numbers = [], {"index": np.array(index), "layer": np.array(layer)}
    for group, units in (("artifact", order[:few]), ("other", order[-few:])):
        numbers[f"{group}/units"] = np.array(units)
        for when, maps, height in zip(("before", "after"), pair, heights, strict=True):
            titles = [f"{unit}: x{height[unit]:.3g}" for unit in units]
            cells = [
                signed_map(maps[unit], title).marked(place)
                for unit, title in zip(units, titles, strict=True)
            ]
            rows.append((f"{group} maps\n{when}", cells))
            numbers[f"{group}/{when}"] = maps[units].numpy()
            numbers[f"{group}/{when}/standing"] = height[units].numpy()
    below = under_threshold([index], case.affected[:1])
    caption = (
        f"Maps of {layer} of latent {index} before and after its norm (Figure 11), {SCALED}: those "
        "where the artifact stands highest above the median magnitude (x times) after it, and "
        f"those where it stands lowest{below}"
    )
    return Drawing(drawn_cells(rows), numbers, caption)


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
    "figure6_early_units": draw_figure_6,
    "figure7_one_unit": draw_figure_7,
    "figure8_biases": draw_figure_8,
    "figure9_late_units": draw_figure_9,
    "figure10_one_left": draw_figure_10,
    "figure11_norm": draw_figure_11,
    "figure15_rho": draw_figure_15,
}
