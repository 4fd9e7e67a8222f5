"""`study=nearest_neighbours`: samples beside their nearest training images, and a verdict."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ganlab.data.positions import Images, has_mirrors, mirrored_images, num_images, random_positions
from ganlab.data.presets import held_out_data
from ganlab.features.pixels import quantize
from ganlab.metrics.copies import (
    Compared,
    Neighbours,
    Verdict,
    neighbours_of,
    neighbours_of_held_out,
)
from ganlab.metrics.suite import short_count
from ganlab.report import figures, images
from ganlab.report.drawings import Drawing
from ganlab.report.panels import Panel, panel_figure, picture
from ganlab.report.tables import Table
from ganlab.scoring.reals import other_side
from ganlab.studies.bench import Bench
from ganlab.studies.findings import Findings
from ganlab.studies.question import FeatureQuestion, at_least, inside_unit, require_images

SPACES = ("pixels", "features")
Points = dict[str, Tensor]  # space -> (N, d); pixels as bytes
COLUMNS = [
    *("space", "verdict", "copies", "copies, low", "copies, high", "held-out reals"),
    *("held-out reals, high", "exact copies", "median distance ratio"),
    "nearer than a held-out real",
]
BINS = 40


@dataclass(frozen=True, kw_only=True)
class NearestNeighbours(FeatureQuestion):
    """Nearest training images of generated ones, in pixels and in features, and whether it copies.

    Writes `figures/neighbours.png` (the first samples), `figures/suspects.png` (those nearest to
    one training image alone), `figures/distances.png` (against held-out reals), each with its
    numbers, and `table.*` with the verdict. Held-out reals are the images of `held_out`, with
    `unseen` the side of the data that is held out, or else training images, each compared with all
    others. A mirrored data set has its mirror images too.

    Raises:
        ValueError: no training images, or fewer than the study compares; no side that is held out.
        FileNotFoundError: no such file of held-out images.
    """

    num: int = 2000  # generated images: latents 0 .. num-1
    held_out: str | Path | None = None  # place of images never trained on, of any kind
    unseen: bool = False  # held-out reals are the side of the data that is not trained on
    num_held_out: int = 2000  # held-out reals, drawn at random; at most all there are
    num_neighbours: int = 3  # shown of each sample; at least 2
    num_shown: int = 8  # samples in a figure
    quantile: float = 0.01  # share of held-out reals whose distance is called small
    confidence: float = 0.99  # of the intervals that must not overlap

    def __post_init__(self) -> None:
        super().__post_init__()
        at_least(1, num=self.num, num_held_out=self.num_held_out, num_shown=self.num_shown)
        at_least(2, num_neighbours=self.num_neighbours)
        inside_unit(quantile=self.quantile, confidence=self.confidence)
        if self.unseen and self.held_out is not None:
            raise ValueError(f"study.unseen=true or study.held_out={self.held_out}, not both")

    def check(self, bench: Bench) -> None:
        """Refuse a checkpoint without training images or with too few, and fetch the weights."""
        require_images(bench.trainer, "nearest_neighbours", "compares with training images")
        most = num_images(bench.data)
        if (
            self.held_out is None and not self.unseen
        ):  # each is compared with all others, itself and its mirror out
            most -= most // len(bench.data.dataset)
        if self.num_neighbours > most:
            raise ValueError(
                f"study.num_neighbours={self.num_neighbours}: {len(bench.data.dataset)} training "
                f"images are too few, each has {most} others at most"
            )
        super().check(bench)

    def run(self, bench: Bench) -> Findings:
        """Collect points on every rank, compare on the first."""
        self.extractor.to(bench.device)
        data, k = bench.data, self.num_neighbours
        stored, every = len(data.dataset), num_images(data)
        training = self.points(bench, "training images", range(every), real(data, bench.device))
        made = self.points(bench, "samples", range(self.num), bench.sampler.batch)
        others = self.held_out_points(bench)
        if not bench.ranks.first:
            return Findings()
        positions = self.positions(stored)
        found: dict[str, Compared] = {}
        for space, points in training.items():
            held_out = (
                neighbours_of(others[space], points, k)
                if others
                else neighbours_of_held_out(positions.to(points.device), points, k, stored)
            )
            generated = neighbours_of(made[space], points, k)
            if space == "pixels":  # bytes -> the scale of [0, 1]
                generated, held_out = (
                    replace(each, distances=each.distances / 255) for each in (generated, held_out)
                )
            found[space] = Compared.of(generated, held_out, self.quantile, self.confidence)
        verdicts = {space: each.verdict for space, each in found.items()}
        return Findings(
            tables={"table": copies_table(verdicts, self.notes(data))},
            figures={"distances": draw_distances(found), **self.draw(bench, found)},
            records=[self.record_of(space, each, every, bench) for space, each in found.items()],
            result=found,
        )

    def positions(self, stored: int) -> Tensor:
        """Which training images are held out in turn, (N,) int64."""
        num = min(self.num_held_out, stored)
        return torch.tensor(random_positions(stored, num, "held out", self.seed))

    def held_out_points(self, bench: Bench) -> Points:
        """Points of images that were never trained on; empty where there are none."""
        if self.held_out is None and not self.unseen:
            return {}
        place, data = self.held_out, bench.data
        other = other_side(data) if place is None else held_out_data(place, data)
        num = min(self.num_held_out, len(other.dataset))
        chosen = random_positions(len(other.dataset), num, "held out", self.seed)
        return self.points(bench, "held-out images", chosen, real(other, bench.device))

    def points(
        self,
        bench: Bench,
        title: str,  # of the progress bar
        items: Sequence[int],
        images: Callable[[list[int]], Tensor],  # of some of them
    ) -> Points:
        """Points of these images by their order, gathered over ranks."""
        kept: dict[str, list[Tensor]] = {space: [] for space in SPACES}
        for rows in bench.batched(title, items):
            batch = images(rows)
            kept["pixels"].append(quantize(batch).to(torch.uint8).flatten(1))  # (n, C H W)
            kept["features"].append(self.extractor(batch)["features"])
        return {space: bench.ranks.gather(rows) for space, rows in kept.items()}

    def record_of(
        self, space: str, found: Compared, num_training: int, bench: Bench
    ) -> dict[str, Any]:
        """The verdict's number, as it stands in result.json."""
        extractor = self.extractor if space == "features" else None
        name = f"copies{short_count(self.num)}_full_{extractor.name if extractor else 'pixels'}"
        share, num = found.verdict.share, self.num
        return bench.record_of(name, share, extractor, n_real=num_training, n_fake=num, best="min")

    def draw(self, bench: Bench, compared: dict[str, Compared]) -> dict[str, Drawing]:
        """The first samples, and those nearest to one training image alone."""
        pixels = compared["pixels"].generated
        suspects = pixels.relative.argsort(stable=True)[: self.num_shown].tolist()
        shown = {"neighbours": list(range(min(self.num_shown, self.num))), "suspects": suspects}
        found = {space: each.generated for space, each in compared.items()}
        return {
            name: draw_neighbours(rows, bench.sampler.images(rows), found, bench.data)
            for name, rows in shown.items()
        }

    def notes(self, data: Images) -> list[str]:
        """What a reader of the table must know."""
        held = "training images, each against all others"
        if self.held_out is not None:
            held = Path(self.held_out).name
        elif self.unseen:
            held = "the side that is not trained on"
        both = " and their mirror images" if has_mirrors(data) else ""
        return [
            f"{self.num} generated images (latents of seed {self.seed}) against "
            f"{len(data.dataset)} training images{both}; held-out reals: {held}",
            f"a copy: distance to the nearest training image and its ratio to the second are "
            f"both within the smallest {self.quantile:.0%} of held-out reals'; Wilson intervals "
            f"at {self.confidence:.0%}; copying is called where they do not overlap",
            f"features: {self.extractor.name} {self.extractor.sha256[:12]}, resize "
            f"{self.extractor.resize}; pixels in [0, 1]",
        ]


def real(data: Images, device: torch.device) -> Callable[[list[int]], Tensor]:
    """What gives images of a data module by position, mirror images after the others."""
    return lambda positions: mirrored_images(data, positions, device)


def copies_table(verdicts: Mapping[str, Verdict], notes: Sequence[str]) -> Table:
    """One row a space."""
    rows = [
        [
            space,
            "copies" if found.copies else "no sign of copying",
            *(found.share, found.low, found.high, found.held_out_share, found.held_out_high),
            *(found.exact, found.ratio, found.nearer),
        ]
        for space, found in verdicts.items()
    ]
    sentences = [found.sentence(space) for space, found in verdicts.items()]
    return Table.of(COLUMNS, rows, "Does it copy?", [*sentences, *notes])


def draw_distances(compared: Mapping[str, Compared]) -> Drawing:
    """Distances to the nearest training image, and relative ones, of samples and held-out reals.

    The numbers are every distance and relative distance, and the thresholds.
    """
    numbers: dict[str, Any] = {}
    with figures.house_style():
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
        how = {"color": figures.PALETTE[place], "linestyle": figures.DASHES[place]}
        how |= {"weights": weights, "histtype": "step", "linewidth": 1.4, "label": name}
        panel.hist(np.clip(side, 0, edges[-1]), edges, **how)
    panel.axvline(threshold, color=figures.INK, linestyle="--", linewidth=0.8)
    panel.set(ylabel="share of images", xlim=(0, edges[-1]))


def draw_neighbours(
    indices: Sequence[int],  # addresses of the samples
    samples: Tensor,  # (N, C, H, W)
    found: Mapping[str, Neighbours],  # space -> those of all samples, by address
    data: Images,  # the training images
) -> Drawing:
    """A row a sample: the sample, then its nearest training images in each space.

    Above each its distance and its position in the data; from the data's length on it is a mirror
    image.
    """
    numbers: dict[str, Any] = {
        "indices": np.asarray(indices),
        "samples": images.to_uint8(samples).cpu().numpy(),
    }
    lines: list[list[Panel | None]] = [[picture(sample)] for sample in samples]
    for space, each in found.items():
        positions = each.indices[list(indices)].cpu()
        distances = each.distances[list(indices)].cpu()
        for row, line in enumerate(lines):
            shown = mirrored_images(data, positions[row].tolist(), torch.device("cpu"))
            texts = [f"{d:.3g}" for d in distances[row].tolist()]
            texts[0] = texts[0] if row else f"{space}: {texts[0]}"
            line += [picture(x, text) for x, text in zip(shown, texts, strict=True)]
        numbers[f"{space}/neighbours"] = positions.numpy()
        numbers[f"{space}/distances"] = distances.numpy()
    rows = [(f"latent {index}", line) for index, line in zip(indices, lines, strict=True)]
    caption = "Samples and their nearest training images, distances above them"
    return Drawing(panel_figure(rows), numbers, caption)
