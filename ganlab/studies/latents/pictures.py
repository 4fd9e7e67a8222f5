"""What pictures of latent space share: options, captioned rows, spaces, and how they were made."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from numpy.typing import ArrayLike
from torch import Tensor

from ganlab.networks.base import Generator
from ganlab.report.drawings import Picture
from ganlab.report.images import Pixels, labelled_grid
from ganlab.sampling import Sampler, has_styles
from ganlab.studies.bench import Bench
from ganlab.studies.findings import Findings
from ganlab.studies.question import Question

Rows = Sequence[tuple[str, Tensor]]  # caption and (N, C, H, W) images, top to bottom


@dataclass(frozen=True, kw_only=True)
class LatentQuestion(Question):
    """A question that the first rank answers by painting named latents or styles."""

    truncation: float | None = None  # psi of the truncation trick; style generators only
    cutoff: int | None = None  # styles that it draws, from the coarsest on; None = all
    noise: str = "fixed"  # random = drawn for each image, keyed by its latent

    def check(self, bench: Bench) -> None:
        """Refuse what this generator cannot do, and read all that is named."""
        bench.truncated(self.truncation, self.cutoff)
        self.read(bench.generator)

    def read(self, generator: Generator) -> object:
        """What the options name. Raises ValueError or OSError where it cannot be."""
        raise NotImplementedError

    def run(self, bench: Bench) -> Findings:
        """The pictures; the first rank's work."""
        if not bench.ranks.first:
            return Findings()
        return self.paint(bench, bench.truncated(self.truncation, self.cutoff))

    def paint(self, bench: Bench, sampler: Sampler) -> Findings:
        """The pictures, made by this sampler."""
        raise NotImplementedError


def rows_of(rows: Rows, numbers: Mapping[str, ArrayLike], text: str, sampler: Sampler) -> Picture:
    """A picture of captioned rows; its caption says how the images were made."""
    return picture_of(labelled_grid(rows), numbers, text, sampler)


def picture_of(
    pixels: Pixels, numbers: Mapping[str, ArrayLike], text: str, sampler: Sampler
) -> Picture:
    """A picture whose caption and numbers say how its images were made."""
    return Picture(pixels, {"seed": sampler.seed, **numbers}, f"{text}; {sampler.stated}")


def spaces_of(
    generator: Generator,
    spaces: Sequence[str] | None,
    key: str = "study.spaces",  # the option, for messages
) -> list[str]:
    """The chosen spaces of z and w; None = all that the generator has.

    Raises:
        ValueError: another space, or w of a generator without styles.
    """
    there = ["z", "w"] if has_styles(generator) else ["z"]
    if spaces is None:
        return there
    if missing := [space for space in spaces if space not in there]:
        raise ValueError(
            f"{key}: there is no space {missing[0]} in this generator "
            f"({type(generator).__module__}); there is {' and '.join(there)}"
        )
    if not spaces:
        raise ValueError(f"{key}=[] names no space; there is {' and '.join(there)}")
    return list(spaces)


def blank(images: Tensor) -> Tensor:
    """One white cell, (1, C, H, W), of the size of (N, C, H, W) images."""
    return torch.ones_like(images[:1])
