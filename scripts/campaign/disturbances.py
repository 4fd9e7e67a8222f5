"""What befalls a training: each function disturbs one, and sees that it is answered as promised."""

import os
import random
import shutil
import signal
import struct
import time
import zipfile
from collections.abc import Callable
from pathlib import Path

from campaign.commands import Command, SurpriseError
from campaign.comparison import files
from campaign.trials import Act, Trial, last_line

WAYS_ON = ("go on", "nothing was trained", "before anything was trained")
GRACE = 75.0  # seconds until every rank ends after one did: a minute is promised


def nothing(trial: Trial) -> None:
    """Leave it alone: two runs of one command must be equal for anything here to mean much."""
    trial.expect(trial.begin(), 0)


def finish(trial: Trial) -> None:
    """Go on to the end."""
    trial.expect(trial.go_on(), 0)


def kill_all(trial: Trial) -> None:
    """SIGKILL for every process of the run, up to three times."""
    _repeatedly(trial, lambda command: _kill(trial, command), 3)


def kill_writing(trial: Trial) -> None:
    """SIGKILL with a part of a checkpoint on disk, up to three times."""
    _repeatedly(trial, lambda command: _kill(trial, command, "writing"), 3)


def kill_scoring(trial: Trial) -> None:
    """SIGKILL in the final scores, twice."""
    _repeatedly(trial, lambda command: _kill(trial, command, "scoring"), 2)


def _repeatedly(trial: Trial, disturb: Callable[[Command], None], times: int) -> None:
    disturb(trial.begin())
    for _ in range(trial.rng.randint(0, times - 1)):
        disturb(trial.go_on())
    finish(trial)


def _kill(trial: Trial, command: Command, *moments: str) -> None:
    if trial.when(command, *moments):
        trial.done.append("SIGKILL")
        command.signal(signal.SIGKILL)
    trial.expect(command, 0, -signal.SIGKILL)


def kill_rank(trial: Trial) -> None:
    """SIGKILL for one of two ranks: the other ends with one line that says so."""
    command = trial.begin()
    if trial.when(command) and len(ranks := command.ranks()) == 2:
        rank = trial.rng.randrange(2)
        trial.done.append(f"SIGKILL to rank {rank}")
        os.kill(ranks[rank], signal.SIGKILL)
        _lost(trial, command, rank)
    else:
        command.signal(signal.SIGKILL)
        trial.expect(command, 0, -signal.SIGKILL)
    finish(trial)


def _lost(trial: Trial, command: Command, rank: int) -> None:
    """Let a run end that lost a rank, or that was done all but in name."""
    code = trial.ended(command, GRACE)
    if code not in (0, 1, -signal.SIGKILL) or (code == -signal.SIGKILL and rank != 0):
        raise SurpriseError(f"ended with {code} after rank {rank}: {last_line(command.output)}")
    told = command.errors or not trial.place.begun() or trial.place.seen() >= trial.about.images
    if code and not told:
        raise SurpriseError(f"nobody said that rank {rank} is gone: {last_line(command.output)}")


def term(trial: Trial) -> None:
    """SIGTERM: saved at the next batch, up to three times."""
    _signalled(trial, signal.SIGTERM)


def interrupt(trial: Trial) -> None:
    """SIGINT likewise, as Ctrl-C sends it: to every process."""
    _signalled(trial, signal.SIGINT)


def user_signals(trial: Trial) -> None:
    """SIGUSR1 and SIGUSR2, which clusters send before they end a job."""
    _signalled(trial, trial.rng.choice([signal.SIGUSR1, signal.SIGUSR2]))


def twice(trial: Trial) -> None:
    """Two signals, one soon after the other."""
    numbers = [trial.rng.choice([signal.SIGTERM, signal.SIGINT]) for _ in range(2)]
    _signalled(trial, *numbers)


def _signalled(trial: Trial, *numbers: signal.Signals) -> None:
    _repeatedly(trial, lambda command: _stop(trial, command, numbers), 3)


def _stop(trial: Trial, command: Command, numbers: tuple[signal.Signals, ...]) -> None:
    before, codes = trial.place.seen(), {0}
    if trial.when(command):
        trained = trial.place.seen() > before
        for number in numbers:
            alone = number == signal.SIGTERM and trial.rng.random() < 0.5  # as kill <pid> does
            trial.done.append(f"{number.name}{' to rank 0' if alone else ''}")
            command.signal(number, alone)
            # nobody took the signals over yet; or this is the second, which may end it at once
            early = not trained or len(numbers) > 1
            codes |= {128 + number} | ({-number, 130} if early else set())
            command.wait_until(lambda: False, trial.rng.uniform(0, 0.3))
            if trial.finished():  # all is written: what is left of the process may go any time
                codes |= {-number}
    code = trial.expect(command, *codes)
    if code > 128 and not any(words in command.output for words in WAYS_ON):
        raise SurpriseError(f"stopped without a way on: {last_line(command.output)}")


def suspended(trial: Trial) -> None:
    """The whole job is stopped for a while, and continued: it goes on."""
    command = trial.begin()
    if trial.when(command):
        seconds = trial.rng.choice([1, 3, 50 if trial.about.ranks == 2 else 5])
        trial.done.append(f"suspended for {seconds} s")
        command.signal(signal.SIGSTOP)
        time.sleep(seconds)
        command.signal(signal.SIGCONT)
    trial.expect(command, 0)


def stopped_rank(trial: Trial) -> None:
    """One of two ranks is stopped for ever: the run ends, and says which."""
    command = trial.begin()
    if trial.when(command, "images") and len(ranks := command.ranks()) == 2:
        rank = trial.rng.randrange(2)
        trial.done.append(f"SIGSTOP to rank {rank}")
        os.kill(ranks[rank], signal.SIGSTOP)
        _lost(trial, command, rank)
    else:
        command.signal(signal.SIGKILL)
        trial.expect(command, 0, -signal.SIGKILL)
    finish(trial)


def disk_full_for_a_while(trial: Trial) -> None:
    """No file can grow for a while: of that while pictures and checkpoints may be missing."""
    command = trial.begin()
    if trial.when(command, "images", "checkpoint", "picture", "writing"):
        trial.done.append("disk full for a while")
        _room_is_short(trial)
        command.limit_files(trial.rng.choice([0, 1000, 20_000]))
        command.wait_until(lambda: False, trial.rng.uniform(0.1, 1.5))
        command.limit_files(None)
    if trial.expect(command, 0, 1, errors=2):  # it was full to the end
        finish(trial)


def _room_is_short(trial: Trial) -> None:
    """What of this while is lost: its pictures, so parts of the timeline, and a best of then."""
    trial.missing, trial.excused = ("*.png",), ("timeline.png", "best.ckpt")


def disk_full(trial: Trial) -> None:
    """No file can grow to the end: the run fails by that name, and goes on once there is room."""
    command = trial.begin()
    if trial.when(command, "images", "checkpoint", "picture", "writing"):
        trial.done.append("disk full")
        _room_is_short(trial)
        command.limit_files(trial.rng.choice([0, 1000, 20_000]))
    trial.expect(command, 0, 1, errors=2)  # of the checkpoint and of the result
    finish(trial)


def bit_flip(trial: Trial) -> None:
    """One bit of last.ckpt is wrong: refused by the name of its record; an intact copy goes on."""
    _kill(trial, trial.begin(), "images", "checkpoint", "scoring")
    if not trial.last.is_file():
        finish(trial)
        return
    intact = trial.folder / "intact.ckpt"
    shutil.copy(trial.last, intact)
    record = flip(trial.last, trial.rng)
    trial.done.append(f"a bit of {record} flipped")
    before = _content(trial.run)
    trial.refused(_opened(trial), str(trial.last), record)
    if _content(trial.run) != before:
        raise SurpriseError("the refusal changed files of the run")
    if trial.best.is_file() and trial.rng.random() < 0.5:
        trial.expect(trial.go_on_from(trial.best), 0)
    else:
        intact.replace(trial.last)
        finish(trial)


def _opened(trial: Trial) -> Command:
    """A command that opens the newest checkpoint: to train on, or to score."""
    if trial.rng.random() < 0.7:
        return trial.go_on()
    words = [f"ckpt={trial.last}", "metrics.num_real=100", "metrics.num_fake=100"]
    return trial.start(*words, f"hydra.run.dir={trial.folder / 'scored'}", program="evaluate.py")


def flip(path: Path, rng: random.Random) -> str:
    """Flip one bit within the data of a record of a checkpoint; the record's name.

    The file is a new one: `best.ckpt` may be a second name of the old.
    """
    with zipfile.ZipFile(path) as archive:
        records = [each for each in archive.infolist() if each.file_size]
    record = rng.choice(records)
    content = bytearray(path.read_bytes())
    name, extra = struct.unpack_from("<HH", content, record.header_offset + 26)
    at = record.header_offset + 30 + name + extra + rng.randrange(record.file_size)
    content[at] ^= 1 << rng.randrange(8)
    path.unlink()
    path.write_bytes(content)
    return record.filename.partition("/")[2]


def _content(run: Path) -> dict[str, bytes]:
    """Bytes of a run's files, by path; those that say who holds the directory are hidden ones."""
    paths = [run / name for name in files(run) if not name.startswith(".")]
    return {str(path): path.read_bytes() for path in paths}


def two_at_once(trial: Trial) -> None:
    """A second command in a directory that is trained in: it is refused, the first is unharmed."""
    first = trial.begin()
    trial.when(first, "soon", "soon", "start", "images", "scoring")
    auto = ["resume=auto"] if trial.rng.random() < 0.5 else []
    trial.done.append(f"the same command{' with resume=auto' if auto else ''} beside it")
    second = trial.start(*trial.about.words(), f"hydra.run.dir={trial.run}", *auto)
    try:
        code = trial.ended(second)
    finally:
        own = trial.ended(first)
    over = "nothing to train" in second.output  # it came when the first had ended
    refused = sorted((own, code)) == [0, 1] and (second if code else first).errors
    if not refused and not (auto and over and (own, code) == (0, 0)):
        raise SurpriseError(f"the two ended with {own} and {code}: {last_line(second.output)}")


KINDS: dict[str, Act] = {
    each.__name__: each
    for each in (
        *(nothing, kill_all, kill_writing, kill_scoring, kill_rank),
        *(term, interrupt, user_signals, twice, suspended, stopped_rank),
        *(disk_full_for_a_while, disk_full, bit_flip, two_at_once),
    )
}
OF_RANKS = ("kill_rank", "stopped_rank")
GUARDED = {"lock": ("two_at_once",), "crc": ("bit_flip",), "atomic": ("kill_writing",)}
