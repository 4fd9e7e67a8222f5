"""`study=timeline`: what the same latents became over a run's saved steps (Heikka, figure 4)."""

from collections.abc import Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ganlab.networks.base import Generator
from ganlab.report.images import to_uint8
from ganlab.report.tables import Table
from ganlab.report.timeline import evenly_spaced, kimg_text, top_rows
from ganlab.studies.address import Latents
from ganlab.studies.bench import Bench
from ganlab.studies.findings import Findings
from ganlab.studies.latents.chosen import Chosen, chosen, listed
from ganlab.studies.latents.pictures import rows_of
from ganlab.studies.question import Question
from ganlab.systems.checkpoint import load_checkpoint

AVERAGED = "generator_ema."
COLUMNS = ["images_seen", "change"]


@dataclass(frozen=True, kw_only=True)
class Timeline(Question):
    """One row a saved step: from checkpoints of one model, or from grids that a run saved.

    With neither named, the grids beside the checkpoint that is evaluated. Grids hold images as
    they were made in training, of latents 0, 1, ... of the run's seed, so neither truncation nor
    noise can be chosen for them.

    Raises:
        FileNotFoundError: no checkpoint or no grid there.
        ValueError: both named, checkpoints of another model, or what grids cannot show.
    """

    latents: Latents = "0:8"  # columns; of grids always the first ones
    checkpoints: str | Sequence[str] | None = None  # files, a folder of them, or a pattern
    grids: str | None = None  # folder of saved sample grids
    ckpt: str | None = None  # evaluated; its run's grids are shown where nothing is named
    moments: int = 7  # rows: the first, the last, the others evenly between
    truncation: float | None = None  # psi of the truncation trick; style generators only
    noise: str = "fixed"  # random = drawn for each image, keyed by its latent

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.checkpoints is not None and self.grids is not None:
            raise ValueError("study.checkpoints and study.grids are two answers: give one of them")
        if self.moments < 1:
            raise ValueError(f"study.moments must be at least 1, got {self.moments}")
        if self.pages:
            _ = self.count

    @cached_property
    def files(self) -> list[Path]:
        """Named checkpoints."""
        return [] if self.checkpoints is None else checkpoint_files(self.checkpoints)

    @cached_property
    def pages(self) -> list[Path]:
        """Saved grids, where no checkpoints are named."""
        return [] if self.files else grid_files(self.grids, self.ckpt)

    @property
    def count(self) -> int:
        """How many images of a grid's first row.

        Raises:
            ValueError: other latents than the first ones, truncation, or noise.
        """
        indices = listed(self.latents) if self.latents is not None else []
        first = indices == list(range(len(indices)))
        if not first or self.truncation is not None or self.noise != "fixed":
            raise ValueError(
                "saved grids hold latents 0, 1, ... as they were made in training: leave "
                "study.latents at 0:<number>, and truncation and noise alone, or give "
                "study.checkpoints"
            )
        return len(indices)

    def check(self, bench: Bench) -> None:
        """Read the latents before anything is scored."""
        bench.truncated(self.truncation)
        if self.files:
            chosen(bench.generator, self.latents, self.seed)

    def run(self, bench: Bench) -> Findings:
        """The rows, and how much each differs from the one before; the first rank's work."""
        if not bench.ranks.first:
            return Findings()
        latents = {}
        if self.files:
            found = chosen(bench.generator, self.latents, self.seed)
            moments, latents["timeline"] = self.painted(bench, found), found.values
        else:
            moments = self.saved()
        rows = [(kimg_text(seen), images) for seen, images in moments.items()]
        changes = [float("nan"), *changed(list(moments.values()))]
        numbers: dict[str, Any] = {
            "images_seen": list(moments),
            "change": changes,
            "images": torch.stack([to_uint8(images) for images in moments.values()]).numpy(),
        }
        source = "checkpoints" if self.files else "saved grids"
        text = f"Rows: images seen in training; the same latents in each; from {source}"
        picture = rows_of(rows, numbers, text, bench.truncated(self.truncation))
        table = change_table(list(moments), changes)
        return Findings(tables={"table": table}, figures={"timeline": picture}, latents=latents)

    def painted(self, bench: Bench, found: Chosen) -> dict[int, Tensor]:
        """Images seen -> images, of checkpoints."""
        states = sorted((seen_of(path), path) for path in self.files)
        moments = {}
        for generator, seen in generators_at(evenly_spaced(states, self.moments), bench.generator):
            sampler = replace(bench.truncated(self.truncation), generator=generator)
            moments[seen] = sampler.paint(found.values, found.addresses)
        return moments

    def saved(self) -> dict[int, Tensor]:
        """Images seen -> images, of grids."""
        rows = top_rows(self.pages, self.count, self.moments)
        if len(rows[0][1]) < self.count:
            raise ValueError(
                f"study.latents={self.latents}: the first row of {self.pages[0]} has "
                f"{len(rows[0][1])} images"
            )
        return {seen: _tensor(pictures) for seen, pictures in rows}


def change_table(moments: Sequence[int], changes: Sequence[float]) -> Table:
    """One row a moment, in images seen, with its difference to the one before."""
    rows = [
        {"images_seen": seen, "change": None if np.isnan(change) else change}
        for seen, change in zip(moments, changes, strict=True)
    ]
    note = "change: root mean square difference to the row before, pixels from -1 to 1"
    return Table(COLUMNS, rows, caption="The same latents over training", notes=[note])


def _tensor(pictures: Sequence[Any]) -> Tensor:
    """(N, 3, H, W) in [-1, 1]."""
    stored = torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2)
    return stored.float() / 127.5 - 1


def changed(rows: Sequence[Tensor]) -> list[float]:
    """Root mean square difference of each (N, C, H, W) row to the one before it."""
    return [float((b.double() - a.double()).square().mean().sqrt()) for a, b in pairwise(rows)]


def checkpoint_files(named: str | Sequence[str]) -> list[Path]:
    """The files that a list, a folder or a pattern such as `run/checkpoints/*.ckpt` stands for.

    Raises:
        FileNotFoundError: none.
    """
    if not isinstance(named, str):
        files = [Path(name).expanduser() for name in named]
        if missing := [path for path in files if not path.is_file()]:
            raise FileNotFoundError(f"study.checkpoints={missing[0]}: no such file")
        return files
    path = Path(named).expanduser()
    if path.is_dir():
        found = sorted(path.glob("*.ckpt"))
    elif "*" in path.name:
        found = sorted(path.parent.glob(path.name))
    else:
        found = [path] if path.is_file() else []
    if not found:
        raise FileNotFoundError(f"study.checkpoints={named}: there is no checkpoint")
    return found


def grid_files(grids: str | None, ckpt: str | None) -> list[Path]:
    """Saved sample grids of a folder, or of the run that a checkpoint lies in.

    Raises:
        FileNotFoundError: none; says what to name.
    """
    advice = "name their folder in study.grids, or checkpoints of one run in study.checkpoints"
    if grids is None and not (ckpt and Path(ckpt).expanduser().is_file()):
        raise FileNotFoundError(f"ckpt={ckpt} lies in no run with saved grids; {advice}")
    beside = Path(ckpt or "").expanduser().absolute().parent.parent / "samples"
    folder = Path(grids).expanduser() if grids else beside
    found = sorted(path for path in folder.glob("*.png") if path.stem.isdecimal())
    if not found:
        raise FileNotFoundError(f"{folder} holds no saved sample grids; {advice}")
    return found


def seen_of(path: Path) -> int:
    """How many images a checkpoint's training had seen."""
    return int(load_checkpoint(path)["images_seen"])


def generators_at(
    files: Sequence[tuple[int, Path]],  # images seen, checkpoint
    own_generator: Generator,  # of the same model
) -> Iterator[tuple[Generator, int]]:
    """The averaged generator of each checkpoint, and the images its training had seen.

    Raises:
        ValueError: a checkpoint of another model.
    """
    for seen, path in files:
        state: Mapping[str, Any] = load_checkpoint(path)["state_dict"]
        own = {n.removeprefix(AVERAGED): v for n, v in state.items() if n.startswith(AVERAGED)}
        generator: Generator = deepcopy(own_generator)
        try:
            generator.load_state_dict(own)
        except (RuntimeError, AttributeError, TypeError) as error:
            raise ValueError(
                f"study.checkpoints: {path} is of another model than ckpt, whose generator is "
                f"{type(generator).__module__} of other layers or widths"
            ) from error
        yield generator, seen
