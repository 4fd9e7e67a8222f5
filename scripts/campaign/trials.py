"""One trial: a training begun, disturbed, gone on with to its end, and compared."""

import json
import random
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from campaign.commands import TRACEBACK, Command, SurpriseError
from campaign.comparison import differences
from campaign.moments import MOMENTS, Place
from campaign.recipes import RECIPES, Recipe

LIMIT = 240.0  # seconds for one command: 20 times what it takes on an idle core


@dataclass
class Trial:
    """What a disturbance needs: where to train, with which words, and what to draw from."""

    number: int
    recipe: str  # its name
    kind: str
    rng: random.Random
    folder: Path  # everything of this trial
    reference: Path  # directory of the undisturbed run
    wrapper: tuple[str, ...] = ()  # what takes a defence away
    done: list[str] = field(default_factory=list)  # what befell the run
    missing: tuple[str, ...] = ()  # patterns of files that the disturbance costs
    excused: tuple[str, ...] = ()  # names of files of which it may cost what was to be in them
    hits: int = 0  # disturbances that met a running command
    commands: list[Command] = field(default_factory=list)  # all that were started

    @property
    def run(self) -> Path:
        """The disturbed run's directory."""
        return self.folder / "run"

    @property
    def last(self) -> Path:
        """Its newest checkpoint."""
        return self.run / "checkpoints" / "last.ckpt"

    @property
    def best(self) -> Path:
        """Its best one so far."""
        return self.run / "checkpoints" / "best.ckpt"

    @property
    def about(self) -> Recipe:
        """The recipe itself."""
        return RECIPES[self.recipe]

    @property
    def place(self) -> Place:
        """What moments are read from."""
        return Place(self.run, self.about.images)

    def start(self, *words: str, program: str = "train.py") -> Command:
        """Start one command; what it prints is kept beside the run at its end."""
        command = Command([program, *words], self.folder.parent / "cache", self.wrapper)
        self.commands.append(command)
        return command

    def begin(self) -> Command:
        """Start the training as it is started the first time."""
        return self.start(*self.about.words(), f"hydra.run.dir={self.run}")

    def go_on(self) -> Command:
        """Start it again: by its newest checkpoint, or by the same words and `resume=auto`."""
        if self.last.is_file() and self.rng.random() < 0.5:
            return self.go_on_from(self.last)
        self.done.append("resume=auto")
        return self.start(*self.about.words(), f"hydra.run.dir={self.run}", "resume=auto")

    def go_on_from(self, checkpoint: Path) -> Command:
        """Start it again from that checkpoint, which remembers all but how many ranks it had."""
        self.done.append(f"ckpt={checkpoint.stem}")
        return self.start(f"ckpt={checkpoint}", *self.about.trainer())

    def ended(self, command: Command, others: float = 20.0, errors: int = 1) -> int:
        """Its exit code, what it printed kept and looked through.

        Raises:
            SurpriseError: a hang, a process left behind, a traceback, more errors than those.
        """
        try:
            code = command.end(LIMIT, others)
        finally:
            with (self.folder / "output.txt").open("a") as file:
                file.write(f"$ python {' '.join(command.words)}\n{command.output}\n")
        if TRACEBACK in command.output and not of_the_interpreter(command.output):
            raise SurpriseError(f"a traceback: {last_line(command.output)}")
        told = {*command.errors}  # ranks may say the same
        if len(told) > errors:
            raise SurpriseError(f"{len(told)} errors: {'; '.join(sorted(told))}")
        return code

    def expect(self, command: Command, *codes: int, errors: int = 1) -> int:
        """Its exit code, which must be one of these.

        Raises:
            SurpriseError: it is another, or see `ended`.
        """
        code = self.ended(command, errors=errors)
        if code not in codes:
            raise SurpriseError(f"ended with {code}: {last_line(command.output)}")
        return code

    def refused(self, command: Command, *words: str) -> None:
        """Let it end as a refusal: exit code 1 and one line that holds these words.

        Raises:
            SurpriseError: it was not refused, or not so.
        """
        self.expect(command, 1)
        if not command.errors or any(word not in command.errors[0] for word in words):
            told = command.errors[0] if command.errors else last_line(command.output)
            raise SurpriseError(f"refused without the words {', '.join(words)}: {told}")

    def when(self, command: Command, *names: str) -> bool:
        """Wait for one of these moments, or any; whether the command still ran then."""
        name = self.rng.choice(names or tuple(MOMENTS))
        came = MOMENTS[name](self.place, command, self.rng)
        self.hits += came
        self.done.append(f"at {max(self.place.seen(), 0)} images ({name})" if came else "too late")
        return came

    def finished(self) -> bool:
        """Whether the run's result says that it is done."""
        try:
            return json.loads((self.run / "result.json").read_text())["status"] == "done"
        except (OSError, ValueError):
            return False

    def judge(self) -> None:
        """Compare the run with the one that was left alone.

        Raises:
            SurpriseError: something is not the same.
        """
        told = differences(self.reference, self.run, self.missing, self.excused)
        if told:
            raise SurpriseError("; ".join(told))


Act = Callable[[Trial], None]


def of_the_interpreter(text: str) -> bool:
    """Whether SIGINT met Python itself, before the program's first line."""
    own = text.startswith((TRACEBACK, "Fatal Python error")) and "KeyboardInterrupt" in text
    return own and "train.py" not in text and "evaluate.py" not in text


def last_line(text: str) -> str:
    """The last line that was printed."""
    return next((line for line in reversed(text.splitlines()) if line.strip()), "nothing")[:300]


def disturbed(trial: Trial, act: Act) -> str | None:
    """Carry a trial out; what went wrong, or nothing, and then its files are gone too."""
    shutil.rmtree(trial.folder, ignore_errors=True)
    trial.folder.mkdir(parents=True)
    try:
        act(trial)
        trial.judge()
    except SurpriseError as error:
        return str(error)
    finally:
        for command in trial.commands:
            command.kill()
    shutil.rmtree(trial.folder)
    return None
