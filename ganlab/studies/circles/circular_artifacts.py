"""`study=circular_artifacts`: does a generator make water drops, how often, and where from?

Tan, Wen, Yang: "Systematic Analysis and Removal of Circular Artifacts for StyleGAN".
"""

import io
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning import Trainer
from torch import Tensor

from ganlab.networks.base import Generator
from ganlab.nn.randomness import derived_seed
from ganlab.report.atomic import replace_file
from ganlab.sampling import conditions_of
from ganlab.studies.circles.calibration import Calibration, calibrated
from ganlab.studies.circles.case import CircleCase
from ganlab.studies.circles.depth import FACTOR, depth_table, depths
from ganlab.studies.circles.figures import draw_circle_figures
from ganlab.studies.circles.grids import Compare, draw_compared, named_checkpoints
from ganlab.studies.circles.incidence import Incidence, seen_by_ranks
from ganlab.studies.circles.levels import FILE, MINIMUM, PERSISTENCE, Levels, LevelsGiven
from ganlab.studies.circles.observation import (
    Detected,
    Origin,
    Seen,
    origins,
    reading_of,
    reading_points,
)
from ganlab.studies.circles.report import draw_montage, draw_scores
from ganlab.studies.sampling import checked_noise, images_at, noise_at
from ganlab.studies.scores import Study

Opener = Callable[[str], Generator]  # checkpoint -> its averaged generator


class CircularArtifacts(Study):
    """Finds affected images, traces their artifacts to layer and unit, draws the paper's figures.

    Writes `table.*` (a row a layer), `artifacts.npz` (every image's score, place and origin, the
    worst first), `levels.json` (what counted as an artifact), `figures/worst.png`,
    `figures/scores.png` and the figures of `figures`; with `compare` also Figures 13 and 14.
    Without affected images the table and figures are of the highest scores, and say so.

    Raises:
        ValueError: a generator without style layers, or numbers that cannot be.
        FileNotFoundError: no such file of levels or checkpoint.
    """

    def __init__(
        self,
        *,
        num_images: int = 2000,  # latents 0 .. num_images-1
        read: str = "style",  # or norm, activation: see `observation.reading_points`
        levels: LevelsGiven = MINIMUM,  # contrast that stands out; by size, as {8x8: 3}
        threshold: float = 1.0,  # score above which an image is affected
        persistence: int = PERSISTENCE,  # consecutive resolutions
        levels_from: str | Path | None = None,  # artifact-free checkpoint, or a run's levels.json
        false_positive_rate: float = 0.01,  # of that checkpoint's images
        confidence: float = 0.95,  # of the Wilson interval
        num_worst: int = 32,  # images in the montage
        num_traced: int = 64,  # worst affected images that the table is of
        num_shown: int = 4,  # images in Figures 7, 13 and 14
        compare: Compare = None,  # other checkpoints of Figures 13 and 14, as {PN: ..., PIN: ...}
        opener: Opener | None = None,  # of those
        noise: str = "fixed",  # of the images; random = drawn for each, keyed by its latent
        figures: bool = True,  # draw the paper's figures
        **options: Any,  # of `Study`
    ) -> None:
        super().__init__(**options)
        numbers = (num_images, num_worst, num_traced, num_shown)
        if min(numbers) < 1 or not 0 < confidence < 1 or not 0 < false_positive_rate < 1:
            raise ValueError(
                "study.num_images, study.num_worst, study.num_traced and study.num_shown must be "
                "at least 1, study.confidence and study.false_positive_rate between 0 and 1"
            )
        self.num_images, self.read, self.noise = num_images, read, checked_noise(noise)
        self.levels = Levels(levels, threshold, persistence)
        self.levels_from = None if levels_from is None else Path(levels_from).expanduser()
        self.false_positive_rate, self.confidence = false_positive_rate, confidence
        self.num_worst, self.num_traced, self.num_shown = num_worst, num_traced, num_shown
        self.compared, self.opener, self.figures = named_checkpoints(compare), opener, figures
        if self.levels_from is not None and self.levels_from.suffix != ".ckpt":
            self.levels = Levels.load(self.levels_from)
            self.levels_from = None
        elif self.levels_from is not None and not self.levels_from.is_file():
            raise FileNotFoundError(f"study.levels_from={levels_from}: no such checkpoint")
        self.incidence: Incidence | None = None  # the result

    def setup(self, trainer: Trainer, pl_module: Any, stage: str) -> None:
        """Refuse a generator without style layers before anything is scored."""
        super().setup(trainer, pl_module, stage)
        reading_points(pl_module.generator_ema, self.read)
        if self.noise == "random":
            with noise_at(pl_module.generator_ema, [0], self.seed):
                pass  # it takes noise

    def how(self, system: Any) -> dict[str, Any]:
        """Options of `images_at`."""
        condition_at = conditions_of(system)
        return {"device": system.device, "condition_at": condition_at, "noise": self.noise}

    def investigate(self, trainer: Trainer, system: Any) -> None:
        """Choose levels, look at every image, record the incidence, and write."""
        calibration = self.calibration(trainer, system)
        generator = system.generator_ema
        seen = self.seen(trainer, generator, self.num_images, self.seed, system)
        found = seen.detected(self.levels)
        self.incidence = Incidence.of(found, self.confidence)
        facts = {"seed": self.seed, "images_seen": system.images_seen, "noise": self.noise}
        reading = reading_of(generator, self.read)
        self.records += self.incidence.records(self.levels, reading, **facts)
        if self.directory is not None and trainer.is_global_zero:
            self.write(self.directory, system, seen, found, calibration)
        if self.compared and self.opener is not None:
            draw_compared(self, trainer, system, self.compared, self.opener, self.num_shown)

    def seen(
        self, trainer: Trainer, generator: Generator, num: int, seed: int, system: Any
    ) -> Seen:
        """The spikes of these latents' images, all ranks together."""
        size, title = self.batch_size, "artifacts"
        how = self.how(system)
        return seen_by_ranks(trainer, generator, num, seed, self.read, size, title, **how)

    def calibration(self, trainer: Trainer, system: Any) -> Calibration | None:
        """Choose the levels on the generator of `levels_from`, on latents of another seed."""
        if self.levels_from is None:
            return None
        if self.opener is None:
            raise ValueError("study.opener is null, so study.levels_from cannot be opened")
        generator = self.opener(str(self.levels_from)).to(system.device)
        seed = 1_000_000 + derived_seed("circle levels", self.seed) % 1_000_000
        seen = self.seen(trainer, generator, self.num_images, seed, system)
        found = calibrated(
            seen,
            self.false_positive_rate,
            self.levels.levels,
            self.levels.persistence,
            f"{self.num_images} images of {self.levels_from}, latents of seed {seed}, of which at "
            f"most {self.false_positive_rate:.2%} may count as affected",
        )
        self.levels = found.levels
        return found

    def write(
        self,
        directory: Path,
        system: Any,
        seen: Seen,
        found: Detected,
        calibration: Calibration | None,
    ) -> None:
        """Levels, list, table and figures, on one rank."""
        self.levels.save(directory / FILE)
        traced = origins(seen, found, self.levels)
        found = on_cpu(found)
        order = found.worst(len(found.score))
        save_list(found, traced, order, self.seed, directory / "artifacts.npz")
        folder, worst = directory / "figures", order[: self.num_worst]
        batch = self.images(system, worst)
        shown = [traced[row] for row in worst]
        draw_montage(batch, worst, chosen_rows(found, worst), shown, folder / "worst.png")
        scores = {"this generator": found.score}
        if calibration is not None:
            scores["calibrated on"] = calibration.scores
        draw_scores(scores, self.levels.threshold, folder / "scores.png")
        notes = self.drawn(system, found, order, folder) if self.figures else []
        self.tabulate(directory, system, found, order, [*self.notes(system, calibration), *notes])

    def images(self, system: Any, indices: Sequence[int]) -> Tensor:
        """Images of these latents, (N, C, H, W) on the CPU."""
        parts = [
            images_at(
                system.generator_ema,
                indices[start : start + self.batch_size],
                self.seed,
                **self.how(system),
            ).cpu()
            for start in range(0, len(indices), self.batch_size)
        ]
        return torch.cat(parts)

    def drawn(self, system: Any, found: Detected, order: Sequence[int], folder: Path) -> list[str]:
        """The paper's figures; notes say which are missing and why."""
        rows = list(order[: self.num_worst])
        affected = found.affected[rows].tolist()
        case = CircleCase(
            generator=system.generator_ema,
            seed=self.seed,
            how=self.how(system),
            folder=folder,
            worst=rows,
            place=found.place[rows],
            affected=affected,
            points=reading_points(system.generator_ema, self.read),
            num_shown=self.num_shown,
        )
        return draw_circle_figures(case)

    def tabulate(
        self,
        directory: Path,
        system: Any,
        found: Detected,
        order: Sequence[int],
        notes: Sequence[str],
    ) -> None:
        """The table against depth, of affected images or, without any, of the highest scores."""
        num = int(found.affected.sum())
        rows = list(order[: min(self.num_traced, num or self.num_traced)])
        of = f"the {len(rows)} highest scores" + ("" if num else "; no image is affected")
        points = reading_points(system.generator_ema, self.read)
        table = depths(
            system.generator_ema,
            rows,
            found.place[rows],
            self.seed,
            points,
            self.batch_size,
            **self.how(system),
        )
        depth_table(table, [*notes, f"rows: images with {of}"]).write(directory)

    def notes(self, system: Any, calibration: Calibration | None) -> list[str]:
        """What a reader of the table must know."""
        incidence = self.incidence.sentence() if self.incidence else ""
        notes = [
            f"incidence: {incidence}; latents of seed {self.seed}, noise {self.noise}",
            f"affected: {self.levels.text()}, read {reading_of(system.generator_ema, self.read)}; "
            f"levels {self.levels.source}",
            "heights: magnitude over channels (root mean square) at the artifact over the map's "
            "median, the median over images",
            f"channels over 10x: share whose magnitude there is over {FACTOR:g} times their own "
            "median; spots: regions of half the peak's height, size and roundness of the largest",
        ]
        if calibration is not None:
            medians = ", ".join(
                f"{size} {value:.3g}" for size, value in calibration.medians.items()
            )
            notes.append(
                f"calibrated: {calibration.affected} of {calibration.num_images} images affected; "
                f"median contrasts {medians}"
            )
        if not getattr(system.generator_ema, "points", {}):
            notes.append(
                "this generator scales weights instead of normalizing maps (demodulation): there "
                "is no before and after a norm, and no unit is read after a style"
            )
        return notes


def on_cpu(found: Detected) -> Detected:
    """The same on the CPU."""
    return replace(found, score=found.score.cpu(), place=found.place.cpu(), last=found.last.cpu())


def chosen_rows(found: Detected, rows: Sequence[int]) -> Detected:
    """Some of the images."""
    chosen = list(rows)
    return replace(
        found, score=found.score[chosen], place=found.place[chosen], last=found.last[chosen]
    )


def save_list(
    found: Detected,
    traced: Sequence[Origin | None],
    order: Sequence[int],
    seed: int,
    path: Path,
) -> Path:
    """Every image as .npz, the worst first: address, score, place, layer and unit of origin."""
    rows = list(order)
    origin = [traced[row] for row in rows]
    archive = io.BytesIO()
    np.savez_compressed(
        archive,
        index=np.asarray(rows),
        score=found.score[rows].numpy(),
        affected=found.affected[rows].numpy(),
        place=found.place[rows].numpy(),
        layer=np.asarray([each.layer if each else "" for each in origin]),
        unit=np.asarray([each.unit if each else -1 for each in origin]),
        seed=np.asarray(seed),
    )
    return replace_file(path, archive.getvalue())
