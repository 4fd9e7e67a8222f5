"""Images of any latents or styles, addressed or not: what every study of latent space paints with.

paint = Painter(generator, truncation=0.7)
images = paint(latents_at(generator, range(8), seed=0), range(8))      # (8, C, H, W) on the CPU
styles = paint.styles(latents_at(generator, range(8), 0), range(8))    # (8, L, W)
images = paint(styles, range(8))                                       # the same images
"""

import math
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ganlab.networks.base import Condition, Generator
from ganlab.nn.growing import enlarged
from ganlab.nn.style import truncate
from ganlab.studies.sampling import (
    ConditionAt,
    batched,
    checked_noise,
    device_of,
    evaluating,
    finest,
    noise_at,
    synthesized,
)


def has_styles(generator: Generator) -> bool:
    """Whether the generator maps its latents to styles."""
    return hasattr(generator, "map")


def truncates(generator: Any) -> bool:
    """Whether truncation can change an image.

    A StyleGAN without styles whose first layer takes the latent itself sees only its direction.
    """
    directed = getattr(generator, "input", None) == "latent" and not generator.affines
    return hasattr(generator, "truncated") or (has_styles(generator) and not directed)


@dataclass(frozen=True, eq=False)
class Painter:
    """How images are made of latents (N, Z) or styles (N, L, W).

    An address goes with each: it says what a conditional generator is told and, where noise is
    random, which noise. The latent of address i gives the image of `images_at`, bit for bit in a
    batch of the same shape.

    Raises:
        ValueError: truncation that is no finite number, or of a generator without styles; random
            noise of one without noise.
    """

    generator: Generator
    seed: int = 0  # of the noise, where it is random
    truncation: float | None = None  # psi of the truncation trick, at the moment of painting
    noise: str = "fixed"  # random = drawn for each image, keyed by its address
    condition_at: ConditionAt | None = None  # for conditional generators
    batch_size: int = 100
    device: torch.device | str | None = None  # None = where the generator is

    def __post_init__(self) -> None:
        if self.truncation is not None and not math.isfinite(self.truncation):
            raise ValueError(f"study.truncation={self.truncation} must be a finite number")
        if checked_noise(self.noise) == "random":
            with noise_at(self.generator, [0], self.seed):
                pass  # it takes noise
        if self.truncation is not None and not truncates(self.generator):
            raise ValueError(
                f"study.truncation={self.truncation} needs a generator with styles, "
                f"{type(self.generator).__module__} has none; leave it at null"
            )

    @property
    def place(self) -> torch.device:
        """Where the generator works."""
        return device_of(self.generator) if self.device is None else torch.device(self.device)

    def __call__(self, values: Tensor, addresses: Sequence[int]) -> Tensor:
        """Images (N, C, H, W) at full resolution, on the CPU."""
        return torch.cat(list(self.batches(values, addresses)))

    @torch.no_grad()
    def batches(self, values: Tensor, addresses: Sequence[int]) -> Iterator[Tensor]:
        """The same in batches of `batch_size`; nothing is drawn from the global generator."""
        for rows in batched(range(len(values)), self.batch_size):
            chosen = [addresses[row] for row in rows]
            yield self._painted(values[rows].to(self.place), chosen).cpu()

    def _painted(self, values: Tensor, addresses: Sequence[int]) -> Tensor:
        drawn = self.noise == "random"
        drawing = noise_at(self.generator, addresses, self.seed) if drawn else nullcontext()
        kind = "random" if drawn else "const"
        with evaluating(self.generator), drawing:
            if values.ndim == 3:
                images = self._synthesized(values, kind)
            elif drawn or self.truncation is not None:
                condition = self._condition(addresses)
                images = synthesized(self.generator, values, condition, self.truncation, kind)
            else:
                images = finest(self.generator(values, self._condition(addresses)))
        return enlarged(images, self.generator.resolution)

    def _synthesized(self, styles: Tensor, kind: str) -> Tensor:
        network: Any = self.generator
        if self.truncation is not None:
            styles = truncate(styles, network.mean_style, self.truncation)
        return finest(network.synthesize(styles, noise=kind))

    @torch.no_grad()
    def styles(self, latents: Tensor, addresses: Sequence[int]) -> Tensor:
        """(N, Z) latents -> (N, L, W) styles on the CPU, not truncated.

        Raises:
            ValueError: the generator has no styles.
        """
        if not has_styles(self.generator):
            raise ValueError(f"{type(self.generator).__module__} has no styles")
        network: Any = self.generator
        found = []
        with evaluating(self.generator):
            for rows in batched(range(len(latents)), self.batch_size):
                condition = self._condition([addresses[row] for row in rows])
                found.append(network.map(latents[rows].to(self.place), condition).cpu())
        return torch.cat(found)

    def _condition(self, addresses: Sequence[int]) -> Condition | None:
        return self.condition_at(addresses).to(self.place) if self.condition_at else None
