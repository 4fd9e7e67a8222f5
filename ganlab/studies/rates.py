"""Activation rates of a generator's neurons, counted once and kept in a file.

rates = activation_rates(generator, range(30_000), seed=1)       # layer -> (C, H, W)
Rates(rates, 30_000, 1, digest(generator)).save("rates.pt")
"""

import hashlib
import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from ganlab.metrics import ActivationRate
from ganlab.networks.base import Generator
from ganlab.nn.tracing import recorded
from ganlab.report.atomic import replace_file
from ganlab.studies.layers import Layer, default_layers, layer_shapes, select_layers
from ganlab.studies.sampling import ConditionAt, batched, device_of, images_at

FORMAT = "ganlab.rates/1"
FILE = "rates.pt"


def activation_rates(
    generator: Generator,
    indices: Iterable[int],  # addresses of this process's latents
    seed: int,
    layers: Sequence[Layer] | None = None,  # names or positions; None = all that see the latent
    batch_size: int = 100,
    device: torch.device | str | None = None,  # None = where the generator is
    condition_at: ConditionAt | None = None,  # for conditional generators
) -> dict[str, Tensor]:
    """Share of latents on which each neuron is above 0: layer -> (C, H, W) float64 on the CPU.

    Choi et al. 2022, eq. 1. Counts are integers on the device; memory does not grow with the number
    of latents. In a distributed run each process gives its own indices, all get the joint rates.

    Raises:
        ValueError: no indices, or a layer the generator does not have.
    """
    names = default_layers(generator, seed) if layers is None else select_layers(generator, layers)
    device = device_of(generator) if device is None else torch.device(device)
    count = ActivationRate(layer_shapes(generator, names, seed)).to(device)
    with recorded(generator.layers, names) as activations:
        for batch in batched(indices, batch_size):
            images_at(generator, batch, seed, device=device, condition_at=condition_at)
            count.update({name: activations[name] for name in names})
    return {name: rate.cpu() for name, rate in count.compute().items()}


def checked_rate(rate: float, key: str = "study.rate") -> float:
    """The rate itself.

    Raises:
        ValueError: outside [0, 1].
    """
    if not 0 <= rate <= 1:
        raise ValueError(f"{key} must be in [0, 1], got {rate}")
    return rate


def digest(network: nn.Module) -> str:
    """SHA-256 of a network's state: names, types, shapes and bytes of all its tensors."""
    sha256 = hashlib.sha256()
    for name, value in network.state_dict().items():
        if not isinstance(value, Tensor):
            sha256.update(f"{name} {value!r}".encode())
            continue
        sha256.update(f"{name} {value.dtype} {tuple(value.shape)}".encode())
        flat = value.detach().cpu().contiguous().reshape(-1)
        sha256.update(flat.view(torch.uint8).numpy().tobytes())
    return sha256.hexdigest()


@dataclass(frozen=True, eq=False)
class Rates:
    """Activation rates with what they were counted on."""

    rates: Mapping[str, Tensor]  # layer -> (C, H, W) or (C,) float64, in network order
    num_latents: int  # addresses 0 .. num_latents-1
    seed: int  # of those latents
    generator: str  # `digest` of the generator

    def save(self, path: str | Path) -> Path:
        """Write plain tensors and numbers, atomically; opens under `weights_only=True`."""
        payload = {
            "format": FORMAT,
            "layers": list(self.rates),
            "num_latents": self.num_latents,
            "seed": self.seed,
            "generator": self.generator,
            "rates": {name: rate.clone() for name, rate in self.rates.items()},
        }
        file = io.BytesIO()
        torch.save(payload, file)
        return replace_file(Path(path), file.getvalue())

    @classmethod
    def load(cls, path: str | Path) -> "Rates":
        """Read a file of `save`, or `rates.pt` of a run directory.

        Raises:
            FileNotFoundError: there is none.
            ValueError: it is no file of activation rates.
        """
        path = Path(path).expanduser()
        path = path / FILE if path.is_dir() else path
        if not path.is_file():
            raise FileNotFoundError(
                f"study.rates_file={path}: no such file; "
                "run study=activation_rates, or leave it out"
            )
        try:
            payload = torch.load(path, map_location="cpu", weights_only=True)
            found = payload["format"]
            rates = {name: payload["rates"][name] for name in payload["layers"]}
            result = cls(rates, payload["num_latents"], payload["seed"], payload["generator"])
        except Exception as error:
            raise ValueError(f"study.rates_file={path} is no file of activation rates") from error
        if found != FORMAT:
            raise ValueError(f"study.rates_file={path} has format {found}, this reads {FORMAT}")
        return result

    def differences(
        self, generator: str, num_latents: int, seed: int, layers: Iterable[str]
    ) -> list[str]:
        """What keeps these rates from standing in for a count of the given kind; [] if nothing."""
        missing = [name for name in layers if name not in self.rates]
        found = []
        if self.generator != generator:
            found.append("they belong to another generator")
        if self.num_latents != num_latents:
            found.append(f"num_latents is {self.num_latents}, not {num_latents}")
        if self.seed != seed:
            found.append(f"rate_seed is {self.seed}, not {seed}")
        if missing:
            found.append(f"they lack {', '.join(missing)}")
        return found
