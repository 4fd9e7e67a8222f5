"""What pictures of latent space share: captioned rows, spaces, and how they were made."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from numpy.typing import ArrayLike
from torch import Tensor

from ganlab.report.drawings import Picture
from ganlab.report.images import Pixels, labelled_grid
from ganlab.sampling import Sampler, has_styles

Rows = Sequence[tuple[str, Tensor]]  # caption and (N, C, H, W) images, top to bottom


def rows_of(rows: Rows, numbers: Mapping[str, ArrayLike], text: str, sampler: Sampler) -> Picture:
    """A picture of captioned rows; its caption says how the images were made."""
    return described(labelled_grid(rows), numbers, text, sampler)


def described(
    pixels: Pixels, numbers: Mapping[str, ArrayLike], text: str, sampler: Sampler
) -> Picture:
    """A picture whose caption and numbers say how its images were made."""
    return Picture(pixels, {"seed": sampler.seed, **numbers}, f"{text}; {sampler.stated}")


def spaces_of(
    generator: Any,
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
    return list(spaces)


def blank(images: Tensor) -> Tensor:
    """One white cell, (1, C, H, W), of the size of (N, C, H, W) images."""
    return torch.ones_like(images[:1])
