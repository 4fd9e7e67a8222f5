"""When a disturbance falls: where a run stands, read from its files as anybody can."""

import random
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from campaign.commands import Command

PATIENCE = 180.0  # seconds for a moment to come
FINE = 0.0003  # seconds between two looks at a file that is written


@dataclass(frozen=True)
class Place:
    """A run directory that is trained in, and how far it is to go."""

    run: Path
    images: int  # of the whole run

    def seen(self) -> int:
        """Images of the curve's last whole row; -1 before the first."""
        try:
            lines = (self.run / "metrics.csv").read_bytes().rpartition(b"\n")[0].splitlines()
            return int(lines[-1].partition(b",")[0]) if len(lines) > 1 else -1
        except (OSError, ValueError):
            return -1

    def begun(self) -> bool:
        """Whether something was trained: there is a row of the curve."""
        return self.seen() >= 0

    def marks(self, folder: str) -> dict[str, tuple[int, int, int]]:
        """What can change of each file in a folder of the run."""
        found = {}
        for path in (self.run / folder).glob("*"):
            try:
                stat = path.stat()
            except OSError:  # replaced while it was looked at
                continue
            found[path.name] = (stat.st_ino, stat.st_size, stat.st_mtime_ns)
        return found


Moment = Callable[[Place, Command, random.Random], bool]


def soon(place: Place, command: Command, rng: random.Random) -> bool:
    """Almost at once."""
    return _pause(command, rng.uniform(0, 2))


def start(place: Place, command: Command, rng: random.Random) -> bool:
    """Within the imports, the reading of data, the first statistics."""
    return _pause(command, rng.uniform(0, 7))


def images(place: Place, command: Command, rng: random.Random) -> bool:
    """Some time after a number of images."""
    target = rng.randint(min(max(place.seen(), 0), place.images - 1), place.images - 1)
    came = command.wait_until(lambda: place.seen() > target, PATIENCE)
    return came and _pause(command, rng.uniform(0, 0.1))


def checkpoint(place: Place, command: Command, rng: random.Random) -> bool:
    """Around the time when a checkpoint gets its name."""
    return _changed(place, command, "checkpoints", rng.randint(1, 6), _few_ms(rng))


def writing(place: Place, command: Command, rng: random.Random) -> bool:
    """With a part of a checkpoint on disk: a file of them is new, or has shrunk."""
    came = _changed(place, command, "checkpoints", rng.randint(1, 5), 0)
    sizes = {name: size for name, (_, size, _) in place.marks("checkpoints").items()}

    def begun() -> bool:
        now = {name: size for name, (_, size, _) in place.marks("checkpoints").items()}
        found = any(size < sizes.get(name, size + 1) for name, size in now.items())
        sizes.clear()
        sizes.update(now)
        return found

    return came and command.wait_until(begun, PATIENCE, FINE) and _pause(command, _few_ms(rng))


def picture(place: Place, command: Command, rng: random.Random) -> bool:
    """While a grid of samples is written."""
    return _changed(place, command, "samples", rng.randint(1, 3), _few_ms(rng))


def scoring(place: Place, command: Command, rng: random.Random) -> bool:
    """In the final scores, or while result and report are written."""
    came = command.wait_until(lambda: place.seen() >= place.images, PATIENCE)
    return came and _pause(command, rng.uniform(0, 0.8))


MOMENTS: dict[str, Moment] = {
    each.__name__: each for each in (soon, start, images, checkpoint, writing, picture, scoring)
}


def _few_ms(rng: random.Random) -> float:
    """Seconds, as long as a small file takes to be written."""
    return rng.uniform(0, 0.004)


def _changed(place: Place, command: Command, folder: str, times: int, delay: float) -> bool:
    """Whether files of a folder changed so many times."""
    for _ in range(times):
        before = place.marks(folder)
        if not command.wait_until(lambda b=before: place.marks(folder) != b, PATIENCE, FINE):
            return False
    return _pause(command, delay)


def _pause(command: Command, seconds: float) -> bool:
    """Let it run on for a moment; whether it still does."""
    command.wait_until(lambda: False, seconds, min(seconds, FINE) or FINE)
    return not command.ended
