"""Images by the address of their latent: image i of seed s is the same in any batch or process.

for images in generate(generator, range(1000), seed=0, batch_size=100):
    ...                                                # (100, C, H, W), nominally in [-1, 1]
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from itertools import islice
from typing import Any

import torch
from torch import Tensor, nn

from ganlab.networks.base import Condition, Generator
from ganlab.nn.growing import enlarged
from ganlab.nn.randomness import keyed_generator, latents_at
from ganlab.nn.tracing import Edit, edited

Edits = Mapping[str, Edit]  # layer -> what replaces its output
EditsAt = Callable[
    [Sequence[int]], Edits
]  # the same for edits that depend on the latents' addresses
ConditionAt = Callable[[Sequence[int]], Condition]  # what images of these addresses are told

NOISES = ("fixed", "random")  # each layer's own plane for all images, or planes of each image


def rank_indices(num: int, rank: int = 0, world_size: int = 1) -> range:
    """This rank's share of the addresses 0 .. num-1: i mod world; disjoint, without padding."""
    return range(rank, num, world_size)


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


def finest(images: Tensor | list[Tensor]) -> Tensor:
    """The full-resolution images of an output that may list all scales, coarse to fine."""
    return images[-1] if isinstance(images, list) else images


def checked_noise(noise: str) -> str:
    """The kind of noise itself.

    Raises:
        ValueError: there is no such kind.
    """
    if noise not in NOISES:
        raise ValueError(f"study.noise must be {' or '.join(NOISES)}, got {noise!r}")
    return noise


@contextmanager
def noise_at(generator: Generator, indices: Sequence[int], seed: int) -> Iterator[None]:
    """Noise by address inside the block: that of latent i of a seed is the same in any batch.

    Raises:
        ValueError: the generator takes no noise.
    """
    if not hasattr(generator, "draw_noise"):
        raise ValueError(
            f"study.noise=random needs a generator with noise, {type(generator).__module__} has "
            "none; leave it at fixed"
        )
    network: Any = generator
    sources = [keyed_generator("image noise", seed, i) for i in indices]
    device = device_of(generator)

    def draw(shape: torch.Size) -> Tensor:  # (N, 1, H, W)
        rows = [torch.randn(1, *shape[1:], generator=source) for source in sources]
        return torch.cat(rows).to(device)

    before, network.draw_noise = network.draw_noise, draw
    try:
        yield
    finally:
        network.draw_noise = before


def synthesized(
    generator: Generator,
    latents: Tensor,
    condition: Condition | None,
    truncation: float | None,  # psi
    noise: str,  # as `synthesize` takes it
) -> Tensor:
    """Images of styles, perhaps pulled to their mean: w' = mean + psi (w - mean).

    That is the truncation trick of StyleGAN (appendix B). A generator without styles but with
    `truncated` has that of BigGAN (arXiv:1809.11096, section 3.1): latents within +-psi.

    Raises:
        ValueError: the generator has neither.
    """
    network: Any = generator
    if truncation is not None and hasattr(generator, "truncated"):
        return finest(network(network.truncated(latents, truncation), condition))
    if not hasattr(generator, "map"):
        raise ValueError(
            f"truncation={truncation} needs a style generator, {type(generator).__name__} has no "
            "styles; leave truncation unset"
        )
    styles = network.map(latents, condition)  # (N, L, W)
    if truncation is not None:
        mean = network.mean_style.to(styles)
        styles = mean + truncation * (styles - mean)
    return finest(network.synthesize(styles, noise=noise))


@torch.no_grad()
def images_at(
    generator: Generator,
    indices: Sequence[int],  # addresses of the latents, one batch of them
    seed: int,
    *,
    device: torch.device | str | None = None,  # None = where the generator is
    edits: Edits | EditsAt | None = None,  # layer -> edit of its output
    truncation: float | None = None,  # psi, see `synthesized`; None = as they are
    condition_at: ConditionAt | None = None,  # for conditional generators
    noise: str = "fixed",  # random = drawn for each image, keyed by its address
) -> Tensor:
    """One batch of images, (N, C, H, W) at full resolution; draws nothing from the global RNG.

    Images of a generator that is still growing are enlarged by repeating pixels.

    Raises:
        KeyError: an edit of a layer the generator does not have.
        ValueError: truncation of a generator that has none, or random noise of one without noise.
    """
    device = device_of(generator) if device is None else torch.device(device)
    latents = latents_at(generator, indices, seed).to(device)
    condition = condition_at(indices).to(device) if condition_at else None
    changes = edits(indices) if callable(edits) else edits
    drawn = checked_noise(noise) == "random"
    drawing = noise_at(generator, indices, seed) if drawn else nullcontext()
    editing = edited(generator.layers if changes else {}, changes or {})
    with evaluating(generator), editing, drawing:
        if truncation is None and not drawn:
            images = finest(generator(latents, condition))
        else:
            kind = "random" if drawn else "const"
            images = synthesized(generator, latents, condition, truncation, kind)
    return enlarged(images, generator.resolution)


def generate(
    generator: Generator,
    indices: Iterable[int],  # addresses of the latents
    seed: int,
    *,
    batch_size: int = 100,  # changes no image by more than rounding (1e-5)
    device: torch.device | str | None = None,  # None = where the generator is
    edits: Edits | EditsAt | None = None,  # layer -> edit of its output
    truncation: float | None = None,  # psi, see `synthesized`; None = as they are
    condition_at: ConditionAt | None = None,  # for conditional generators
    noise: str = "fixed",  # random = drawn for each image, keyed by its address
) -> Iterator[Tensor]:
    """Yield batches of images, (N, C, H, W), in the order of `indices`; see `images_at`."""
    for batch in batched(indices, batch_size):
        yield images_at(
            generator,
            batch,
            seed,
            device=device,
            edits=edits,
            truncation=truncation,
            condition_at=condition_at,
            noise=noise,
        )
