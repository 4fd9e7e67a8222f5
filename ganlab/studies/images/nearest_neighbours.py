"""`study=nearest_neighbours`: samples beside their nearest training images, and a verdict."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ganlab.features import Extractor
from ganlab.features.pixels import quantized
from ganlab.metrics.suite import short
from ganlab.report.drawings import Drawing
from ganlab.studies.bench import Bench
from ganlab.studies.findings import Findings
from ganlab.studies.images.copies import (
    Compared,
    Neighbours,
    neighbours_of,
    neighbours_of_held_out,
    verdict,
)
from ganlab.studies.images.held_out import held_out_data
from ganlab.studies.images.neighbour_report import copies_table, draw_distances, draw_neighbours
from ganlab.studies.question import Question
from ganlab.studies.reals import mirrored, num_images
from ganlab.studies.stored import (
    mirrored_images,
    random_positions,
    require_features,
    require_images,
)

SPACES = ("pixels", "features")
Points = dict[str, Tensor]  # space -> (N, d); pixels as bytes


@dataclass(frozen=True, kw_only=True)
class NearestNeighbours(Question):
    """Nearest training images of generated ones, in pixels and in features, and whether it copies.

    Writes `figures/neighbours.png` (the first samples), `figures/suspects.png` (those nearest to
    one training image alone), `figures/distances.png` (against held-out reals), each with its
    numbers, and `table.*` with the verdict. Held-out reals are the images of `held_out`, or else
    training images, each compared with all others. A mirrored data set has its mirror images too.

    Raises:
        ValueError: no training images, or fewer than the study compares.
        FileNotFoundError: no such file of held-out images.
    """

    extractor: Extractor  # of the features
    num: int = 2000  # generated images: latents 0 .. num-1
    held_out: str | Path | None = None  # folder, .zip, .npz or .npy never trained on
    num_held_out: int = 2000  # held-out reals, drawn at random; at most all there are
    num_neighbours: int = 3  # shown of each sample; at least 2
    num_shown: int = 8  # samples in a figure
    quantile: float = 0.01  # share of held-out reals whose distance is called small
    confidence: float = 0.99  # of the intervals that must not overlap

    def __post_init__(self) -> None:
        super().__post_init__()
        if min(self.num, self.num_held_out, self.num_shown) < 1 or self.num_neighbours < 2:
            raise ValueError(
                f"study.num={self.num}, study.num_held_out={self.num_held_out} and "
                f"study.num_shown={self.num_shown} must be at least 1, study.num_neighbours="
                f"{self.num_neighbours} at least 2"
            )
        if not (0 < self.quantile < 1 and 0 < self.confidence < 1):
            raise ValueError(
                f"study.quantile={self.quantile}, study.confidence={self.confidence}: must be in "
                "(0, 1)"
            )

    def preflight(self) -> None:
        """Raise, before any data is read, if the extractor's weights are not to be had."""
        require_features(self.extractor, "nearest_neighbours")
        self.extractor.preflight()

    def check(self, bench: Bench) -> None:
        """Refuse a checkpoint without training images, and fetch the weights."""
        require_images(bench.trainer, "nearest_neighbours", "compares with training images")
        self.extractor.prepare()

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
            found[space] = self.compare(neighbours_of(made[space], points, k), held_out, space)
        verdicts = {space: each.verdict for space, each in found.items()}
        return Findings(
            tables={"table": copies_table(verdicts, self.notes(data))},
            figures={"distances": draw_distances(found), **self.drawn(bench, found)},
            records=[self.record_of(space, each, every, bench) for space, each in found.items()],
            result=found,
        )

    def positions(self, stored: int) -> Tensor:
        """Which training images are held out in turn, (N,) int64."""
        num = min(self.num_held_out, stored)
        return torch.tensor(random_positions(stored, num, "held out", self.seed))

    def held_out_points(self, bench: Bench) -> Points:
        """Points of images that were never trained on; empty where there are none."""
        if self.held_out is None:
            return {}
        other = held_out_data(self.held_out, bench.data)
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
            kept["pixels"].append(quantized(batch).to(torch.uint8).flatten(1))  # (n, C H W)
            kept["features"].append(self.extractor(batch)["features"])
        return {space: bench.ranks.joined(rows) for space, rows in kept.items()}

    def compare(self, generated: Neighbours, held_out: Neighbours, space: str) -> Compared:
        """The neighbours of both, and the verdict."""
        if space == "pixels":  # bytes -> the scale of [0, 1]
            generated, held_out = (
                Neighbours(each.distances / 255, each.indices) for each in (generated, held_out)
            )
        return Compared(
            generated, held_out, verdict(generated, held_out, self.quantile, self.confidence)
        )

    def record_of(
        self, space: str, found: Compared, num_training: int, bench: Bench
    ) -> dict[str, Any]:
        """The verdict's number, as it stands in result.json."""
        own = space == "features"
        suffix = self.extractor.name if own else "pixels"
        return {
            "metric": f"copies{short(self.num)}_full_{suffix}",
            "value": found.verdict.share,
            "n_real": num_training,
            "n_fake": self.num,
            "extractor": suffix,
            "extractor_sha256": self.extractor.sha256 if own else "",
            "resize": self.extractor.resize if own else "none",
            "truncation": None,
            "ema": True,
            "seed": self.seed,
            "images_seen": bench.images_seen,
        }

    def drawn(self, bench: Bench, compared: dict[str, Compared]) -> dict[str, Drawing]:
        """The first samples, and those nearest to one training image alone."""
        pixels = compared["pixels"].generated
        suspects = pixels.relative.argsort(stable=True)[: self.num_shown].tolist()
        shown = {"neighbours": list(range(min(self.num_shown, self.num))), "suspects": suspects}
        found = {space: each.generated for space, each in compared.items()}
        return {
            name: draw_neighbours(rows, bench.sampler.images(rows), found, bench.data)
            for name, rows in shown.items()
        }

    def notes(self, data: Any) -> list[str]:
        """What a reader of the table must know."""
        where = "training images, each against all others"
        held = where if self.held_out is None else Path(self.held_out).name
        both = " and their mirror images" if mirrored(data) else ""
        return [
            f"{self.num} generated images (latents of seed {self.seed}) against "
            f"{len(data.dataset)} training images{both}; held-out reals: {held}",
            f"a copy: distance to the nearest training image and its ratio to the second are "
            f"both within the smallest {self.quantile:.0%} of held-out reals'; Wilson intervals "
            f"at {self.confidence:.0%}; copying is called where they do not overlap",
            f"features: {self.extractor.name} {self.extractor.sha256[:12]}, resize "
            f"{self.extractor.resize}; pixels in [0, 1]",
        ]


def real(data: Any, device: torch.device) -> Callable[[list[int]], Tensor]:
    """What gives images of a data module by position, mirror images after the others."""
    return lambda positions: mirrored_images(data, positions, device)
