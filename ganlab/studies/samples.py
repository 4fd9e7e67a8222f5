"""`study=samples`: images of chosen latents as files."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lightning import Trainer
from torch import Tensor

from ganlab.report import images
from ganlab.studies.layers import as_list
from ganlab.studies.sampling import batched, images_at
from ganlab.studies.scores import Study, watched
from ganlab.systems.conditioning import conditions_of


class Samples(Study):
    """Writes `samples/<index>.png` for each address, and one grid, `figures/samples.png`.

    File and image of latent i of a seed are the same in any run. Each rank writes its share.
    """

    def __init__(
        self,
        *,
        directory: str | Path,  # where the files go
        num: int = 64,  # addresses 0 .. num-1
        indices: Sequence[int] | None = None,  # these addresses instead
        truncation: float | None = None,  # psi of the truncation trick; style generators only
        num_shown: int = 64,  # at most so many images in the grid
        **options: Any,  # of `Study`
    ) -> None:
        super().__init__(directory=directory, **options)
        self.indices = list(range(num)) if indices is None else as_list(indices)
        if not self.indices or min(self.indices) < 0 or num_shown < 1:
            raise ValueError(
                "study.num and study.num_shown must be at least 1, study.indices at least 0"
            )
        self.truncation, self.num_shown = truncation, num_shown
        self.folder = Path(directory)

    def investigate(self, trainer: Trainer, system: Any) -> None:
        """Write this rank's files; the first rank draws the grid."""
        share = self.indices[trainer.global_rank :: trainer.world_size]
        for batch in batched(watched(share, "samples", trainer), self.batch_size):
            for index, image in zip(batch, self.made(system, batch), strict=True):
                self.save(image, index)
        if trainer.is_global_zero:
            shown = self.made(system, self.indices[: self.num_shown])
            text = {"Description": f"latents of seed {self.seed}"}
            images.save_grid(shown, self.folder / "figures" / "samples.png", metadata=text)

    def made(self, system: Any, indices: Sequence[int]) -> Tensor:
        """Images of these addresses, (N, C, H, W)."""
        return images_at(
            system.generator_ema,
            indices,
            self.seed,
            device=system.device,
            truncation=self.truncation,
            condition_at=conditions_of(system),
        )

    def save(self, image: Tensor, index: int) -> None:
        """One file, with the latent's address in its metadata."""
        text = {"seed": str(self.seed), "index": str(index)}
        images.save_png(image, self.folder / "samples" / f"{index:06d}.png", text)
