"""`study=activation_rates`: how often each neuron is activated (Choi et al. 2022, section 3.1)."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from ganlab.studies.bench import Bench
from ganlab.studies.findings import Findings
from ganlab.studies.neurons.layers import Layer, as_list, default_layers, select_layers
from ganlab.studies.neurons.rate_count import RateCount
from ganlab.studies.neurons.rate_report import draw_histograms, rate_table
from ganlab.studies.neurons.rates import FILE, checked_rate
from ganlab.studies.question import Question


@dataclass(frozen=True, kw_only=True)
class ActivationRates(Question):
    """Counts R_n over the latents of `rate_seed`; writes `rates.safetensors`, table and histograms.

    Other studies take the file up when generator, latents and layers match.
    """

    layers: Sequence[Layer] | None = None  # names or positions; None = all that see the latent
    rate: float = 0.3  # R: a neuron activated at most this often has a low rate
    near_zero: bool = True  # count too on how many latents rounding could decide
    confidence: float | None = None  # of each neuron's Wilson interval; None = without it
    num_latents: int = 30_000  # N of eq. 1
    rate_seed: int | None = None  # of the counted latents; None = derived from seed
    rates_file: str | Path | None = None  # rates.safetensors or its folder; None = count
    noise: str = "fixed"  # of all images; random = drawn for each, keyed by its latent
    save_every: int = 2000  # latents between two savings of the counts

    noise_told = True

    def __post_init__(self) -> None:
        super().__post_init__()
        _ = self.count, checked_rate(self.rate)
        if self.confidence is not None and not 0 < self.confidence < 1:
            raise ValueError(f"study.confidence must be between 0 and 1, got {self.confidence}")

    @property
    def count(self) -> RateCount:
        """What is counted."""
        given = (self.num_latents, self.seed, self.rate_seed, self.rates_file, self.save_every)
        return RateCount(*given, self.near_zero)

    def check(self, bench: Bench) -> None:
        """Refuse layers that are not there and rates that do not fit."""
        self.count.check(bench, self.layers_of(bench))

    def layers_of(self, bench: Bench) -> list[str]:
        """The chosen layers, or all that see the latent."""
        if self.layers is None:
            return default_layers(self.count.sampler(bench))
        return select_layers(bench.generator, as_list(self.layers))

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
