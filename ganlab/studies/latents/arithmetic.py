"""`study=arithmetic`: group A without B with C, and a contact sheet to choose the groups from."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ganlab.networks.base import Generator
from ganlab.report.contact_sheet import contact_sheet
from ganlab.sampling import Sampler
from ganlab.studies.address import Latents
from ganlab.studies.bench import Bench
from ganlab.studies.findings import Findings
from ganlab.studies.latents.chosen import Chosen, chosen
from ganlab.studies.latents.displacement import STARTS, displaced, displacement
from ganlab.studies.latents.pictures import blank, described, rows_of, spaces_of
from ganlab.studies.question import Question

SIGNS = ("", "\N{MINUS SIGN} ", "+ ")


@dataclass(frozen=True, kw_only=True)
class Arithmetic(Question):
    """z_i - mean(B) + mean(C) for each latent of A, the results in a row (Heikka, figure 6).

    The rows above show the groups, B and C with the image of their mean at the end. Without groups
    the study is a picker: `figures/contact_sheet.png` shows candidates with their indices. A
    conditional generator is told of each result what its start is told.

    Raises:
        ValueError: some groups without the others, not three labels, or another start.
    """

    a: Latents = None  # the starts: indices, 0:4, a file of indices, or an .npy of latents
    b: Latents = None  # whose mean is subtracted
    c: Latents = None  # whose mean is added
    start: str = "each"  # or mean: the starts' mean alone, one result (Radford et al.)
    space: str = "z"  # or w
    labels: Sequence[str] = ("A", "B", "C")  # what the groups are, for the captions
    candidates: Latents = "0:100"  # on the contact sheet
    columns: int = 10  # of the contact sheet
    truncation: float | None = None  # psi of the truncation trick; style generators only
    noise: str = "fixed"  # random = drawn for each image, keyed by its latent

    def __post_init__(self) -> None:
        super().__post_init__()
        given = [group is not None for group in (self.a, self.b, self.c)]
        if any(given) and not all(given):
            raise ValueError("study.a, study.b and study.c go together: A - mean(B) + mean(C)")
        if self.start not in STARTS or len(self.labels) != 3 or self.columns < 1:
            raise ValueError(
                f"study.start must be {' or '.join(STARTS)}, study.labels three names and "
                f"study.columns at least 1, got {self.start}, {self.labels} and {self.columns}"
            )

    def check(self, bench: Bench) -> None:
        """Read all that is named before anything is scored."""
        bench.truncated(self.truncation)
        spaces_of(bench.generator, [self.space], "study.space")
        if self.a is None:
            chosen(bench.generator, self.candidates, self.seed, "study.candidates")
        else:
            self.groups_of(bench.generator)

    def groups_of(self, generator: Generator) -> list[Chosen]:
        """A, B and C."""
        named = zip((self.a, self.b, self.c), "abc", strict=True)
        found = [chosen(generator, group, self.seed, f"study.{key}") for group, key in named]
        if self.space == "z" and any(group.values.ndim == 3 for group in found):
            raise ValueError("study.space=z, but a file holds styles; say study.space=w")
        return found

    def run(self, bench: Bench) -> Findings:
        """The arithmetic, or the contact sheet; the first rank's work."""
        if not bench.ranks.first:
            return Findings()
        sampler = bench.truncated(self.truncation)
        return self.sheet(bench, sampler) if self.a is None else self.arithmetic(bench, sampler)

    def sheet(self, bench: Bench, sampler: Sampler) -> Findings:
        """Candidates with their indices, and how to go on."""
        found = chosen(bench.generator, self.candidates, self.seed, "study.candidates")
        shown = sampler.paint(found.values, found.addresses)
        pixels = contact_sheet(shown, found.names, self.columns)
        numbers = {"index": found.addresses}
        picture = described(pixels, numbers, f"Candidates: {found.source}", sampler)
        place = (bench.directory or Path()) / "figures" / "contact_sheet.png"
        note = (
            f"choose from {place}, then add for example "
            f"study.a=[0,1,2,3] study.b=[4,5,6,7] study.c=[8,9,10,11] seed={self.seed}"
        )
        figures, latents = {"contact_sheet": picture}, {"contact_sheet": found.values}
        return Findings(figures=figures, latents=latents, notes=[note])

    def arithmetic(self, bench: Bench, sampler: Sampler) -> Findings:
        """The figure, with the groups, the displacement and the results."""
        groups = self.groups_of(bench.generator)
        values = [self.values_of(sampler, group) for group in groups]
        by = displacement(values[1], values[2])
        results = displaced(values[0], by, self.start)
        addresses = groups[0].addresses[: len(results)]
        rows = [
            self.group_row(sampler, i, group, each)
            for i, (group, each) in enumerate(zip(groups, values, strict=True))
        ]
        rows.append(("= result", sampler.paint(results, addresses)))
        numbers: dict[str, Any] = {
            **{key: group.addresses for key, group in zip("abc", groups, strict=True)},
            "displacement": by.numpy(),
            "result": results.numpy(),
        }
        first = "the mean of A" if self.start == "mean" else "each of A"
        text = f"{first} - mean(B) + mean(C) in {self.space}; {groups[0].source}"
        picture = rows_of(rows, numbers, text, sampler)
        return Findings(figures={"arithmetic": picture}, latents={"arithmetic": results})

    def values_of(self, sampler: Sampler, group: Chosen) -> Tensor:
        """The group in the space of the arithmetic."""
        if self.space == "w" and group.values.ndim == 2:
            return sampler.styles(group.addresses, group.values)
        return group.values

    def group_row(
        self, sampler: Sampler, i: int, group: Chosen, values: Tensor
    ) -> tuple[str, Tensor]:
        """Caption and images of a group; where its mean is taken, the mean's image at the end."""
        images = sampler.paint(group.values, group.addresses)
        caption = f"{SIGNS[i]}{self.labels[i]}\n{', '.join(group.names)}"
        if i or self.start == "mean":
            mean = values.double().mean(0, keepdim=True).to(values)
            shown = sampler.paint(mean, group.addresses[:1])
            images = torch.cat([images, blank(images), shown])
            caption += ", mean"
        return caption, images
