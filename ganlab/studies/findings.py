"""What a study found, and the one writer that leaves it in the run's directory."""

import io
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from torch import Tensor

from ganlab.report import figures
from ganlab.report.drawings import Drawing, Picture
from ganlab.report.images import save_png
from ganlab.report.tables import Table
from ganlab.storage.atomic import replace_file


class ImageFile(NamedTuple):
    """An image to be written, as it comes."""

    path: str  # in the run's directory
    image: Tensor  # (1 or 3, H, W) in [-1, 1]
    text: Mapping[str, str] = {}  # beside the pixels


File = bytes | Callable[[Path], object]  # its contents, or what writes it to a path


@dataclass(frozen=True)
class Findings:
    """Everything a study leaves; all but `images` counts on the first rank alone."""

    tables: Mapping[str, Table] = field(default_factory=dict)  # `table` -> table.csv, .md, .tex
    figures: Mapping[str, Drawing | Picture] = field(default_factory=dict)  # figures/<name>.png
    images: Iterable[ImageFile] = ()  # of this rank's share; may be made while they are written
    arrays: Mapping[str, Mapping[str, ArrayLike]] = field(default_factory=dict)  # <name>.npz
    latents: Mapping[str, Tensor] = field(default_factory=dict)  # latents/<name>.npy, see `Samples`
    files: Mapping[str, File] = field(default_factory=dict)  # other files, by path
    records: Sequence[dict[str, Any]] = ()  # for result.json, besides those of scores
    notes: Sequence[str] = ()  # lines for the person who waits
    result: Any = None  # the same for a notebook, as the study describes it


def write(findings: Findings, directory: Path, first: bool) -> None:
    """Leave the files of a study; each is whole or not there. Not the first: images alone."""
    for image in findings.images:
        save_png(image.image, directory / image.path, dict(image.text))
    if not first:
        return
    for path, contents in findings.files.items():
        if isinstance(contents, bytes):
            replace_file(directory / path, contents)
        else:
            contents(directory / path)
    for name, table in findings.tables.items():
        table.write(directory, name)
    for name, figure in findings.figures.items():
        figure.save(directory / "figures" / f"{name}.png")
    for name, arrays in findings.arrays.items():
        replace_file(directory / f"{name}.npz", figures.npz(arrays))
    for name, values in findings.latents.items():
        replace_file(directory / "latents" / f"{name}.npy", npy_bytes(values))


def npy_bytes(values: Tensor) -> bytes:
    """(N, Z) latents or (N, L, W) styles as an .npy file."""
    file = io.BytesIO()
    np.save(file, values.numpy(), allow_pickle=False)
    return file.getvalue()
