"""What is random in a training step: drawn for the global batch, sliced by rank."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from ganlab.networks.base import Generator, StyleGenerator
from ganlab.nn.dropout import Dropout
from ganlab.nn.randomness import LatentSpace, keyed_generator
from ganlab.nn.transfer import to_device

Uniform = Callable[[int], Tensor]  # n -> (n,) numbers in [0, 1)
Rows = Callable[[Sequence[int]], Tensor]  # shape, samples first -> numbers


@dataclass(frozen=True)
class StepRandomness:
    """All draws of one step, a function of (seed, images_seen, purpose) and of nothing else.

    Row i of the global batch belongs to rank i mod world, so a run depends neither on the number
    of processes nor on where it was resumed.
    """

    seed: int
    images_seen: int  # at the start of the batch
    rank: int = 0
    world_size: int = 1
    device: torch.device | str = "cpu"  # where the draws are wanted

    def part(self, number: int, count: int) -> "StepRandomness":
        """That of one of `count` equal parts of this rank's rows, as if it were a rank's own."""
        rank, world = self.rank + self.world_size * number, self.world_size * count
        return replace(self, rank=rank, world_size=world)

    def share(self, rows: Tensor) -> Tensor:
        """This rank's rows of a tensor drawn for the global batch, on the device."""
        return to_device(rows[self.rank :: self.world_size], self.device)

    def latents(self, space: LatentSpace, purpose: str, n: int) -> Tensor:
        """(n, Z): this rank's latents."""
        rng = keyed_generator(purpose, self.seed, self.images_seen)
        return self.share(space.sample_latents(n * self.world_size, rng))

    def uniform(self, *purpose: str) -> Uniform:
        """A stream of numbers in [0, 1)."""
        rng = keyed_generator(*purpose, self.seed, self.images_seen)
        return lambda n: self.share(torch.rand(n * self.world_size, generator=rng))

    def agreed(self, n: int, *purpose: str) -> list[float]:
        """n numbers in [0, 1), the same on every rank: what one step has for all its images."""
        rng = keyed_generator(*purpose, self.seed, self.images_seen)
        numbers: list[float] = torch.rand(n, generator=rng).tolist()
        return numbers

    def normal(self, *purpose: str) -> Rows:
        """A stream of N(0, 1) numbers drawn where they are used: noise is as large as a map."""
        return self._rows(torch.randn, *purpose)

    def masks(self, *purpose: str) -> Rows:
        """A stream of numbers in [0, 1), drawn where they are used."""
        return self._rows(torch.rand, *purpose)

    def _rows(self, sample: Callable[..., Tensor], *purpose: str) -> Rows:
        rng = keyed_generator(*purpose, self.seed, self.images_seen, device=self.device)

        def draw(shape: Sequence[int]) -> Tensor:
            n, *rest = shape
            return self.share(sample(n * self.world_size, *rest, generator=rng, device=self.device))

        return draw

    def crossovers(self, purpose: str, n: int, num_styles: int, probability: float) -> Tensor:
        """(n,) int64: the first style of each sample that comes from its second latent.

        With `probability` uniform on 1 .. num_styles - 1, else `num_styles`: no mixing (Karras et
        al. 2019, arXiv:1812.04948, section 3.1).
        """
        uniform = self.uniform("crossover", purpose)
        mixed, place = uniform(n) < probability, uniform(n)
        first = 1 + (place * (num_styles - 1)).long().clamp(max=num_styles - 2)
        return torch.where(mixed & (num_styles > 1), first, num_styles)


@contextmanager
def fresh_noise(generator: Generator, randomness: StepRandomness, purpose: str) -> Iterator[None]:
    """Inside the block a generator that adds noise draws it from the step's randomness."""
    if not isinstance(generator, StyleGenerator):
        yield
        return
    before, generator.draw_noise = generator.draw_noise, randomness.normal("noise", purpose)
    try:
        yield
    finally:
        generator.draw_noise = before


@contextmanager
def dropping(network: nn.Module, masks: Rows | None) -> Iterator[None]:
    """Inside the block a network that drops units goes by these numbers in [0, 1)."""
    modules = [module for module in network.modules() if isinstance(module, Dropout)]
    for module in modules:
        module.draw = masks
    try:
        yield
    finally:
        for module in modules:
            module.draw = None
