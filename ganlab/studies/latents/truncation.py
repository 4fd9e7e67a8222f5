"""`study=truncation`: fidelity against diversity, as styles are drawn to their mean.

The truncation trick (Karras et al. 2019, appendix B): w' = mean + psi (w - mean). Precision
measures fidelity, recall diversity (Kynkaanniemi et al., arXiv:1904.06991, figure 4).
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from ganlab.networks.base import Generator
from ganlab.report import figures
from ganlab.report.directions import UNSAID, Ways
from ganlab.report.drawings import Drawing, Picture
from ganlab.report.tables import Table
from ganlab.sampling import has_styles
from ganlab.scoring.directions import chosen_monitor
from ganlab.studies.address import Latents
from ganlab.studies.bench import Bench
from ganlab.studies.findings import Findings
from ganlab.studies.latents.latent_set import LatentSet, latent_set
from ganlab.studies.latents.pictures import LatentQuestion, rows_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes

PSIS = (0.3, 0.5, 0.7, 0.8, 0.9, 1.0)
Scored = Mapping[float, Mapping[str, float]]  # psi -> metric -> value


@dataclass(frozen=True, kw_only=True)
class Truncation(LatentQuestion):
    """Scores the same latents under each psi: a table, curves, and a grid of images.

    psi = 1 is the generator as it is. Without a suite only the grid is made. The options
    `truncation` and `cutoff` have no place here.

    Raises:
        ValueError: no psi, one that is named twice, or a generator without styles.
    """

    psis: Sequence[float] = PSIS  # 1 = as they are, 0 = the mean alone, above 1 = exaggerated
    latents: Latents = "0:8"  # columns of the grid of images

    def __post_init__(self) -> None:
        super().__post_init__()
        distinct = {f"{psi:g}" for psi in self.ordered if math.isfinite(psi)}  # as rows are named
        if not self.ordered or len(distinct) < len(self.ordered):
            raise ValueError(f"study.psis={list(self.psis)} must be finite numbers, each once")
        if self.truncation is not None or self.cutoff is not None:
            raise ValueError(
                "study.truncation and study.cutoff mean nothing here: name the psis in study.psis"
            )

    @cached_property
    def ordered(self) -> list[float]:
        """The psis, ascending."""
        return sorted(float(psi) for psi in self.psis)

    def check(self, bench: Bench) -> None:
        """Refuse generators without styles."""
        if not has_styles(bench.generator) or not bench.generator.truncates:
            raise ValueError(
                f"study=truncation needs a generator with styles, such as stylegan or stylegan2, "
                f"and this {type(bench.generator).__module__} has none"
            )
        self.read(bench.generator)

    def read(self, generator: Generator) -> LatentSet:
        """The latents of the grid."""
        return latent_set(generator, self.latents, self.seed)

    def run(self, bench: Bench) -> Findings:
        """Score each psi on all ranks; the first one draws."""
        scored = self.score_psis(bench) if bench.suite is not None else {}
        if not bench.ranks.first:
            return Findings()
        found = self.read(bench.generator)
        figures: dict[str, Drawing | Picture] = {"truncation_images": self.grid(bench, found)}
        tables = {}
        if scored:
            note = self.note(bench)
            columns = ["psi", *next(iter(scored.values()))]
            rows = [(psi, *values.values()) for psi, values in scored.items()]
            tables["table"] = Table.of(columns, rows, "Scores under truncation", [note])
            text = f"Fidelity and diversity under truncation; {note}"
            figures["truncation"] = trade(scored, text, bench.scoring.ways)
        latents = {"truncation_images": found.values}
        return Findings(tables=tables, figures=figures, latents=latents)

    def score_psis(self, bench: Bench) -> dict[float, dict[str, float]]:
        """psi -> metric -> value; psi = 1 was scored as the baseline."""
        found = {}
        for psi in self.ordered:
            if psi == 1:
                found[psi] = dict(bench.baseline)
                continue
            sampler = bench.truncated(psi)
            found[psi] = bench.score(f"psi {psi:g}", sampler=sampler)
            bench.record(found[psi], sampler, intervention=f"truncation {psi:g}")
        return found

    def note(self, bench: Bench) -> str:
        """What was compared."""
        first = bench.records[0]
        return (
            f"{first['n_fake']} latents of seed {self.seed} against {first['n_real']} reals; "
            f"extractor {first['extractor']} {first['extractor_sha256'][:12]}; noise {self.noise}"
        )

    def grid(self, bench: Bench, found: LatentSet) -> Picture:
        """The same latents under every psi."""
        rows = []
        for psi in self.ordered:
            sampler = bench.truncated(None if psi == 1 else psi)
            rows.append((f"psi {psi:g}", sampler.paint(found.values, found.addresses)))
        numbers: dict[str, Any] = {"index": found.addresses, "psi": self.ordered}
        return rows_of(rows, numbers, f"Rows: psi; {found.source}", bench.sampler)


def trade(scored: Scored, caption: str = "", ways: Ways = UNSAID) -> Drawing:
    """FID, precision and recall over psi, and precision over recall with psi at the points.

    Panels of metrics that were not computed are left out; with none of them, the first metric's.
    """
    metrics = list(next(iter(scored.values())))
    first = {
        kind: next((name for name in metrics if name.startswith(kind)), None)
        for kind in ("fid", "precision", "recall")
    }
    both = [name for name in (first["precision"], first["recall"]) if name]
    leading = first["fid"] or chosen_monitor(metrics, None, ways)
    panels = [[leading], *([both] if both else [])]
    count = len(panels) + (len(both) == 2)
    with figures.house_style():
        figure, axes = figures.new_figure(2.6 * count, 2.5, count, count)
        for place, names in zip(axes, panels, strict=False):
            draw_scores(place, scored, names)
        if len(both) == 2:
            draw_trade(axes[-1], scored, *both)
    numbers = {name: np.asarray([each[name] for each in scored.values()]) for name in metrics}
    return Drawing(figure, {"psi": np.asarray(list(scored)), **numbers}, caption)


def draw_scores(axes: "Axes", scored: Scored, names: Sequence[str]) -> None:
    """Some metrics over psi."""
    for i, name in enumerate(names):
        figures.draw_points(axes, i, name, list(scored), [each[name] for each in scored.values()])
    axes.set(xlabel="psi", title=names[0] if len(names) == 1 else "")
    if len(names) > 1:
        axes.set_ylim(0, 1.35)  # shares; above them is room for the legend
        axes.set_yticks([0, 0.25, 0.5, 0.75, 1])
        axes.legend(loc="upper left")


def draw_trade(axes: "Axes", scored: Scored, precision: str, recall: str) -> None:
    """Precision over recall, each point named by its psi."""
    points = [(found[recall], found[precision]) for found in scored.values()]
    axes.plot(*zip(*points, strict=True), color=figures.PALETTE[2], marker="o", markersize=3)
    for psi, point in zip(scored, points, strict=True):
        axes.annotate(f"{psi:g}", point, xytext=(3, 3), textcoords="offset points", fontsize=7)
    axes.locator_params(nbins=4)
    axes.margins(0.12)
    axes.set(xlabel=recall, ylabel=precision)
