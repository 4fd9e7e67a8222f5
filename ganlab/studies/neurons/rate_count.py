"""Rates at a bench: from a file that matches, or counted by all ranks and kept as they grow."""

import sys
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice
from math import ceil
from pathlib import Path

from ganlab.nn.randomness import derived_seed
from ganlab.sampling import Sampler
from ganlab.studies.bench import Bench
from ganlab.studies.neurons.counting import Counting, Key, load_partial, portions, save_partial
from ganlab.studies.neurons.layers import layer_shapes
from ganlab.studies.neurons.rates import FILE, Rates, digest
from ganlab.studies.places import place_named

PARTIAL = "rates.partial.safetensors"  # counts of a run that was stopped
Shapes = Callable[[], Mapping[str, tuple[int, ...]]]  # of the layers' outputs, when asked


@dataclass(frozen=True)
class RateCount:
    """What a study's activation rates are counted on, and where they may be found.

    The counted latents are others than the scored and shown ones. Counts are kept as they grow: the
    same study in the same directory goes on where it was stopped.

    Raises:
        ValueError: no latents, or the seed of the scored ones.
    """

    num_latents: int  # N of eq. 1
    seed: int  # of the scored latents
    rate_seed: int | None  # of the counted latents; None = derived from seed
    rates_file: str | Path | None  # rates.safetensors or its folder; None = count
    save_every: int  # latents between two savings of the counts
    near_zero: bool = False  # count too on how many latents rounding could decide

    def __post_init__(self) -> None:
        if min(self.num_latents, self.save_every) < 1:
            raise ValueError(
                f"study.num_latents must be at least 1, got {self.num_latents}, "
                f"and so must study.save_every, got {self.save_every}"
            )
        rate_seed_of(self.seed, self.rate_seed)

    @property
    def counted_seed(self) -> int:
        """The seed of the latents that rates are counted on."""
        return rate_seed_of(self.seed, self.rate_seed)

    def sampler(self, bench: Bench) -> Sampler:
        """The latents that rates are counted on."""
        return replace(bench.sampler, seed=self.counted_seed)

    def key(self, bench: Bench, layers: Sequence[str]) -> Key:
        """What the rates are to be counted on."""
        noise = bench.sampler.noise
        return Key(digest(bench.generator), self.counted_seed, tuple(layers), noise, self.near_zero)

    def check(self, bench: Bench, layers: Sequence[str]) -> None:
        """Refuse a file of rates that does not fit."""
        if self.rates_file is not None:
            key, shapes = self.key(bench, layers), self.shapes(bench, layers)
            place_named(self.rates_file, "study.rates_file")
            find_rates(key, self.num_latents, self.rates_file, None, shapes)

    def shapes(self, bench: Bench, layers: Sequence[str]) -> Shapes:
        """Tells what the rates of each layer are shaped as, at the cost of an image."""
        return partial(layer_shapes, self.sampler(bench), layers)

    def rates(self, bench: Bench, layers: Sequence[str]) -> Rates:
        """Rates of these layers: a file that matches, else counted by all ranks and kept."""
        key = self.key(bench, layers)
        shapes = self.shapes(bench, layers)
        found = find_rates(key, self.num_latents, self.rates_file, bench.directory, shapes)
        found = bench.ranks.agreed(found)  # ranks may see different disks
        return self.counted(bench, key) if found is None else found

    def counted(self, bench: Bench, key: Key) -> Rates:
        """Count, each rank its share of the latents, and write `rates.safetensors`."""
        counting = Counting(self.sampler(bench), key.layers, key.near_zero)
        with kept_if_stopped(bench):
            self.count(bench, counting, key, self.resumed(bench, counting, key))
        counted, near = counting.rates(), counting.counts()[1]
        rates = Rates(counted, self.num_latents, key.seed, key.generator, key.noise, near)
        if bench.directory is not None and bench.ranks.first:
            rates.save(bench.directory / FILE)
            killed = bench.directory.glob(f".{PARTIAL}.*")  # while they were written
            for path in (bench.directory / PARTIAL, *killed):
                path.unlink(missing_ok=True)
        return rates

    def resumed(self, bench: Bench, counting: Counting, key: Key) -> int:
        """Take up the counts of a run that was stopped; how many latents they are of."""
        found = None
        if bench.directory is not None and bench.ranks.first:
            shapes = counting.active.shapes
            found = load_partial(bench.directory / PARTIAL, key, self.num_latents, shapes)
        if found is not None:
            counting.resume(*found)
            print(f"activation rates go on after {found[2]} latents", file=sys.stderr)
        return bench.ranks.agreed(found[2] if found is not None else 0)

    def count(self, bench: Bench, counting: Counting, key: Key, start: int) -> None:
        """Count the latents from `start` on, keeping the counts every `save_every` of them.

        The counts kept are all ranks' over latents 0 .. n-1, so any number of ranks can go on.
        """
        ranks = bench.ranks
        share = ranks.share(range(start, self.num_latents))
        indices = iter(ranks.watched(share, "activation rates"))
        step = bench.batch_size * ranks.world  # so that a stop changes no batch
        for portion in portions(start, self.num_latents, ceil(self.save_every / step) * step):
            counting.feed(islice(indices, len(ranks.share(portion))))
            if bench.directory is None or portion.stop == self.num_latents:
                continue
            active, near, done = counting.counts()
            if ranks.first:
                save_partial(bench.directory / PARTIAL, key, active, near, done)


@contextmanager
def kept_if_stopped(bench: Bench) -> Iterator[None]:
    """Say on Ctrl-C how to go on, as nothing else does."""
    try:
        yield
    except KeyboardInterrupt:
        if bench.directory is not None and bench.ranks.first:
            print(
                "stopped; the counts so far are kept: the same command goes on with "
                f"hydra.run.dir={bench.directory}",
                file=sys.stderr,
            )
        raise


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
    shapes: Shapes = dict,  # of the layers; asked of a file
) -> Rates | None:
    """Rates on disk that were counted on the same things, or None.

    Raises:
        FileNotFoundError: `rates_file` does not exist.
        ValueError: `rates_file` does not match; the message says in what.
    """
    wanted = (key.generator, num_latents, key.seed, key.layers, key.noise, key.near_zero)
    if rates_file is not None:
        rates = Rates.load(rates_file)
        if different := rates.differences(*wanted, shapes()):
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
    return None if rates.differences(*wanted, shapes()) else rates
