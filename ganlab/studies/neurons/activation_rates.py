"""`study=activation_rates`: how often each neuron is activated (Choi et al. 2022, section 3.1)."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from torch import Tensor

from ganlab.report import figures
from ganlab.report.drawings import Drawing
from ganlab.report.panels import draw_stacked
from ganlab.report.tables import Table
from ganlab.studies.bench import Bench
from ganlab.studies.findings import Findings
from ganlab.studies.neurons.counting import NEAR
from ganlab.studies.neurons.layers import Layer, default_layers
from ganlab.studies.neurons.rate_count import RateQuestion
from ganlab.studies.neurons.rates import FILE, HIGH, LOW, Rates, checked_rate
from ganlab.studies.question import inside_unit

BINS = 50  # of the histograms over [0, 1]
MAX_COLUMNS = 4
# dead, LR, HR: red is rare, as in the paper's maps
LOOKS = (("#8c6d1f", "//"), (figures.PALETTE[1], ""), (figures.PALETTE[0], ""))


@dataclass(frozen=True, kw_only=True)
class ActivationRates(RateQuestion):
    """Counts R_n over the latents of `rate_seed`; writes `rates.safetensors`, table and histograms.

    Other studies take the file up when generator, latents and layers match. What is counted, and on
    which latents, are the options of `RateQuestion`: `num_latents`, `rate_seed`, `rates_file`,
    `save_every` and `noise`.
    """

    layers: Sequence[Layer] | None = None  # names or positions; None = all that see the latent
    rate: float = 0.3  # R: a neuron activated at most this often has a low rate
    near_zero: bool = True  # count too on how many latents rounding could decide
    confidence: float | None = None  # of each neuron's Wilson interval; None = without it

    def __post_init__(self) -> None:
        super().__post_init__()
        checked_rate(self.rate)
        if self.confidence is not None:
            inside_unit(confidence=self.confidence)

    def check(self, bench: Bench) -> None:
        """Refuse layers that are not there and rates that do not fit."""
        self.count.check(bench, self.layers_of(bench))

    def layers_of(self, bench: Bench) -> list[str]:
        """The chosen layers, or all that see the latent."""
        if self.layers is None:
            return default_layers(self.count.sampler(bench))
        return self.count.layers(bench, self.layers)

    def run(self, bench: Bench) -> Findings:
        """Count; `result` is the rates."""
        layers = self.layers_of(bench)
        found = self.count.rates(bench, layers)
        if not bench.writes:
            return Findings(result=found)
        chosen = {name: found.rates[name] for name in layers}
        return Findings(
            tables={"table": rate_table(found, layers, self.rate, self.confidence)},
            figures={"activation_rates": draw_histograms(chosen, self.rate)},
            files={FILE: partial(found.save, confidence=self.confidence)},
            result=found,
        )


def shares(rates: Tensor, rate: float) -> dict[str, float]:
    """Shares of a layer's neurons that are dead, low-rate (alive) and high-rate; they sum to 1."""
    dead, high = (rates == 0).double().mean(), (rates > rate).double().mean()
    return {"dead": float(dead), "LR": float(1 - dead - high), "HR": float(high)}


def rate_table(
    rates: Rates,
    layers: Sequence[str],
    rate: float,  # R, the bound of a low rate
    confidence: float | None = None,  # of Wilson intervals; None = without them
) -> Table:
    """One row per layer: mean rate and the shares of neurons within bounds of it.

    The columns are those of the authors' measurements, then the shares that the counts leave open.
    """
    rows = [rate_row(name, rates.rates[name], rate) for name in layers]
    notes = [
        f"{rates.num_latents} latents of seed {rates.seed}, noise {rates.noise}; "
        f"active means output > 0; LR: rate ≤ {rate:g}, HR: rate > {rate:g}"
    ]
    if confidence is not None:
        for row, name in zip(rows, layers, strict=True):
            row["undecided"] = _share(undecided_neurons(rates, name, rate, confidence))
        notes.append(
            f"undecided: share of neurons whose {confidence:.0%} Wilson interval holds {rate:g}; "
            f"the intervals are in {FILE} as <layer>{LOW} and <layer>{HIGH}"
        )
    if near := [name for name in layers if name in rates.near_zero]:
        for row, name in zip(rows, layers, strict=True):
            row["near 0"] = _share(rates.near_zero[name] > 0) if name in near else None
        notes.append(
            "near 0: share of neurons that some latent brings within 1e-5 of 0, the only ones "
            f"whose count can depend on batches and ranks; {FILE} lists on how many, as "
            f"<layer>{NEAR}"
        )
    caption = "Activation rates of the neurons of each layer"
    return Table(list(rows[0]), rows, caption=caption, notes=notes)


def rate_row(name: str, values: Tensor, rate: float) -> dict[str, object]:
    """One layer's row of the table."""
    alive = {f"0 < rate ≤ {low:g}": (values > 0) & (values <= low) for low in (rate, 0.1)}
    high = {f"rate > {rate:g}": values > rate, "rate ≥ 0.9": values >= 0.9}
    masks = {"rate = 0": values == 0, **alive, **high}
    part = {column: _share(mask) for column, mask in masks.items()}
    return {"layer": name, "neurons": values.numel(), "mean rate": float(values.mean()), **part}


def undecided_neurons(rates: Rates, layer: str, rate: float, confidence: float) -> Tensor:
    """Mask of the neurons whose Wilson interval holds `rate`: neither surely LR nor surely HR."""
    low, high = rates.interval(layer, confidence)
    return (low <= rate) & (rate < high)


def _share(mask: Tensor) -> float:
    return float(mask.double().mean())


def histograms(rates: Mapping[str, Tensor], rate: float) -> figures.Numbers:
    """Share of a layer's neurons by rate, in `BINS` bins: dead, LR (alive) and HR apart."""
    edges = np.linspace(0, 1, BINS + 1)
    numbers: figures.Numbers = {"edges": edges}
    for name, values in rates.items():
        groups = {"dead": values == 0, "LR": (values > 0) & (values <= rate), "HR": values > rate}
        for group, mask in groups.items():
            counts, _ = np.histogram(values[mask].numpy(), edges)
            numbers[f"{name}/{group}"] = counts / values.numel()
    return numbers


def draw_histograms(rates: Mapping[str, Tensor], rate: float) -> Drawing:
    """One histogram of rates per layer, its bars split into dead, LR and HR neurons."""
    numbers = histograms(rates, rate)
    columns = min(len(rates), MAX_COLUMNS)
    height = 2.3 * math.ceil(len(rates) / columns)
    with figures.house_style():
        figure, panels = figures.new_figure(2.7 * columns, height, len(rates), columns)
        for panel, (name, values) in zip(panels, rates.items(), strict=True):
            part = shares(values, rate)  # of each group, for the legend
            bars = {f"{key} {share:.1%}": numbers[f"{name}/{key}"] for key, share in part.items()}
            draw_stacked(panel, numbers["edges"], bars, LOOKS, room=1.6)
            panel.set(title=name, xlabel="activation rate", ylabel="share of neurons")
            panel.legend(loc="upper center")
            panel.axvline(rate, color=figures.INK, linestyle=":", linewidth=0.8)
    caption = f"Activation rates of each layer; LR: rate ≤ {rate:g}"
    return Drawing(figure, numbers, caption)
