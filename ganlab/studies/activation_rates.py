"""`study=activation_rates`: how often each neuron is activated (Choi et al. 2022, section 3.1)."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lightning import Trainer

from ganlab.metrics import Suite
from ganlab.networks.base import Generator
from ganlab.nn.randomness import derived_seed
from ganlab.studies.layers import Layer, as_list, default_layers, select_layers
from ganlab.studies.rate_report import draw_histograms, rate_table
from ganlab.studies.rates import FILE, Rates, activation_rates, checked_rate, digest
from ganlab.studies.sampling import rank_indices
from ganlab.studies.scores import Study, watched


def rate_seed_of(seed: int, rate_seed: int | None) -> int:
    """The seed of the latents that rates are counted on: as given, or derived from `seed`.

    Raises:
        ValueError: it equals `seed`, whose latents are the ones scored and shown.
    """
    if rate_seed is None:
        derived = 1_000_000 + derived_seed("activation rates", seed) % 1_000_000  # short to read
        return derived + (derived == seed)
    if rate_seed == seed:
        raise ValueError(
            f"study.rate_seed={rate_seed} is the seed of the scored latents too; "
            "choose another, or leave it out"
        )
    return rate_seed


def find_rates(
    generator_digest: str,
    num_latents: int,
    seed: int,
    layers: Sequence[str],
    rates_file: str | Path | None,  # must match
    directory: Path | None,  # its rates.pt is taken if it matches
) -> Rates | None:
    """Rates on disk that were counted on the same things, or None.

    Raises:
        FileNotFoundError: `rates_file` does not exist.
        ValueError: `rates_file` does not match; the message says in what.
    """
    if rates_file is not None:
        rates = Rates.load(rates_file)
        if different := rates.differences(generator_digest, num_latents, seed, layers):
            raise ValueError(
                f"study.rates_file={rates_file} cannot be used: {'; '.join(different)}. "
                "Match the study to it, or leave study.rates_file out to count anew"
            )
        return rates
    if directory is None or not (directory / FILE).is_file():
        return None
    rates = Rates.load(directory)
    return None if rates.differences(generator_digest, num_latents, seed, layers) else rates


class NeuronStudy(Study):
    """A study that knows how often each neuron is activated, from a file or by counting.

    The counted latents (seed `rate_seed`) are others than the scored and shown ones (seed `seed`).
    """

    def __init__(
        self,
        suite: Suite | None = None,  # scores the generator; None = score nothing
        seed: int = 0,  # of the scored latents
        batch_size: int = 100,  # latents at a time
        monitor: str | None = None,  # metric shown first; None = the first FID
        directory: str | Path | None = None,  # where the files go; None = write nothing
        cache: str | Path | None = None,  # folder of real statistics; None = the user's cache
        num_latents: int = 30_000,  # N of eq. 1
        rate_seed: int | None = None,  # of the counted latents; None = derived from seed
        rates_file: str | Path | None = None,  # rates.pt or its run directory; None = count
    ) -> None:
        super().__init__(suite, seed, batch_size, monitor=monitor, directory=directory, cache=cache)
        if num_latents < 1:
            raise ValueError(f"study.num_latents must be at least 1, got {num_latents}")
        self.num_latents, self.rates_file = num_latents, rates_file
        self.rate_seed = rate_seed_of(seed, rate_seed)

    def setup(self, trainer: Trainer, pl_module: Any, stage: str) -> None:
        """Refuse layers that are not there and rates that do not fit before anything is scored."""
        super().setup(trainer, pl_module, stage)
        generator = pl_module.generator_ema
        layers = self.layers_of(generator)
        if self.rates_file is not None:
            key = (digest(generator), self.num_latents, self.rate_seed)
            find_rates(*key, layers, self.rates_file, None)

    def layers_of(self, generator: Generator) -> list[str]:
        """Names of every layer this study needs rates of, in network order."""
        raise NotImplementedError

    def known_rates(self, trainer: Trainer, system: Any, layers: Sequence[str]) -> Rates:
        """Rates of these layers: a file that matches, else counted by all ranks and kept."""
        generator = system.generator_ema
        key = (digest(generator), self.num_latents, self.rate_seed)
        found = find_rates(*key, layers, self.rates_file, self.directory)
        found = trainer.strategy.broadcast(found)  # ranks may see different disks
        return self.counted_rates(trainer, system, layers, key[0]) if found is None else found

    def counted_rates(
        self, trainer: Trainer, system: Any, layers: Sequence[str], generator_digest: str
    ) -> Rates:
        """Count, each rank its share of the latents, and write `rates.pt`."""
        indices = rank_indices(self.num_latents, trainer.global_rank, trainer.world_size)
        counted = activation_rates(
            system.generator_ema,
            watched(indices, "activation rates", trainer),
            self.rate_seed,
            layers,
            self.batch_size,
            system.device,
        )
        rates = Rates(counted, self.num_latents, self.rate_seed, generator_digest)
        if self.directory is not None and trainer.is_global_zero:
            rates.save(self.directory / FILE)
        return rates


class ActivationRates(NeuronStudy):
    """Counts R_n over the latents of `rate_seed`; writes `rates.pt`, a table and histograms.

    Other studies take the file up when generator, latents and layers match.
    """

    def __init__(
        self,
        *,
        layers: Sequence[Layer] | None = None,  # names or positions; None = all that see the latent
        rate: float = 0.3,  # R: a neuron activated at most this often has a low rate
        **options: Any,  # of `NeuronStudy`
    ) -> None:
        super().__init__(**options)
        self.layers, self.rate = layers, checked_rate(rate)
        self.rates: Rates | None = None  # the result

    def layers_of(self, generator: Generator) -> list[str]:
        """The chosen layers, or all that see the latent."""
        if self.layers is None:
            return default_layers(generator, self.rate_seed)
        return select_layers(generator, as_list(self.layers))

    def investigate(self, trainer: Trainer, system: Any) -> None:
        """Count, and write what was found."""
        layers = self.layers_of(system.generator_ema)
        self.rates = self.known_rates(trainer, system, layers)
        if self.directory is not None and trainer.is_global_zero:
            rate_table(self.rates, layers, self.rate).write(self.directory)
            chosen = {name: self.rates.rates[name] for name in layers}
            draw_histograms(chosen, self.rate, self.directory / "figures" / "activation_rates.png")
