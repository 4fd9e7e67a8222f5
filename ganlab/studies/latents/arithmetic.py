"""`study=arithmetic`: group A without B with C, and a contact sheet to choose the groups from."""

import sys
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from ganlab.networks.base import Generator
from ganlab.report.contact_sheet import contact_sheet
from ganlab.studies.address import Latents
from ganlab.studies.latents.chosen import Chosen, chosen
from ganlab.studies.latents.displacement import STARTS, displaced, displacement
from ganlab.studies.latents.images import Painter
from ganlab.studies.latents.study import LatentStudy, blank, spaces_of

SIGNS = ("", "\N{MINUS SIGN} ", "+ ")


class Arithmetic(LatentStudy):
    """z_i - mean(B) + mean(C) for each latent of A, the results in a row (Heikka, figure 6).

    The rows above show the groups, B and C with the image of their mean at the end. Without groups
    the study is a picker: `figures/contact_sheet.png` shows candidates with their indices. A
    conditional generator is told of each result what its start is told.

    Raises:
        ValueError: some groups without the others, not three labels, or another start.
    """

    def __init__(
        self,
        *,
        a: Latents = None,  # the starts: indices, 0:4, a file of indices, or an .npy of latents
        b: Latents = None,  # whose mean is subtracted
        c: Latents = None,  # whose mean is added
        start: str = "each",  # or mean: the starts' mean alone, one result (Radford et al.)
        space: str = "z",  # or w
        labels: Sequence[str] = ("A", "B", "C"),  # what the groups are, for the captions
        candidates: Latents = "0:100",  # on the contact sheet
        columns: int = 10,  # of the contact sheet
        **options: Any,  # of `LatentStudy`
    ) -> None:
        super().__init__(**options)
        given = [group is not None for group in (a, b, c)]
        if any(given) and not all(given):
            raise ValueError("study.a, study.b and study.c go together: A - mean(B) + mean(C)")
        if start not in STARTS or len(labels) != 3 or columns < 1:
            raise ValueError(
                f"study.start must be {' or '.join(STARTS)}, study.labels three names and "
                f"study.columns at least 1, got {start}, {labels} and {columns}"
            )
        self.groups = (a, b, c) if all(given) else None
        self.start, self.space, self.labels = start, space, list(labels)
        self.candidates, self.columns = candidates, columns

    def check(self, system: Any) -> None:
        """Read all that is named before anything is scored."""
        spaces_of(system.generator_ema, [self.space], "study.space")
        if self.groups is None:
            chosen(system.generator_ema, self.candidates, self.seed, "study.candidates")
        else:
            self.groups_of(system.generator_ema)

    def groups_of(self, generator: Generator) -> list[Chosen]:
        """A, B and C."""
        assert self.groups is not None
        named = zip(self.groups, "abc", strict=True)
        found = [chosen(generator, group, self.seed, f"study.{key}") for group, key in named]
        if self.space == "z" and any(group.values.ndim == 3 for group in found):
            raise ValueError("study.space=z, but a file holds styles; say study.space=w")
        return found

    def draw(self, system: Any) -> None:
        """The arithmetic, or the contact sheet."""
        if self.groups is None:
            self.save_sheet(system)
        else:
            self.save_arithmetic(self.painter_of(system), self.groups_of(system.generator_ema))

    def save_sheet(self, system: Any) -> None:
        """Candidates with their indices, and how to go on."""
        key = "study.candidates"
        found = chosen(system.generator_ema, self.candidates, self.seed, key)
        images = self.painter_of(system)(found.values, found.addresses)
        sheet = contact_sheet(images, found.names, self.columns)
        numbers = {"index": found.addresses}
        self.save_picture("contact_sheet", sheet, numbers, f"Candidates: {found.source}")
        self.save_latents("contact_sheet", found.values)
        print(
            f"choose from {self.folder / 'figures' / 'contact_sheet.png'}, then add for example "
            f"study.a=[0,1,2,3] study.b=[4,5,6,7] study.c=[8,9,10,11] seed={self.seed}",
            file=sys.stderr,
        )

    def save_arithmetic(self, paint: Painter, groups: Sequence[Chosen]) -> None:
        """The figure, with the groups, the displacement and the results."""
        values = [self.values_of(paint, group) for group in groups]
        by = displacement(values[1], values[2])
        results = displaced(values[0], by, self.start)
        addresses = groups[0].addresses[: len(results)]
        rows = [
            self.group_row(paint, i, group, each)
            for i, (group, each) in enumerate(zip(groups, values, strict=True))
        ]
        rows.append(("= result", paint(results, addresses)))
        numbers: dict[str, Any] = {
            **{key: group.addresses for key, group in zip("abc", groups, strict=True)},
            "displacement": by.numpy(),
            "result": results.numpy(),
        }
        first = "the mean of A" if self.start == "mean" else "each of A"
        text = f"{first} - mean(B) + mean(C) in {self.space}; {groups[0].source}"
        self.save_rows("arithmetic", rows, numbers, text)
        self.save_latents("arithmetic", results)

    def values_of(self, paint: Painter, group: Chosen) -> Tensor:
        """The group in the space of the arithmetic."""
        if self.space == "w" and group.values.ndim == 2:
            return paint.styles(group.values, group.addresses)
        return group.values

    def group_row(self, paint: Painter, i: int, group: Chosen, values: Tensor) -> tuple[str, Any]:
        """Caption and images of a group; where its mean is taken, the mean's image at the end."""
        images = paint(group.values, group.addresses)
        caption = f"{SIGNS[i]}{self.labels[i]}\n{', '.join(group.names)}"
        if i or self.start == "mean":
            mean = values.double().mean(0, keepdim=True).to(values)
            images = torch.cat([images, blank(images), paint(mean, group.addresses[:1])])
            caption += ", mean"
        return caption, images
