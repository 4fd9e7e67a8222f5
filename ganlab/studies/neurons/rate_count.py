"""Rates at a bench: from a file that matches, or counted by all ranks and kept as they grow."""

import sys
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import islice
from math import ceil
from pathlib import Path

from ganlab.nn.digest import digest
from ganlab.nn.randomness import derived_seed
from ganlab.sampling import Sampler
from ganlab.studies.bench import Bench
from ganlab.studies.neurons.counting import Counting, Key, load_partial, portions, save_partial
from ganlab.studies.neurons.layers import (
    Layer,
    as_list,
    early_layers,
    layer_shapes,
    select_layers,
)
from ganlab.studies.neurons.rates import FILE, Rates
from ganlab.studies.question import Question, at_least

PARTIAL = "rates.partial.safetensors"  # counts of a run that was stopped


@dataclass(frozen=True)
class RateCount:
    """What a study's activation rates are counted on, and where they may be found.

    The counted latents are others than the scored and shown ones. Counts are kept as they grow: the
    same study in the same directory goes on where it was stopped.
    """

    options: "RateQuestion"

    @property
    def counted_seed(self) -> int:
        """The seed of the latents that rates are counted on."""
        return rate_seed_of(self.options.seed, self.options.rate_seed)

    def sampler(self, bench: Bench) -> Sampler:
        """The latents that rates are counted on."""
        return replace(bench.sampler, seed=self.counted_seed)

    def layers(
        self,
        bench: Bench,
        chosen: Sequence[Layer] | None,  # names or positions; None = the early layers
        num_sizes: int = 3,  # of the early layers
        key: str = "study.layers",  # the option that holds `chosen`, for messages
    ) -> list[str]:
        """The chosen layers by name, in network order."""
        if chosen is None:
            return early_layers(self.sampler(bench), num_sizes)
        return select_layers(bench.generator, as_list(chosen), key)

    def key(self, bench: Bench, layers: Sequence[str]) -> Key:
        """What the rates are to be counted on."""
        noise, classes = bench.sampler.noise, bench.sampler.classes
        counted = digest(bench.generator), self.counted_seed, tuple(layers)
        return Key(*counted, noise, self.options.near_zero, classes)

    def check(self, bench: Bench, layers: Sequence[str]) -> None:
        """Refuse a file of rates that does not fit."""
        if self.options.rates_file is not None:
            self.find(bench, self.key(bench, layers))

    def rates(self, bench: Bench, layers: Sequence[str]) -> Rates:
        """Rates of these layers: a file that matches, else counted by all ranks and kept."""
        key = self.key(bench, layers)
        found = bench.ranks.broadcast(self.find(bench, key))  # ranks may see different disks
        return self.count_anew(bench, key) if found is None else found

    def find(self, bench: Bench, key: Key) -> Rates | None:
        """Rates on disk that were counted on the same things, or None.

        Raises:
            FileNotFoundError: `rates_file` does not exist.
            ValueError: `rates_file` does not match; the message says in what.
        """
        if (file := self.options.rates_file) is not None:
            rates = Rates.load(file)
            if different := self.differences(bench, key, rates):
                raise ValueError(
                    f"study.rates_file={file} cannot be used: {'; '.join(different)}. "
                    "Match the study to it, or leave study.rates_file out to count anew"
                )
            return rates
        if bench.directory is None or not (bench.directory / FILE).is_file():
            return None
        try:
            rates = Rates.load(bench.directory)
        except ValueError as error:  # nobody asked for this file: counting anew costs time only
            warnings.warn(f"{error}; the rates are counted anew", stacklevel=2)
            return None
        return None if self.differences(bench, key, rates) else rates

    def differences(self, bench: Bench, key: Key, rates: Rates) -> list[str]:
        """What keeps these rates from being those of the key; [] if nothing."""
        shapes = layer_shapes(self.sampler(bench), key.layers)
        return rates.differences(key, self.options.num_latents, shapes)

    def count_anew(self, bench: Bench, key: Key) -> Rates:
        """Count, each rank its share of the latents, and write `rates.safetensors`."""
        counting = Counting(self.sampler(bench), key.layers, key.near_zero)
        try:
            self.count(bench, counting, key, self.resume(bench, counting, key))
        except KeyboardInterrupt:  # nothing else says how to go on
            if bench.writes:
                print(
                    "stopped; the counts so far are kept: the same command goes on with "
                    f"hydra.run.dir={bench.directory}",
                    file=sys.stderr,
                )
            raise
        counted, near = counting.rates(), counting.counts()[1]
        made = key.seed, key.generator, key.noise, key.classes
        rates = Rates(counted, self.options.num_latents, *made, near)
        if bench.directory is not None and bench.ranks.first:
            rates.save(bench.directory / FILE)
            killed = bench.directory.glob(f".{PARTIAL}.*")  # while they were written
            for path in (bench.directory / PARTIAL, *killed):
                path.unlink(missing_ok=True)
        return rates

    def resume(self, bench: Bench, counting: Counting, key: Key) -> int:
        """Take up the counts of a run that was stopped; how many latents they are of."""
        found = None
        if bench.directory is not None and bench.ranks.first:
            shapes = counting.active.shapes
            found = load_partial(bench.directory / PARTIAL, key, self.options.num_latents, shapes)
        if found is not None:
            counting.resume(*found)
            print(f"activation rates go on after {found[2]} latents", file=sys.stderr)
        return bench.ranks.broadcast(found[2] if found is not None else 0)

    def count(self, bench: Bench, counting: Counting, key: Key, start: int) -> None:
        """Count the latents from `start` on, keeping the counts every `save_every` of them.

        The counts kept are all ranks' over latents 0 .. n-1, so any number of ranks can go on.
        """
        ranks, num_latents = bench.ranks, self.options.num_latents
        share = ranks.share(range(start, num_latents))
        indices = iter(ranks.progress(share, "activation rates"))
        step = bench.batch_size * ranks.world  # so that a stop changes no batch
        for portion in portions(start, num_latents, ceil(self.options.save_every / step) * step):
            counting.feed(islice(indices, len(ranks.share(portion))))
            if bench.directory is None or portion.stop == num_latents:
                continue
            active, near, done = counting.counts()
            if ranks.first:
                save_partial(bench.directory / PARTIAL, key, active, near, done)


@dataclass(frozen=True, kw_only=True)
class RateQuestion(Question):
    """A question about neurons by their activation rates: what these are counted on.

    Raises:
        ValueError: no latents, or the seed of the scored ones.
    """

    noise: str = "fixed"  # of all images; random = drawn for each, keyed by its latent
    num_latents: int = 30_000  # N of eq. 1
    rate_seed: int | None = None  # of the counted latents; None = derived from seed
    rates_file: str | Path | None = None  # rates.safetensors or its folder; None = count
    save_every: int = 2000  # latents between two savings of the counts

    noise_told = True
    near_zero = False  # whether to count too on how many latents rounding could decide

    def __post_init__(self) -> None:
        super().__post_init__()
        at_least(1, num_latents=self.num_latents, save_every=self.save_every)
        rate_seed_of(self.seed, self.rate_seed)

    @property
    def count(self) -> RateCount:
        """What rates are counted on."""
        return RateCount(self)


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
