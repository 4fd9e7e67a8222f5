"""What a run's directory holds, who may write to it, and what `resume=auto` does in it.

Everything here comes before a run's first byte is written and before torch is imported.
"""

import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.experimental.callback import Callback
from omegaconf import DictConfig, OmegaConf, open_dict, read_write

from ganlab import locks
from ganlab.cli import EXPECTED, Again, fail
from ganlab.processes import external_rank, start_token
from ganlab.report.atomic import LEFT
from ganlab.report.results import NAME, read_result

FOLDERS = ("checkpoints", "samples", "figures", ".hydra")  # of a run, in its directory
FILES = ("metrics.csv", NAME, "report.html", locks.LOCK, locks.HOLDER)
UNNAMED = "${training_directory:"  # begins hydra.run.dir where nobody gave one
PATIENCE = 600  # seconds that ranks wait for the first of them
LINGERING = 30  # seconds in which an earlier start of a run may be ending yet
ENTERED = "GANLAB_ENTERED"  # the process that looked at the directory, for ranks that it starts

_begun_anew: set[Path] = set()  # directories in which resume=auto found nothing to go on from


class DirectoryError(ValueError):
    """A directory that this run must not write to; the message names it and the ways on."""


def contents(directory: Path) -> str | None:
    """What of an earlier run would be written over here; None where there is nothing to lose."""
    directory = Path(directory)
    if found := checkpoints(directory):
        return f"checkpoints/{found[0].name}"
    if number := num_rows(directory):
        return f"{number} rows of metrics.csv"
    result = result_of(directory)
    if seen := result.get("images_seen"):
        kind = "an evaluation" if result.get("kind") == "evaluate" else "a run"
        return f"the result of {kind} ({seen} images seen)"
    return None


def checkpoints(directory: Path) -> list[Path]:
    """A run's checkpoints, `last.ckpt` first."""
    found = (path for path in (directory / "checkpoints").glob("*.ckpt") if path.is_file())
    return sorted(found, key=lambda path: (path.name != "last.ckpt", path.name))


def num_rows(directory: Path) -> int:
    """Lines of a run's curve, without its header."""
    with suppress(OSError):
        lines = (directory / "metrics.csv").read_bytes().splitlines()
        return sum(bool(line.strip()) for line in lines[1:])
    return 0


def result_of(directory: Path) -> dict[str, Any]:
    """A run's result; nothing where there is none to read."""
    with suppress(OSError, ValueError):
        return read_result(directory)
    return {}


def refuse_other_shapes(directory: Path) -> None:
    """Refuse a directory that is none, or in which a file has a folder's name or the reverse.

    Raises:
        DirectoryError: see above.
    """
    wrong = [path for path in (directory, *directory.parents) if os.path.lexists(path)][:1]
    wrong += [path for name in FOLDERS if os.path.lexists(path := directory / name)]
    for path in wrong:
        if not path.is_dir():
            raise DirectoryError(
                f"{path} should be a folder of this run and is none: move it away, or name another "
                "hydra.run.dir="
            )
    for path in (directory / name for name in FILES):
        if path.is_dir():
            raise DirectoryError(
                f"{path} should be a file of this run and is a folder: move it away, or name "
                "another hydra.run.dir="
            )


def refuse_used(directory: Path, kind: str, ckpt: Any, resume: Any) -> None:
    """Refuse to write over what another run left.

    A training may go on in its own checkpoint's run, and write over any if it is forced to; an
    evaluation may write over an evaluation.

    Raises:
        DirectoryError: names what is there and the ways on.
    """
    found = contents(directory)
    if found is None or directory in _begun_anew:
        return
    evaluated = result_of(directory).get("kind") == "evaluate" and not num_rows(directory)
    new = "hydra.run.dir=<a new folder>"
    if kind == "evaluate":
        if evaluated and not checkpoints(directory):
            return
        raise DirectoryError(
            f"{directory} is a training run's ({found}), whose result an evaluation would write "
            f"over: give it a folder of its own, {new}"
        )
    own = ckpt and Path(str(ckpt)).expanduser().resolve().parent == directory / "checkpoints"
    if own or (ckpt and resume == "force"):
        return
    last = directory / "checkpoints" / "last.ckpt"
    goes_on = f"ckpt={last}" if ckpt else "resume=auto"
    begins = f"{new} begins {'a branch' if ckpt else 'another'}"
    way = begins if evaluated else f"{goes_on} goes on with it, {begins}"
    raise DirectoryError(f"{directory} holds {found} of an earlier run: {way}")


def enter(directory: Path, kind: str, ckpt: Any, resume: Any) -> None:
    """Hold a directory for a run that may write to it, and clear away what a kill left there.

    Raises:
        InUseError, DirectoryError: it may not; nothing was touched.
    """
    directory = Path(directory).expanduser().resolve()
    refuse_other_shapes(directory)
    refuse_held(directory)
    refuse_used(directory, kind, ckpt, resume)
    new = locks.take(directory)
    try:
        refuse_used(directory, kind, ckpt, resume)  # what another left that ended just now
    except DirectoryError:
        if new:
            locks.release(directory)
        raise
    if new:
        sweep(directory)


def refuse_held(directory: Path) -> None:
    """Refuse a directory that another process holds, and make nothing in it.

    Raises:
        InUseError: names that process.
    """
    if not locks.is_ours(directory) and (who := locks.holder(directory)) is not None:
        raise locks.InUseError(locks.in_use(directory, who))


@contextmanager
def entered(config: DictConfig, kind: str) -> Iterator[Path]:
    """Hold a run's directory inside the block, one that is missing from `made` on; yields it.

    Raises:
        InUseError, DirectoryError: see `enter`.
    """
    directory = Path(str(OmegaConf.select(config, "run_dir")))
    ckpt, resume = (OmegaConf.select(config, key) for key in ("ckpt", "resume"))
    before = locks.is_ours(directory)
    if external_rank() == 0 and os.path.lexists(directory):
        enter(directory, kind, ckpt, resume)
    try:
        yield directory
    finally:
        if not before:
            locks.release(directory)


def made(directory: Path) -> None:
    """Make a run's directory where it is missing; the first of its processes holds it.

    Raises:
        InUseError: another was faster.
    """
    directory.mkdir(parents=True, exist_ok=True)
    if external_rank() == 0:
        locks.take(directory)


def sweep(directory: Path) -> None:
    """Delete what killed processes were writing; folders of other runs in it are left alone."""
    for folder, folders, files in os.walk(directory):
        folders[:] = [
            name
            for name in folders
            if not name.startswith(".") and not Path(folder, name, locks.LOCK).exists()
        ]
        for name in filter(LEFT.fullmatch, files):
            with suppress(OSError):
                Path(folder, name).unlink()


def to_go_on_from(directory: Path) -> Path | None:
    """The checkpoint from which `resume=auto` goes on; None where it begins.

    Raises:
        DirectoryError: there is something, but nothing to go on from.
    """
    found = checkpoints(directory)
    if found and found[0].name == "last.ckpt":
        return found[0]
    if found:
        ways = " or ".join(f"ckpt={path}" for path in found)
        raise DirectoryError(
            f"{directory} has no checkpoints/last.ckpt, which resume=auto goes on from: go on with "
            f"{ways}, or begin another run with hydra.run.dir=<a new folder>"
        )
    result = result_of(directory)
    ended = result.get("kind") == "evaluate" or result.get("status") == "done"
    if ended and result.get("images_seen"):
        raise DirectoryError(
            f"{directory} holds {contents(directory)} and no checkpoint: resume=auto has nothing "
            "to go on from there; begin another run with hydra.run.dir=<a new folder>"
        )
    return None


def decided(directory: Path) -> Path | None:
    """The first rank's decision on `resume=auto`, told to the others.

    A run that was killed before its first checkpoint begins again, and says so.

    Raises:
        InUseError, DirectoryError: see `enter` and `to_go_on_from`.
    """
    refuse_other_shapes(directory)
    refuse_held(directory)
    to_go_on_from(directory)
    locks.take(directory)
    last = to_go_on_from(directory)
    if last is None:
        _begun_anew.add(directory)
        if what := contents(directory):
            print(f"{directory}: {what} and no checkpoint yet: beginning again", file=sys.stderr)
    locks.say(directory, ckpt=last and str(last))
    sweep(directory)
    return last


def heard(directory: Path) -> Path | None:
    """What the first rank decided on `resume=auto`, once it has.

    Raises:
        DirectoryError: it was refused or stays away.
        InUseError: another run holds the directory.
    """
    began = time.monotonic()
    while time.monotonic() - began < PATIENCE:
        who = joined(directory)
        if who is None:
            to_go_on_from(directory)  # where that is refused the first rank is so too
        elif "ckpt" in who.said:
            if who.said["ckpt"]:
                return Path(str(who.said["ckpt"]))
            _begun_anew.add(directory)
            return None
        time.sleep(0.2)
    raise DirectoryError(f"the first rank of {directory} did not get ready in {PATIENCE} s")


def joined(directory: Path) -> locks.Holder | None:
    """The first rank of this start, if it holds the directory by now; None where nobody does.

    Raises:
        DirectoryError: see `refuse_other_shapes`.
        InUseError: another run holds it.
    """
    refuse_other_shapes(directory)
    began = time.monotonic()
    while (who := locks.holder(directory)) is not None and who.group != start_token():
        if time.monotonic() - began > LINGERING:
            raise locks.InUseError(locks.in_use(directory, who))
        time.sleep(0.2)
    return who


class RunDirectory(Callback):
    """Keeps Hydra from writing into a directory that this run may not have."""

    def __init__(
        self,
        kind: str,  # train or evaluate
    ) -> None:
        self.kind = kind

    def on_run_start(self, config: DictConfig, **kwargs: Any) -> None:
        """Before anything is written; ends the process with one line where it must not be."""
        try:
            self.begin(config)
        except EXPECTED as error:
            fail(error)  # Hydra would turn an exception of a callback into a warning and go on

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:
        """A grid has ways of its own."""
        if OmegaConf.select(config, "resume") == "auto":
            fail(DirectoryError("resume=auto is one run's: a grid goes on by its command alone"))

    def begin(self, config: DictConfig) -> None:
        """Hold the directory, or find out what `resume=auto` means in it.

        Raises:
            Again: the command line says `resume=auto`; here is what it comes to.
            InUseError, DirectoryError: see `enter` and `to_go_on_from`.
        """
        HydraConfig.instance().set_config(config)  # a directory may be named after choices
        directory = Path(str(config.hydra.run.dir)).resolve()
        first = external_rank() == 0
        ckpt, resume = (OmegaConf.select(config, key) for key in ("ckpt", "resume"))
        if resume == "auto":
            refuse_aimless(config, ckpt)
            raise Again(decided(directory) if first else heard(directory))
        if first:
            enter(directory, self.kind, ckpt, resume)
        else:
            with read_write(config.hydra), open_dict(config.hydra):
                config.hydra.output_subdir = None  # the first rank writes it
            if os.environ.get(ENTERED) != str(os.getppid()):  # else that one has looked
                joined(directory)
                refuse_used(directory, self.kind, ckpt, resume)
        os.environ[ENTERED] = str(os.getpid())


def refuse_aimless(config: DictConfig, ckpt: Any) -> None:
    """Refuse `resume=auto` where it has nothing to decide.

    Raises:
        DirectoryError: beside `ckpt=`, or without `hydra.run.dir=`.
    """
    if ckpt is not None:
        raise DirectoryError(
            f"resume=auto finds its checkpoint itself: leave out ckpt={ckpt}, or resume=auto"
        )
    said: Any = OmegaConf.to_container(config.hydra.run, resolve=False)
    if str(said["dir"]).startswith(UNNAMED):
        raise DirectoryError(
            "resume=auto goes on in a directory that is given, or begins it: add "
            "hydra.run.dir=<folder>"
        )
