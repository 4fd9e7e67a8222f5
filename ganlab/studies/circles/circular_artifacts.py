"""`study=circular_artifacts`: does a generator make water drops, how often, and where from?

Tan, Wen, Yang: "Systematic Analysis and Removal of Circular Artifacts for StyleGAN".
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike
from torch import Tensor

from ganlab.checks.places import place_named
from ganlab.nn.randomness import derived_seed
from ganlab.report import figures, images
from ganlab.report.drawings import Drawing, Picture
from ganlab.report.panels import MARKED, panel_figure, pictures, wrap_rows
from ganlab.report.tables import Table
from ganlab.studies.bench import Bench
from ganlab.studies.circles.case import CircleCase
from ganlab.studies.circles.channels import NUM
from ganlab.studies.circles.depth import FACTOR, depth_table, depths
from ganlab.studies.circles.figures import draw_figures
from ganlab.studies.circles.grids import Compare, Opener, comparison, named_checkpoints
from ganlab.studies.circles.incidence import Incidence, observe_by_ranks
from ganlab.studies.circles.levels import FILE, MINIMUM, PERSISTENCE, Levels, LevelsGiven
from ganlab.studies.circles.observation import (
    Calibration,
    Detected,
    Origin,
    calibrate,
    origins,
    reading_of,
    reading_points,
)
from ganlab.studies.findings import Findings
from ganlab.studies.question import Question, at_least, inside_unit

COLUMNS = 8  # images in a row of the montage
BINS = 50


@dataclass(frozen=True, kw_only=True)
class CircularArtifacts(Question):
    """Finds affected images, traces their artifacts to layer and unit, draws the paper's figures.

    Writes `table.*` (a row a layer), `artifacts.npz` (every image's score, place and origin, the
    worst first), `levels.json` (what counted as an artifact), `figures/worst.png`,
    `figures/scores.png` and the figures of `figures`; with `compare` also Figures 13 and 14.
    Without affected images the table and figures are of the highest scores, and say so.

    Raises:
        ValueError: a generator without style layers, or numbers that cannot be.
        FileNotFoundError: no such file of levels or checkpoint.
    """

    num_images: int = 2000  # latents 0 .. num_images-1
    read: str = "style"  # or norm, activation: see `observation.reading_points`
    levels: LevelsGiven = MINIMUM  # contrast that stands out; by size, as {8x8: 3}
    threshold: float = 1.0  # score above which an image is affected
    persistence: int = PERSISTENCE  # consecutive resolutions
    channel_level: float | None = None  # one channel's peak over its highest elsewhere
    num_reference: int = NUM  # other images in which that is looked for
    levels_from: str | Path | None = None  # artifact-free checkpoint, or a run's levels.json
    false_positive_rate: float = 0.01  # of that checkpoint's images
    confidence: float = 0.95  # of the Wilson interval
    num_worst: int = 32  # images in the montage
    num_traced: int = 64  # worst affected images that the table is of
    num_shown: int = 4  # images in Figures 7, 13 and 14
    compare: Compare = None  # other checkpoints of Figures 13 and 14, as {PN: ..., PIN: ...}
    opener: Opener | None = None  # of those
    noise: str = "fixed"  # of the images; random = drawn for each, keyed by its latent
    figures: bool = True  # draw the paper's figures

    def __post_init__(self) -> None:
        super().__post_init__()
        at_least(1, num_images=self.num_images, num_worst=self.num_worst)
        at_least(1, num_traced=self.num_traced, num_shown=self.num_shown)
        inside_unit(confidence=self.confidence, false_positive_rate=self.false_positive_rate)
        _ = self.compared, self.given
        if self.artifact_free is not None and not self.artifact_free.is_file():
            raise FileNotFoundError(f"study.levels_from={self.levels_from}: no such checkpoint")

    @cached_property
    def compared(self) -> list[tuple[str | None, Path]]:
        """Name and file of each generator beside this one."""
        return named_checkpoints(self.compare)

    @property
    def artifact_free(self) -> Path | None:
        """The checkpoint that levels are chosen on."""
        path = (
            None if self.levels_from is None else place_named(self.levels_from, "study.levels_from")
        )
        return path if path is not None and path.suffix == ".ckpt" else None

    @cached_property
    def given(self) -> Levels:
        """Levels as configured, or as another run left them."""
        if self.levels_from is not None and self.artifact_free is None:
            return Levels.load(self.levels_from)
        return Levels(
            self.levels,
            self.threshold,
            self.persistence,
            channel=self.channel_level,
            reference=self.num_reference,
        )

    def check(self, bench: Bench) -> None:
        """Refuse a generator without style layers."""
        reading_points(bench.generator, self.read)

    def run(self, bench: Bench) -> Findings:
        """Choose levels, look at every image and draw; `result` is the incidence."""
        calibration = self.calibration(bench)
        levels = self.given if calibration is None else calibration.levels
        seen = observe_by_ranks(
            bench.ranks, bench.sampler, self.num_images, self.read, levels.compared_with
        )
        found = seen.detect(levels)
        incidence = Incidence.of(found, self.confidence)
        facts = {"seed": self.seed, "images_seen": bench.images_seen, "noise": self.noise}
        reading = reading_of(bench.generator, self.read)
        bench.records.extend(incidence.records(levels, reading, **facts))
        drawings: dict[str, Drawing | Picture] = {}
        tables: dict[str, Table] = {}
        if self.compared and self.opener is not None:
            table, grid = comparison(bench, self.compared, self.opener, self.num_shown)
            tables["compared"], drawings["figure13_14_grids"] = table, grid
        if not bench.writes:
            return Findings(result=incidence)
        order = found.worst(self.num_images)
        every, ranked = origins(seen, found, levels), found.rows(order)
        traced = [every[row] for row in order]
        notes = self.notes(bench, levels, incidence, calibration)
        if self.figures:
            drawn, missing = self.draw(bench, ranked, order)
            drawings, notes = drawings | drawn, [*notes, *missing]
        shown = order[: self.num_worst]
        worst = ranked.rows(range(len(shown)))
        drawings["worst"] = draw_montage(bench.sampler.images(shown), shown, worst, traced)
        scores = {"this generator": found.score.cpu()}
        if calibration is not None:
            scores["calibrated on"] = calibration.scores
        drawings["scores"] = draw_scores(scores, found.threshold)
        return Findings(
            tables={"table": self.table(bench, ranked, order, notes), **tables},
            figures=drawings,
            arrays={"artifacts": list_images(ranked, traced, order, self.seed)},
            files={FILE: levels.save},
            result=incidence,
        )

    def calibration(self, bench: Bench) -> Calibration | None:
        """Choose the levels on the generator of `levels_from`, on latents of another seed."""
        if self.artifact_free is None:
            return None
        if self.opener is None:
            raise ValueError("study.opener is null, so study.levels_from cannot be opened")
        generator = self.opener(str(self.artifact_free)).to(bench.device)
        seed = 1_000_000 + derived_seed("circle levels", self.seed) % 1_000_000
        sampler = replace(bench.sampler, generator=generator, seed=seed)
        source = (
            f"{self.num_images} images of {self.artifact_free}, latents of seed {seed}, of which "
            f"at most {self.false_positive_rate:.2%} may count as affected"
        )
        compared = self.given.compared_with
        seen = observe_by_ranks(bench.ranks, sampler, self.num_images, self.read, compared)
        return calibrate(seen, self.false_positive_rate, replace(self.given, source=source))

    def draw(
        self, bench: Bench, ranked: Detected, order: Sequence[int]
    ) -> tuple[dict[str, Drawing | Picture], list[str]]:
        """The paper's figures of images, the worst first; notes say which are missing and why."""
        case = CircleCase(
            sampler=bench.sampler,
            worst=order[: self.num_worst],
            place=ranked.place[: self.num_worst],
            affected=ranked.affected[: self.num_worst].tolist(),
            points=reading_points(bench.generator, self.read),
            num_shown=self.num_shown,
        )
        found, missing = draw_figures(case)
        return {**found}, missing

    def table(
        self, bench: Bench, ranked: Detected, order: Sequence[int], notes: Sequence[str]
    ) -> Table:
        """The table against depth, of affected images or, without any, of the highest scores."""
        num = int(ranked.affected.sum())
        rows = order[: min(self.num_traced, num or self.num_traced)]
        of = f"the {len(rows)} highest scores" + ("" if num else "; no image is affected")
        points = reading_points(bench.generator, self.read)
        layers = depths(bench.sampler, rows, ranked.place[: len(rows)], points)
        return depth_table(layers, [*notes, f"rows: images with {of}"])

    def notes(
        self, bench: Bench, levels: Levels, found: Incidence, calibration: Calibration | None
    ) -> list[str]:
        """What a reader of the table must know."""
        notes = [
            f"incidence: {found.sentence()}; latents of seed {self.seed}, noise {self.noise}",
            f"affected: {levels.text()}, read {reading_of(bench.generator, self.read)}; "
            f"levels {levels.source}",
            "heights: magnitude over channels (root mean square) at the artifact over the map's "
            "median, the median over images",
            f"channels over 10x: share whose magnitude there is over {FACTOR:g} times their own "
            "median; spots: regions of half the peak's height, size and roundness of the largest",
        ]
        if calibration is not None:
            medians = [f"{size} {value:.3g}" for size, value in calibration.medians.items()]
            notes.append(
                f"calibrated: {calibration.affected} of {len(calibration.scores)} images affected; "
                f"median contrasts {', '.join(medians)}"
            )
        if not bench.generator.points:
            notes.append(
                "this generator scales weights instead of normalizing maps (demodulation): there "
                "is no before and after a norm, and no unit is read after a style"
            )
        return notes


def list_images(
    ranked: Detected, traced: Sequence[Origin | None], order: Sequence[int], seed: int
) -> dict[str, ArrayLike]:
    """Every image, the worst first: address, score, place, layer and unit of origin.

    `alone` says which are affected by one channel that stands out by itself.
    """
    return {
        "index": order,
        "score": ranked.score,
        "affected": ranked.affected,
        "alone": ranked.affected & (ranked.unit >= 0),
        "place": ranked.place,
        "layer": np.asarray([each.layer if each else "" for each in traced]),
        "unit": np.asarray([each.unit if each else -1 for each in traced]),
        "seed": seed,
    }


def draw_montage(
    batch: Tensor,  # (K, C, H, W) in [-1, 1]
    indices: Sequence[int],  # their addresses
    found: Detected,  # of these images alone
    traced: Sequence[Origin | None],  # of these and perhaps more
) -> Drawing:
    """The worst images, each with a ring where its peak is; unaffected ones say so."""
    titles = [
        f"{index}: {score:.2f}\n" + (f"{origin.layer} #{origin.unit}" if origin else "below")
        for index, score, origin in zip(indices, found.score.tolist(), traced, strict=False)
    ]
    cells = [
        cell.marked(place) for cell, place in zip(pictures(batch, titles), found.place, strict=True)
    ]
    numbers: dict[str, ArrayLike] = {"index": indices, "score": found.score}
    numbers |= {"affected": found.affected, "place": found.place}
    numbers["images"] = images.to_uint8(batch)
    num = int(found.affected.sum())
    text = f"Images with the highest scores, {num} of {len(batch)} of them affected; ring: the peak"
    return Drawing(panel_figure(wrap_rows(cells, COLUMNS), MARKED), numbers, text)


def draw_scores(
    scores: Mapping[str, Tensor],  # name -> (N,); this generator's first, then the calibrating one
    threshold: float,
) -> Drawing:
    """Histograms of scores and the threshold above which an image counts as affected."""
    top = max(float(values.max()) for values in scores.values())
    edges = np.linspace(0, max(top, threshold) * 1.05, BINS + 1)
    numbers: dict[str, ArrayLike] = {"edges": edges, "threshold": threshold}
    with figures.house_style():
        figure, (axes,) = figures.new_figure(4.6, 2.5)
        for i, (name, values) in enumerate(scores.items()):
            share = np.histogram(values.numpy(), edges)[0] / len(values)
            look = {"color": figures.PALETTE[i], "linestyle": figures.DASHES[i], "fill": False}
            axes.stairs(share, edges, label=figures.label(name), **look)
            numbers |= {f"{name}/score": values, f"{name}/share": share}
        axes.axvline(threshold, color=figures.INK, linewidth=0.8, linestyle=":", label="threshold")
        axes.set(xlabel="score: least contrast over its level", ylabel="share of images")
        axes.legend()
    text = "Scores of images: how far the strongest persisting peak stands above its level"
    return Drawing(figure, numbers, text)
