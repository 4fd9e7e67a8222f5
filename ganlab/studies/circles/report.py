"""The worst images with their artifacts circled, and how scores are spread."""

from collections.abc import Mapping, Sequence

import numpy as np
from torch import Tensor

from ganlab.report import figures, images
from ganlab.report.drawings import Drawing
from ganlab.studies.circles.observation import Detected, Origin
from ganlab.studies.circles.panels import drawn_cells, picture

COLUMNS = 8  # images in a row of the montage
BINS = 50


def draw_montage(
    batch: Tensor,  # (K, C, H, W) in [-1, 1]
    indices: Sequence[int],  # their addresses
    found: Detected,  # of these images alone
    origin: Sequence[Origin | None],
) -> Drawing:
    """The worst images, each with a ring where its peak is; unaffected ones say so."""
    cells = [
        picture(image, title_of(index, float(score), where)).marked(place)
        for image, index, score, where, place in zip(
            batch, indices, found.score, origin, found.place, strict=True
        )
    ]
    rows = [("", cells[start : start + COLUMNS]) for start in range(0, len(cells), COLUMNS)]
    numbers = {
        "index": np.asarray(indices),
        "score": found.score.numpy(),
        "affected": found.affected.numpy(),
        "place": found.place.numpy(),
        "images": images.to_uint8(batch).numpy(),
    }
    num = int(found.affected.sum())
    text = f"Images with the highest scores, {num} of {len(batch)} of them affected; ring: the peak"
    return Drawing(drawn_cells(rows), numbers, text)


def title_of(index: int, score: float, origin: Origin | None) -> str:
    """Above an image: address, score, origin."""
    return f"{index}: {score:.2f}" + (f"\n{origin.layer} #{origin.unit}" if origin else "\nbelow")


def draw_scores(
    scores: Mapping[str, Tensor],  # name -> (N,); this generator's first, then the calibrating one
    threshold: float,
) -> Drawing:
    """Histograms of scores and the threshold above which an image counts as affected."""
    top = max(float(values.max()) for values in scores.values())
    edges = np.linspace(0, max(top, threshold) * 1.05, BINS + 1)
    numbers: figures.Numbers = {"edges": edges, "threshold": np.asarray(threshold)}
    with figures.styled():
        figure, (axes,) = figures.new_figure(4.6, 2.5)
        for i, (name, values) in enumerate(scores.items()):
            share = np.histogram(values.numpy(), edges)[0] / len(values)
            look = {"color": figures.PALETTE[i], "linestyle": figures.DASHES[i], "fill": False}
            axes.stairs(share, edges, label=figures.label(name), **look)
            numbers |= {f"{name}/score": values.numpy(), f"{name}/share": share}
        axes.axvline(threshold, color=figures.INK, linewidth=0.8, linestyle=":", label="threshold")
        axes.set(xlabel="score: least contrast over its level", ylabel="share of images")
        axes.legend()
    text = "Scores of images: how far the strongest persisting peak stands above its level"
    return Drawing(figure, numbers, text)
