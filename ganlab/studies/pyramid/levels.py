"""`study=pyramid_levels`: quality and diversity by the level that images are painted from.

Shocher et al. 2020, section 4.1, table 1 and figure 2: features of test images at one level, all
others masked; FID against these very images.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from ganlab.data.positions import mirrored_images, num_images, random_positions
from ganlab.metrics.suite import short_count
from ganlab.report import figures
from ganlab.report.directions import UNSAID, Ways
from ganlab.report.drawings import Drawing, Picture
from ganlab.report.protocols import protocol_stamp, protocol_text
from ganlab.report.tables import Table
from ganlab.sampling import Sampler, batched
from ganlab.scoring.directions import chosen_monitor
from ganlab.studies.bench import Bench
from ganlab.studies.findings import Findings
from ganlab.studies.pyramid.easel import Easel, PyramidQuestion
from ganlab.studies.pyramid.edits import find_levels
from ganlab.studies.question import FeatureQuestion, at_least, require_images

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Shocher et al. 2020, table 1: FID of 6,000 images; VGG-16, Places365. Stage -> printed level, FID.
PAPER = {
    "pool1": ("Conv1", 2.89),
    "pool2": ("Conv2", 8.67),
    "pool3": ("Conv3", 11.08),
    "pool4": ("Conv4", 17.64),
    "pool5": ("Conv5", 19.59),
    "fc7": ("FC7", 22.67),
    "fc8": ("FC8", 29.34),
}
PAPER_FID = "FID (paper)"
MEASURES = ("diversity", "to reference", "same class")
Scores = Mapping[str, Mapping[str, float]]  # level -> metric -> value


@dataclass(frozen=True)
class Diversity:
    """How unlike two images of one reference are; distances are means of L2 norms of features."""

    diversity: float  # between two images of one reference
    to_reference: float  # between an image and its reference
    same_class: float  # share of images whose most probable class is their reference's
    apart: float  # between two references: what unlike means here

    @classmethod
    def of(
        cls,
        references: Mapping[str, Tensor],  # `features` (N, d) and `logits` (N, K)
        first: Mapping[str, Tensor],  # of one image of each reference
        second: Mapping[str, Tensor],  # of another one
    ) -> "Diversity":
        """From an extractor's outputs of references and images, in one order."""
        real, one, other = (each["features"].double() for each in (references, first, second))
        guess = references["logits"].argmax(1)
        same = [each["logits"].argmax(1) == guess for each in (first, second)]
        return cls(
            _mean_distance(one, other),
            (_mean_distance(one, real) + _mean_distance(other, real)) / 2,
            float(torch.cat(same).double().mean()),
            _mean_distance(real, real.roll(1, 0)) if len(real) > 1 else float("nan"),
        )

    @property
    def values(self) -> tuple[float, float, float]:
        """In the order of `MEASURES`."""
        return self.diversity, self.to_reference, self.same_class


def _mean_distance(a: Tensor, b: Tensor) -> float:
    """Mean L2 distance of the rows of two (N, d)."""
    return float((a - b).norm(dim=1).mean())


@dataclass(frozen=True, kw_only=True)
class PyramidLevels(PyramidQuestion, FeatureQuestion):
    """Scores images painted from each level alone, one image a reference.

    References are the suite's reals, found by their index; image i is told reference i, and image
    num + i is a second one of the same reference. Writes `table.*` (a row a level: scores, the
    paper's FID, diversity), `figures/pyramid_levels.png` (the curves) and `figures/levels.png` (the
    first references, two images of each a level), each with its numbers.

    Diversity is measured in the extractor's features.

    Raises:
        ValueError: fewer images than references, a level that there is not, or what `Easel.at`
            refuses.
    """

    levels: Sequence[str] | str | None = None  # stages, or `conv1`, ...; None = all
    num: int = 6000  # references, and images of each level
    num_pairs: int = 1000  # references of which two images are compared; at most num
    num_shown: int = 8  # references in the figure

    baseline = False  # images of no level

    def __post_init__(self) -> None:
        super().__post_init__()
        at_least(1, num=self.num, num_pairs=self.num_pairs, num_shown=self.num_shown)
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

    def check(self, bench: Bench) -> None:
        """Refuse data without images or with too few, and fetch the weights."""
        require_images(bench.trainer, "pyramid_levels", "paints from references")
        there = num_images(bench.data)
        if there < self.num:
            raise ValueError(
                f"study.num={self.num} references asked for, and the data has {there:,}: "
                f"study.num={there} takes them all, data=... other ones"
            )
        find_levels(self.levels, self.easel(bench).stages)
        super().check(bench)

    def references(self, bench: Bench) -> "References":
        """The references, by address."""
        there = num_images(bench.data)
        positions = (
            random_positions(there, self.num, "references", self.seed)
            if self.suite is None
            else self.suite.real_indices(there).tolist()
        )
        return References(self.easel(bench), positions)

    def run(self, bench: Bench) -> Findings:
        """Score on every rank; measure diversity and draw on the first."""
        references = self.references(bench)
        levels = find_levels(self.levels, references.easel.stages)
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
                "pyramid_levels": draw_levels(levels, scores, diversity, bench.scoring.ways),
                "levels": self.grid(references, levels),
            },
            records=[self.record_of(bench, level, each) for level, each in diversity.items()],
        )

    def notes(self, bench: Bench, easel: Easel, diversity: dict[str, Diversity]) -> list[str]:
        """What a reader of the table must know."""
        apart = next(iter(diversity.values())).apart
        name, extractor = getattr(bench.data, "name", "the data"), self.extractor
        return [
            *map(protocol_text, dict.fromkeys(map(protocol_stamp, bench.records))),
            f"features of diversity: {extractor.name} {extractor.sha256[:12]}, resize "
            f"{extractor.resize}",
            f"references: images of {name}",
            f"image i of a level is told reference i of {self.num}; {easel.stated}",
            f"diversity, to reference: mean distances in features of {extractor.name} between "
            f"two images of one reference, and between image and reference, of {len(self.pairs)}; "
            f"two references are {apart:.4g} apart; same class: share "
            "of images that these features' classifier takes for what it takes their reference for",
        ]

    def record_of(self, bench: Bench, level: str, found: Diversity) -> dict[str, Any]:
        """The diversity of a level, as it stands in result.json."""
        num = len(self.pairs)
        name = f"diversity{short_count(num)}_{self.extractor.name}"
        return bench.record_of(
            name,
            found.diversity,
            self.extractor,
            n_real=num,
            n_fake=2 * num,
            truncation=self.truncation,
            intervention=level,
        )

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
        for rows in batched(bench.ranks.progress(self.pairs, title), self.batch_size):
            batch = images([start + row for row in rows]).to(bench.device)
            found.append({name: value.cpu() for name, value in self.extractor(batch).items()})
        return {name: torch.cat([each[name] for each in found]) for name in found[0]}

    def grid(self, references: "References", levels: Sequence[str]) -> Picture:
        """Figure 2: references across, two images of each level below."""
        rows = [("reference", references.images(self.shown).cpu())]
        for level in levels:
            for k in (0, 1):
                images = references.sampler(level).images([i + k * self.num for i in self.shown])
                rows.append((f"{level}, {'first' if k == 0 else 'second'}", images))
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


def level_table(
    levels: Sequence[str],
    scores: Scores,  # empty = nothing was scored
    diversity: Mapping[str, Diversity],
    notes: Sequence[str] = (),
) -> Table:
    """Table 1: a row a level, fine to coarse; the paper's FID stands beside a level of its name."""
    metrics = list(dict.fromkeys(name for values in scores.values() for name in values))
    printed = [PAPER_FID] if any(level in PAPER for level in levels) and metrics else []
    rows = []
    for level in levels:
        found = [scores.get(level, {}).get(name) for name in metrics]
        paper_fid = [PAPER[level][1] if level in PAPER else None] * len(printed)
        rows.append([level, *found, *paper_fid, *diversity[level].values])
    columns = ["level", *metrics, *printed, *MEASURES]
    caption = "Images painted from one level alone, from the one closest to the image on"
    paper = (
        "paper: Shocher et al. 2020, table 1; VGG-16 and Places365, 6,000 test images, Inception"
    )
    return Table.of(columns, rows, caption, [*notes, *([paper] if printed else [])])


def draw_levels(
    levels: Sequence[str],
    scores: Scores,
    diversity: Mapping[str, Diversity],
    ways: Ways = UNSAID,  # in which the scores improve
) -> Drawing:
    """FID and diversity over the levels; the paper's FID, of other features, has its own axes."""
    metric = chosen_monitor(list(scores[levels[0]]), None, ways) if scores else None
    numbers: dict[str, Any] = {"level": list(levels)}
    panels: list[dict[str, Any]] = []
    if metric:
        numbers[metric] = [scores[level][metric] for level in levels]
        panels.append({metric: numbers[metric]})
        if any(level in PAPER for level in levels):
            numbers["fid_paper"] = [PAPER.get(level, ("", np.nan))[1] for level in levels]
            panels.append({PAPER_FID: numbers["fid_paper"]})
    measured = zip(*(diversity[level].values for level in levels), strict=True)
    both = dict(zip(MEASURES[:2], measured, strict=False))
    numbers |= {name.replace(" ", "_"): values for name, values in both.items()}
    panels.append({f"{name} (features)": values for name, values in both.items()})
    with figures.house_style():
        figure, axes = figures.new_figure(3.4 * len(panels), 2.6, len(panels), len(panels))
        for panel, lines in zip(axes, panels, strict=True):
            _draw(panel, levels, lines)
    return Drawing(figure, numbers, "Quality and diversity by the level painted from")


def _draw(axes: "Axes", levels: Sequence[str], lines: Mapping[str, Sequence[float]]) -> None:
    places = range(len(levels))
    for i, (name, values) in enumerate(lines.items()):
        figures.draw_points(axes, i, name, places, values)
    axes.set_xticks(list(places), list(levels), rotation=30)
    axes.set_ylim(bottom=0)
    axes.legend()
