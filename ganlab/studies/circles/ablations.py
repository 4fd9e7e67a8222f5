"""Figures 6, 7, 9 and 10 of Tan, Wen, Yang: images with units of one layer switched off."""

from collections.abc import Mapping, Sequence

import numpy as np
import torch

from ganlab.report import figures, images
from ganlab.report.drawings import Drawing
from ganlab.studies.circles.panels import Cell, drawn_cells, picture
from ganlab.studies.circles.units import State

RINGED = "ring: where the last layer peaks"


def state_numbers(states: Sequence[State]) -> figures.Numbers:
    """What is shown of each state, in order."""
    return {
        "images": images.to_uint8(torch.stack([each.image for each in states])).numpy(),
        "place": torch.stack([each.place for each in states]).numpy(),
        "prominence": np.array([each.prominence for each in states]),
    }


def cell_of(found: State, title: str, cells: int | None = None) -> Cell:
    """An image with its ring, and a box around one of `cells` x `cells` pixels of the layer."""
    box = None if cells is None else found.spot
    return picture(found.image, title).marked(found.place, box, cells or 1)


def draw_iterated(
    rows: Mapping[int, Sequence[State]],  # address -> the image, without one unit, two, ...
    layer: str,
    side: int,  # px of the layer's maps
    caption: str,  # which figure, and what of noise
) -> Drawing:
    """Figures 6 and 9: units switched off one after the other, a row a latent.

    A box is the layer's pixel at the artifact, whose strongest unit goes next.
    """
    numbers: figures.Numbers = {"indices": np.array(list(rows)), "layer": np.array(layer)}
    drawn = []
    for index, states in rows.items():
        titles = ["all units", *(f"- {each.units[-1]}" for each in states[1:])]
        cells = [cell_of(each, title, side) for each, title in zip(states, titles, strict=True)]
        drawn.append((f"latent {index}", cells))
        numbers |= {f"{index}/{name}": each for name, each in state_numbers(states).items()}
        numbers[f"{index}/units"] = np.array(states[-1].units, dtype=np.int64)
    text = (
        f"Units of {layer} set to zero one after the other, each the strongest at the artifact as "
        f"it then is ({caption}); {RINGED}; box: its pixel in {layer}"
    )
    return Drawing(drawn_cells(drawn), numbers, text)


def moved(before: State, after: State) -> float:
    """How far the artifact went, in shares of the side."""
    return float((before.place - after.place).norm())


def draw_one_unit(
    pairs: Mapping[int, tuple[State, State]],  # address -> the image, and without the unit
    unit: int,
    share: float,  # of images whose strongest unit it is
    layer: str,
    caption: str,
) -> Drawing:
    """Figure 7: the same unit switched off in several images."""
    befores, afters = ([pair[i] for pair in pairs.values()] for i in (0, 1))
    distances = [moved(*pair) for pair in pairs.values()]
    first = [cell_of(each, f"latent {i}") for i, each in zip(pairs, befores, strict=True)]
    second = [cell_of(a, f"moved {d:.2f}") for a, d in zip(afters, distances, strict=True)]
    numbers: figures.Numbers = {
        "indices": np.array(list(pairs)),
        "layer": np.array(layer),
        "unit": np.array(unit),
        "share": np.array(share),
        "moved": np.array(distances),
    }
    for name, states in (("before", befores), ("after", afters)):
        numbers |= {f"{name}/{key}": each for key, each in state_numbers(states).items()}
    text = (
        f"Unit {unit} of {layer} set to zero: the strongest at the artifact in {share:.0%} of "
        f"these images ({caption}); {RINGED}; moved: in shares of the side"
    )
    rows = [("all units", first), (f"without {unit}", second)]
    return Drawing(drawn_cells(rows), numbers, text)


def draw_alone(
    index: int,
    whole: State,
    alone: Mapping[int, State],  # unit -> the image of it alone
    layer: str,
    caption: str,
) -> Drawing:
    """Figure 10: all but one unit switched off."""
    states = [whole, *alone.values()]
    titles = ["all units", *(f"{unit} alone" for unit in alone)]
    cells = [cell_of(each, title) for each, title in zip(states, titles, strict=True)]
    numbers = state_numbers(states) | {
        "index": np.array(index),
        "layer": np.array(layer),
        "units": np.array(list(alone), dtype=np.int64),
    }
    text = (
        f"All units of {layer} but one set to zero, for those strongest at the artifact "
        f"({caption}); {RINGED}"
    )
    return Drawing(drawn_cells([(f"latent {index}", cells)]), numbers, text)
