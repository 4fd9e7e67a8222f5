"""Table and figures of nearest training images."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ganlab.report import figures, images
from ganlab.report.drawings import Drawing
from ganlab.report.tables import Table
from ganlab.studies.images.copies import Compared, Neighbours, Verdict
from ganlab.studies.neurons.panels import Panel, panel_figure, picture
from ganlab.studies.stored import mirrored_images

COLUMNS = [
    "space",
    "verdict",
    "copies",
    "copies, low",
    "copies, high",
    "held-out reals",
    "held-out reals, high",
    "exact copies",
    "median distance ratio",
    "nearer than a held-out real",
]
BINS = 40


def copies_table(verdicts: Mapping[str, Verdict], notes: Sequence[str]) -> Table:
    """One row a space."""
    rows = []
    for space, found in verdicts.items():
        values = (
            space,
            "copies" if found.copies else "no sign of copying",
            found.share,
            found.low,
            found.high,
            found.held_out_share,
            found.held_out_high,
            found.exact,
            found.ratio,
            found.nearer,
        )
        rows.append(dict(zip(COLUMNS, values, strict=True)))
    sentences = [found.sentence(space) for space, found in verdicts.items()]
    return Table(COLUMNS, rows, caption="Does it copy?", notes=[*sentences, *notes])


def draw_distances(compared: Mapping[str, Compared]) -> Drawing:
    """Distances to the nearest training image, and relative ones, of samples and held-out reals.

    The numbers are every distance and relative distance, and the thresholds.
    """
    numbers: dict[str, Any] = {}
    with figures.styled():
        figure, panels = figures.new_figure(7.2, 2.6 * len(compared), 2 * len(compared), 2)
        for row, (space, found) in enumerate(compared.items()):
            near, share = panels[2 * row : 2 * row + 2]
            limits = (found.verdict.threshold, found.verdict.relative_threshold)
            sides = {"generated": found.generated, "held-out reals": found.held_out}
            _histogram(near, {n: s.nearest for n, s in sides.items()}, limits[0])
            _histogram(share, {n: s.relative for n, s in sides.items()}, limits[1])
            near.set(xlabel=f"distance to the nearest training image, {space}")
            share.set(xlabel="nearest over second nearest")
            near.set_title(f"{space}: {found.verdict.share:.1%} copies", fontsize=8.5)
            for name, side in sides.items():
                numbers[f"{space}/{name}/distances"] = side.distances.cpu().numpy()
                numbers[f"{space}/{name}/indices"] = side.indices.cpu().numpy()
            numbers[f"{space}/thresholds"] = np.asarray(limits)
        panels[0].legend(loc="upper right")
    caption = "Distances to training images; dashed: the smallest of held-out reals"
    return Drawing(figure, numbers, caption)


def _histogram(panel: Any, sides: Mapping[str, Tensor], threshold: float) -> None:
    values = {name: side.cpu().numpy() for name, side in sides.items()}
    top = max(float(np.quantile(side, 0.995)) for side in values.values())
    edges = np.linspace(0, top or 1.0, BINS + 1)
    for place, (name, side) in enumerate(values.items()):
        weights = np.full(len(side), 1 / len(side))
        colour, dashes = figures.PALETTE[place], figures.DASHES[place]
        panel.hist(
            np.clip(side, 0, edges[-1]),
            edges,
            weights=weights,
            histtype="step",
            color=colour,
            linestyle=dashes,
            linewidth=1.4,
            label=name,
        )
    panel.axvline(threshold, color=figures.INK, linestyle="--", linewidth=0.8)
    panel.set(ylabel="share of images", xlim=(0, edges[-1]))


def draw_neighbours(
    indices: Sequence[int],  # addresses of the samples
    samples: Tensor,  # (N, C, H, W)
    found: Mapping[str, Neighbours],  # space -> those of all samples, by address
    data: Any,  # the training images
) -> Drawing:
    """A row a sample: the sample, then its nearest training images in each space.

    Above each its distance and its position in the data; from the data's length on it is a mirror
    image.
    """
    rows: list[tuple[str, Sequence[Panel | None]]] = []
    numbers: dict[str, Any] = {
        "indices": np.asarray(indices),
        "samples": images.to_uint8(samples).cpu().numpy(),
    }
    chosen = {
        space: (each.indices[list(indices)].cpu(), each.distances[list(indices)].cpu())
        for space, each in found.items()
    }
    for row, index in enumerate(indices):
        line: list[Panel | None] = [picture(samples[row])]
        for space, (positions, distances) in chosen.items():
            shown = mirrored_images(data, positions[row].tolist(), torch.device("cpu"))
            texts = [f"{d:.3g}" for d in distances[row].tolist()]
            if row == 0:
                texts[0] = f"{space}: {texts[0]}"
            line += [picture(x, text) for x, text in zip(shown, texts, strict=True)]
        rows.append((f"latent {index}", line))
    for space, (positions, distances) in chosen.items():
        numbers[f"{space}/neighbours"] = positions.numpy()
        numbers[f"{space}/distances"] = distances.numpy()
    caption = "Samples and their nearest training images, distances above them"
    return Drawing(panel_figure(rows), numbers, caption)
