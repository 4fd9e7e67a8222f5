"""`study=real_or_fake`: a page on which people tell fakes from reals, and what they found."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from lightning import Trainer

from ganlab.report import images
from ganlab.report.atomic import replace_file
from ganlab.report.images import Pixels
from ganlab.sampling import Sampler
from ganlab.studies.neurons.layers import as_list
from ganlab.studies.people.image_pairs import LAYOUT, read_levels
from ganlab.studies.people.judgements import (
    PEOPLE,
    Judgement,
    judgement_records,
    judgement_table,
    read_judgements,
)
from ganlab.studies.people.real_or_fake_page import page_of
from ganlab.studies.people.trials import Level, protocol_of, trials_of
from ganlab.studies.pyramid.edits import is_pyramid, levels_named
from ganlab.studies.pyramid.pairs import pyramid_levels
from ganlab.studies.reals import data_of
from ganlab.studies.sampling import batched
from ganlab.studies.score_report import score_table
from ganlab.studies.scores import Study, watched
from ganlab.studies.stored import random_positions, require_images, stored_images

NAME = "real_or_fake.html"


class RealOrFake(Study):
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

    def __init__(
        self,
        *,
        directory: str | Path,  # where the page goes
        protocol: str = "single",  # single, paired or unpaired
        num: int | None = None,  # of each kind, or pairs, a level; None = 50, or 75
        seconds: float
        | None = None,  # images are shown; None = no limit in single, else 1; 0 = none
        images: str | Path | None = None,  # folder with [level/]fake and [level/]real
        results: Sequence[str] | str | None = None,  # files that people sent back
        model: str | None = None,  # as the table names it; None = the checkpoint's model
        title: str | None = None,  # what people read; None = nothing that gives it away
        level: str = "",  # name of the one level, where there is no folder of them
        levels: Sequence[str] | str | None = None,  # of a semantic pyramid; None = all
        break_every: int = 25,  # trials between two breaks; 0 = none
        smooth: bool = True,  # enlarge smoothly; False = each pixel a square
        **options: Any,  # of `Study`
    ) -> None:
        super().__init__(directory=directory, **options)
        self.protocol = protocol_of(protocol, num, seconds)
        self.place = images
        self.judged = [] if results is None else read_judgements(as_list(results))
        if break_every < 0:
            raise ValueError(f"study.break_every must be at least 0, got {break_every}")
        self.model, self.title, self.level = model, title or "Look closely.", level
        self.level_names = levels
        self.break_every, self.smooth, self.folder = break_every, smooth, Path(directory)

    def setup(self, trainer: Trainer, pl_module: Any, stage: str) -> None:
        """Refuse a test without reals, pairs without references, and results of another model."""
        check_results(self.judged, self.model or model_of(pl_module))
        if self.place is None:
            if is_pyramid(pl_module):
                require_images(trainer, "real_or_fake", "paints from references")
                levels_named(self.level_names, pl_module.generator_ema.stages)
            elif self.level_names is not None:
                raise ValueError(
                    "study.levels names levels of a semantic pyramid, and this is none"
                )
            elif self.protocol.name == "paired":
                if references_of(pl_module) is None:
                    raise ValueError(
                        "study.protocol=paired shows a fake beside its own reference, which this "
                        f"generator does not have: give study.images=<folder>; {LAYOUT}"
                    )
            else:
                require_images(trainer, "real_or_fake", "shows real images")
        super().setup(trainer, pl_module, stage)

    def investigate(self, trainer: Trainer, system: Any) -> None:
        """Write the page; record what people found."""
        self.records += judgement_records(self.judged, self.seed, system.images_seen)
        if not trainer.is_global_zero:
            return
        levels = self.levels(trainer, system)
        trials, pictures = trials_of(self.protocol, levels, self.seed)
        page = page_of(
            self.protocol,
            trials,
            pictures,
            title=self.title,
            model=self.model or model_of(system),
            seed=self.seed,
            break_every=self.break_every,
            smooth=self.smooth,
        )
        replace_file(self.folder / NAME, page.encode("utf-8"))
        print(f"test: {self.folder / NAME}")
        if self.judged:
            judgement_table(self.judged).write(self.folder, "judgements")
        if self.suite is not None:
            score_table([r for r in self.records if r["extractor"] != PEOPLE]).write(self.folder)

    def levels(self, trainer: Trainer, system: Any) -> list[Level]:
        """The images to judge."""
        if self.place is not None:
            return read_levels(self.place, self.protocol, self.seed)
        if is_pyramid(system):
            chosen = levels_named(self.level_names, system.generator_ema.stages)
            data, num = data_of(trainer), self.protocol.num
            sampler = Sampler.of(system, self.seed, batch_size=self.batch_size)
            return pyramid_levels(sampler, system.conditioner, data, chosen, num)
        fakes = self.fake_images(trainer, system)
        if self.protocol.name == "paired":
            find = references_of(system)
            assert find is not None
            reals = images.cells(find(range(self.protocol.num)))
        else:
            reals = self.real_images(data_of(trainer), system)
        return [Level(self.level, fakes, reals)]

    def fake_images(self, trainer: Trainer, system: Any) -> list[Pixels]:
        """Images of the first latents."""
        found: list[Pixels] = []
        shown = watched(range(self.protocol.num), "fakes", trainer)
        for indices in batched(shown, self.batch_size):
            found += images.cells(self.made(system, indices))
        return found

    def real_images(self, data: Any, system: Any) -> list[Pixels]:
        """A keyed random choice of the data's images."""
        num = len(data.dataset)
        chosen = random_positions(num, self.protocol.num, "judged", self.seed)
        return images.cells(stored_images(data, chosen, torch.device("cpu")).image)


def check_results(judged: Sequence[Judgement], model: str) -> None:
    """Raise ValueError where a file is of another model than the one whose scores it would join."""
    for each in judged:
        if each.model != model:
            raise ValueError(
                f"study.results: {each.path} is of {each.model!r}, and this checkpoint is "
                f"{model!r}; say study.model if both are the same, or use python -m ganlab table"
            )


def references_of(system: Any) -> Any:
    """Addresses -> the reference images of these fakes, (N, C, H, W), where there are any."""
    return getattr(getattr(system, "conditioner", None), "references", None)


def model_of(system: Any) -> str:
    """The checkpoint's model, or where it comes from."""
    recipe = getattr(system, "recipe", None) or {}
    source, choices = recipe.get("source") or {}, recipe.get("choices") or {}
    if name := source.get("name") or choices.get("model"):
        return str(name)
    return type(system.generator_ema).__module__.rpartition(".")[2]
