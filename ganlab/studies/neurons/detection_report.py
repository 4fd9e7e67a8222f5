"""Ranked images as Table 2, as Figure 2 and as grids (Choi et al. 2022)."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from ganlab.report import figures, images
from ganlab.report.drawings import Drawing, Picture
from ganlab.report.tables import Table
from ganlab.studies.directions import direction
from ganlab.studies.neurons.detection import Ranking

BINS = 60
BESIDE = 16  # images beside the histogram at each end
BLUE, GREY, RED = figures.PALETTE[0], "#9aa3ad", figures.PALETTE[1]  # as the paper's boxes
HATCHES = {"bottom": "//", "between": "", "top": "\\\\"}  # told apart in grey print too


@dataclass(frozen=True)
class Group:
    """Some of the ranked images, as one row of Table 2."""

    title: str  # `bottom 2000`
    counts: Tensor  # (K,) int64, activated LR neurons of each image
    values: Mapping[str, float] = field(default_factory=dict)  # metric -> score; empty = unscored


def detection_table(groups: Sequence[Group], notes: Sequence[str] = ()) -> Table:
    """Table 2: one row a group, its LR neurons and every score, the best of each score marked."""
    scores = list(dict.fromkeys(name for group in groups for name in group.values))
    columns = ["images", "LR neurons", "fewest", "most", *scores]
    rows = [
        {
            "images": group.title,
            "LR neurons": float(group.counts.double().mean()),
            "fewest": int(group.counts.min()),
            "most": int(group.counts.max()),
            **group.values,
        }
        for group in groups
    ]
    best = {name: way for name in scores if (way := _direction(name))}
    caption = "Images with the fewest and with the most activated LR neurons"
    return Table(columns, rows, best, caption, [*notes])


def _direction(score: str) -> str | None:
    """Which way a score improves; None of a spread, and where that is not known."""
    with suppress(ValueError):
        return None if "_std" in score else direction(score)
    return None


def histogram(ranking: Ranking, num: int) -> figures.Numbers:
    """Figure 2: images by their activated LR neurons: the `num` fewest, the most, those between."""
    counts = ranking.count.numpy()
    edges = np.linspace(counts.min(), max(counts.max(), counts.min() + 1), BINS + 1)
    parts = {"top": counts[:num], "between": counts[num:-num], "bottom": counts[-num:]}
    numbers: figures.Numbers = {"edges": edges}
    return numbers | {name: np.histogram(part, edges)[0] for name, part in parts.items()}


def draw_detection(
    ranking: Ranking,
    num: int,  # images of an end
    top: Tensor,  # (K, C, H, W) in [-1, 1], the first of the ranking
    bottom: Tensor,  # (K, C, H, W), the last of it, from the end
) -> Drawing:
    """Figure 2: the histogram between images of its two ends; the numbers go beside it."""
    numbers = histogram(ranking, num)
    shown = {"bottom": bottom[:BESIDE], "top": top[:BESIDE]}
    for name, indices in (("bottom", ranking.bottom(num)), ("top", ranking.top(num))):
        numbers[f"{name}_index"] = np.asarray(indices[: len(shown[name])])
        numbers[f"{name}_images"] = images.to_uint8(shown[name]).cpu().numpy()
    with figures.styled():
        figure, (left, middle, right) = figures.new_figure(9.0, 2.9, 3, 3)
        _picture(left, images.grid(shown["bottom"]), "the fewest LR neurons", BLUE)
        _bars(middle, numbers, num)
        _picture(right, images.grid(shown["top"]), "the most LR neurons", RED)
    caption = f"{len(ranking):,} images by their number of activated LR neurons"
    return Drawing(figure, numbers, caption)


def _bars(panel: Any, numbers: figures.Numbers, num: int) -> None:
    """The histogram, its two ends in colour."""
    edges, base = numbers["edges"], np.zeros(BINS)
    titles = {"bottom": f"fewest {num:,}", "between": "between", "top": f"most {num:,}"}
    for (name, title), colour in zip(titles.items(), (BLUE, GREY, RED), strict=True):
        panel.bar(
            edges[:-1],
            numbers[name],
            np.diff(edges),
            base,
            align="edge",
            color=colour,
            hatch=HATCHES[name],
            edgecolor="white",
            linewidth=0,
            label=title,
        )
        base = base + numbers[name]
    panel.set(xlabel="activated LR neurons", ylabel="images", xlim=(edges[0], edges[-1]))
    panel.set_ylim(0, 1.45 * base.max())  # room for the legend
    panel.legend(loc="upper center", ncols=2, columnspacing=0.9, handlelength=1.3)


def _picture(panel: Any, pixels: NDArray[np.uint8], title: str, colour: str) -> None:
    """A grid of images in a coloured frame."""
    panel.imshow(pixels, interpolation="nearest")
    panel.set(xticks=[], yticks=[])
    panel.set_title(title)
    panel.grid(False)
    for spine in panel.spines.values():
        spine.set(visible=True, color=colour, linewidth=2.5)


def grid_of_end(
    batch: Tensor,  # (K, C, H, W) in [-1, 1]
    which: str,  # top or bottom
    indices: Sequence[int],  # addresses of the images
    ranking: Ranking,
) -> Picture:
    """A grid of one end of the ranking, with pixels and indices beside it."""
    counts = ranking.count if which == "top" else ranking.count.flip(0)
    numbers: dict[str, Any] = {
        "index": np.asarray(indices),
        "count": counts[: len(indices)].numpy(),
        "images": images.to_uint8(batch).cpu().numpy(),
    }
    most = "most" if which == "top" else "fewest"
    text = f"Latents of seed {ranking.seed} with the {most} activated LR neurons, row by row"
    return Picture(images.grid(batch), numbers, text, images.cells_text(batch))
