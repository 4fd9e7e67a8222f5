"""Disturb trainings and see that each, gone on with, ends as if nothing had happened, to the bit.

    python scripts/chaos.py --minutes 30              # the same command again goes on
    python scripts/chaos.py --minutes 30 --publish    # and puts its numbers into docs/
    python scripts/chaos.py --minutes 5 --without lock   # must fail: a defence is taken away

A trial trains a small model, kills it, signals it, fills its disk, flips a bit of its checkpoint or
starts a second command beside it, at a moment drawn from the seed and the trial's number; goes on
with it; and compares weights, optimizers, curve, scores, pictures and files with those of the same
training left alone. Whatever no promise allows fails the trial: another bit, a refusal, a
traceback, a hang, a process or a file left behind. One line a trial, a table at the end, all of it
in report.json; the directories of failed trials are kept. Exit code 1 if one failed. Linux only.
"""

import argparse
import contextlib
import json
import os
import random
import shutil
import signal
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path

from campaign.commands import ROOT, Command, Interrupted
from campaign.disturbances import GUARDED, KINDS, OF_RANKS
from campaign.recipes import RECIPES
from campaign.records import Records, line, publish, table
from campaign.trials import LIMIT, Trial, disturbed

from ganlab.runs.provenance import commit


def plan(seed: int, recipes: list[str], kinds: list[str]) -> Iterator[tuple[int, str, str]]:
    """Number, recipe and kind of each trial: every pair once, in a drawn order; then again."""
    pairs = [
        (recipe, kind)
        for recipe in recipes
        for kind in kinds
        if RECIPES[recipe].ranks == 2 or kind not in OF_RANKS
    ]
    number = 0
    while pairs:
        random.Random(f"{seed} round {number // len(pairs)}").shuffle(pairs)
        for recipe, kind in list(pairs):
            yield number, recipe, kind
            number += 1


class Campaign:
    """Carries out trials until its minutes are over."""

    def __init__(self, options: argparse.Namespace, records: Records) -> None:
        self.options, self.records = options, records
        self.folder = options.directory
        self.before, self.started = records.seconds, time.monotonic()
        self.room = (options.trials or 10**9) - len(records.trials)  # for trials that may begin
        self.wrapper: tuple[str, ...] = ()
        if options.without:
            self.wrapper = (str(ROOT / "scripts/campaign/undefended.py"), options.without)
        self.lock = threading.Lock()
        self.references = {name: threading.Lock() for name in RECIPES}
        numbers = {trial["number"] for trial in records.trials}
        self.left = (
            each
            for each in plan(options.seed, options.recipes, options.kinds)
            if each[0] not in numbers
        )

    @property
    def clock(self) -> float:
        """Seconds that the campaign ran, over all its parts."""
        return self.before + time.monotonic() - self.started

    def work(self) -> None:
        """One trial after another, as long as there is time."""
        with contextlib.suppress(Interrupted):
            while trial := self.next():
                self.carry_out(*trial)

    def next(self) -> tuple[int, str, str] | None:
        """The next trial, if it may still begin."""
        with self.lock:
            over = self.clock > 60 * self.options.minutes
            failed = self.options.first and any(t["surprise"] for t in self.records.trials)
            if over or failed or self.room < 1:
                return None
            self.room -= 1
            return next(self.left, None)

    def reference(self, recipe: str) -> Path:
        """The directory of the training that was left alone, trained at first need."""
        run = self.folder / "references" / recipe
        with self.references[recipe]:
            if not (run.parent / f"{recipe}.done").is_file():
                shutil.rmtree(run, ignore_errors=True)
                words = ["train.py", *RECIPES[recipe].words(), f"hydra.run.dir={run}"]
                command = Command(words, self.folder / "cache")
                if command.end(LIMIT):
                    sys.exit(f"{recipe} does not even train:\n{command.output}")
                (run.parent / f"{recipe}.done").touch()
        return run

    def carry_out(self, number: int, recipe: str, kind: str) -> None:
        """One trial, told and kept."""
        reference = self.reference(recipe)
        began, rng = time.monotonic(), random.Random(f"{self.options.seed} trial {number}")
        folder = self.folder / f"{number:04d}-{recipe}-{kind}"
        trial = Trial(number, recipe, kind, rng, folder, reference, self.wrapper)
        surprise = disturbed(trial, KINDS[kind])
        record = {
            "number": number,
            "recipe": recipe,
            "kind": kind,
            "done": trial.done,
            "hits": trial.hits,
            "seconds": round(time.monotonic() - began, 1),
            "surprise": surprise,
            "kept": str(folder) if surprise else None,
        }
        with self.lock:
            self.records.add({**record, "clock": self.clock})
            print(line(record), flush=True)


def parsed(words: list[str]) -> argparse.Namespace:
    """The options, complete."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--minutes", type=float, default=30.0, help="over all parts of the campaign"
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="trials at a time")
    parser.add_argument("--trials", type=int, help="at most so many")
    parser.add_argument("--recipes", type=_names(RECIPES), default=list(RECIPES))
    parser.add_argument("--kinds", type=_names(KINDS), help="of disturbances")
    parser.add_argument("--without", choices=GUARDED, help="take this defence away: must fail")
    parser.add_argument("--first", action="store_true", help="stop at the first failure")
    parser.add_argument("--directory", type=Path, help="default: outputs/chaos/<commit>-<seed>")
    parser.add_argument("--publish", action="store_true", help="write docs/ too")
    options = parser.parse_args(words)
    without = f"-without_{options.without}" if options.without else ""
    default = ROOT / "outputs/chaos" / f"{commit()}-{options.seed}{without}"
    options.directory = (options.directory or default).absolute()
    options.kinds = options.kinds or list(GUARDED.get(options.without, KINDS))
    return options


def command_of(options: argparse.Namespace) -> str:
    """The words that make this campaign again."""
    words = [f"--minutes {options.minutes:g} --seed {options.seed} --jobs {options.jobs}"]
    for key, all_of_them in (("recipes", RECIPES), ("kinds", KINDS)):
        chosen = getattr(options, key)
        words += [f"--{key} {','.join(chosen)}"] if chosen != list(all_of_them) else []
    words += [f"--without {options.without}"] if options.without else []
    return " ".join(["python scripts/chaos.py", *words])


def _names(known: dict) -> object:  # type: ignore[type-arg]
    def names(text: str) -> list[str]:
        if unknown := sorted(set(text.split(",")) - set(known)):
            message = f"there is no {unknown[0]}; there are {', '.join(known)}"
            raise argparse.ArgumentTypeError(message)
        return text.split(",")

    return names


def main() -> None:
    """Run or go on with the campaign."""
    options = parsed(sys.argv[1:])
    about = {key: getattr(options, key) for key in ("seed", "recipes", "kinds", "without")}
    try:
        records = Records(options.directory, {**about, "commit": commit()})
    except ValueError as error:
        sys.exit(f"error: {error}")
    for number in (signal.SIGINT, signal.SIGTERM):  # caught, and so at its default in the children
        signal.signal(number, lambda number, frame: Command.stopping.set())
    campaign = Campaign(options, records)
    with ThreadPoolExecutor(options.jobs) as pool:
        for future in as_completed([pool.submit(campaign.work) for _ in range(options.jobs)]):
            if future.exception():  # a defect of the campaign itself: the other jobs end too
                Command.stopping.set()
            future.result()
    report = records.report(command_of(options))
    (options.directory / "report.json").write_text(json.dumps(report, indent=1) + "\n")
    print(table(report))
    if options.publish:
        meanings = {name: str(act.__doc__).partition("\n")[0] for name, act in KINDS.items()}
        publish(report, ROOT / "docs", meanings)
    if Command.stopping.is_set():
        sys.exit("stopped; the same command goes on")
    sys.exit(1 if report["failed"] else 0)


if __name__ == "__main__":
    main()
