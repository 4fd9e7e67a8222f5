"""Which score sees which fault, at how many images: a heat map of scores against known faults.

    python scripts/score_map.py --out docs/results/score_map.json --figure docs/images/score_map.png

Reals and fakes are different garments of the embedded Fashion-MNIST, drawn anew in every repeat;
the fakes are spoilt in ten ways. A cell says how far that moves a score, on average over the
repeats, in standard deviations that the score of unspoilt fakes has between repeats; above 0 is
worse. The features are those of the embedded classifier. A quarter of an hour on one core.
"""

import argparse
import json
import sys
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from degradations import blurred, noisy
from numpy.typing import NDArray

from ganlab.data.presets import fashion_mnist
from ganlab.data.synthetic import Synthetic
from ganlab.features import Classifier
from ganlab.metrics import (
    ClippedDensityCoverage,
    DensityCoverage,
    FrechetDistance,
    InceptionScore,
    KernelDistance,
    MongeDistance,
    MultiScaleSimilarity,
    NearestReals,
    ParzenWindow,
    PrecisionRecall,
    Rarity,
    Realism,
    SlicedWasserstein,
    Suite,
)
from ganlab.nn.randomness import keyed_generator
from ganlab.report import figures
from ganlab.runs.provenance import commit

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SIZES, REPEATS = (100, 300, 1000), 5
SEEN, MOST = 3, 999  # standard deviations that count, and that are told
MISSING, CROWDED = 5, 0  # classes from this one on are missing; the one that is half of the images
Pictures = NDArray[np.uint8]  # (N, 32, 32)
SHOWN = (  # the rows; suites give spreads and levels besides
    *("fid", "kid", "mind", "swd", "precision", "recall", "density", "coverage"),
    *("clipped_density", "clipped_coverage", "realism", "rarity", "rarity_share", "is"),
    *("ms_ssim", "parzen", "nearest_ratio", "nearest_copies"),
)


@dataclass(frozen=True)
class Draw:
    """The garments of one repeat; no picture is in two of the three sets."""

    reals: Pictures
    fakes: Pictures
    labels: NDArray[np.int64]  # of the fakes
    spare: Pictures  # all others
    spare_labels: NDArray[np.int64]

    @classmethod
    def of(cls, pictures: Pictures, labels: NDArray[np.int64], num: int, seed: int) -> "Draw":
        """`num` reals and as many fakes, by key."""
        order = torch.randperm(len(pictures), generator=keyed_generator("score_map", num, seed))
        reals, fakes, spare = np.split(order.numpy(), [num, 2 * num])
        return cls(pictures[reals], pictures[fakes], labels[fakes], pictures[spare], labels[spare])

    def replaced(self, spoilt: NDArray[np.bool_], others: Pictures) -> Pictures:
        """The fakes with others in the place of the spoilt ones."""
        found = self.fakes.copy()
        found[spoilt] = others[: spoilt.sum()]
        return found


def shapes(draw: Draw) -> Pictures:
    """A tenth are drawn shapes."""
    drawn = Synthetic(len(draw.fakes) // 10, draw.fakes.shape[1])
    grey = [np.asarray(drawn.image(k)).mean(-1) for k in range(len(drawn))]
    return draw.replaced(np.arange(len(draw.fakes)) < len(grey), np.rint(grey).astype(np.uint8))


def missing(draw: Draw) -> Pictures:
    """The second half of the classes is missing, others of the first in their place."""
    return draw.replaced(draw.labels >= MISSING, draw.spare[draw.spare_labels < MISSING])


def crowded(draw: Draw) -> Pictures:
    """Half of the images, classes alike, are of one class instead."""
    half = np.arange(len(draw.fakes)) % 2 == 0
    return draw.replaced(half, draw.spare[draw.spare_labels == CROWDED])


FAULTS: dict[str, Callable[[Draw], Pictures]] = {
    "blur, 0.5 px": lambda draw: blurred(draw.fakes, 0.5),
    "blur, 1 px": lambda draw: blurred(draw.fakes, 1),
    "noise, 8 of 255": lambda draw: noisy(draw.fakes, 8),
    "noise, 32 of 255": lambda draw: noisy(draw.fakes, 32),
    "a tenth shapes": shapes,
    "half of classes missing": missing,
    "one class for half": crowded,
    "a tenth, ten times": lambda draw: np.resize(
        draw.fakes[: len(draw.fakes) // 10], draw.fakes.shape
    ),
    "half memorised": lambda draw: draw.replaced(
        np.arange(len(draw.fakes)) % 2 == 0, draw.reals[::2]
    ),
    "all memorised": lambda draw: draw.reals,
}


def suite_of(num: int) -> Suite:
    """Every score of images, for so many of either side."""
    scores = {
        "fid": FrechetDistance(),
        "kid": KernelDistance(subset_size=num, num_subsets=1),
        "mind": MongeDistance(),
        "swd": SlicedWasserstein(patches_per_image=16, num_projections=128),
        "precision_recall": PrecisionRecall(),
        "density_coverage": DensityCoverage(),
        "clipped": ClippedDensityCoverage(),
        "realism": Realism(),
        "rarity": Rarity(),
        "is": InceptionScore(),
        "ms_ssim": MultiScaleSimilarity(num_scales=2, num_pairs=num // 2),
        "parzen": ParzenWindow(),
        "nearest": NearestReals(),
    }
    return Suite(Classifier(), scores, num_real=num, num_fake=num)


def values(suite: Suite, fakes: Pictures) -> dict[str, float]:
    """Part -> value, better being less, of fakes against the reals that the suite has."""
    suite.reset()
    suite.update(as_images(fakes), real=False)
    found: dict[str, float] = {}
    for name, score in suite.metrics.items():
        computed = score.compute()
        parts = computed if isinstance(computed, dict) else {name: computed}
        signs = {part: -1 if score.way_of(part) == "max" else 1 for part in parts}
        found |= {part: signs[part] * float(value) for part, value in parts.items()}
    return {part: found[part] for part in SHOWN}


def as_images(pictures: Pictures) -> torch.Tensor:
    """(N, 1, 32, 32) in [-1, 1]."""
    return torch.from_numpy(pictures)[:, None].float() / 127.5 - 1


@torch.no_grad()
def effects(
    pictures: Pictures, labels: NDArray[np.int64], num: int, repeats: int
) -> dict[str, dict[str, float]]:
    """Score -> fault -> mean difference from unspoilt fakes, over these's standard deviation."""
    plain: list[dict[str, float]] = []
    spoilt: dict[str, list[dict[str, float]]] = {fault: [] for fault in FAULTS}
    for seed in range(repeats):
        draw, suite = Draw.of(pictures, labels, num, seed), suite_of(num)
        suite.update(as_images(draw.reals), real=True)
        plain.append(values(suite, draw.fakes))
        for fault, spoil in FAULTS.items():
            spoilt[fault].append(values(suite, spoil(draw)))
        print(f"{num} images, repeat {seed + 1} of {repeats}", file=sys.stderr, flush=True)
    return {
        score: {
            fault: in_deviations([b[score] for b in plain], [a[score] for a in found])
            for fault, found in spoilt.items()
        }
        for score in SHOWN
    }


def in_deviations(plain: list[float], spoilt: list[float]) -> float:
    """Mean paired difference over the deviation of `plain`, at most `MOST` of them either way.

    Where `plain` does not vary, any difference is that many.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        found = np.mean(np.subtract(spoilt, plain)) / np.std(plain, ddof=1)
    return float(np.nan_to_num(found, nan=0, posinf=MOST, neginf=-MOST).clip(-MOST, MOST))


def draw_size(axes: "Axes", title: str, found: Mapping[str, Mapping[str, float]]) -> None:
    """One number of images: scores down, faults across, the number in each cell."""
    numbers = np.array([[*row.values()] for row in found.values()])
    strength = np.sign(numbers) * np.log10(
        1 + np.abs(np.nan_to_num(numbers, posinf=1e3, neginf=-1e3))
    )
    axes.imshow(strength, cmap="RdBu_r", vmin=-2.5, vmax=2.5, aspect="auto")
    axes.set_xticks(range(len(FAULTS)), [*FAULTS], rotation=60, ha="right")
    axes.set_yticks(range(len(found)), [*found])
    axes.set_title(title)
    axes.grid(visible=False)
    for (row, column), number in np.ndenumerate(numbers):
        weight = "bold" if abs(number) >= SEEN else "normal"
        colour = "white" if abs(strength[row, column]) > 1.7 else figures.INK
        place = {"ha": "center", "va": "center", "fontsize": 6.5}
        axes.text(column, row, f"{round(number)}", color=colour, fontweight=weight, **place)


def drawn(sizes: Mapping[str, Mapping[str, Mapping[str, float]]]) -> "Figure":
    """A panel a number of images."""
    figure, panels = figures.new_figure(13, 6, panels=len(sizes), columns=len(sizes))
    for axes, (num, found) in zip(panels, sizes.items(), strict=True):
        draw_size(axes, f"{int(num):,} reals, {int(num):,} fakes", found)
    for axes in panels[1:]:
        axes.set_yticklabels([])
    return figure


def main() -> None:
    """Measure, print, and write where it is asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES, help="images of a side")
    parser.add_argument("--repeats", type=int, default=REPEATS)
    parser.add_argument("--out", type=Path, help="write the result as JSON to this file")
    parser.add_argument("--figure", type=Path, help="draw it to this PNG")
    options = parser.parse_args()
    data = fashion_mnist(channels=1, fit="pad")
    data.prepare_data()
    data.setup()
    pictures, labels = data.dataset.pixels[:, 0], data.dataset.labels
    warnings.simplefilter("ignore")  # fewer images than features, and the like: the same for all
    sizes = {str(n): effects(pictures, labels, n, options.repeats) for n in options.sizes}
    words = f"--sizes {' '.join(map(str, options.sizes))} --repeats {options.repeats}"
    result = {"command": f"python scripts/score_map.py {words}", "commit": commit(), "seed": 0}
    result |= {"n": max(options.sizes), "repeats": options.repeats, "effects": sizes}
    print(json.dumps(result, indent=2))
    if options.out:
        options.out.write_text(json.dumps(result, indent=2) + "\n")
    if options.figure:
        with figures.house_style():
            options.figure.write_bytes(figures.png(drawn(sizes)))


if __name__ == "__main__":
    main()
