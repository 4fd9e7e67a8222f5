"""`study=pyramid_levels`: quality and diversity by the level that images are painted from.

Shocher et al. 2020, section 4.1, table 1 and figure 2: features of test images at one level, all
others masked; FID against these very images.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ganlab.features import Extractor
from ganlab.metrics.suite import short
from ganlab.report.drawings import Picture
from ganlab.sampling import Sampler, batched
from ganlab.studies.bench import Bench
from ganlab.studies.findings import Findings
from ganlab.studies.pyramid.easel import Easel, checked_options
from ganlab.studies.pyramid.edits import in_colour, levels_named
from ganlab.studies.pyramid.levels_report import Diversity, draw_levels, level_notes, level_table
from ganlab.studies.question import Question
from ganlab.studies.reals import num_images
from ganlab.studies.stored import mirrored_images, random_positions, require_images


@dataclass(frozen=True, kw_only=True)
class PyramidLevels(Question):
    """Scores images painted from each level alone, one image a reference.

    References are the suite's reals, found by their index; image i is told reference i, and image
    num + i is a second one of the same reference. Writes `table.*` (a row a level: scores, the
    paper's FID, diversity), `figures/pyramid_levels.png` (the curves) and `figures/levels.png` (the
    first references, two images of each a level), each with its numbers.

    Raises:
        ValueError: fewer images than references, a level that there is not, or what `Easel.at`
            refuses.
    """

    extractor: Extractor  # of the features that diversity is measured in
    levels: Sequence[str] | str | None = None  # stages, or `conv1`, ...; None = all
    num: int = 6000  # references, and images of each level
    num_pairs: int = 1000  # references of which two images are compared; at most num
    num_shown: int = 8  # references in the figure
    truncation: float | None = None  # latents within this of 0: less diverse, more typical
    class_names: str | Path | None = None  # text file, a line a class; None = see `Easel.at`

    baseline = False  # images of no level

    def __post_init__(self) -> None:
        super().__post_init__()
        checked_options(self.truncation)
        if min(self.num, self.num_pairs, self.num_shown) < 1:
            raise ValueError(
                f"study.num={self.num}, study.num_pairs={self.num_pairs} and study.num_shown="
                f"{self.num_shown} must be at least 1"
            )
        suite = self.suite
        if suite is not None and (suite.num_real, suite.num_fake) != (self.num, self.num):
            raise ValueError(
                f"study.num={self.num}, but study.suite compares {suite.num_fake} with "
                f"{suite.num_real}: every reference has one image"
            )

    @property
    def pairs(self) -> range:
        """References of which two images are compared."""
        return range(min(self.num_pairs, self.num))

    @property
    def shown(self) -> list[int]:
        """References in the figure."""
        return list(range(min(self.num_shown, self.num)))

    def preflight(self) -> None:
        """Raise, before any data is read, if the extractor's weights are not to be had."""
        self.extractor.preflight()

    def check(self, bench: Bench) -> None:
        """Refuse data without images or with too few, and fetch the weights."""
        require_images(bench.trainer, "pyramid_levels", "paints from references")
        there = num_images(bench.data)
        if there < self.num:
            raise ValueError(
                f"study.num={self.num} references asked for, and the data has {there:,}: "
                f"study.num={there} takes them all, data=... other ones"
            )
        easel = Easel.at(bench, self.truncation, self.class_names)
        levels_named(self.levels, easel.stages)
        self.extractor.prepare()

    def references(self, bench: Bench) -> "References":
        """The references, by address."""
        there = num_images(bench.data)
        positions = (
            random_positions(there, self.num, "references", self.seed)
            if self.suite is None
            else self.suite.real_indices(there).tolist()
        )
        return References(Easel.at(bench, self.truncation, self.class_names), positions)

    def run(self, bench: Bench) -> Findings:
        """Score on every rank; measure diversity and draw on the first."""
        references = self.references(bench)
        levels = levels_named(self.levels, references.easel.stages)
        scores: dict[str, dict[str, float]] = {}
        for level in levels if bench.suite is not None else ():
            sampler = references.sampler(level)
            scores[level] = bench.score(level, sampler=sampler)
            bench.record(scores[level], sampler, intervention=level)
        if not bench.ranks.first:
            return Findings()
        self.extractor.to(bench.device)
        diversity = self.diversity(bench, references, levels)
        notes = self.notes(bench, references.easel, diversity)
        return Findings(
            tables={"table": level_table(levels, scores, diversity, notes)},
            figures={
                "pyramid_levels": draw_levels(levels, scores, diversity),
                "levels": self.grid(references, levels),
            },
            records=[self.record_of(bench, level, each) for level, each in diversity.items()],
        )

    def notes(self, bench: Bench, easel: Easel, diversity: dict[str, Diversity]) -> list[str]:
        """What a reader of the table must know."""
        apart = next(iter(diversity.values())).apart
        name = getattr(bench.data, "name", "the data")
        return [
            *level_notes(bench.records, self.extractor, name),
            f"image i of a level is told reference i of {self.num}; {easel.stated}",
            f"diversity, to reference: mean distances in features of {self.extractor.name} between "
            f"two images of one reference, and between image and reference, of {len(self.pairs)}; "
            f"two references are {apart:.4g} apart; same class: share "
            "of images that these features' classifier takes for what it takes their reference for",
        ]

    def record_of(self, bench: Bench, level: str, found: Diversity) -> dict[str, Any]:
        """The diversity of a level, as it stands in result.json."""
        num = len(self.pairs)
        return {
            "metric": f"diversity{short(num)}_{self.extractor.name}",
            "value": found.diversity,
            "n_real": num,
            "n_fake": 2 * num,
            "extractor": self.extractor.name,
            "extractor_sha256": self.extractor.sha256,
            "resize": self.extractor.resize,
            "truncation": self.truncation,
            "ema": True,
            "seed": self.seed,
            "images_seen": bench.images_seen,
            "intervention": level,
        }

    def diversity(
        self, bench: Bench, references: "References", levels: Sequence[str]
    ) -> dict[str, Diversity]:
        """Level -> how unlike its images are, on this rank alone."""
        real = self.outputs(bench, "references", references.images)
        found = {}
        for level in levels:
            sampler = references.sampler(level)
            first, second = (
                self.outputs(bench, f"{level}, pairs", sampler.images, start)
                for start in (0, self.num)
            )
            found[level] = Diversity.of(real, first, second)
        return found

    @torch.no_grad()
    def outputs(
        self, bench: Bench, title: str, images: Callable[[list[int]], Tensor], start: int = 0
    ) -> dict[str, Tensor]:
        """The extractor's outputs of the pairs' images; `images` makes those from `start` on."""
        found = []
        for rows in batched(bench.ranks.watched(self.pairs, title), self.batch_size):
            batch = images([start + row for row in rows]).to(bench.device)
            found.append({name: value.cpu() for name, value in self.extractor(batch).items()})
        return {name: torch.cat([each[name] for each in found]) for name in found[0]}

    def grid(self, references: "References", levels: Sequence[str]) -> Picture:
        """Figure 2: references across, two images of each level below."""
        rows = [("reference", in_colour(references.images(self.shown).cpu()))]
        for level in levels:
            for k in (0, 1):
                images = references.sampler(level).images([i + k * self.num for i in self.shown])
                rows.append((f"{level}, {'first' if k == 0 else 'second'}", in_colour(images)))
        numbers: dict[str, Any] = {
            "positions": references.positions[: len(self.shown)],
            "latents": [[i, self.num + i] for i in self.shown],
            "levels": levels,
        }
        text = "References and two images of each, painted from one level alone"
        return references.easel.picture(rows, numbers, text)


@dataclass(frozen=True, eq=False)
class References:
    """Images of the data that a pyramid paints from: address num + i has the reference of i."""

    easel: Easel
    positions: Sequence[int]  # among the data's images, mirror images after the others

    def images(self, addresses: Sequence[int]) -> Tensor:
        """The reference of each address, (N, C, R, R), where the system is."""
        bench = self.easel.bench
        chosen = [self.positions[i % len(self.positions)] for i in addresses]
        return mirrored_images(bench.data, chosen, bench.device)

    def sampler(self, level: str) -> Sampler:
        """What paints the images of one level."""
        tell = self.easel.conditioner.condition
        return self.easel.told(lambda addresses: tell(self.images(addresses), level))
