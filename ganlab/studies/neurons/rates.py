"""Activation rates of a generator's neurons, counted once and kept in a file.

rates = activation_rates(Sampler(generator, seed=1), range(30_000))  # layer -> (C, H, W)
Rates(rates, 30_000, 1, digest(generator)).save("rates.safetensors")
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor

from ganlab.checks.places import place_named
from ganlab.metrics import wilson_interval
from ganlab.nn.digest import is_digest_of
from ganlab.sampling import Sampler, checked_noise
from ganlab.storage.atomic import replace_file
from ganlab.storage.tensors import pack, read_tensors
from ganlab.studies.neurons.counting import NEAR, Counting, Key, check_counts
from ganlab.studies.neurons.layers import Layer, default_layers, select_layers

FORMAT = "ganlab.rates/2"
FILE = "rates.safetensors"
WHOLE = 1e-6  # how far a rate times its number of latents may be from a whole number
LOW, HIGH = ".low", ".high"  # after a layer's name in the file: the ends of the Wilson interval


def activation_rates(
    sampler: Sampler,
    indices: Iterable[int],  # addresses of this process's latents
    layers: Sequence[Layer] | None = None,  # names or positions; None = all that see the latent
) -> dict[str, Tensor]:
    """Share of latents on which each neuron is above 0: layer -> (C, H, W) float64 on the CPU.

    Choi et al. 2022, eq. 1. Counts are integers on the device; memory does not grow with the number
    of latents. In a distributed run each process gives its own indices, all get the joint rates.

    Raises:
        ValueError: no indices, or a layer the generator does not have.
    """
    names = default_layers(sampler) if layers is None else select_layers(sampler.generator, layers)
    counting = Counting(sampler, names)
    counting.feed(indices)
    return counting.rates()


def checked_rate(rate: float, key: str = "study.rate") -> float:
    """The rate itself.

    Raises:
        ValueError: outside [0, 1].
    """
    if not 0 <= rate <= 1:
        raise ValueError(f"{key} must be in [0, 1], got {rate}")
    return rate


@dataclass(frozen=True, eq=False)
class Rates:
    """Activation rates with what they were counted on."""

    rates: Mapping[str, Tensor]  # layer -> (C, H, W) or (C,) float64, in network order
    num_latents: int  # addresses 0 .. num_latents-1
    seed: int  # of those latents
    generator: str  # `digest` of the generator
    noise: str = "fixed"  # of a generator that takes noise, see `Sampler`
    classes: str = ""  # told to all, where they were chosen, see `Sampler`
    near_zero: Mapping[str, Tensor] = field(default_factory=dict)  # layer -> latents, int64, on
    # which a neuron was given a value within 1e-5 of 0; empty = not counted

    def interval(self, layer: str, confidence: float = 0.95) -> tuple[Tensor, Tensor]:
        """Ends of the Wilson interval of each neuron of a layer, shaped as its rates."""
        return wilson_interval(self.rates[layer], self.num_latents, confidence)

    def save(
        self,
        path: str | Path,
        confidence: float | None = None,  # keep Wilson intervals too, of this probability
    ) -> Path:
        """Write a safetensors file, atomically: one tensor a layer under its name.

        Beside it stand `<layer>.near_zero` where counted, and `<layer>.low` and `<layer>.high`, the
        ends of the interval. The metadata say what the rates were counted on.
        """
        tensors = dict(self.rates) | {name + NEAR: n for name, n in self.near_zero.items()}
        for name in self.rates if confidence is not None else ():
            low, high = self.interval(name, confidence or 0.0)
            tensors |= {name + LOW: low, name + HIGH: high}
        metadata = {
            "format": FORMAT,
            "layers": json.dumps(list(self.rates)),  # in network order; tensors are sorted
            "num_latents": str(self.num_latents),
            "seed": str(self.seed),
            "generator": self.generator,
            "noise": self.noise,
            **({"classes": self.classes} if self.classes else {}),
            "confidence": "" if confidence is None else str(confidence),
        }
        return replace_file(Path(path), pack(tensors, metadata))

    @classmethod
    def load(cls, path: str | Path) -> "Rates":
        """Read a file of `save`, or `rates.safetensors` of a run directory.

        Raises:
            FileNotFoundError: there is none.
            ValueError: it is no file of activation rates, is damaged, or holds what none can be.
        """
        path = place_named(path, "study.rates_file")
        path = path / FILE if path.is_dir() else path
        if not path.is_file():
            raise FileNotFoundError(
                f"study.rates_file={path}: no such file; "
                "run study=activation_rates, or leave it out"
            )
        try:
            found, tensors = read_tensors(path)
            if found["format"] == FORMAT:
                return cls._of(found, tensors)
        except (KeyError, ValueError, TypeError, RecursionError) as error:
            raise ValueError(
                f"study.rates_file={path} is no file of activation rates ({error}): "
                "count them again with study=activation_rates"
            ) from error
        raise ValueError(
            f"study.rates_file={path} has format {found['format']}, this reads {FORMAT}"
        )

    @classmethod
    def _of(cls, found: Mapping[str, str], tensors: Mapping[str, Tensor]) -> "Rates":
        layers = json.loads(found["layers"])
        rates = {name: tensors[name] for name in layers}
        near = {name: tensors[name + NEAR] for name in layers if name + NEAR in tensors}
        num, seed = int(found["num_latents"]), int(found["seed"])
        check_counts({name: _counts(rate, name, num) for name, rate in rates.items()}, num)
        check_counts(near, num, {name: tuple(rate.shape) for name, rate in rates.items()})
        noise, classes = checked_noise(found["noise"]), found.get("classes", "")
        return cls(rates, num, seed, found["generator"], noise, classes, near)

    def differences(
        self,
        key: Key,  # of the count
        num_latents: int,
        shapes: Mapping[str, tuple[int, ...]],  # of its layers
    ) -> list[str]:
        """What keeps these rates from standing in for such a count; [] if nothing."""
        found = []
        if not is_digest_of(self.generator, key.generator):
            found.append("they belong to another generator")
        pairs = {
            "num_latents is": (self.num_latents, num_latents),
            "rate_seed is": (self.seed, key.seed),
            "noise is": (self.noise, key.noise),
            "their study.label is": (self.classes or None, key.classes or None),
        }
        found += [f"{what} {a}, not {b}" for what, (a, b) in pairs.items() if a != b]
        if missing := [name for name in key.layers if name not in self.rates]:
            found.append(f"they lack {', '.join(missing)}")
        elif key.near_zero and not set(key.layers) <= set(self.near_zero):
            found.append("they lack the near-zero counts (study.near_zero)")
        for name in shapes.keys() & self.rates.keys():
            here, there = tuple(self.rates[name].shape), tuple(shapes[name])
            if here != there:
                found.append(f"their {name} is {here}, not {there}")
        return found


def _counts(rate: Tensor, name: str, num_latents: int) -> Tensor:
    """The counts that rates are shares of; raises ValueError where they are of none."""
    exact = rate.double() * num_latents
    if rate.dtype != torch.float64 or not bool(exact.isfinite().all()):
        raise ValueError(f"its {name} holds {rate.dtype}, or numbers that are not finite")
    if float((exact - exact.round()).abs().max() if exact.numel() else 0) > WHOLE:
        raise ValueError(f"its {name} holds rates that {num_latents} latents cannot give")
    return exact.round().long()
