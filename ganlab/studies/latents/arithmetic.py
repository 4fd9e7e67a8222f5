"""`study=arithmetic`: group A without B with C, and a contact sheet to choose the groups from.

results = displaced(a, displacement(b, c))             # z_i - mean(B) + mean(C), one a start
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from ganlab.networks.base import Generator
from ganlab.report.images import contact_sheet
from ganlab.sampling import Sampler
from ganlab.studies.address import Latents
from ganlab.studies.bench import Bench
from ganlab.studies.findings import Findings
from ganlab.studies.latents.latent_set import LatentSet, latent_set
from ganlab.studies.latents.pictures import LatentQuestion, blank, picture_of, rows_of, spaces_of

STARTS = ("each", "mean")
SIGNS = ("", "\N{MINUS SIGN} ", "+ ")


@dataclass(frozen=True, kw_only=True)
class Arithmetic(LatentQuestion):
    """z_i - mean(B) + mean(C) for each latent of A, the results in a row (Heikka, figure 6).

    The rows above show the groups, B and C with the image of their mean at the end. Without groups
    the study is a picker: `figures/contact_sheet.png` shows candidates with their indices. A
    conditional generator is told of each result what its start is told.

    Raises:
        ValueError: some groups without the others, not three captions, or another start.
    """

    a: Latents = None  # the starts: indices, 0:4, a file of indices, or an .npy of latents
    b: Latents = None  # whose mean is subtracted
    c: Latents = None  # whose mean is added
    start: str = "each"  # or mean: the starts' mean alone, one result (Radford et al.)
    space: str = "z"  # or w
    captions: Sequence[str] = ("A", "B", "C")  # what the groups are
    candidates: Latents = "0:100"  # on the contact sheet
    columns: int = 10  # of the contact sheet

    def __post_init__(self) -> None:
        super().__post_init__()
        given = [group is not None for group in (self.a, self.b, self.c)]
        if any(given) and not all(given):
            raise ValueError("study.a, study.b and study.c go together: A - mean(B) + mean(C)")
        if self.start not in STARTS or len(self.captions) != 3 or self.columns < 1:
            raise ValueError(
                f"study.start must be {' or '.join(STARTS)}, study.captions three names and "
                f"study.columns at least 1, got {self.start}, {self.captions} and {self.columns}"
            )

    def read(self, generator: Generator) -> list[LatentSet]:
        """A, B and C, or the candidates alone."""
        spaces_of(generator, [self.space], "study.space")
        groups = {"candidates": self.candidates}
        groups = groups if self.a is None else {"a": self.a, "b": self.b, "c": self.c}
        found = [latent_set(generator, each, self.seed, f"study.{k}") for k, each in groups.items()]
        if self.a is not None and self.space == "z" and any(g.values.ndim == 3 for g in found):
            raise ValueError("study.space=z, but a file holds styles; say study.space=w")
        return found

    def paint(self, bench: Bench, sampler: Sampler) -> Findings:
        """The arithmetic, or the contact sheet."""
        found = self.read(bench.generator)
        if self.a is None:
            return self.sheet(found[0], sampler, bench.directory)
        return self.arithmetic(found, sampler)

    def sheet(self, found: LatentSet, sampler: Sampler, directory: Path | None) -> Findings:
        """Candidates with their indices, and how to go on."""
        shown = sampler.paint(found.values, found.addresses)
        pixels = contact_sheet(shown, found.names, self.columns)
        numbers = {"index": found.addresses}
        picture = picture_of(pixels, numbers, f"Candidates: {found.source}", sampler)
        place = (directory or Path()) / "figures" / "contact_sheet.png"
        note = (
            f"choose from {place}, then add for example "
            f"study.a=[0,1,2,3] study.b=[4,5,6,7] study.c=[8,9,10,11] seed={self.seed}"
        )
        figures, latents = {"contact_sheet": picture}, {"contact_sheet": found.values}
        return Findings(figures=figures, latents=latents, notes=[note])

    def arithmetic(self, groups: Sequence[LatentSet], sampler: Sampler) -> Findings:
        """The figure, with the groups, the displacement and the results."""
        values = [group.styles(sampler) if self.space == "w" else group.values for group in groups]
        by = displacement(values[1], values[2])
        results = displace(values[0], by, self.start)
        rows = [
            self.row(sampler, i, *pair) for i, pair in enumerate(zip(groups, values, strict=True))
        ]
        rows.append(("= result", sampler.paint(results, groups[0].addresses[: len(results)])))
        numbers = {key: group.addresses for key, group in zip("abc", groups, strict=True)}
        moved = {"displacement": by.numpy(), "result": results.numpy()}
        first = "the mean of A" if self.start == "mean" else "each of A"
        text = f"{first} - mean(B) + mean(C) in {self.space}; {groups[0].source}"
        picture = rows_of(rows, {**numbers, **moved}, text, sampler)
        return Findings(figures={"arithmetic": picture}, latents={"arithmetic": results})

    def row(self, sampler: Sampler, i: int, group: LatentSet, values: Tensor) -> tuple[str, Tensor]:
        """Caption and images of a group; where its mean is taken, the mean's image at the end."""
        images = sampler.paint(group.values, group.addresses)
        caption = f"{SIGNS[i]}{self.captions[i]}\n{', '.join(group.names)}"
        if i or self.start == "mean":
            mean = values.double().mean(0, keepdim=True).to(values)
            shown = sampler.paint(mean, group.addresses[:1])
            images = torch.cat([images, blank(images), shown])
            caption += ", mean"
        return caption, images


def displacement(minus: Tensor, plus: Tensor) -> Tensor:
    """mean(C) - mean(B) of (b, ...) and (c, ...) latents or styles, as float64.

    Zero, exactly, where both are the same group.
    """
    return plus.double().mean(0) - minus.double().mean(0)


def displace(start: Tensor, by: Tensor, form: str = "each") -> Tensor:
    """The starts (k, ...) moved: z_i - mean(B) + mean(C) of each (Heikka, figure 6), k results.

    `mean` moves the starts' mean alone, mean(A) - mean(B) + mean(C), one result (Radford et al.,
    arXiv:1511.06434, section 6.3.2). A displacement of zero changes no bit of `each`.

    Raises:
        ValueError: another form.
    """
    if form not in STARTS:
        raise ValueError(f"study.start must be {' or '.join(STARTS)}, got {form!r}")
    first = start.double()
    first = first.mean(0, keepdim=True) if form == "mean" else first
    return (first + by).to(start)
