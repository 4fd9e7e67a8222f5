"""Levels of a semantic pyramid as a table and as curves, the paper's numbers beside ours."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ganlab.report import figures
from ganlab.report.drawings import Drawing
from ganlab.report.protocols import protocol_stamp, protocol_text
from ganlab.report.tables import Table
from ganlab.studies.directions import chosen_monitor

# Shocher et al. 2020, table 1: FID of 6,000 images; VGG-16, Places365. Stage -> printed level, FID.
PAPER = {
    "pool1": ("Conv1", 2.89),
    "pool2": ("Conv2", 8.67),
    "pool3": ("Conv3", 11.08),
    "pool4": ("Conv4", 17.64),
    "pool5": ("Conv5", 19.59),
    "fc7": ("FC7", 22.67),
    "fc8": ("FC8", 29.34),
}
PAPER_FID = "FID (paper)"
MEASURES = ("diversity", "to reference", "same class")

Scores = Mapping[str, Mapping[str, float]]  # level -> metric -> value


@dataclass(frozen=True)
class Diversity:
    """How unlike two images of one reference are; distances are means of L2 norms of features."""

    diversity: float  # between two images of one reference
    to_reference: float  # between an image and its reference
    same_class: float  # share of images whose most probable class is their reference's
    apart: float  # between two references: what unlike means here

    @classmethod
    def of(
        cls,
        references: Mapping[str, Tensor],  # `features` (N, d) and `logits` (N, K)
        first: Mapping[str, Tensor],  # of one image of each reference
        second: Mapping[str, Tensor],  # of another one
    ) -> "Diversity":
        """From an extractor's outputs of references and images, in one order."""
        real, one, other = (each["features"].double() for each in (references, first, second))
        guess = references["logits"].argmax(1)
        same = [each["logits"].argmax(1) == guess for each in (first, second)]
        return cls(
            _mean_distance(one, other),
            (_mean_distance(one, real) + _mean_distance(other, real)) / 2,
            float(torch.cat(same).double().mean()),
            _mean_distance(real, real.roll(1, 0)) if len(real) > 1 else float("nan"),
        )

    @property
    def values(self) -> tuple[float, float, float]:
        """In the order of `MEASURES`."""
        return self.diversity, self.to_reference, self.same_class


def _mean_distance(a: Tensor, b: Tensor) -> float:
    """Mean L2 distance of the rows of two (N, d)."""
    return float((a - b).norm(dim=1).mean())


def level_table(
    levels: Sequence[str],
    scores: Scores,  # empty = nothing was scored
    diversity: Mapping[str, Diversity],
    notes: Sequence[str] = (),
) -> Table:
    """Table 1: a row a level, fine to coarse; the paper's FID stands beside a level of its name."""
    metrics = list(dict.fromkeys(name for values in scores.values() for name in values))
    printed = any(level in PAPER for level in levels) and bool(metrics)
    columns = ["level", *metrics, *([PAPER_FID] if printed else []), *MEASURES]
    rows = []
    for level in levels:
        row: dict[str, Any] = {"level": level, **scores.get(level, {})}
        if printed:
            row[PAPER_FID] = PAPER[level][1] if level in PAPER else None
        rows.append(row | dict(zip(MEASURES, diversity[level].values, strict=True)))
    caption = "Images painted from one level alone, from the one closest to the image on"
    paper = (
        "paper: Shocher et al. 2020, table 1; VGG-16 and Places365, 6,000 test images, Inception"
    )
    return Table(columns, rows, caption=caption, notes=[*notes, *([paper] if printed else [])])


def level_notes(records: Sequence[Mapping[str, Any]], extractor: Any, data: str) -> list[str]:
    """What was compared with what."""
    stamps = list(dict.fromkeys(protocol_stamp(record) for record in records))
    notes = [protocol_text(stamp) for stamp in stamps]
    weights = f"{extractor.name} {extractor.sha256[:12]}, resize {extractor.resize}"
    return [*notes, f"features of diversity: {weights}", f"references: images of {data}"]


def draw_levels(
    levels: Sequence[str], scores: Scores, diversity: Mapping[str, Diversity]
) -> Drawing:
    """FID, the paper's beside it, and diversity over the levels."""
    metric = chosen_monitor(list(scores[levels[0]]), None) if scores else None
    numbers: dict[str, Any] = {"level": list(levels)}
    with figures.styled():
        figure, axes = figures.new_figure(6.4 if metric else 3.4, 2.6, 2 if metric else 1, 2)
        if metric:
            numbers[metric] = [scores[level][metric] for level in levels]
            lines = {metric: numbers[metric]}
            if any(level in PAPER for level in levels):
                numbers["fid_paper"] = [PAPER.get(level, ("", np.nan))[1] for level in levels]
                lines[PAPER_FID] = numbers["fid_paper"]
            _draw(axes[0], levels, lines)
        measured = zip(*(diversity[level].values for level in levels), strict=True)
        both = dict(zip(MEASURES[:2], measured, strict=False))
        numbers |= {name.replace(" ", "_"): values for name, values in both.items()}
        _draw(axes[-1], levels, {f"{name} (features)": v for name, v in both.items()})
    return Drawing(figure, numbers, "Quality and diversity by the level painted from")


def _draw(axes: Any, levels: Sequence[str], lines: Mapping[str, Sequence[float]]) -> None:
    places = range(len(levels))
    for i, (name, values) in enumerate(lines.items()):
        how = {"color": figures.PALETTE[i], "linestyle": figures.DASHES[i]}
        axes.plot(places, values, marker="o", markersize=3, label=figures.label(name), **how)
    axes.set_xticks(list(places), list(levels), rotation=30)
    axes.set_ylim(bottom=0)
    axes.legend()
