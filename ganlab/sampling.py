"""The one way from latents to images: image i of seed s is the same in any batch or process.

::

    sampler = Sampler(generator, seed=0, truncation=0.7)
    images = sampler.images(range(8))                       # (8, C, H, W) on the CPU
    for batch in sampler.batches(range(1000)):              # (100, C, H, W) where the generator is
        ...
    styles = sampler.styles(range(8))                       # (8, L, W)
    images = sampler.paint(styles, range(8))                # the same images
"""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any, Protocol, TypeGuard

import torch
from torch import Tensor, nn

from ganlab.networks.base import Condition, Generator, Images, StyleGenerator
from ganlab.nn.growing import enlarge
from ganlab.nn.modulation import Normal
from ganlab.nn.randomness import keyed_generator, latents_at
from ganlab.nn.style import truncate
from ganlab.nn.tracing import Edit, Reached, edited

Edits = Mapping[str, Edit]  # layer -> what replaces its output
EditsAt = Callable[[Sequence[int]], Edits]  # the same, by the addresses of a batch's latents
ConditionAt = Callable[[Sequence[int]], Condition | None]  # what images of addresses are told

NOISES = ("fixed", "random")  # each layer's own plane for all images, or planes of each image


class Conditions(Protocol):
    """What networks are told at evaluation."""

    @property
    def at(self) -> ConditionAt | None:
        """By the addresses of latents; None = nothing."""
        ...

    @property
    def num_labels(self) -> int:
        """Classes that are told by the address alone; 0 = other things are."""
        ...

    @property
    def class_names(self) -> Sequence[str]:
        """Of the classes, in order; none = not known."""
        ...


class Sampled(Protocol):
    """A trained system, as far as its images go."""

    @property
    def generator_ema(self) -> Generator:
        """What makes them."""
        ...

    @property
    def conditioner(self) -> Conditions:
        """What its networks are told."""
        ...


@dataclass(frozen=True, eq=False)
class Sampler:
    """How images are made: of latents by address, or of any latents (N, Z) or styles (N, L, W).

    Latent i of a seed is the same tensor whatever the batch; its image then agrees to 1e-5. An
    address says too what a conditional generator is told and, where noise is random, which noise.
    Nothing is drawn from the global random number generator. Images of a generator that is still
    growing are enlarged by repeating pixels.

    Raises:
        ValueError: no such noise, truncation that is no finite number or of a generator that has
            none, a cutoff beside no truncation or of layers that there are not, random noise of a
            generator without noise, classes of one that is told none, or batches of less than one
            image.
    """

    generator: Generator
    seed: int = 0  # of the latents, and of the noise where it is random
    noise: str = "fixed"  # random = drawn for each image, keyed by its address
    truncation: float | None = None  # psi of the truncation trick; None = as they are
    cutoff: int | None = None  # styles that it draws, from the coarsest on; None = all
    condition_at: ConditionAt | None = None  # for conditional generators
    labels: Sequence[int] = ()  # classes told instead, in turn by address; none = as said there
    batch_size: int = 100  # changes no image by more than rounding
    device: torch.device | str | None = None  # None = where the generator is

    def __post_init__(self) -> None:
        if self.batch_size < 1:
            raise ValueError(f"batch_size must be at least 1, got {self.batch_size}")
        if self.truncation is not None and not math.isfinite(self.truncation):
            raise ValueError(f"study.truncation={self.truncation} must be a finite number")
        if self.labels and self.condition_at is None and not self.generator.num_labels:
            raise ValueError(
                f"study.label: {type(self.generator).__module__} is not told any class here; "
                "leave it out"
            )
        if checked_noise(self.noise) == "random":
            with noise_at(self.generator, [0], self.seed):
                pass  # it takes noise
        if self.truncation is not None and not self.generator.truncates:
            raise ValueError(
                f"study.truncation={self.truncation} needs a generator with styles, "
                f"{type(self.generator).__module__} has none; leave it at null"
            )
        if self.cutoff is not None:
            self._check_cutoff(self.cutoff)

    def _check_cutoff(self, cutoff: int) -> None:
        count = self.generator.num_styles if has_styles(self.generator) else 0
        if self.truncation is None or not 1 <= cutoff <= count:
            there = f"from 1 to {count}" if count else "there are no styles here"
            raise ValueError(
                f"study.cutoff={cutoff} is how many styles study.truncation draws, {there}; leave "
                "it at null where there is no truncation"
            )

    @classmethod
    def of(cls, system: Sampled, seed: int = 0, **options: Any) -> "Sampler":
        """The averaged generator of a system, told what its conditioner says."""
        return cls(system.generator_ema, seed, condition_at=conditions_of(system), **options)

    @property
    def place(self) -> torch.device:
        """Where the generator works."""
        return device_of(self.generator) if self.device is None else torch.device(self.device)

    @property
    def stated(self) -> str:
        """Truncation, noise and chosen classes in words, for captions."""
        psi = "none" if self.truncation is None else f"psi {self.truncation:g}"
        psi += "" if self.cutoff is None else f" of the first {self.cutoff} styles"
        told = f", told class {self.classes}" if self.labels else ""
        return f"truncation {psi}, noise {self.noise}{told}"

    @property
    def classes(self) -> str:
        """The chosen classes, as records have them: `1`, `0, 3`, or nothing."""
        return ", ".join(map(str, self.labels))

    def latents(self, indices: Sequence[int]) -> Tensor:
        """The latents of these addresses, (N, Z) on the CPU."""
        return latents_at(self.generator, indices, self.seed)

    def images(self, indices: Sequence[int], edits: Edits | EditsAt | None = None) -> Tensor:
        """Images of these addresses, (N, C, H, W) on the CPU; `edits` are of layers' outputs.

        Raises:
            KeyError: an edit of a layer that the generator does not have.
        """
        return torch.cat([batch.cpu() for batch in self.batches(indices, edits)])

    def batches(
        self, indices: Iterable[int], edits: Edits | EditsAt | None = None
    ) -> Iterator[Tensor]:
        """The same in batches, in order, where the generator is."""
        for batch in batched(indices, self.batch_size):
            yield self.batch(batch, edits)

    def passes(
        self, indices: Iterable[int], edits: Edits | EditsAt | None = None
    ) -> Iterator[list[int]]:
        """Forward passes that hooks watch and may stop; the addresses of each when it is over."""
        for batch in batched(indices, self.batch_size):
            with suppress(Reached):
                self.batch(batch, edits)
            yield batch

    def batch(self, indices: Sequence[int], edits: Edits | EditsAt | None = None) -> Tensor:
        """Images of these addresses in one pass, (N, C, H, W) where the generator is."""
        return self._pass(self.latents(indices), indices, edits)

    def paint(self, values: Tensor, addresses: Sequence[int]) -> Tensor:
        """Images of any latents or styles, (N, C, H, W) on the CPU; an address goes with each."""
        rows = batched(range(len(values)), self.batch_size)
        return torch.cat(
            [self._pass(values[some], [addresses[row] for row in some]).cpu() for some in rows]
        )

    @torch.no_grad()
    def styles(self, indices: Sequence[int], latents: Tensor | None = None) -> Tensor:
        """Styles of these addresses or of other latents, (N, L, W) on the CPU, not truncated.

        Raises:
            ValueError: the generator has no styles.
        """
        if not has_styles(self.generator):
            raise ValueError(f"{type(self.generator).__module__} has no styles")
        network = self.generator
        values = self.latents(indices) if latents is None else latents
        found = []
        with evaluating(self.generator):
            for rows in batched(range(len(values)), self.batch_size):
                condition = self.condition([indices[row] for row in rows])
                found.append(network.map(values[rows].to(self.place), condition).cpu())
        return torch.cat(found)

    def condition(self, addresses: Sequence[int]) -> Condition | None:
        """What these addresses are told."""
        told = None if self.condition_at is None else self.condition_at(addresses)
        if self.labels:
            chosen = torch.tensor([self.labels[i % len(self.labels)] for i in addresses])
            told = replace(told or Condition(), label=chosen)
        return None if told is None else told.to(self.place)

    @torch.no_grad()
    def _pass(
        self, values: Tensor, addresses: Sequence[int], edits: Edits | EditsAt | None = None
    ) -> Tensor:
        """Images of one batch of latents or styles."""
        changes = edits(addresses) if callable(edits) else edits
        drawn = self.noise == "random"
        drawing = noise_at(self.generator, addresses, self.seed) if drawn else nullcontext()
        editing = edited(self.generator.layers if changes else {}, changes or {})
        with evaluating(self.generator), editing, drawing:
            if values.ndim == 3:
                images = self._of_styles(values.to(self.place))
            else:
                images = self._of_latents(values.to(self.place), self.condition(addresses))
        return full_size(images, self.generator)

    def _of_styles(self, styles: Tensor) -> Images:
        assert has_styles(self.generator)
        return self._synthesized(self.generator, styles)

    def _synthesized(self, network: StyleGenerator, styles: Tensor) -> Images:
        if self.truncation is not None:
            styles = truncate(styles, network.mean_style, self.truncation, self.cutoff)
        return network.synthesize(styles, noise="random" if self.noise == "random" else "const")

    def _of_latents(self, latents: Tensor, condition: Condition | None) -> Images:
        """A generator without styles truncates as BigGAN (arXiv:1809.11096, 3.1): within +-psi."""
        network = self.generator
        if not has_styles(network) or (self.truncation is None and self.noise == "fixed"):
            if self.truncation is not None:
                latents = network.truncated(latents, self.truncation)
            images: Images = network(latents, condition)
            return images
        return self._synthesized(network, network.map(latents, condition))


def conditions_of(system: Sampled) -> ConditionAt | None:
    """How the system's networks are conditioned at evaluation; None = they are told nothing."""
    return system.conditioner.at


def num_classes(system: Sampled) -> int:
    """How many classes a system's images may be told, as its conditioner or generator has it."""
    told = system.conditioner
    return len(told.class_names) or told.num_labels or system.generator_ema.num_labels


def has_styles(generator: Generator) -> TypeGuard[StyleGenerator]:
    """Whether the generator maps its latents to styles."""
    return isinstance(generator, StyleGenerator)


def batched(indices: Iterable[int], batch_size: int) -> Iterator[list[int]]:
    """Lists of at most `batch_size` addresses, in order; the last one may be shorter."""
    if batch_size < 1:
        raise ValueError(f"batch_size must be at least 1, got {batch_size}")
    remaining = iter(indices)
    while batch := list(islice(remaining, batch_size)):
        yield batch


@contextmanager
def evaluating(network: nn.Module) -> Iterator[None]:
    """Evaluation mode inside the block; afterwards every module has its own mode back."""
    training = [module for module in network.modules() if module.training]
    network.eval()
    try:
        yield
    finally:
        for module in training:
            module.training = True


def device_of(network: nn.Module) -> torch.device:
    """Where the network's first parameter or buffer lives; the CPU if it has none."""
    for tensor in (*network.parameters(), *network.buffers()):
        return tensor.device
    return torch.device("cpu")


def finest(images: Images) -> Tensor:
    """The full-resolution images of an output that may list all scales, coarse to fine."""
    return images[-1] if isinstance(images, list) else images


def full_size(images: Images, generator: Generator) -> Tensor:
    """The finest of a generator's images, (N, C, H, W) of its size also while it still grows."""
    return enlarge(finest(images), generator.image_size[1])


def checked_noise(noise: str) -> str:
    """The kind of noise itself.

    Raises:
        ValueError: there is no such kind.
    """
    if noise not in NOISES:
        raise ValueError(f"study.noise must be {' or '.join(NOISES)}, got {noise!r}")
    return noise


@contextmanager
def drawing(network: StyleGenerator, draw: Normal) -> Iterator[None]:
    """Random noise of layers is what this gives inside the block, one call a layer in order."""
    before, network.draw_noise = network.draw_noise, draw
    try:
        yield
    finally:
        network.draw_noise = before


@contextmanager
def noise_at(generator: Generator, indices: Sequence[int], seed: int) -> Iterator[None]:
    """Noise by address inside the block: that of latent i of a seed is the same in any batch.

    Raises:
        ValueError: the generator takes no noise.
    """
    if not has_styles(generator):
        raise ValueError(
            f"study.noise=random needs a generator with noise, {type(generator).__module__} has "
            "none; leave it at fixed"
        )
    network = generator
    sources = [keyed_generator("image noise", seed, i) for i in indices]
    device = device_of(generator)

    def draw(shape: torch.Size) -> Tensor:  # (N, 1, H, W)
        rows = [torch.randn(1, *shape[1:], generator=source) for source in sources]
        return torch.cat(rows).to(device)

    with drawing(network, draw):
        yield
