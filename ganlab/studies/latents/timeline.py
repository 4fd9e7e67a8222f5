"""`study=timeline`: what the same latents became over a run's saved steps (Heikka, figure 4)."""

import math
from collections.abc import Iterator, Sequence
from copy import deepcopy
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ganlab.checks.places import file_named, place_named
from ganlab.networks.base import Generator
from ganlab.places import run_of
from ganlab.report.images import Pixels, grid, to_uint8
from ganlab.report.tables import Table
from ganlab.report.timeline import evenly_spaced, grids_by_time, kimg_text, top_rows
from ganlab.sampling import Sampler
from ganlab.studies.address import Latents
from ganlab.studies.bench import Bench
from ganlab.studies.findings import Findings
from ganlab.studies.latents.film import FilmedQuestion
from ganlab.studies.latents.latent_set import LatentSet, address_list, latent_set
from ganlab.studies.latents.pictures import rows_of
from ganlab.studies.question import at_least
from ganlab.systems.checkpoint import load_checkpoint

AVERAGED = "generator_ema."
COLUMNS, CAPTION = ["images_seen", "change"], "The same latents over training"


@dataclass(frozen=True, kw_only=True)
class Timeline(FilmedQuestion):
    """One row a saved step: from checkpoints of one model, or from grids that a run saved.

    The animation has a frame a row, the video, where one is asked for, every saved step there is.

    With neither named, the grids beside the checkpoint that is evaluated. Grids hold images as
    they were made in training, of latents 0, 1, ... of the run's seed, so neither truncation, noise
    nor classes can be chosen for them.

    Raises:
        FileNotFoundError: no checkpoint or no grid there.
        ValueError: both named, checkpoints of another model, what grids cannot show, or a video
            with fewer frames than saved steps.
    """

    latents: Latents = "0:8"  # columns; of grids always the first ones
    checkpoints: str | Sequence[str] | None = None  # files, a folder of them, or a pattern
    grids: str | None = None  # folder of saved sample grids
    ckpt: str | None = None  # evaluated; its run's grids are shown where nothing is named
    moments: int = 7  # rows: the first, the last, the others evenly between

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.checkpoints is not None and self.grids is not None:
            raise ValueError("study.checkpoints and study.grids are two answers: give one of them")
        at_least(1, moments=self.moments)
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
            ValueError: classes, other latents than the first ones, truncation, or noise.
        """
        if self.told:
            key = "label" if self.labels is None else "labels"
            raise ValueError(
                f"study.{key}: saved grids hold the classes that they were made with in training: "
                "leave it out, or give study.checkpoints"
            )
        indices = address_list(self.latents) if self.latents is not None else []
        first = indices == list(range(len(indices)))
        if not first or self.truncation is not None or self.noise != "fixed":
            raise ValueError(
                "saved grids hold latents 0, 1, ... as they were made in training: leave "
                "study.latents at 0:<number>, and truncation and noise alone, or give "
                "study.checkpoints"
            )
        return len(indices)

    def read(self, generator: Generator) -> LatentSet | None:
        """The latents, where checkpoints paint them."""
        self.enough_frames(len(self.files or self.pages), "saved steps")
        found = latent_set(generator, self.latents, self.seed) if self.files else None
        self.grid_enlargement(self.count if found is None else len(found), *generator.image_size)
        return found

    def grid_enlargement(self, count: int, height: int, width: int) -> int:
        """How often the video repeats each pixel of a grid of so many images of this size."""
        high, wide, _ = grid(torch.zeros(count, 1, height, width)).shape
        return self.pixel_factor(high, wide, image=height)

    def paint(self, bench: Bench, sampler: Sampler) -> Findings:
        """The rows, and how much each differs from the one before."""
        found = self.read(bench.generator)
        moments = dict(self.steps(found, sampler, self.moments))
        rows = [(kimg_text(seen), images) for seen, images in moments.items()]
        pairs = pairwise(images.double() for images in moments.values())
        changes = [math.nan, *(float((b - a).square().mean().sqrt()) for a, b in pairs)]
        numbers: dict[str, Any] = {
            "images_seen": list(moments),
            "change": changes,
            "images": torch.stack([to_uint8(images) for images in moments.values()]).numpy(),
        }
        source = "checkpoints" if self.files else "saved grids"
        text = f"Rows: images seen in training; the same latents in each; from {source}"
        shown = [None, *changes[1:]]  # nothing is before the first
        note = "change: root mean square difference to the row before, pixels from -1 to 1"
        table = Table.of(COLUMNS, zip(moments, shown, strict=True), CAPTION, [note])
        frames = [grid(images) for images in moments.values()]
        films = self.animation_file("timeline", frames, len(frames) / self.seconds)
        count, _, height, width = next(iter(moments.values())).shape
        factor = self.grid_enlargement(count, height, width)
        films |= self.video_file("timeline", self.reel(found, sampler), factor)
        return Findings(
            tables={"table": table},
            figures={"timeline": rows_of(rows, numbers, text, sampler)},
            files=films,
            latents={} if found is None else {"timeline": found.values},
        )

    def reel(self, found: LatentSet | None, sampler: Sampler) -> Iterator[Pixels]:
        """The frames of the video: every saved step, each as long as the others."""
        count = len(self.files or self.pages)
        shown = [i * count // self.num_frames for i in range(self.num_frames)]  # which step when
        for i, (_, images) in enumerate(self.steps(found, sampler, count)):
            yield from [grid(images)] * shown.count(i)

    def steps(
        self, found: LatentSet | None, sampler: Sampler, moments: int
    ) -> Iterator[tuple[int, Tensor]]:
        """Images seen, and the images then, of at most so many saved steps."""
        if found is None:
            return self.grid_steps(moments)
        return self.checkpoint_steps(found, sampler, moments)

    def checkpoint_steps(
        self, found: LatentSet, sampler: Sampler, moments: int
    ) -> Iterator[tuple[int, Tensor]]:
        """The same, of checkpoints."""
        states = evenly_spaced(sorted((seen_of(path), path) for path in self.files), moments)
        for generator, seen in generators_at(states, sampler.generator):
            then = replace(sampler, generator=generator)
            yield seen, then.paint(found.values, found.addresses)

    def grid_steps(self, moments: int) -> Iterator[tuple[int, Tensor]]:
        """The same, of grids."""
        for seen, path in evenly_spaced(grids_by_time(self.pages), moments):
            [(_, pictures)] = top_rows([path], self.count)
            if len(pictures) < self.count:
                raise ValueError(
                    f"study.latents={self.latents}: the first row of {path} has "
                    f"{len(pictures)} images"
                )
            yield seen, _tensor(pictures)


def _tensor(pictures: Sequence[Any]) -> Tensor:
    """(N, 3, H, W) in [-1, 1]."""
    stored = torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2)
    return stored.float() / 127.5 - 1


def checkpoint_files(named: str | Sequence[str]) -> list[Path]:
    """The files that a list, a folder or a pattern such as `run/checkpoints/*.ckpt` stands for.

    Raises:
        FileNotFoundError: none.
    """
    key = "study.checkpoints"
    if not isinstance(named, str):
        return [file_named(name, key) for name in named]
    path = place_named(named, key)
    folder, pattern = (path, "*.ckpt") if path.is_dir() else (path.parent, path.name)
    several = path.is_dir() or "*" in path.name
    found = sorted(folder.glob(pattern)) if several else [path] * path.is_file()
    if not found:
        raise FileNotFoundError(f"{key}={named}: there is no checkpoint")
    return found


def grid_files(grids: str | None, ckpt: str | None) -> list[Path]:
    """Saved sample grids of a folder, or of the run that a checkpoint lies in.

    Raises:
        FileNotFoundError: none; says what to name.
    """
    advice = "name their folder in study.grids, or checkpoints of one run in study.checkpoints"
    run = run_of(ckpt) if ckpt and place_named(ckpt, "ckpt").is_file() else None
    if grids is None and run is None:
        raise FileNotFoundError(f"ckpt={ckpt} lies in no run with saved grids; {advice}")
    folder = run / "samples" if run and grids is None else place_named(str(grids), "study.grids")
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
        state = load_checkpoint(path)["state_dict"]
        own = {n.removeprefix(AVERAGED): v for n, v in state.items() if n.startswith(AVERAGED)}
        generator = deepcopy(own_generator)
        try:
            generator.load_state_dict(own)
        except (RuntimeError, AttributeError, TypeError) as error:
            raise ValueError(
                f"study.checkpoints: {path} is of another model than ckpt, whose generator is "
                f"{type(generator).__module__} of other layers or widths"
            ) from error
        yield generator, seen
