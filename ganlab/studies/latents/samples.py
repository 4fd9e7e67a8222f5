"""`study=samples`: images of chosen latents as files, in the forms that other programs read."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from lightning import Trainer

from ganlab.report import images
from ganlab.report.atomic import replace_file
from ganlab.report.image_files import ImageArray, ImageZip
from ganlab.studies.address import Latents
from ganlab.studies.latents.chosen import Chosen, chosen, is_array, listed
from ganlab.studies.latents.study import LatentStudy
from ganlab.studies.neurons.artifact_latents import is_detection
from ganlab.studies.neurons.detection import read_ranking
from ganlab.studies.sampling import batched
from ganlab.studies.scores import watched
from ganlab.systems.conditioning import conditions_of

FORMS = ("png", "zip", "npz")


class Samples(LatentStudy):
    """Writes the images, one grid of them, and `samples.json`, which says how they were made.

    png: `samples/<index>.png`, each rank its share. zip: the same files in `samples.zip`. npz:
    `samples.npz` with `arr_0`, (N, H, W, C) uint8; a conditional generator's classes go into
    either. File and image of latent i of a seed are the same in any run.

    Raises:
        ValueError: no latents, indices together with latents, or an unknown form.
    """

    def __init__(
        self,
        *,
        directory: str | Path,  # where the files go
        num: int = 64,  # addresses 0 .. num-1
        indices: Sequence[int] | str | None = None,  # these addresses instead; or ranking.npz, of
        # which the first `num` are taken
        which: str = "top",  # end of that ranking: top = the most LR neurons, or bottom
        latents: Latents = None,  # an .npy of latents (N, Z) or styles (N, L, W) instead
        form: str = "png",  # or zip, npz
        num_shown: int = 64,  # at most so many images in the grid
        **options: Any,  # of `LatentStudy`
    ) -> None:
        super().__init__(directory=directory, **options)
        if min(num, num_shown) < 1 or form not in FORMS:
            raise ValueError(
                "study.num and study.num_shown must be at least 1, study.form one of "
                f"{', '.join(FORMS)}, got {num}, {num_shown} and {form}"
            )
        if indices is not None and latents is not None:
            raise ValueError("study.indices and study.latents are two answers: give one of them")
        self.form, self.num_shown = form, num_shown
        self.latents: Latents = latents if is_array(latents) else None
        if is_detection(indices if isinstance(indices, str) else None):
            self.latents = read_ranking(str(indices), which, num, self.seed, "study.indices")
        elif indices is not None:
            self.latents = unique(listed(indices, "study.num or study.indices"))
        elif self.latents is None:
            first = listed(f"0:{num}", "study.num")
            self.latents = first if latents is None else unique(listed(latents))

    def check(self, system: Any) -> None:
        """Read a file of latents before anything is scored."""
        if is_array(self.latents):
            chosen(system.generator_ema, self.latents, self.seed)

    def investigate(self, trainer: Trainer, system: Any) -> None:
        """Write the files; the first rank draws the grid."""
        found = chosen(system.generator_ema, self.latents, self.seed)
        if self.form == "png":
            self.save_files(found, trainer, system)
        elif trainer.is_global_zero:
            self.save_archive(found, trainer, system)
        if trainer.is_global_zero:
            self.describe(found)
            shown = found.addresses[: self.num_shown]
            grid = self.painter_of(system)(found.values[: self.num_shown], shown)
            text = {"Description": f"{found.source}; {self.stated}"}
            images.save_grid(grid, self.folder / "figures" / "samples.png", metadata=text)

    def save_files(self, found: Chosen, trainer: Trainer, system: Any) -> None:
        """This rank's share as PNG files."""
        share = range(len(found))[trainer.global_rank :: trainer.world_size]
        paint = self.painter_of(system)
        for rows in batched(watched(share, "samples", trainer), self.batch_size):
            batch = paint(found.values[rows], [found.addresses[row] for row in rows])
            for row, image in zip(rows, batch, strict=True):
                text = self.text_of(found, row)
                images.save_png(image, self.folder / "samples" / text.pop("name"), text)

    def save_archive(self, found: Chosen, trainer: Trainer, system: Any) -> None:
        """All of them in one file, from the first rank."""
        kind = ImageZip if self.form == "zip" else ImageArray
        paint, classes = self.painter_of(system), conditions_of(system)
        with kind(self.folder / f"samples.{self.form}", len(found)) as archive:
            every = watched(range(len(found)), "samples", trainer)
            for rows in batched(every, self.batch_size):
                addresses = [found.addresses[row] for row in rows]
                batch = paint(found.values[rows], addresses)
                told = None if classes is None else classes(addresses).label
                labels = None if told is None else told.tolist()
                texts = [self.text_of(found, row) for row in rows]
                if labels is not None:  # a folder a class
                    for text, label in zip(texts, labels, strict=True):
                        text["name"] = f"{label}/{text['name']}"
                archive.add(batch, texts, labels)

    def text_of(self, found: Chosen, row: int) -> dict[str, str]:
        """A file's name, and what its metadata say."""
        index = found.addresses[row]
        address = {"row": str(index)} if found.filed else {"index": str(index)}
        made = {"seed": str(self.seed), "truncation": str(self.truncation), "noise": self.noise}
        return {"name": f"{index:06d}.png", **address, **made}

    def describe(self, found: Chosen) -> None:
        """`samples.json`: addresses, seed, truncation and noise, one place for all forms."""
        made = {
            "num": len(found),
            "source": found.source,
            "rows" if found.filed else "indices": found.addresses,
            "seed": self.seed,
            "truncation": self.truncation,
            "noise": self.noise,
            "averaged_generator": True,
        }
        replace_file(self.folder / "samples.json", json.dumps(made, indent=1).encode())
        if found.filed:
            self.save_latents("samples", torch.as_tensor(found.values))


def unique(indices: list[int]) -> list[int]:
    """The same addresses.

    Raises:
        ValueError: one is named twice; its files would have one name.
    """
    if len(set(indices)) < len(indices):
        raise ValueError("study.indices names a latent twice; each has one file")
    return indices
