"""Counting activated neurons over latents, so that a run that is stopped can go on.

counting = Counting(Sampler(generator, seed=1), ["4x4/0", "8x8/0"])
counting.feed(range(1000))
counting.feed(range(1000, 2000))
rates = counting.rates()                                          # layer -> (C, H, W)
"""

import json
import warnings
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from ganlab.metrics import ActivationRate, NearZero
from ganlab.nn.tracing import Reached, observed
from ganlab.report.atomic import replace_file
from ganlab.sampling import Sampler, batched
from ganlab.studies.neurons.layers import layer_shapes

FORMAT = "ganlab.rates.partial/1"
NEAR = ".near_zero"  # after a layer's name in files: on how many latents rounding could decide
Counts = dict[str, Tensor]  # layer -> (C, H, W) or (C,) int64


class Counting:
    """Integer counts of activated neurons on the device; memory does not grow with the latents.

    Raises:
        KeyError: a layer the generator does not have.
    """

    def __init__(
        self,
        sampler: Sampler,  # of the latents counted on
        layers: Sequence[str],  # names, in network order
        near_zero: bool = False,  # count too on how many latents rounding could decide
    ) -> None:
        self.sampler, self.layers = sampler, list(layers)
        shapes = layer_shapes(sampler, self.layers)
        self.active = ActivationRate(shapes).to(sampler.place)
        self.near = NearZero(shapes).to(sampler.place) if near_zero else None

    def feed(self, indices: Iterable[int]) -> None:
        """Count over the latents of these addresses."""
        active: Counts = {}
        near: Counts = {}

        def count(name: str, received: Tensor, output: Tensor) -> None:
            active[name] = self.active.count(output)
            if self.near is not None:
                near[name] = self.near.count(received)

        with observed(self.sampler.generator.layers, self.layers, count, stop=True):
            for batch in batched(indices, self.sampler.batch_size):
                with suppress(Reached):
                    self.sampler.batch(batch)
                self.active.add(active, len(batch))
                if self.near is not None:
                    self.near.add(near, len(batch))

    def rates(self) -> dict[str, Tensor]:
        """Layer -> (C, H, W) float64 on the CPU, over all ranks.

        Raises:
            ValueError: no latent was counted.
        """
        return {name: rate.cpu() for name, rate in self.active.compute().items()}

    def counts(self) -> tuple[Counts, Counts, int]:
        """Activated and near-zero counts (if asked for) and how many latents, over all ranks."""
        active, num = self.active.counts()
        near = self.near.counts()[0] if self.near is not None else {}
        return _on_cpu(active), _on_cpu(near), num

    def resume(self, active: Counts, near: Counts, num_latents: int) -> None:
        """Go on from `counts()`; in a distributed run on one rank alone, as ranks add up."""
        self.active.add(active, num_latents)
        if self.near is not None:
            self.near.add(near, num_latents)


def _on_cpu(counts: Counts) -> Counts:
    return {name: count.cpu() for name, count in counts.items()}


@dataclass(frozen=True)
class Key:
    """What counts belong to: counts with the same key may be added up."""

    generator: str  # `rates.digest`
    seed: int  # of the latents
    layers: tuple[str, ...]  # in network order
    noise: str = "fixed"
    near_zero: bool = False


def save_partial(path: Path, key: Key, active: Counts, near: Counts, num_latents: int) -> Path:
    """Write the counts over latents 0 .. num_latents-1, atomically."""
    tensors = active | {name + NEAR: count for name, count in near.items()}
    metadata = {"format": FORMAT, "key": json.dumps(asdict(key)), "num_latents": str(num_latents)}
    return replace_file(path, save({n: t.contiguous() for n, t in tensors.items()}, metadata))


def load_partial(path: Path, key: Key, num_latents: int) -> tuple[Counts, Counts, int] | None:
    """Counts of `save_partial` over at most `num_latents` latents; None if there are none such.

    A damaged file costs a warning.
    """
    try:
        if not path.is_file():
            return None
        metadata, tensors = read_tensors(path)
        fits = metadata["format"] == FORMAT and metadata["key"] == json.dumps(asdict(key))
        counted = int(metadata["num_latents"])
        if not fits or counted > num_latents:
            return None
        active = {name: tensors[name] for name in key.layers}
        near = {name: tensors[name + NEAR] for name in key.layers} if key.near_zero else {}
        return active, near, counted
    except (OSError, SafetensorError, KeyError, ValueError) as error:
        warnings.warn(f"counting anew, {path} cannot be read: {error}", stacklevel=2)
        return None


def read_tensors(path: Path) -> tuple[dict[str, str], dict[str, Tensor]]:
    """Metadata and tensors of a safetensors file, on the CPU."""
    with safe_open(path, framework="pt") as file:
        names = list(file.keys())
        return dict(file.metadata() or {}), {name: file.get_tensor(name) for name in names}


def portions(start: int, stop: int, size: int) -> Iterator[range]:
    """The addresses start .. stop-1 in ranges of `size`, the last one perhaps shorter."""
    return (range(first, min(first + size, stop)) for first in range(start, stop, size))
