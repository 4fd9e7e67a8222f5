"""Counting activated neurons over latents, so that a run that is stopped can go on.

counting = Counting(Sampler(generator, seed=1), ["4x4/0", "8x8/0"])
counting.feed(range(1000))
counting.feed(range(1000, 2000))
rates = counting.rates()                                          # layer -> (C, H, W)
"""

import json
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import islice
from math import ceil
from pathlib import Path

import torch
from torch import Tensor

from ganlab.metrics import ActivationRate, NearZero
from ganlab.metrics.activation_rate import EXACT
from ganlab.nn.tracing import observed
from ganlab.sampling import Sampler
from ganlab.storage.atomic import replace_file
from ganlab.storage.tensors import pack, read_tensors
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
        size, rest = self.sampler.batch_size, iter(indices)
        while self._feed(islice(rest, ceil(EXACT / size) * size)):
            pass

    def _feed(self, indices: Iterable[int]) -> int:
        """How many there were. Whole numbers of all neurons are added up but once."""
        active: Counts = {}
        near: Counts = {}

        def count(name: str, received: Tensor, output: Tensor) -> None:
            active[name] = self.active.count(output, active.get(name))
            if self.near is not None:
                same = received.shape == output.shape  # else the layer resamples: see its output
                near[name] = self.near.count(received if same else output, near.get(name))

        with observed(self.sampler.generator.layers, self.layers, count, stop=True):
            num = sum(map(len, self.sampler.passes(indices)))
        if num:
            self.active.add(active, num)
            if self.near is not None:
                self.near.add(near, num)
        return num

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
        active, near = ({name: n.cpu() for name, n in counts.items()} for counts in (active, near))
        return active, near, num

    def resume(self, active: Counts, near: Counts, num_latents: int) -> None:
        """Go on from `counts()`; in a distributed run on one rank alone, as ranks add up."""
        self.active.add(active, num_latents)
        if self.near is not None:
            self.near.add(near, num_latents)


@dataclass(frozen=True)
class Key:
    """What counts belong to: counts with the same key may be added up."""

    generator: str  # `rates.digest`
    seed: int  # of the latents
    layers: tuple[str, ...]  # in network order
    noise: str = "fixed"
    near_zero: bool = False
    classes: str = ""  # that all images were told

    @property
    def text(self) -> str:
        """As files have it: without classes where none were chosen."""
        return json.dumps({k: v for k, v in asdict(self).items() if k != "classes" or v})


def save_partial(path: Path, key: Key, active: Counts, near: Counts, num_latents: int) -> Path:
    """Write the counts over latents 0 .. num_latents-1, atomically."""
    tensors = active | {name + NEAR: count for name, count in near.items()}
    metadata = {"format": FORMAT, "key": key.text, "num_latents": str(num_latents)}
    return replace_file(path, pack(tensors, metadata))


def load_partial(
    path: Path,
    key: Key,
    num_latents: int,
    shapes: Mapping[str, tuple[int, ...]] | None = None,  # of the layers; None = do not look
) -> tuple[Counts, Counts, int] | None:
    """Counts of `save_partial` over at most `num_latents` latents; None if there are none such.

    A file that is damaged, or holds what cannot be counts, costs a warning.
    """
    try:
        if not path.is_file():
            return None
        metadata, tensors = read_tensors(path)
        fits = metadata["format"] == FORMAT and metadata["key"] == key.text
        counted = int(metadata["num_latents"])
        if not fits or counted > num_latents:
            return None
        active = {name: tensors[name] for name in key.layers}
        near = {name: tensors[name + NEAR] for name in key.layers} if key.near_zero else {}
        for counts in (active, near):
            check_counts(counts, counted, shapes)
        return active, near, counted
    except (OSError, KeyError, ValueError) as error:
        warnings.warn(f"counting anew, {path} cannot be read: {error}", stacklevel=2)
        return None


def check_counts(
    counts: Mapping[str, Tensor],
    num_latents: int,  # that were counted
    shapes: Mapping[str, tuple[int, ...]] | None = None,  # of the layers; None = do not look
) -> None:
    """Raise ValueError unless each is whole numbers of latents, from none to all of them."""
    if num_latents < 1:
        raise ValueError(f"it counted {num_latents} latents")
    for name, count in counts.items():
        if count.dtype != torch.int64 or count.ndim not in (1, 3) or not count.numel():
            raise ValueError(f"its {name} is {count.dtype} of shape {tuple(count.shape)}")
        if shapes is not None and tuple(count.shape) != tuple(shapes[name]):
            raise ValueError(f"its {name} is {tuple(count.shape)}, the layer {shapes[name]}")
        if int(count.min()) < 0 or int(count.max()) > num_latents:
            raise ValueError(f"its {name} counts more or fewer than {num_latents} latents can give")


def portions(start: int, stop: int, size: int) -> Iterator[range]:
    """The addresses start .. stop-1 in ranges of `size`, the last one perhaps shorter."""
    return (range(first, min(first + size, stop)) for first in range(start, stop, size))
