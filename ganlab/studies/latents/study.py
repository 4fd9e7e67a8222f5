"""What the studies that look at latent space share: how they paint, and what they leave."""

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning import Trainer
from numpy.typing import ArrayLike
from torch import Tensor

from ganlab.report.atomic import replace_file
from ganlab.report.images import Pixels, labelled_grid, save_png
from ganlab.studies.latents.images import Painter
from ganlab.studies.sampling import checked_noise
from ganlab.studies.scores import Study
from ganlab.systems.conditioning import conditions_of

Rows = Sequence[tuple[str, Tensor]]  # caption and (N, C, H, W) images, top to bottom


class LatentStudy(Study):
    """Paints chosen latents; needs no reals. The first rank does the work.

    Each picture goes to `figures/<name>.png` with its numbers in `<name>.npz`, and the latents that
    redraw it to `latents/<name>.npy`, which `study=samples study.latents=<file>` takes.
    """

    def __init__(
        self,
        *,
        directory: str | Path,  # where the files go
        truncation: float | None = None,  # psi of the truncation trick; style generators only
        noise: str = "fixed",  # random = drawn for each image, keyed by its latent
        **options: Any,  # of `Study`
    ) -> None:
        super().__init__(directory=directory, **options)
        self.folder = Path(directory)
        self.truncation, self.noise = truncation, checked_noise(noise)

    def setup(self, trainer: Trainer, pl_module: Any, stage: str) -> None:
        """Refuse what this generator cannot do before anything is scored."""
        super().setup(trainer, pl_module, stage)
        self.painter_of(pl_module)
        self.check(pl_module)

    def check(self, system: Any) -> None:
        """Raise ValueError for options that do not fit the generator."""

    def painter_of(self, system: Any) -> Painter:
        """How this study makes images of latents."""
        return Painter(
            system.generator_ema,
            self.seed,
            self.truncation,
            self.noise,
            conditions_of(system),
            self.batch_size,
            system.device,
        )

    def investigate(self, trainer: Trainer, system: Any) -> None:
        """`draw`, on the first rank."""
        if trainer.is_global_zero:
            self.draw(system)

    def draw(self, system: Any) -> None:
        """Paint and write."""
        raise NotImplementedError

    @property
    def stated(self) -> str:
        """Truncation and noise in words."""
        return f"truncation {shown_psi(self.truncation)}, noise {self.noise}"

    def save_rows(self, name: str, rows: Rows, numbers: Mapping[str, ArrayLike], text: str) -> None:
        """A picture of captioned rows, its numbers, and its caption."""
        self.save_picture(name, labelled_grid(rows), numbers, text)

    def save_picture(
        self, name: str, picture: Pixels, numbers: Mapping[str, ArrayLike], text: str
    ) -> None:
        """`figures/<name>.png` and `.npz`; `text` is what the report shows under it."""
        file = io.BytesIO()
        arrays: dict[str, Any] = {"seed": self.seed, **numbers}
        kept: dict[str, Any] = {key: np.asarray(value) for key, value in arrays.items()}
        np.savez_compressed(file, **kept)
        place = self.folder / "figures" / f"{name}.png"
        replace_file(place.with_suffix(".npz"), file.getvalue())
        save_png(picture, place, {"Description": f"{text}; {self.stated}"})

    def save_latents(self, name: str, values: Tensor) -> None:
        """`latents/<name>.npy`: (N, Z) latents or (N, L, W) styles, before truncation."""
        file = io.BytesIO()
        np.save(file, values.numpy(), allow_pickle=False)
        replace_file(self.folder / "latents" / f"{name}.npy", file.getvalue())


def shown_psi(psi: float | None) -> str:
    """`none`, or the number."""
    return "none" if psi is None else f"psi {psi:g}"


def spaces_of(
    generator: Any,
    spaces: Sequence[str] | None,
    key: str = "study.spaces",  # the option, for messages
) -> list[str]:
    """The chosen spaces of z and w; None = all that the generator has.

    Raises:
        ValueError: another space, or w of a generator without styles.
    """
    there = ["z", "w"] if hasattr(generator, "map") else ["z"]
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
