"""Averages of a network with power-function profiles, and any other length made of them afterwards.

Karras et al. 2024 (arXiv:2312.02696, "EDM2"), section 3 and appendix C. A profile of exponent gamma
weighs the network of time tau by tau^gamma, up to the time t at which the average is taken: it
forgets the beginning, whatever the training's length. Its length is its standard deviation as a
share of t. Averages of two lengths, kept at a few times, span many others by least squares.
"""

from collections.abc import Sequence
from copy import deepcopy
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import nn

Array = NDArray[np.float64]
SHORTEST = 1e-4  # of one that is still more than the network itself: 100 images of a million
LONGEST = 0.28  # of a profile that does not weigh the beginning more than the end: 12^-0.5


def exponent(length: float) -> float:
    """The gamma of a profile whose standard deviation is this share of its time.

    length^2 = (gamma + 1) / ((gamma + 2)^2 (gamma + 3)), eq. 3, solved for its largest root.

    Raises:
        ValueError: a length that no profile has.
    """
    if not SHORTEST <= length <= LONGEST:
        raise ValueError(
            f"a length of an average must be above 0, at least {SHORTEST}, and at most {LONGEST}: "
            f"{length}"
        )
    inverse = length**-2
    return float(np.roots([1, 7, 16 - inverse, 12 - inverse]).real.max())


def overlap(times: ArrayLike, exponents: ArrayLike, others: ArrayLike, of: ArrayLike) -> Array:
    """Inner products of profiles, elementwise: integral of p_1(tau) p_2(tau) over tau.

    With p(tau) = (gamma + 1) tau^gamma / t^(gamma + 1) up to t and 0 after it, and t_1 <= t_2:
    (gamma_1 + 1) (gamma_2 + 1) / (gamma_1 + gamma_2 + 1) (t_1 / t_2)^gamma_2 / t_2.
    """
    t1, g1, t2, g2 = (np.asarray(each, float) for each in (times, exponents, others, of))
    early, late = np.minimum(t1, t2), np.maximum(t1, t2)
    of_late = np.where(t1 < t2, g2, g1)
    found: Array = (g1 + 1) * (g2 + 1) / (g1 + g2 + 1) * (early / late) ** of_late / late
    return found


def combination(
    times: Sequence[float],  # images seen at each kept average
    exponents: Sequence[float],  # gamma of each
    time: float,  # at which an average of another length is wanted
    wanted: float,  # its gamma
) -> tuple[Array, float]:
    """How much of each kept average makes the wanted one, and what its profile is off by.

    Least squares over profiles (section 3.2); the error is the root mean square of the difference,
    as a share of the wanted profile's.
    """
    t, g = np.asarray(times, float), np.asarray(exponents, float)
    gram = overlap(t[:, None], g[:, None], t, g)
    target = overlap(t, g, time, wanted)
    weights: Array = np.linalg.lstsq(gram, target, rcond=None)[0].astype(np.float64)
    whole = float(overlap(time, wanted, time, wanted))
    square = float(weights @ gram @ weights - 2 * weights @ target) + whole
    return weights, float(np.sqrt(max(square, 0.0) / whole))


class PowerAverages(nn.Module):
    """Averages of a generator beside the ordinary one, one of each length; kept with a run's state.

    Raises:
        ValueError: lengths that cannot be, or none; names the key.
    """

    def __init__(
        self,
        lengths: Sequence[float] = (0.05, 0.1),  # standard deviations, as shares of the images seen
    ) -> None:
        super().__init__()
        key = "model.power_averages.lengths"
        if not lengths or len(set(lengths)) < len(lengths):
            raise ValueError(f"{key}={list(lengths)} must be some, each once")
        try:
            self.exponents = [exponent(float(length)) for length in lengths]
        except ValueError as error:
            raise ValueError(f"{key}: {error}") from error
        self.networks = nn.ModuleList()

    def follow(self, network: nn.Module) -> None:
        """Begin to average this network."""
        copies = [deepcopy(network).requires_grad_(False) for _ in self.exponents]
        self.networks = nn.ModuleList(copies).eval()

    def train(self, mode: bool = True) -> "PowerAverages":
        """Stay as they are: averages always evaluate."""
        return self

    @torch.no_grad()
    def update(self, network: nn.Module, before: int, after: int) -> None:
        """Let the averages at `before` images become those at `after`, in which it was like this.

        beta = (before / after)^(gamma + 1), eq. 2: exact for a network that changes in steps.
        Buffers are copied.
        """
        for gamma, average in zip(self.exponents, self.networks, strict=True):
            weight = 1 - (before / after) ** (gamma + 1)
            torch._foreach_lerp_(
                list(average.parameters()), list(network.parameters()), weight=weight
            )
            for own, buffer in zip(average.buffers(), network.buffers(), strict=True):
                own.copy_(buffer)


def lengths_of(recipe: dict[str, Any]) -> list[float]:
    """The lengths of the power averages that a run of this recipe keeps, if it keeps any."""
    node = (recipe.get("model") or {}).get("power_averages") or {}
    return [float(each) for each in node.get("lengths") or []]
