"""The bench a study works at: everything it may need, each part made when first asked for."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from lightning import Trainer
from torch import Tensor

from ganlab.data.no_images import NoImages
from ganlab.data.positions import Images, names_of_classes
from ganlab.features import Extractor
from ganlab.metrics import Suite
from ganlab.networks.base import Generator
from ganlab.sampling import Edits, EditsAt, Sampler, batched, num_classes
from ganlab.scoring.reals import data_of
from ganlab.scoring.scoring import Scoring
from ganlab.studies.classes import Class, asked_classes, class_index
from ganlab.studies.ranks import Ranks
from ganlab.systems.system import System


@dataclass(frozen=True, kw_only=True)
class Terms:
    """What every question says of how its images are made and scored, and where its files go."""

    suite: Suite | None = None  # scores the generator; None = score nothing
    seed: int = 0  # of the latents, which are addresses
    batch_size: int = 100  # images at a time; changes no result beyond rounding
    monitor: str | None = None  # metric that decides what is best; None = the first FID
    label: Class | None = None  # class that every image is told; None = see `Bench.labels`
    labels: Sequence[Class] | Class | None = None  # several, told in turn by address
    directory: str | Path | None = None  # where the files go; None = nowhere
    cache: str | Path | None = None  # folder of real statistics; None = the user's cache

    noise = "fixed"  # of all images; studies that let it be chosen have an option of this name
    noise_told = False  # whether the records of scores say which noise

    @property
    def told(self) -> Sequence[Class]:
        """Classes that images are to be told in turn, as named; none = as the checkpoint says."""
        return asked_classes(self.label, self.labels)


class Bench:
    """A trained system, its data and this run's processes, as one study needs them.

    `sampler` makes the images of the averaged generator, `score` compares images with the reals,
    `ranks` shares work out, `images` does so for images under a progress bar.
    """

    def __init__(
        self,
        trainer: Trainer,
        system: System,  # trained, with `generator_ema`
        question: Terms,
        scoring: Scoring,
    ) -> None:
        self.trainer, self.system, self.scoring = trainer, system, scoring
        self.question, self.seed, self.batch_size = question, question.seed, question.batch_size

    @property
    def generator(self) -> Generator:
        """The averaged one."""
        generator: Generator = self.system.generator_ema
        return generator

    @property
    def images_seen(self) -> int:
        """How long it was trained."""
        return int(self.system.images_seen)

    @property
    def device(self) -> torch.device:
        """Where networks work."""
        device: torch.device = self.system.device
        return device

    @property
    def directory(self) -> Path | None:
        """Where files go; None = nowhere."""
        place = self.question.directory
        return None if place is None else Path(place)

    @property
    def writes(self) -> bool:
        """Whether this rank leaves files; what none leaves need not be drawn."""
        return self.ranks.first and self.directory is not None

    @cached_property
    def sampler(self) -> Sampler:
        """How the study's images are made, without truncation."""
        options = {"noise": self.question.noise, "batch_size": self.batch_size}
        return Sampler.of(self.system, self.seed, labels=self.labels, **options)

    @cached_property
    def labels(self) -> list[int]:
        """Classes that images are told in turn; none = what the checkpoint's conditioner says.

        Raises:
            ValueError: classes of a generator that is told none, or that there are not.
        """
        asked = self.question.told
        number = num_classes(self.system)
        key = "study.labels" if self.question.label is None else "study.label"
        if asked and not number:
            raise ValueError(
                f"{key}={asked[0]}: this {type(self.generator).__module__} is unconditional, "
                "it is told no class; leave study.label and study.labels out"
            )
        numbers = list(map(str, range(number)))
        known = [self.class_names(each) for each in asked]
        return [
            class_index(each, names if len(names) == number else numbers, key)
            for each, names in zip(asked, known, strict=True)
        ]

    def class_names(self, asked: Class) -> Sequence[str]:
        """What the generator's classes are called, by it or, where a word is asked, by the data.

        Images are not opened for numbers, written as such or as text: a checkpoint paints where its
        training images are not.
        """
        own = self.system.conditioner.class_names
        worded = not str(asked).isdecimal()
        return names_of_classes(self.data) if worded and self.has_images and not own else own

    @cached_property
    def ranks(self) -> Ranks:
        """The processes of this run."""
        return Ranks(self.trainer)

    @property
    def data(self) -> Images:
        """The data module.

        Raises:
            ValueError: there is none.
        """
        return data_of(self.trainer)

    @property
    def has_images(self) -> bool:
        """Whether the data has images at all."""
        return not isinstance(self.data, NoImages)

    @property
    def suite(self) -> Suite | None:
        """What is scored with, if anything is."""
        return self.scoring.suite

    @property
    def records(self) -> list[dict[str, Any]]:
        """What was scored so far, as in result.json."""
        return self.scoring.records

    @cached_property
    def baseline(self) -> dict[str, float]:
        """Scores of the plain generator on latents 0 .. num_fake-1; nothing without a suite."""
        if self.suite is None:
            return {}
        values = self.score("baseline")
        self.record(values)
        return values

    def images(
        self,
        title: str,  # of the progress bar
        indices: Sequence[int],  # addresses, shared out to ranks
        edits: Edits | EditsAt | None = None,  # an intervention; the latents stay the same
        sampler: Sampler | None = None,  # another way to make them
    ) -> Iterator[Tensor]:
        """Batches of images of this rank's latents, where the generator is."""
        share = self.ranks.progress(self.ranks.share(indices), title)
        yield from (sampler or self.sampler).batches(share, edits)

    def score(
        self,
        title: str,  # of the progress bar
        indices: Sequence[int] | None = None,  # these latents; None = 0 .. num_fake-1
        edits: Edits | EditsAt | None = None,
        sampler: Sampler | None = None,
    ) -> dict[str, float]:
        """Metric -> value over these images, all ranks together. Nothing is recorded.

        Raises:
            ValueError: there is no suite, or so few images are too few for one of its scores.
        """
        chosen = range(self.scoring.num_fake) if indices is None else indices
        return self.scoring.score(self.images(title, chosen, edits, sampler), len(chosen))

    def record(
        self,
        values: dict[str, float],
        sampler: Sampler | None = None,  # that made the images
        images_seen: int | None = None,  # of its generator; None = of this system
        **facts: object,  # what was done to the generator
    ) -> None:
        """Keep scores for result.json at once, whatever becomes of the study."""
        own = self.images_seen if self.system.generates else None
        seen = own if images_seen is None else images_seen
        told = {"noise": self.question.noise} if self.question.noise_told else {}
        self.scoring.record(values, sampler or self.sampler, seen, **told, **facts)

    def record_of(
        self,
        metric: str,  # its full name
        value: float,
        extractor: Extractor | None,  # of the features it is measured in; None = of the pixels
        *,
        n_real: int,
        n_fake: int,
        truncation: float | None = None,
        best: str = "neither",  # which way it improves, `min` or `max`
        **facts: object,  # what was done to the generator
    ) -> dict[str, Any]:
        """A value that no suite computed, as it stands in result.json."""
        counts = {"n_real": n_real, "n_fake": n_fake}
        measured = {
            "extractor": "pixels" if extractor is None else extractor.name,
            "extractor_sha256": "" if extractor is None else extractor.sha256,
            "resize": "none" if extractor is None else extractor.resize,
        }
        made: dict[str, Any] = {"truncation": truncation, "ema": True, "seed": self.seed}
        if self.sampler.labels:
            made["classes"] = self.sampler.classes
        told = {"images_seen": self.images_seen, "best": best, **facts}
        return {"metric": metric, "value": value, **counts, **measured, **made, **told}

    def monitor(self, values: dict[str, float]) -> str | None:
        """The metric that decides what is best; None where nothing was scored."""
        return self.scoring.monitor(values) if values else None

    def batched(self, title: str, items: Sequence[int]) -> Iterator[list[int]]:
        """This rank's items in batches, under a progress bar."""
        yield from batched(self.ranks.progress(self.ranks.share(items), title), self.batch_size)

    def truncated(self, psi: float | None, cutoff: int | None = None) -> Sampler:
        """The sampler under the truncation trick."""
        return replace(self.sampler, truncation=psi, cutoff=cutoff)
