"""`study=real_or_fake`: a page on which people tell fakes from reals, and what they found."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ganlab.report import images
from ganlab.report.images import Pixels
from ganlab.studies.bench import Bench
from ganlab.studies.findings import Findings
from ganlab.studies.neurons.layers import as_list
from ganlab.studies.people.image_pairs import LAYOUT, read_levels
from ganlab.studies.people.judgements import (
    Judgement,
    judgement_records,
    judgement_table,
    read_judgements,
)
from ganlab.studies.people.real_or_fake_page import page_of
from ganlab.studies.people.trials import Level, Protocol, protocol_of, trials_of
from ganlab.studies.pyramid.edits import is_pyramid, levels_named
from ganlab.studies.pyramid.pairs import pyramid_levels
from ganlab.studies.question import Question
from ganlab.studies.score_report import score_table
from ganlab.studies.stored import random_positions, require_images, stored_images
from ganlab.systems.system import System

NAME = "real_or_fake.html"


@dataclass(frozen=True, kw_only=True)
class RealOrFake(Question):
    """Writes `real_or_fake.html`, the test of one protocol, ready to be sent to people.

    Fakes are the latents 0 .. num-1, reals a keyed random choice of the data. `images` takes both
    from a folder instead, with a folder for each level of a pyramid. `paired` needs a reference of
    each fake: from that folder, or from a conditioner with `references(indices) -> (N, C, H, W)`.
    A semantic pyramid is judged level by level, its references a keyed random choice of the data.
    Given files of `results`, their accuracy, false-positive and confusion rates join the records.

    Raises:
        ValueError: an unknown protocol, too few images, pairs without references, or results of
            another model.
        FileNotFoundError: no such folder or file of results.
    """

    protocol: str = "single"  # single, paired or unpaired
    num: int | None = None  # of each kind, or pairs, a level; None = 50, or 75
    seconds: float | None = None  # images are shown; None = no limit in single, else 1; 0 = none
    images: str | Path | None = None  # folder with [level/]fake and [level/]real
    results: Sequence[str] | str | None = None  # files that people sent back
    model: str | None = None  # as the table names it; None = the checkpoint's model
    title: str | None = None  # what people read; None = nothing that gives it away
    level: str = ""  # name of the one level, where there is no folder of them
    levels: Sequence[str] | str | None = None  # of a semantic pyramid; None = all
    break_every: int = 25  # trials between two breaks; 0 = none
    smooth: bool = True  # enlarge smoothly; False = each pixel a square

    def __post_init__(self) -> None:
        super().__post_init__()
        _ = self.announced, self.judged
        if self.break_every < 0:
            raise ValueError(f"study.break_every must be at least 0, got {self.break_every}")

    @cached_property
    def announced(self) -> Protocol:
        """The test as people are told of it."""
        return protocol_of(self.protocol, self.num, self.seconds)

    @cached_property
    def judged(self) -> list[Judgement]:
        """What people sent back."""
        return [] if self.results is None else read_judgements(as_list(self.results))

    def check(self, bench: Bench) -> None:
        """Refuse a test without reals, pairs without references, and results of another model."""
        check_results(self.judged, self.model or model_of(bench.system))
        if self.images is not None:
            return
        if is_pyramid(bench.system):
            require_images(bench.trainer, "real_or_fake", "paints from references")
            generator: Any = bench.generator
            levels_named(self.levels, generator.stages)
        elif self.levels is not None:
            raise ValueError("study.levels names levels of a semantic pyramid, and this is none")
        elif self.announced.name != "paired":
            require_images(bench.trainer, "real_or_fake", "shows real images")
        elif references_of(bench.system) is None:
            raise ValueError(
                "study.protocol=paired shows a fake beside its own reference, which this "
                f"generator does not have: give study.images=<folder>; {LAYOUT}"
            )

    def run(self, bench: Bench) -> Findings:
        """The page, and what people found."""
        records = judgement_records(self.judged, self.seed, bench.images_seen)
        if not bench.ranks.first:
            return Findings(records=records)
        trials, pictures = trials_of(self.announced, self.shown(bench), self.seed)
        page = page_of(
            self.announced,
            trials,
            pictures,
            title=self.title or "Look closely.",
            model=self.model or model_of(bench.system),
            seed=self.seed,
            break_every=self.break_every,
            smooth=self.smooth,
        )
        tables = {"judgements": judgement_table(self.judged)} if self.judged else {}
        if bench.suite is not None:
            tables["table"] = score_table(bench.records)
        note = f"test: {(bench.directory or Path()) / NAME}"
        files = {NAME: page.encode("utf-8")}
        return Findings(tables=tables, files=files, records=records, notes=[note])

    def shown(self, bench: Bench) -> list[Level]:
        """The images to judge."""
        if self.images is not None:
            return read_levels(self.images, self.announced, self.seed)
        num = self.announced.num
        if is_pyramid(bench.system):
            generator: Any = bench.generator
            chosen = levels_named(self.levels, generator.stages)
            return pyramid_levels(bench.sampler, bench.system.conditioner, bench.data, chosen, num)
        fakes = images.cells(bench.sampler.images(range(num)))
        if self.announced.name == "paired":
            find = references_of(bench.system)
            assert find is not None
            return [Level(self.level, fakes, images.cells(find(range(num))))]
        return [Level(self.level, fakes, self.reals(bench))]

    def reals(self, bench: Bench) -> list[Pixels]:
        """A keyed random choice of the data's images."""
        num = len(bench.data.dataset)
        chosen = random_positions(num, self.announced.num, "judged", self.seed)
        return images.cells(stored_images(bench.data, chosen, torch.device("cpu")).image)


def check_results(judged: Sequence[Judgement], model: str) -> None:
    """Raise ValueError where a file is of another model than the one whose scores it would join."""
    for each in judged:
        if each.model != model:
            raise ValueError(
                f"study.results: {each.path} is of {each.model!r}, and this checkpoint is "
                f"{model!r}; say study.model if both are the same, or use python -m ganlab table"
            )


def references_of(system: System) -> Callable[[Sequence[int]], Tensor] | None:
    """Addresses -> the reference images of these fakes, (N, C, H, W), where there are any."""
    return getattr(getattr(system, "conditioner", None), "references", None)


def model_of(system: System) -> str:
    """The checkpoint's model, or where it comes from."""
    recipe = getattr(system, "recipe", None) or {}
    source, choices = recipe.get("source") or {}, recipe.get("choices") or {}
    if name := source.get("name") or choices.get("model"):
        return str(name)
    return type(system.generator_ema).__module__.rpartition(".")[2]
