"""`study=projection`: images into a generator's latent space (Karras et al. 2020, appendix D)."""

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ganlab.data.image_input import fitting_of, read_images, require_named
from ganlab.data.positions import stored_images
from ganlab.report import figures
from ganlab.report.drawings import Drawing, Picture
from ganlab.report.tables import Table
from ganlab.sampling import Sampler, batched, has_styles
from ganlab.studies.address import Latents
from ganlab.studies.bench import Bench
from ganlab.studies.findings import Findings
from ganlab.studies.latents.latent_set import address_list
from ganlab.studies.latents.pictures import rows_of
from ganlab.studies.latents.projector import (
    Perceptual,
    Projected,
    Projector,
    Schedule,
    shown_steps,
)
from ganlab.studies.question import FeatureQuestion, at_least

MOST = 8  # images in the figures
COLUMNS = ["image", "distance", "at the start", "with own noise"]


@dataclass(frozen=True, kw_only=True)
class Projection(FeatureQuestion):
    """Looks for the latents whose images resemble given ones in features.

    Leaves a strip an image (target, steps, result, and the result under the generator's own noise,
    as every other study paints it), the distance by step, a table, and the styles (N, L, W), or
    latents (N, Z) of a generator without styles, which other studies take as their `latents`.

    Raises:
        ValueError: no image, a space that the generator lacks, or numbers that cannot be.
    """

    images: str | Sequence[str] | None = None  # files or a folder; None = of the data
    indices: Latents = "0:4"  # which of the data's
    space: str | None = None  # w, w+ or z; None = w where there are styles
    num_steps: int = 1000
    learning_rate: float = 0.1  # at most
    noise_maps: bool = True  # optimise each layer's noise map too; False = its own stays
    noise_weight: float = 1e5  # against signal in noise maps
    pixels: float = 0.0  # weight of the mean squared difference of pixels beside features
    num_shown: int = 6  # steps in a strip, the result among them
    batch_size: int = 8  # images at a time; changes no result beyond rounding

    def __post_init__(self) -> None:
        super().__post_init__()
        at_least(1, num_shown=self.num_shown)
        if not (0 <= self.noise_weight < float("inf") and 0 <= self.pixels < float("inf")):
            raise ValueError(
                f"study.noise_weight={self.noise_weight} and study.pixels={self.pixels} must be "
                "numbers from 0 on"
            )
        _ = self.schedule

    @property
    def schedule(self) -> Schedule:
        """How the optimisation goes."""
        return Schedule(self.num_steps, self.learning_rate)

    @property
    def protocol(self) -> str:
        """`p0.5`: how much pixels weigh in the distance, in its name; nothing where they do not."""
        return f"p{float(self.pixels)!r}".removesuffix(".0") if self.pixels else ""

    def check(self, bench: Bench) -> None:
        """Refuse a space that there is not, read the images, and fetch the weights."""
        self.projector(bench)
        self.targets(bench)
        super().check(bench)

    def projector(self, bench: Bench) -> Projector:
        """What finds the latents."""
        space = self.space or ("w" if has_styles(bench.generator) else "z")
        distance = Perceptual(self.extractor, self.pixels)
        options = (self.schedule, self.noise_weight, self.noise_maps)
        return Projector(bench.sampler, distance, space, *options)

    def targets(self, bench: Bench) -> tuple[list[str], Tensor]:
        """Names and images, (N, C, R, R) on the CPU."""
        if self.images is not None:
            return read_images(self.images, fitting_of(bench.data), "study.images")
        if not bench.has_images:
            raise ValueError(
                "study=projection needs images and this checkpoint names none: give them, as in "
                "study.images=<file or folder>"
            )
        asked, there = require_named(self.indices, "study.indices", "0:4"), len(bench.data.dataset)
        chosen = address_list(asked, "study.indices")
        if max(chosen) >= there:
            raise ValueError(f"study.indices={self.indices}: the data has {there} images, from 0")
        return list(map(str, chosen)), stored_images(bench.data, chosen, bench.device).image.cpu()

    def run(self, bench: Bench) -> Findings:
        """Project each rank's share; the first one draws."""
        self.extractor.to(bench.device)
        names, images = self.targets(bench)
        projector = self.projector(bench)
        found = self.project(bench, projector, images)
        if not bench.ranks.first:
            return Findings()
        measured = [found.distances[:, -1], found.distances[:, 0], found.own]
        rows = zip(names, *(each.tolist() for each in measured), strict=True)
        parts = ["projection", projector.space.replace("+", "_plus"), self.protocol]
        metric = "_".join(filter(None, [*parts, self.extractor.name]))
        counts: Any = {"n_real": len(images), "n_fake": len(images), "best": "min"}
        value = float(measured[0].mean())
        return Findings(
            tables={"table": Table.of(COLUMNS, rows, "Projection", self.notes(projector))},
            figures={
                "projection": self.strip(names, images, found, bench.sampler),
                "projection_distance": draw_distances(names, found.distances),
            },
            latents={"projection": found.codes},
            records=[bench.record_of(metric, value, self.extractor, **counts)],
            result=found,
        )

    def project(self, bench: Bench, projector: Projector, images: Tensor) -> Projected:
        """All projected, each rank its share, the same on all; pictures of the first `MOST`."""
        parts = []
        for some in batched(bench.ranks.share(range(len(images))), self.batch_size):
            title = f"projection {some[0]} to {some[-1]}"
            watched = partial(bench.ranks.progress, title=title, unit="step")
            part = projector.project(images[some], some, self.num_shown, watched)
            parts.append(replace(part, images=part.images[: sum(i < MOST for i in some)]))
        every = {
            each.name: bench.ranks.gather([vars(part)[each.name] for part in parts]).cpu()
            for each in fields(Projected)
        }
        return Projected(**every)

    def strip(
        self, names: Sequence[str], images: Tensor, found: Projected, sampler: Sampler
    ) -> Picture:
        """A row an image, of at most `MOST`."""
        shown = images[: len(found.images), None]
        cells = torch.cat([shown, found.images], 1)  # (N, T + 2, C, H, W)
        ends = found.distances[:, -1].tolist()
        captions = [f"{name}\n{end:.3g}" for name, end in zip(names, ends, strict=True)]
        steps = shown_steps(self.num_steps, self.num_shown)
        text = (
            f"Rows: the target, its projection after {', '.join(map(str, steps))} steps, and the "
            "result under the generator's own noise; below a name the result's distance"
        )
        numbers: dict[str, Any] = {"steps": steps, "distances": found.distances.numpy()}
        return rows_of(list(zip(captions, cells, strict=False)), numbers, text, sampler)

    def notes(self, projector: Projector) -> list[str]:
        """What was done and measured."""
        beside = f", and {self.pixels:g} times the mean squared difference of pixels"
        maps = len(projector.noise_shapes)
        return [
            f"{self.num_steps} steps in {projector.space}, {maps} noise maps with them; "
            f"learning rate {self.learning_rate:g}",
            f"distance: squared, of {self.extractor.name} features of length 1 "
            f"({self.extractor.sha256[:12]}, resize {self.extractor.resize})"
            f"{beside * bool(self.pixels)}; does not compare with LPIPS",
        ]


def draw_distances(names: Sequence[str], distances: Tensor) -> Drawing:
    """The distance of each image by step, (N, S + 1)."""
    steps = np.arange(distances.shape[1])
    shown = list(zip(names, distances, strict=True))[:MOST]
    lines = {f"{i}: {name}": (steps, row.numpy()) for i, (name, row) in enumerate(shown)}
    figure, numbers = figures.curves(lines, "step", "distance")
    return Drawing(figure, numbers, "Distance to the target by step; the last one is the result's")
