"""`study=activation_rates`: how often each neuron is activated (Choi et al. 2022, section 3.1)."""

import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from math import ceil
from pathlib import Path
from typing import Any

from lightning import Trainer

from ganlab.metrics import Suite
from ganlab.networks.base import Generator
from ganlab.nn.randomness import derived_seed
from ganlab.sampling import conditions_of
from ganlab.studies.neurons.counting import Counting, Key, load_partial, portions, save_partial
from ganlab.studies.neurons.layers import Layer, as_list, default_layers, select_layers
from ganlab.studies.neurons.rate_report import draw_histograms, rate_table
from ganlab.studies.neurons.rates import FILE, Rates, checked_rate, digest
from ganlab.studies.sampling import ConditionAt, checked_noise, noise_at
from ganlab.studies.scores import Study, watched

PARTIAL = "rates.partial.safetensors"  # counts of a run that was stopped


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
    key: Key,
    num_latents: int,
    rates_file: str | Path | None,  # must match
    directory: Path | None,  # its rates.safetensors is taken if it matches
) -> Rates | None:
    """Rates on disk that were counted on the same things, or None.

    Raises:
        FileNotFoundError: `rates_file` does not exist.
        ValueError: `rates_file` does not match; the message says in what.
    """
    wanted = (key.generator, num_latents, key.seed, key.layers, key.noise, key.near_zero)
    if rates_file is not None:
        rates = Rates.load(rates_file)
        if different := rates.differences(*wanted):
            raise ValueError(
                f"study.rates_file={rates_file} cannot be used: {'; '.join(different)}. "
                "Match the study to it, or leave study.rates_file out to count anew"
            )
        return rates
    if directory is None or not (directory / FILE).is_file():
        return None
    try:
        rates = Rates.load(directory)
    except ValueError as error:  # nobody asked for this file: counting anew costs time only
        warnings.warn(f"{error}; the rates are counted anew", stacklevel=2)
        return None
    return None if rates.differences(*wanted) else rates


class NeuronStudy(Study):
    """A study that knows how often each neuron is activated, from a file or by counting.

    The counted latents (seed `rate_seed`) are others than the scored and shown ones (seed `seed`).
    Counts are kept as they grow: the same study in the same directory goes on where it was stopped.
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
        rates_file: str | Path | None = None,  # rates.safetensors or its folder; None = count
        noise: str = "fixed",  # of all images; random = drawn for each, keyed by its latent
        save_every: int = 2000,  # latents between two savings of the counts
    ) -> None:
        super().__init__(suite, seed, batch_size, monitor=monitor, directory=directory, cache=cache)
        if min(num_latents, save_every) < 1:
            raise ValueError(
                f"study.num_latents must be at least 1, got {num_latents}, "
                f"and so must study.save_every, got {save_every}"
            )
        self.num_latents, self.rates_file, self.save_every = num_latents, rates_file, save_every
        self.noise, self.near_zero = checked_noise(noise), False
        self.rate_seed = rate_seed_of(seed, rate_seed)
        self.condition_at: ConditionAt | None = None  # of a conditional generator, from its system

    def setup(self, trainer: Trainer, pl_module: Any, stage: str) -> None:
        """Refuse layers that are not there and rates that do not fit before anything is scored."""
        super().setup(trainer, pl_module, stage)
        generator, self.condition_at = pl_module.generator_ema, conditions_of(pl_module)
        if self.noise == "random":
            with noise_at(generator, [0], self.seed):
                pass  # it takes noise
        layers = self.layers_of(generator)
        if self.rates_file is not None:
            find_rates(self.key(generator, layers), self.num_latents, self.rates_file, None)

    def layers_of(self, generator: Generator) -> list[str]:
        """Names of every layer this study needs rates of, in network order."""
        raise NotImplementedError

    def key(self, generator: Generator, layers: Sequence[str]) -> Key:
        """What the rates are to be counted on."""
        return Key(digest(generator), self.rate_seed, tuple(layers), self.noise, self.near_zero)

    def record(self, values: dict[str, float], system: Any, **intervention: Any) -> None:
        """Append one record per value, with the kind of noise."""
        super().record(values, system, noise=self.noise, **intervention)

    def known_rates(self, trainer: Trainer, system: Any, layers: Sequence[str]) -> Rates:
        """Rates of these layers: a file that matches, else counted by all ranks and kept."""
        key = self.key(system.generator_ema, layers)
        found = find_rates(key, self.num_latents, self.rates_file, self.directory)
        found = trainer.strategy.broadcast(found)  # ranks may see different disks
        return self.counted_rates(trainer, system, key) if found is None else found

    def counted_rates(self, trainer: Trainer, system: Any, key: Key) -> Rates:
        """Count, each rank its share of the latents, and write `rates.safetensors`."""
        counting = Counting(
            system.generator_ema,
            key.layers,
            key.seed,
            self.batch_size,
            system.device,
            self.condition_at,
            key.noise,
            key.near_zero,
        )
        with self.kept_if_stopped(trainer):
            self.count(trainer, counting, key, self.resumed(trainer, counting, key))
        counted, near = counting.rates(), counting.counts()[1]
        rates = Rates(counted, self.num_latents, key.seed, key.generator, key.noise, near)
        if self.directory is not None and trainer.is_global_zero:
            rates.save(self.directory / FILE)
            killed = self.directory.glob(f".{PARTIAL}.*")  # while they were written
            for path in (self.directory / PARTIAL, *killed):
                path.unlink(missing_ok=True)
        return rates

    def resumed(self, trainer: Trainer, counting: Counting, key: Key) -> int:
        """Take up the counts of a run that was stopped; how many latents they are of."""
        found, first = None, trainer.is_global_zero
        if self.directory is not None and first:
            found = load_partial(self.directory / PARTIAL, key, self.num_latents)
        if found is not None:
            counting.resume(*found)
            print(f"activation rates go on after {found[2]} latents", file=sys.stderr)
        return int(trainer.strategy.broadcast(found[2] if found is not None else 0))

    @contextmanager
    def kept_if_stopped(self, trainer: Trainer) -> Iterator[None]:
        """Say on Ctrl-C how to go on, as nothing else does."""
        try:
            yield
        except KeyboardInterrupt:
            if self.directory is not None and trainer.is_global_zero:
                print(
                    "stopped; the counts so far are kept: the same command goes on with "
                    f"hydra.run.dir={self.directory}",
                    file=sys.stderr,
                )
            raise

    def count(self, trainer: Trainer, counting: Counting, key: Key, start: int) -> None:
        """Count the latents from `start` on, keeping the counts every `save_every` of them.

        The counts kept are all ranks' over latents 0 .. n-1, so any number of ranks can go on.
        """
        rank, world = trainer.global_rank, trainer.world_size
        share = range(start + rank, self.num_latents, world)
        indices = iter(watched(share, "activation rates", trainer))
        step = self.batch_size * world  # so that batches are the same with and without a stop
        for portion in portions(start, self.num_latents, ceil(self.save_every / step) * step):
            counting.feed(islice(indices, len(portion[rank::world])))
            if self.directory is None or portion.stop == self.num_latents:
                continue
            active, near, done = counting.counts()
            if trainer.is_global_zero:
                save_partial(self.directory / PARTIAL, key, active, near, done)


class ActivationRates(NeuronStudy):
    """Counts R_n over the latents of `rate_seed`; writes `rates.safetensors`, table and histograms.

    Other studies take the file up when generator, latents and layers match.
    """

    def __init__(
        self,
        *,
        layers: Sequence[Layer] | None = None,  # names or positions; None = all that see the latent
        rate: float = 0.3,  # R: a neuron activated at most this often has a low rate
        near_zero: bool = True,  # count too on how many latents rounding could decide
        confidence: float | None = None,  # of each neuron's Wilson interval; None = without it
        **options: Any,  # of `NeuronStudy`
    ) -> None:
        super().__init__(**options)
        self.layers, self.rate, self.near_zero = layers, checked_rate(rate), near_zero
        if confidence is not None and not 0 < confidence < 1:
            raise ValueError(f"study.confidence must be between 0 and 1, got {confidence}")
        self.confidence = confidence
        self.rates: Rates | None = None  # the result

    def layers_of(self, generator: Generator) -> list[str]:
        """The chosen layers, or all that see the latent."""
        if self.layers is None:
            return default_layers(generator, self.rate_seed, self.condition_at)
        return select_layers(generator, as_list(self.layers))

    def investigate(self, trainer: Trainer, system: Any) -> None:
        """Count, and write what was found."""
        layers = self.layers_of(system.generator_ema)
        self.rates = self.known_rates(trainer, system, layers)
        if self.directory is not None and trainer.is_global_zero:
            self.rates.save(self.directory / FILE, self.confidence)
            rate_table(self.rates, layers, self.rate, self.confidence).write(self.directory)
            chosen = {name: self.rates.rates[name] for name in layers}
            draw_histograms(chosen, self.rate, self.directory / "figures" / "activation_rates.png")
