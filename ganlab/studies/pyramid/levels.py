"""`study=pyramid_levels`: quality and diversity by the level that images are painted from.

Shocher et al. 2020, section 4.1, table 1 and figure 2: features of test images at one level, all
others masked; FID against these very images.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import torch
from lightning import Trainer
from torch import Tensor

from ganlab.features import Extractor
from ganlab.metrics.suite import short
from ganlab.studies.images.nearest_neighbours import real_images
from ganlab.studies.pyramid.edits import in_colour, latents_within, levels_named
from ganlab.studies.pyramid.levels_report import Diversity, draw_levels, level_notes, level_table
from ganlab.studies.pyramid.study import PyramidStudy
from ganlab.studies.reals import data_of, num_images
from ganlab.studies.sampling import ConditionAt, Edits, EditsAt, batched
from ganlab.studies.scores import watched
from ganlab.studies.stored import random_positions, require_images


class PyramidLevels(PyramidStudy):
    """Scores images painted from each level alone, one image a reference.

    References are the suite's reals, found by their index; image i is told reference i, and image
    num + i is a second one of the same reference. Writes `table.*` (a row a level: scores, the
    paper's FID, diversity), `figures/pyramid_levels.png` (the curves) and `figures/levels.png` (the
    first references, two images of each a level), each with its numbers.

    Raises:
        ValueError: fewer images than references, or a level that there is not.
    """

    positions: list[int]  # of the references among the data's images

    def __init__(
        self,
        *,
        extractor: Extractor,  # of the features that diversity is measured in
        levels: Sequence[str] | str | None = None,  # stages, or `conv1`, ...; None = all
        num: int = 6000,  # references, and images of each level
        num_pairs: int = 1000,  # references of which two images are compared; at most num
        num_shown: int = 8,  # references in the figure
        **options: Any,  # of `PyramidStudy`
    ) -> None:
        super().__init__(**options)
        if min(num, num_pairs, num_shown) < 1:
            raise ValueError(
                f"study.num={num}, study.num_pairs={num_pairs} and study.num_shown={num_shown} "
                "must be at least 1"
            )
        if self.suite is not None and (self.suite.num_real, self.suite.num_fake) != (num, num):
            raise ValueError(
                f"study.num={num}, but study.suite compares {self.suite.num_fake} with "
                f"{self.suite.num_real}: every reference has one image"
            )
        self.extractor, self.level_names, self.num = extractor, levels, num
        self.num_pairs, self.num_shown = min(num_pairs, num), min(num_shown, num)
        self.levels: list[str] = []
        self.psi = self.threshold  # in the records of scores
        self.level = ""  # the one that images are painted from at the moment

    def preflight(self) -> None:
        """Raise, before any data is read, if the extractor's weights are not to be had."""
        super().preflight()
        self.extractor.preflight()

    def setup(self, trainer: Trainer, pl_module: Any, stage: str) -> None:
        """Refuse data without images or with too few, and fetch the weights."""
        require_images(trainer, "pyramid_levels", "paints from references")
        there = num_images(data_of(trainer))
        if there < self.num:
            raise ValueError(
                f"study.num={self.num} references asked for, and the data has {there:,}: "
                f"study.num={there} takes them all, data=... other ones"
            )
        super().setup(trainer, pl_module, stage)
        self.extractor.prepare()
        self.positions = (
            random_positions(there, self.num, "references", self.seed)
            if self.suite is None
            else self.suite.real_indices(there).tolist()
        )

    def check(self, system: Any) -> None:
        """Refuse levels that there are not."""
        self.levels = levels_named(self.level_names, system.generator_ema.stages)

    def on_test_epoch_end(self, trainer: Trainer, pl_module: Any) -> None:
        """Score each level; images of no level are no baseline here."""
        with self.undisturbed():
            if self.reals is not None:
                self.reals.finish(trainer)
            self.investigate(trainer, pl_module)

    def investigate(self, trainer: Trainer, system: Any) -> None:
        """Score on every rank; measure diversity, draw and write on the first."""
        scores: dict[str, dict[str, float]] = {}
        for level in self.levels:
            self.level = level
            if self.suite is not None:
                scores[level] = self.score(trainer, system, level)
                self.record(scores[level], system, intervention=level)
        if trainer.is_global_zero:
            self.extractor.to(system.device)
            self.write(trainer, system, scores)

    def write(self, trainer: Trainer, system: Any, scores: dict[str, dict[str, float]]) -> None:
        """Table, curves, grid."""
        data, diversity = data_of(trainer), self.diversity(trainer, system)
        notes = level_notes(self.records, self.extractor, getattr(data, "name", "the data"))
        notes += [
            f"image i of a level is told reference i of {self.num}; {self.stated}",
            f"diversity, to reference: mean distances in features of {self.extractor.name} between "
            f"two images of one reference, and between image and reference, of {self.num_pairs}; "
            f"two references are {diversity[self.levels[0]].apart:.4g} apart; same class: share "
            "of images that these features' classifier takes for what it takes their reference for",
        ]
        level_table(self.levels, scores, diversity, notes).write(self.folder)
        draw_levels(self.levels, scores, diversity, self.folder / "figures" / "pyramid_levels.png")
        self.records += [self.record_of(level, each, system) for level, each in diversity.items()]
        self.draw(system)

    def record_of(self, level: str, found: Diversity, system: Any) -> dict[str, Any]:
        """The diversity of a level, as it stands in result.json."""
        return {
            "metric": f"diversity{short(self.num_pairs)}_{self.extractor.name}",
            "value": found.diversity,
            "n_real": self.num_pairs,
            "n_fake": 2 * self.num_pairs,
            "extractor": self.extractor.name,
            "extractor_sha256": self.extractor.sha256,
            "resize": self.extractor.resize,
            "truncation": self.psi,
            "ema": True,
            "seed": self.seed,
            "images_seen": system.images_seen,
            "intervention": level,
        }

    def fakes(
        self,
        trainer: Trainer,
        system: Any,
        title: str,
        indices: int | Sequence[int],
        edits: Edits | EditsAt | None = None,
    ) -> Iterator[Tensor]:
        """Batches of images painted from the present level."""
        chosen = range(indices) if isinstance(indices, int) else indices
        share = chosen[trainer.global_rank :: trainer.world_size]
        for rows in batched(watched(share, title, trainer), self.batch_size):
            yield self.painted(system, rows)

    def painted(self, system: Any, addresses: Sequence[int]) -> Tensor:
        """Images of these addresses from the present level, (N, C, R, R) on the CPU."""
        paint = replace(self.painter_of(system), condition_at=self.told(system))
        generator = system.generator_ema
        return paint(latents_within(generator, addresses, self.seed, self.threshold), addresses)

    def told(self, system: Any) -> ConditionAt:
        """What an address is told: the present level of its reference."""
        conditioner, level = system.conditioner, self.level
        return lambda addresses: conditioner.condition(self.references(system, addresses), level)

    def references(self, system: Any, addresses: Sequence[int]) -> Tensor:
        """The reference of each address, (N, C, R, R); address num + i has that of i."""
        stored = (data_of(system.trainer), self.positions)
        return real_images(stored, [i % self.num for i in addresses], system)

    def diversity(self, trainer: Trainer, system: Any) -> dict[str, Diversity]:
        """Level -> how unlike its images are, on this rank alone."""
        references = self.outputs(trainer, "references", lambda rows: self.references(system, rows))
        found = {}
        for level in self.levels:
            self.level = level
            first, second = (
                self.outputs(
                    trainer,
                    f"{level}, pairs",
                    lambda rows, k=k: self.painted(system, [row + k * self.num for row in rows]),
                )
                for k in (0, 1)
            )
            found[level] = Diversity.of(references, first, second)
        return found

    @torch.no_grad()
    def outputs(self, trainer: Trainer, title: str, images: Any) -> dict[str, Tensor]:
        """The extractor's outputs of the pairs' images, which `images` makes of their numbers."""
        found = []
        for rows in batched(watched(range(self.num_pairs), title, trainer), self.batch_size):
            batch = images(rows).to(trainer.strategy.root_device)
            found.append({name: value.cpu() for name, value in self.extractor(batch).items()})
        return {name: torch.cat([each[name] for each in found]) for name in found[0]}

    def draw(self, system: Any) -> None:
        """Figure 2: references across, two images of each level below."""
        shown = list(range(self.num_shown))
        rows = [("reference", in_colour(self.references(system, shown).cpu()))]
        for level in self.levels:
            self.level = level
            for k in (0, 1):
                images = self.painted(system, [i + k * self.num for i in shown])
                rows.append((f"{level}, {'first' if k == 0 else 'second'}", in_colour(images)))
        numbers: dict[str, Any] = {
            "positions": self.positions[: self.num_shown],
            "latents": [[i, self.num + i] for i in shown],
            "levels": self.levels,
        }
        text = "References and two images of each, painted from one level alone"
        self.save_rows("levels", rows, numbers, text)
