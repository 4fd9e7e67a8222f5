"""Activation rates of neurons (Choi, Chang, Choi 2022, section 3, eq. 1)."""

import math
from collections.abc import Callable, Mapping
from math import prod

import torch
from torch import Tensor
from torchmetrics import Metric

EXACT = 2**23  # latents up to which a sum of float32 counts is exact, with room for a batch
PART = 2**17  # numbers that are compared at once on a CPU


class ActivationRate(Metric):
    """Share of latents on which each neuron is active, i.e. its output is > 0.

    A neuron is one position (channel, y, x) of a layer's output. Counts are int64, one a neuron,
    so memory does not depend on the number of latents and the sum over ranks is exact.
    """

    full_state_update = False
    num_latents: Tensor  # () int64
    active: Tensor  # int64, the counts of all layers end to end, reduced over ranks at once

    def __init__(
        self,
        shapes: Mapping[str, tuple[int, ...]] | None = None,  # layer -> (C, H, W) or (C,); None =
        # taken from the first outputs; then every rank must update at least once
    ) -> None:
        super().__init__(compute_with_cache=False)
        self.shapes: dict[str, tuple[int, ...]] = {}
        self.add_state("num_latents", torch.zeros((), dtype=torch.int64), "sum")
        self._allocate(shapes or {})

    def update(self, outputs: Mapping[str, Tensor]) -> None:
        """Count one batch: layer name -> (N, C, H, W) or (N, C), the same N and layers each time.

        Raises:
            ValueError: layers, shapes or batch sizes that disagree.
        """
        if not self.shapes:
            self._allocate({name: tuple(x.shape[1:]) for name, x in outputs.items()})
        if len({len(x) for x in outputs.values()}) != 1:
            raise ValueError("activation rates need one batch size for all layers of an update")
        self._check({name: tuple(x.shape[1:]) for name, x in outputs.items()})
        counts = {name: self.count(x) for name, x in outputs.items()}
        self._add(counts, len(next(iter(outputs.values()))))

    def add(self, counts: Mapping[str, Tensor], num_latents: int) -> None:
        """Add what `count` or `counts` gave: an update whose outputs need not live together.

        In a distributed run counts of all ranks are to be added on one, as ranks add up.

        Raises:
            ValueError: layers or shapes that disagree.
        """
        self._check({name: tuple(count.shape) for name, count in counts.items()})
        self._add(counts, num_latents)
        self._computed, self._update_count = None, self._update_count + 1  # as torchmetrics does

    def count(self, x: Tensor, so_far: Tensor | None = None) -> Tensor:
        """How many of N rows are above 0 at each position, (N, C, H, W) -> (C, H, W) floats.

        `so_far`, which `count` gave, is added to in place; sums are exact up to `EXACT` rows.
        """
        return num_rows(x, lambda row, out: torch.gt(row, 0, out=out), so_far)

    def counts(self) -> tuple[dict[str, Tensor], int]:
        """Active latents by layer, int64, and the latents counted, over all ranks."""
        with self.sync_context():
            active = {name: self._counts_of(name).clone() for name in self.shapes}
            return active, int(self.num_latents)

    def compute(self) -> dict[str, Tensor]:
        """Rates in [0, 1] by layer, float64, (C, H, W) or (C,).

        Raises:
            ValueError: no latent was counted.
        """
        if not self.num_latents:
            raise ValueError("activation rates of no latents: raise study.num_latents")
        return {name: self._counts_of(name).double() / self.num_latents for name in self.shapes}

    def _add(self, counts: Mapping[str, Tensor], num_latents: int) -> None:
        for name, count in counts.items():
            self._counts_of(name).add_(count.to(self.device, torch.int64))
        self.num_latents += num_latents

    def _allocate(self, shapes: Mapping[str, tuple[int, ...]]) -> None:
        self.shapes = {name: tuple(shape) for name, shape in shapes.items()}
        total = sum(map(prod, self.shapes.values()))
        counts = torch.zeros(total, dtype=torch.int64, device=self.device)
        self.add_state("active", counts, "sum")

    def _counts_of(self, name: str) -> Tensor:
        """A view into the counts of one layer."""
        start = 0
        for layer, shape in self.shapes.items():
            if layer == name:
                break
            start += prod(shape)
        return self.active[start : start + prod(self.shapes[name])].view(self.shapes[name])

    def _check(self, shapes: Mapping[str, tuple[int, ...]]) -> None:
        if shapes != self.shapes:
            raise ValueError(
                f"activation rates count {self.shapes}, but these outputs are {shapes}"
            )


class NearZero(ActivationRate):
    """On how many latents each neuron is given a value within `tolerance` of 0, of either sign.

    On these alone can the last bits of a convolution, which depend on the batch, decide whether a
    neuron is active. `update` takes what the activation modules receive, before they act.
    """

    def __init__(
        self,
        shapes: Mapping[str, tuple[int, ...]] | None = None,  # as of `ActivationRate`
        tolerance: float = 1e-5,
    ) -> None:
        super().__init__(shapes)
        self.tolerance = tolerance

    def count(self, x: Tensor, so_far: Tensor | None = None) -> Tensor:
        """How many of N rows are within `tolerance` of 0 at each position, likewise."""

        def near(row: Tensor, out: Tensor) -> None:
            torch.abs(row, out=out)
            torch.le(out, self.tolerance, out=out)

        return num_rows(x, near, so_far)


def num_rows(
    x: Tensor,  # (N, ...)
    test: Callable[[Tensor, Tensor], object],  # writes 0 or 1 for each number into its second
    so_far: Tensor | None = None,  # (...) floats of at least float32; None = none are counted
) -> Tensor:
    """How many of N rows pass a test at each position, added to `so_far`: (N, ...) -> (...)."""
    dtype = torch.promote_types(x.dtype, torch.float32)  # counts up to 2^24 exactly
    count = torch.zeros(x.shape[1:], dtype=dtype, device=x.device) if so_far is None else so_far
    if x.device.type != "cpu":
        passed = torch.empty_like(x)
        test(x, passed)
        return count.add_(passed.sum(0, dtype=dtype))
    # a part of a row at a time stays in the cache, and a CPU compares into floats faster than into
    # bools: together an eighth of the time of (x > 0).sum(0)
    counts = count.view(-1).split(PART)
    passed = torch.empty(PART, dtype=x.dtype)
    for row in x:
        for part, sums in zip(row.reshape(-1).split(PART), counts, strict=True):
            test(part, passed[: len(part)])
            sums += passed[: len(part)]
    return count


def wilson_interval(
    rate: Tensor,  # share of active latents, any shape, float64
    num_latents: int,  # latents counted
    confidence: float = 0.95,  # probability that the interval covers the true rate
) -> tuple[Tensor, Tensor]:
    """Lower and upper end of the Wilson score interval of a rate (Wilson 1927), shaped as `rate`.

    Unlike the normal interval it stays in [0, 1] and has a width at rates 0 and 1.
    """
    if num_latents < 1 or not 0 < confidence < 1:
        raise ValueError("a Wilson interval needs num_latents >= 1 and confidence in (0, 1)")
    z = torch.special.ndtri(torch.tensor((1 + confidence) / 2, dtype=torch.float64)).item()
    weight = 1 + z**2 / num_latents
    centre = (rate + z**2 / (2 * num_latents)) / weight
    spread = (rate * (1 - rate) / num_latents + z**2 / (4 * num_latents**2)).sqrt() * z / weight
    return (centre - spread).clamp(min=0), (centre + spread).clamp(max=1)


def low_rate(rates: Tensor, rate: float, include_dead: bool = True) -> Tensor:
    """Mask of the LR neurons, R_n <= R (Choi et al. 2022, section 3.1), of the shape of `rates`.

    Without dead neurons it is 0 < R_n <= R, as in the authors' code.
    """
    return (rates <= rate) & ((rates > 0) | include_dead)


def high_rate(rates: Tensor, rate: float) -> Tensor:
    """Mask of the HR neurons, R_n > R (Choi et al. 2022, section 3.1), of the shape of `rates`."""
    return rates > rate


def quantile_rate(rates: Tensor, quantile: float, include_dead: bool = True) -> float:
    """The rate R at which LR neurons are the `quantile`, in [0, 1], of this layer's neurons.

    It is the smallest counted rate with at least that share of neurons at or below it, so equal
    rates fall on one side; -1, which selects none, for 0 or where there is no neuron to choose.
    Without dead neurons the share is of the others. A layer whose neurons are mostly rare, so that
    a rate of 0.3 silences nearly all of it, keeps most of them under a quantile of 0.3.
    """
    known = (rates if include_dead else rates[rates > 0]).flatten().sort().values
    rank = math.ceil(quantile * len(known))
    return float(known[rank - 1]) if rank else -1.0
