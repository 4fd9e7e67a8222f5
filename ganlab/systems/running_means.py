"""Running means that live on the device, so that watching a run costs no synchronization."""

from typing import Any

import torch
from torch import Tensor


class RunningMeans:
    """Sums of scalars since the last reset; part of the checkpoint, so a resumed curve is exact."""

    def __init__(self) -> None:
        self._sums: dict[str, Tensor] = {}
        self._counts: dict[str, int] = {}
        self.diverged: dict[str, Any] | None = None  # see `divergence.watch`; a reset keeps it

    def add(self, name: str, value: Tensor) -> None:
        """Add one scalar observation without waiting for the device."""
        value = value.detach().float()
        self._sums[name] = self._sums[name] + value if name in self._sums else value
        self._counts[name] = self._counts.get(name, 0) + 1

    def read(self) -> dict[str, float]:
        """Means since the last reset, by name; one synchronization for all of them."""
        if not self._sums:
            return {}
        sums = torch.stack(list(self._sums.values())).tolist()
        return {
            name: total / self._counts[name] for name, total in zip(self._sums, sums, strict=True)
        }

    def means(self) -> Tensor:
        """The same means as one device vector, in the order of the names."""
        counts = list(self._counts.values())
        sums = torch.stack(list(self._sums.values()))
        return sums / torch.tensor(counts, dtype=sums.dtype, device=sums.device)

    def reset(self) -> None:
        """Forget everything."""
        self._sums.clear()
        self._counts.clear()

    def state_dict(self) -> dict[str, Any]:
        """Sums and counts as plain containers of tensors and numbers."""
        return {
            "sums": dict(self._sums),
            "counts": dict(self._counts),
            "diverged": self.diverged,
        }

    def load_state_dict(self, state: dict[str, Any], device: torch.device | str = "cpu") -> None:
        """Continue from `state_dict`'s answer."""
        self._sums = {name: value.to(device) for name, value in state["sums"].items()}
        self._counts = dict(state["counts"])
        self.diverged = read_divergence(state.get("diverged"))


def read_divergence(found: object) -> dict[str, Any] | None:
    """What a checkpoint says of losses out of range, if it is of that form."""
    if not isinstance(found, dict) or not isinstance(found.get("loss"), str):
        return None
    numbers = {key: found.get(key) for key in ("at_kimg", "value", "threshold")}
    if not all(isinstance(number, int | float) for number in numbers.values()):
        return None
    return {"loss": found["loss"], **numbers}
