"""What people found in a real-or-fake test: files of results, rates with intervals, a table.

`single` gives accuracy and the false-positive rate, the share of fakes taken for real (Heikka,
table 1); `paired` and `unpaired` give the confusion rate, the share of trials in which the fake was
not recognized, 50% being perfect (Shocher et al., table 2).
"""

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from ganlab.checks.fields import (
    all_of,
    complaint,
    count,
    fields,
    is_number,
    items,
    leaf,
    optional_fields,
    text,
)
from ganlab.checks.places import place_named
from ganlab.metrics import wilson_interval
from ganlab.report.tables import Table
from ganlab.storage import read_text

KIND = "ganlab real_or_fake"
VERSION = 1  # of the files
TOLERANCE = 0.1  # of the announced time; a frame lost at 60 Hz is 0.017 of a second
PEOPLE = "people"  # what stands where a score names its extractor
ANSWERS = {"single": ("fake", "real"), "paired": ("left", "right"), "unpaired": ("left", "right")}
RATES = {"accuracy": "accuracy", "fpr": "false-positive rate", "confusion": "confusion rate"}

TIME = leaf("a time", lambda value: is_number(value) and 0 <= value < math.inf)
ANSWER = all_of(
    fields(trial=count, level=text, truth=text, answer=text),
    optional_fields(shown_ms=TIME),
)
RESULT = all_of(
    fields(
        **dict.fromkeys(("person", "model", "test"), text),
        protocol=leaf(f"one of {', '.join(ANSWERS)}", lambda value: value in list(ANSWERS)),
        num_trials=count,
        answers=items(ANSWER),
    ),
    optional_fields(seconds=TIME),
)


@dataclass(frozen=True)
class Answer:
    """One trial as one person judged it."""

    trial: int
    level: str
    truth: str  # fake or real; of a pair the side of the fake, left or right
    answer: str  # the same words
    shown: float | None = None  # ms for which its images were on the screen, where that is told


@dataclass(frozen=True)
class Judgement:
    """One person's result."""

    path: Path
    person: str
    model: str
    test: str  # digest of the page
    protocol: str
    complete: bool  # whether every trial was answered
    answers: list[Answer]
    seconds: float | None = None  # for which images were to be shown; None = until the answer

    @property
    def mistimed(self) -> int:
        """Trials whose images were on the screen a tenth of the time too short or too long."""
        if not self.seconds:
            return 0
        times = [each.shown for each in self.answers if each.shown is not None]
        return sum(abs(shown / 1000 / self.seconds - 1) > TOLERANCE for shown in times)


def read_judgements(paths: Iterable[str | Path], key: str = "") -> list[Judgement]:
    """Result files, or folders of them (`*.json`); `key` is the option that names them, if any.

    Raises:
        FileNotFoundError: no such file, or a folder without any.
        ValueError: a file that is no result, or two of one person in one test.
    """
    found = [read_judgement(path) for place in paths for path in files_of(place, key)]
    seen: dict[tuple[str, str], Path] = {}
    for each in found:
        other = seen.setdefault((each.test, each.person), each.path)
        if other != each.path:
            raise ValueError(
                f"{other} and {each.path} are both of {each.person} in test {each.test}: keep one"
            )
    return list({each.path: each for each in found}.values())


def files_of(named: str | Path, key: str) -> list[Path]:
    """A file itself, or a folder's .json files."""
    place = place_named(named, key or "results")
    found = sorted(place.glob("*.json")) if place.is_dir() else [place] * place.is_file()
    if not found:
        option = f"{key}=" if key else ""
        raise FileNotFoundError(f"{option}{place}: no such result file, or a folder without any")
    return found


def read_judgement(path: Path) -> Judgement:
    """One file.

    Raises:
        ValueError: it is no result of a real-or-fake page, or a damaged one.
    """
    try:
        content = json.loads(read_text(path, "utf-8-sig"))  # an editor may add a mark
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path} is not valid JSON ({error})") from None
    if not isinstance(content, dict) or content.get("kind") != KIND:
        raise ValueError(f"{path} is no result of a real_or_fake.html")
    if content.get("version") != VERSION:
        raise ValueError(
            f"{path} is a result of version {content.get('version')!r}; this program reads "
            f"version {VERSION}"
        )
    if wrong := complaint(content, RESULT) or contradiction(content):
        raise ValueError(f"{path} is a damaged result: {wrong}")
    answers = [
        Answer(each["trial"], each["level"], each["truth"], each["answer"], each.get("shown_ms"))
        for each in content["answers"]
    ]
    person, model, test, protocol = (content[k] for k in ("person", "model", "test", "protocol"))
    complete = len(answers) == content["num_trials"]
    return Judgement(path, person, model, test, protocol, complete, answers, content.get("seconds"))


def contradiction(content: Mapping[str, Any]) -> str | None:
    """What of a result cannot be, whose every field is what it should be."""
    words, num = ANSWERS[content["protocol"]], content["num_trials"]
    for each in content["answers"]:
        if each["trial"] >= num:
            return f"there is no trial {each['trial']} of {num}"
        if each["truth"] not in words or each["answer"] not in words:
            return f"trial {each['trial']} says {each['truth']!r} and {each['answer']!r}"
    trials = {each["trial"] for each in content["answers"]}
    return "a trial was answered twice" if len(trials) < len(content["answers"]) else None


@dataclass(frozen=True)
class Rate:
    """A share of trials."""

    hits: int
    trials: int

    @property
    def value(self) -> float | None:
        """The share; None of no trials."""
        return self.hits / self.trials if self.trials else None

    def interval(self, confidence: float = 0.95) -> tuple[float, float] | None:
        """Its Wilson interval; None of no trials."""
        if not self.trials:
            return None
        share = torch.tensor(self.hits / self.trials, dtype=torch.float64)
        low, high = wilson_interval(share, self.trials, confidence)
        return float(low), float(high)


def rates(protocol: str, answers: Sequence[Answer]) -> dict[str, Rate]:
    """`accuracy` and `fpr` of `single`; `confusion` of the others, which is 1 - accuracy."""
    wrong = [each for each in answers if each.answer != each.truth]
    if protocol != "single":
        return {"confusion": Rate(len(wrong), len(answers))}
    fakes = [each for each in answers if each.truth == "fake"]
    missed = sum(each.truth == "fake" for each in wrong)
    right = len(answers) - len(wrong)
    return {"accuracy": Rate(right, len(answers)), "fpr": Rate(missed, len(fakes))}


Key = tuple[str, ...]  # model, protocol, level, perhaps a person


def group_answers(judged: Sequence[Judgement], by_person: bool = False) -> dict[Key, list[Answer]]:
    """The answers of each model, protocol and level together, or each person's apart."""
    groups: dict[Key, list[Answer]] = {}
    for each in judged:
        person = (each.person,) if by_person else ()
        for answer in each.answers:
            key = (each.model, each.protocol, answer.level, *person)
            groups.setdefault(key, []).append(answer)
    return groups


def judgement_table(
    judged: Sequence[Judgement],
    by_person: bool = False,  # a row a person
    confidence: float = 0.95,  # of the Wilson intervals
) -> Table:
    """One row a model, protocol and level: people, trials, and each rate with its interval.

    Raises:
        ValueError: nothing was answered.
    """
    groups = group_answers(judged, by_person)
    if not groups:
        raise ValueError("no trial was answered in these results")
    found = {key: rates(key[1], answers) for key, answers in groups.items()}
    levels, kinds = any(key[2] for key in groups), {k for each in found.values() for k in each}
    columns = ["model", "protocol", *(["level"] * levels), "person" if by_person else "people"]
    columns += ["trials", *(c for kind in RATES if kind in kinds for c in columns_of(kind))]
    rows = [row_of(key, answers, found[key], judged) for key, answers in groups.items()]
    rows = [{name: row.get(name) for name in columns} for row in rows]
    return Table(columns, rows, caption="Real or fake?", notes=notes(judged, confidence))


def columns_of(kind: str) -> list[str]:
    """A rate's, and those of its interval."""
    return [RATES[kind], *(f"{RATES[kind]}, {end}" for end in ("low", "high"))]


def row_of(
    key: Key, answers: Sequence[Answer], found: Mapping[str, Rate], judged: Sequence[Judgement]
) -> dict[str, Any]:
    """One row, with more columns than may be shown."""
    model, protocol, level, *person = key
    people = {
        each.person
        for each in judged
        if (each.model, each.protocol) == (model, protocol)
        and any(answer.level == level for answer in each.answers)
    }
    row: dict[str, Any] = {"model": model, "protocol": protocol, "level": level}
    row |= {"people": len(people), "person": "".join(person), "trials": len(answers)}
    for kind, rate in found.items():
        values = (rate.value, *(rate.interval() or (None, None)))
        row |= dict(zip(columns_of(kind), values, strict=True))
    return row


def notes(judged: Sequence[Judgement], confidence: float) -> list[str]:
    """What a reader of the table must know."""
    found = [
        f"low, high: Wilson intervals at {confidence:.0%} that take trials for independent; "
        "trials of one person or of one image are not quite",
        "false-positive rate: share of fakes taken for real; confusion rate: share of pairs whose "
        "fake was not recognized, 0.5 is perfect",
    ]
    if mistimed := sum(each.mistimed for each in judged):
        found.append(
            f"in {mistimed} trials the images were on the screen more than {TOLERANCE:.0%} too "
            "short or too long; they are counted"
        )
    partial = [each.person for each in judged if not each.complete]
    found += [f"not finished: {', '.join(partial)}"] * bool(partial)
    tests = {each.test for each in judged}
    found += [f"answers of {len(tests)} different pages"] * (len(tests) > 1)
    return found


def judgement_records(
    judged: Sequence[Judgement],
    seed: int,  # of the fakes
    images_seen: int,  # by the generator
) -> list[dict[str, Any]]:
    """`human_accuracy`, `human_fpr`, `human_confusion_paired` ... as they stand in result.json.

    The level of a pyramid is part of a name, as in `human_confusion_paired_conv1`.
    """
    records = []
    merged: dict[tuple[str, str], list[Answer]] = {}
    for (_, protocol, level, *_), answers in group_answers(judged).items():
        merged.setdefault((protocol, level), []).extend(answers)
    for (protocol, level), answers in merged.items():
        suffix = [] if protocol == "single" else [protocol]
        for kind, rate in rates(protocol, answers).items():
            if rate.value is not None:
                name = "_".join(["human", kind, *suffix, *([level] if level else [])])
                low, high = rate.interval() or (None, None)
                found = {"metric": name, "value": rate.value, "trials": rate.trials}
                found |= {"low": low, "high": high, "seed": seed, "images_seen": images_seen}
                found |= {"ema": True, "extractor": PEOPLE, "resize": "none"}
                records.append(found | ({"best": "min"} if kind == "accuracy" else {}))
    return records
