"""`study=nearest_neighbours`: samples beside their nearest training images, and a verdict."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from lightning import Trainer
from torch import Tensor

from ganlab.data.batch import Batch
from ganlab.features import Extractor
from ganlab.metrics.points import StoredPoints
from ganlab.metrics.suite import short
from ganlab.studies.images.copies import (
    Compared,
    Neighbours,
    neighbours_of,
    neighbours_of_held_out,
    verdict,
)
from ganlab.studies.images.held_out import held_out_data
from ganlab.studies.images.neighbour_report import copies_table, draw_distances, draw_neighbours
from ganlab.studies.reals import data_of, mirrored
from ganlab.studies.sampling import batched
from ganlab.studies.scores import Study, watched
from ganlab.studies.stored import (
    random_positions,
    require_features,
    require_images,
    stored_images,
)

SPACES = ("pixels", "features")


class NearestNeighbours(Study):
    """Nearest training images of generated ones, in pixels and in features, and whether it copies.

    Writes `figures/neighbours.png` (the first samples), `figures/suspects.png` (those nearest to
    one training image alone), `figures/distances.png` (against held-out reals), each with its
    numbers, and `table.*` with the verdict. Held-out reals are the images of `held_out`, or else
    training images, each compared with all others. A mirrored data set has its mirror images too.

    Raises:
        ValueError: no training images, or fewer than the study compares.
        FileNotFoundError: no such file of held-out images.
    """

    def __init__(
        self,
        *,
        extractor: Extractor,  # of the features
        directory: str | Path,  # where the files go
        num: int = 2000,  # generated images: latents 0 .. num-1
        held_out: str | Path | None = None,  # folder, .zip, .npz or .npy never trained on
        num_held_out: int = 2000,  # held-out reals, drawn at random; at most all there are
        num_neighbours: int = 3,  # shown of each sample; at least 2
        num_shown: int = 8,  # samples in a figure
        quantile: float = 0.01,  # share of held-out reals whose distance is called small
        confidence: float = 0.99,  # of the intervals that must not overlap
        **options: Any,  # of `Study`
    ) -> None:
        super().__init__(directory=directory, **options)
        if min(num, num_held_out, num_shown) < 1 or num_neighbours < 2:
            raise ValueError(
                f"study.num={num}, study.num_held_out={num_held_out} and study.num_shown="
                f"{num_shown} must be at least 1, study.num_neighbours={num_neighbours} at least 2"
            )
        if not (0 < quantile < 1 and 0 < confidence < 1):
            raise ValueError(
                f"study.quantile={quantile}, study.confidence={confidence}: must be in (0, 1)"
            )
        self.extractor, self.num, self.held_out = extractor, num, held_out
        self.num_held_out, self.k = num_held_out, num_neighbours
        self.num_shown, self.quantile, self.confidence = num_shown, quantile, confidence
        self.folder = Path(directory)
        self.compared: dict[str, Compared] = {}  # space -> the result, on the first rank

    def preflight(self) -> None:
        """Raise, before any data is read, if the extractor's weights are not to be had."""
        super().preflight()
        require_features(self.extractor, "nearest_neighbours")
        self.extractor.preflight()

    def setup(self, trainer: Trainer, pl_module: Any, stage: str) -> None:
        """Refuse a checkpoint without training images, and fetch the weights."""
        require_images(trainer, "nearest_neighbours", "compares with training images")
        super().setup(trainer, pl_module, stage)
        self.extractor.prepare()

    def investigate(self, trainer: Trainer, system: Any) -> None:
        """Collect points on every rank, compare and write on the first."""
        self.extractor.to(system.device)
        data = data_of(trainer)
        training = self.points(trainer, system, "training images", *all_images(data))
        made = self.points(trainer, system, "samples", self.num, None)
        others = self.held_out_points(trainer, system, data)
        if not trainer.is_global_zero:
            return
        stored = len(data.dataset)
        positions = self.positions(stored)
        for space in SPACES:
            real = training[space]
            self.compared[space] = self.compare(
                neighbours_of(made[space], real, self.k),
                neighbours_of(others[space], real, self.k)
                if others
                else neighbours_of_held_out(positions.to(real.device), real, self.k, stored),
                space,
            )
            self.records.append(self.record_of(space, len(real), system))
        self.write(data, system)

    def positions(self, stored: int) -> Tensor:
        """Which training images are held out in turn, (N,) int64."""
        num = min(self.num_held_out, stored)
        return torch.tensor(random_positions(stored, num, "held out", self.seed))

    def held_out_points(self, trainer: Trainer, system: Any, data: Any) -> dict[str, Tensor]:
        """Points of images that were never trained on; empty where there are none."""
        if self.held_out is None:
            return {}
        other = held_out_data(self.held_out, data)
        num = min(self.num_held_out, len(other.dataset))
        chosen = random_positions(len(other.dataset), num, "held out", self.seed)
        return self.points(trainer, system, "held-out images", num, (other, chosen))

    def points(
        self,
        trainer: Trainer,
        system: Any,
        title: str,  # of the progress bar
        num: int,
        stored: tuple[Any, Sequence[int]] | None,  # data module and positions; None = samples
    ) -> dict[str, Tensor]:
        """Space -> points of these images by their order, (N, d), gathered over ranks."""
        kept = {space: Rows(space).to(system.device) for space in SPACES}
        share = range(num)[trainer.global_rank :: trainer.world_size]
        for rows in batched(watched(share, title, trainer), self.batch_size):
            images = (
                self.made(system, rows) if stored is None else real_images(stored, rows, system)
            )
            index = torch.tensor(rows)
            kept["pixels"].update(images, False, index)
            kept["features"].update(self.extractor(images)["features"], False, index)
        return {space: metric.compute() for space, metric in kept.items()}

    def compare(self, generated: Neighbours, held_out: Neighbours, space: str) -> Compared:
        """The neighbours of both, and the verdict."""
        if space == "pixels":  # bytes -> the scale of [0, 1]
            generated, held_out = (
                Neighbours(each.distances / 255, each.indices) for each in (generated, held_out)
            )
        return Compared(
            generated, held_out, verdict(generated, held_out, self.quantile, self.confidence)
        )

    def record_of(self, space: str, num_training: int, system: Any) -> dict[str, Any]:
        """The verdict's number, as it stands in result.json."""
        own = space == "features"
        suffix = self.extractor.name if own else "pixels"
        return {
            "metric": f"copies{short(self.num)}_full_{suffix}",
            "value": self.compared[space].verdict.share,
            "n_real": num_training,
            "n_fake": self.num,
            "extractor": suffix,
            "extractor_sha256": self.extractor.sha256 if own else "",
            "resize": self.extractor.resize if own else "none",
            "truncation": None,
            "ema": True,
            "seed": self.seed,
            "images_seen": system.images_seen,
        }

    def write(self, data: Any, system: Any) -> None:
        """Table and figures."""
        verdicts = {space: found.verdict for space, found in self.compared.items()}
        copies_table(verdicts, self.notes(data)).write(self.folder)
        figures = self.folder / "figures"
        draw_distances(self.compared, figures / "distances.png")
        pixels = self.compared["pixels"].generated
        suspects = pixels.relative.argsort(stable=True)[: self.num_shown].tolist()
        shown = {"neighbours": list(range(min(self.num_shown, self.num))), "suspects": suspects}
        for name, rows in shown.items():
            samples = self.made(system, rows).cpu()
            found = {space: each.generated for space, each in self.compared.items()}
            draw_neighbours(rows, samples, found, data, figures / f"{name}.png")

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


def all_images(data: Any) -> tuple[int, tuple[Any, Sequence[int]]]:
    """How many training images there are, mirror images after the others, and their positions."""
    num = len(data.dataset) * (2 if mirrored(data) else 1)
    return num, (data, range(num))


def real_images(stored: tuple[Any, Sequence[int]], rows: Sequence[int], system: Any) -> Tensor:
    """Stored images in this order, (N, C, H, W); from the data's length on, mirror images."""
    data, positions = stored
    chosen = [positions[row] for row in rows]
    num = len(data.dataset)
    batch: Batch = stored_images(data, [position % num for position in chosen], system.device)
    flips = torch.tensor([position >= num for position in chosen], device=batch.image.device)
    return torch.where(flips[:, None, None, None], batch.image.flip(-1), batch.image)


class Rows(StoredPoints):
    """Points of one set of images, gathered over ranks and put in order."""

    def compute(self) -> Tensor:
        """All points, (N, d); pixels as bytes."""
        return self.rows("fake")
