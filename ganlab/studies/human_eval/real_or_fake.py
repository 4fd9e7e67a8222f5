"""`study=real_or_fake`: a page on which people tell fakes from reals, and what they found.

The page needs nothing but itself: images are inside it, its content policy lets it fetch nothing,
and the answers leave it only as a file that the person downloads. Who looks into its source finds
the truth there.
"""

import hashlib
import io
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import torch
from PIL import Image

from ganlab.data.positions import Images, random_positions, stored_images
from ganlab.networks.base import Condition
from ganlab.report import images
from ganlab.report.images import Pixels
from ganlab.report.markup import html_page, picture_address
from ganlab.sampling import Sampler
from ganlab.scoring.scoring import score_table
from ganlab.studies.bench import Bench
from ganlab.studies.findings import Findings
from ganlab.studies.human_eval.judgements import (
    Judgement,
    judgement_records,
    judgement_table,
    read_judgements,
)
from ganlab.studies.human_eval.trials import (
    LAYOUT,
    Level,
    Protocol,
    Trial,
    protocol_of,
    read_levels,
    trials_of,
)
from ganlab.studies.neurons.layers import as_list
from ganlab.studies.pyramid.edits import find_levels, pyramid_features, stages_of
from ganlab.studies.question import Question, at_least, require_images
from ganlab.systems.semantic import PyramidFeatures
from ganlab.systems.system import System

NAME = "real_or_fake.html"
TEMPLATE = Path(__file__).parent / "template"


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
        at_least(0, break_every=self.break_every)

    @cached_property
    def announced(self) -> Protocol:
        """The test as people are told of it."""
        return protocol_of(self.protocol, self.num, self.seconds)

    @cached_property
    def judged(self) -> list[Judgement]:
        """What people sent back."""
        named = [] if self.results is None else as_list(self.results)
        return read_judgements(named, "study.results")

    def check(self, bench: Bench) -> None:
        """Refuse a test without reals, pairs without references, and results of another model."""
        check_results(self.judged, self.model or model_of(bench.system))
        if self.images is not None:
            return
        if pyramid_features(bench.system) is not None:
            require_images(bench.trainer, "real_or_fake", "paints from references")
            find_levels(self.levels, stages_of(bench.generator))
        elif self.levels is not None:
            raise ValueError("study.levels names levels of a semantic pyramid, and this is none")
        elif self.announced.name != "paired":
            require_images(bench.trainer, "real_or_fake", "shows real images")
        elif bench.system.conditioner.references is None:
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
        num, conditioner = self.announced.num, bench.system.conditioner
        if features := pyramid_features(bench.system):
            chosen = find_levels(self.levels, stages_of(bench.generator))
            return pyramid_levels(bench.sampler, features, bench.data, chosen, num)
        fakes = images.cells(bench.sampler.images(range(num)))
        if self.announced.name == "paired":
            assert conditioner.references is not None, "see `check`"
            return [Level(self.level, fakes, images.cells(conditioner.references(range(num))))]
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


def model_of(system: System) -> str:
    """The checkpoint's model, or where it comes from."""
    source, choices = (system.recipe.get(key) or {} for key in ("source", "choices"))
    if name := source.get("name") or choices.get("model"):
        return str(name)
    return type(system.generator_ema).__module__.rpartition(".")[2]


def page_of(
    protocol: Protocol,
    trials: Sequence[Trial],
    images: Sequence[Pixels],
    *,
    title: str,  # what is tested, as people read it
    model: str,  # what fakes come from, as the table of results names it
    seed: int,  # of each person's order, together with their name
    break_every: int = 25,  # trials between two breaks; 0 = none
    smooth: bool = True,  # enlarge smoothly; False = each pixel a square
) -> str:
    """The real-or-fake test as one HTML page."""
    study = {
        "title": title,
        "model": model,
        "protocol": protocol.name,
        "seconds": protocol.seconds,
        "break_every": break_every,
        "seed": seed,
        "trials": [vars(trial) for trial in trials],
        "images": [data_address(image) for image in images],
    }
    study["test"] = hashlib.sha256(json.dumps(study, sort_keys=True).encode()).hexdigest()[:16]
    return html_page(
        TEMPLATE / "real_or_fake.html.j2",
        title=title,
        protocol=protocol.name,
        seconds=spoken_seconds(protocol.seconds),
        num_trials=len(trials),
        smooth=smooth,
        study=inside_script(study),
    )


def spoken_seconds(seconds: float | None) -> str:
    """`one second`, `2.5 seconds`, or nothing without a limit."""
    if seconds is None:
        return ""
    return "one second" if seconds == 1 else f"{seconds:g} seconds"


def inside_script(value: object) -> str:
    """JSON that cannot end the element it stands in."""
    text = json.dumps(value, ensure_ascii=True)
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def data_address(pixels: Pixels) -> str:
    """A picture as PNG in a data: address, without any metadata that could tell its origin."""
    data = io.BytesIO()
    Image.fromarray(pixels).save(data, format="PNG", optimize=True)
    return picture_address(data.getvalue())


def pyramid_levels(
    sampler: Sampler,  # of a pyramid's averaged generator
    conditioner: PyramidFeatures,
    data: Images,  # module whose images are the references
    levels: Sequence[str],  # names of stages
    num: int,  # references of each level
) -> list[Level]:
    """For each level `num` fakes and, in the same order, their references, for people to judge.

    Shocher et al. 2020, section 4.1 and table 2: 75 images a level; `paired` shows a fake beside
    the reference whose features it was painted from, `unpaired` beside another one.

    Every level has references of its own, chosen at random by key: who saw an image once would
    know it again beside another fake.

    Raises:
        ValueError: more references than there are images.
    """

    def level_of(name: str) -> Level:
        positions = random_positions(len(data.dataset), num, "judged", name, sampler.seed)

        def told(addresses: Sequence[int]) -> Condition:
            chosen = stored_images(data, [positions[i] for i in addresses], sampler.place)
            return conditioner.condition(chosen.image, name)

        fakes = replace(sampler, condition_at=told).images(range(num))
        references = stored_images(data, positions, sampler.place).image
        return Level(name, images.cells(fakes), images.cells(references))

    return [level_of(name) for name in levels]
