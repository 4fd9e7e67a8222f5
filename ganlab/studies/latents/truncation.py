"""`study=truncation`: fidelity against diversity, as styles are drawn to their mean.

The truncation trick (Karras et al. 2019, appendix B): w' = mean + psi (w - mean). Precision
measures fidelity, recall diversity (Kynkaanniemi et al., arXiv:1904.06991, figure 4).
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from lightning import Trainer

from ganlab.report import figures
from ganlab.report.tables import Table
from ganlab.studies.address import Latents
from ganlab.studies.directions import chosen_monitor
from ganlab.studies.latents.chosen import chosen
from ganlab.studies.latents.images import has_styles, truncates
from ganlab.studies.latents.study import LatentStudy

if TYPE_CHECKING:
    from matplotlib.axes import Axes

PSIS = (0.3, 0.5, 0.7, 0.8, 0.9, 1.0)
Scored = Mapping[float, Mapping[str, float]]  # psi -> metric -> value


class Truncation(LatentStudy):
    """Scores the same latents under each psi: a table, curves, and a grid of images.

    psi = 1 is the generator as it is. Without a suite only the grid is made.

    Raises:
        ValueError: no psi, one that is named twice, or a generator without styles.
    """

    def __init__(
        self,
        *,
        psis: Sequence[float] = PSIS,  # 1 = as they are, 0 = the mean alone, above 1 = exaggerated
        latents: Latents = "0:8",  # columns of the grid of images
        **options: Any,  # of `LatentStudy`
    ) -> None:
        super().__init__(**options)
        self.psis = sorted(float(psi) for psi in psis)
        distinct = {f"{psi:g}" for psi in self.psis if math.isfinite(psi)}  # as rows are named
        if not self.psis or len(distinct) < len(self.psis):
            raise ValueError(f"study.psis={list(psis)} must be finite numbers, each once")
        if self.truncation is not None:
            raise ValueError("study.truncation has no meaning here: name the psis in study.psis")
        self.latents = latents

    def check(self, system: Any) -> None:
        """Refuse generators without styles."""
        if not has_styles(system.generator_ema) or not truncates(system.generator_ema):
            raise ValueError(
                f"study=truncation needs a generator with styles, such as stylegan or stylegan2, "
                f"and this {type(system.generator_ema).__module__} has none"
            )
        chosen(system.generator_ema, self.latents, self.seed)

    def investigate(self, trainer: Trainer, system: Any) -> None:
        """Score each psi on all ranks; the first one writes."""
        scored = {} if self.suite is None else self.scored(trainer, system)
        if trainer.is_global_zero:
            if scored:
                self.save_scores(scored)
            self.draw(system)

    def scored(self, trainer: Trainer, system: Any) -> dict[float, dict[str, float]]:
        """psi -> metric -> value; psi = 1 was scored as the baseline."""
        found = {}
        for psi in self.psis:
            if psi == 1:
                found[psi] = dict(self.latest)
                continue
            self.psi = psi
            found[psi] = self.score(trainer, system, f"psi {psi:g}")
            self.record(found[psi], system, intervention=f"truncation {psi:g}")
        self.psi = None
        return found

    def save_scores(self, scored: Scored) -> None:
        """The table and the curves."""
        metrics = list(next(iter(scored.values())))
        rows = [{"psi": psi, **values} for psi, values in scored.items()]
        first = self.records[0]
        note = (
            f"{first['n_fake']} latents of seed {self.seed} against {first['n_real']} reals; "
            f"extractor {first['extractor']} {first['extractor_sha256'][:12]}; noise {self.noise}"
        )
        Table(["psi", *metrics], rows, caption="Scores under truncation", notes=[note]).write(
            self.folder
        )
        figure, numbers = trade(scored)
        path = self.folder / "figures" / "truncation.png"
        figures.save(figure, path, numbers, f"Fidelity and diversity under truncation; {note}")

    def draw(self, system: Any) -> None:
        """The same latents under every psi."""
        found = chosen(system.generator_ema, self.latents, self.seed)
        rows = []
        for psi in self.psis:
            paint = replace(self.painter_of(system), truncation=None if psi == 1 else psi)
            rows.append((f"psi {psi:g}", paint(found.values, found.addresses)))
        numbers: dict[str, Any] = {"index": found.addresses, "psi": self.psis}
        self.save_rows("truncation_images", rows, numbers, f"Rows: psi; {found.source}")
        self.save_latents("truncation_images", found.values)


def trade(scored: Scored) -> tuple[Any, figures.Numbers]:
    """FID, precision and recall over psi, and precision over recall with psi at the points.

    Panels of metrics that were not computed are left out; with none of them, the first metric's.
    """
    metrics = list(next(iter(scored.values())))
    first = {kind: named(metrics, kind) for kind in ("fid", "precision", "recall")}
    curves = {first["fid"] or chosen_monitor(metrics, None)}
    panels: list[Any] = [sorted(curves)]
    both = [name for name in (first["precision"], first["recall"]) if name]
    panels += [both] if both else []
    with figures.styled():
        count = len(panels) + (len(both) == 2)
        figure, axes = figures.new_figure(2.6 * count, 2.5, count, count)
        for place, names in zip(axes, panels, strict=False):
            draw_scores(place, scored, names)
        if len(both) == 2:
            draw_trade(axes[-1], scored, both[0], both[1])
    numbers = {"psi": list(scored)}
    numbers |= {name: [values[name] for values in scored.values()] for name in metrics}
    return figure, {name: np.asarray(values) for name, values in numbers.items()}


def named(metrics: Sequence[str], kind: str) -> str | None:
    """The first metric of a kind."""
    return next((name for name in metrics if name.startswith(kind)), None)


def draw_scores(axes: "Axes", scored: Scored, names: Sequence[str]) -> None:
    """Some metrics over psi."""
    for i, name in enumerate(names):
        values = [found[name] for found in scored.values()]
        how = {"color": figures.PALETTE[i], "linestyle": figures.DASHES[i]}
        axes.plot(list(scored), values, marker="o", markersize=3, label=name, **how)
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
