"""What a run's directory holds, and who may write to it."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from ganlab.places import CHECKPOINTS, KEPT, is_among, run_of
from ganlab.processes import external_rank
from ganlab.report.results import NAME, checked_result
from ganlab.runs import locks
from ganlab.storage import irregularity
from ganlab.storage.atomic import LEFT

FOLDERS = (CHECKPOINTS, "samples", "figures", ".hydra")  # of a run, in its directory
FILES = (
    *("metrics.csv", NAME, "report.html", "parts.json", locks.LOCK, locks.HOLDER),
    *(f"{CHECKPOINTS}/{name}" for name in ("last.ckpt", "best.ckpt")),
)

begun_anew: set[Path] = set()  # directories in which resume=auto found nothing to go on from


class DirectoryError(ValueError):
    """A directory that this run must not write to; the message names it and the ways on."""


def contents(directory: Path) -> str | None:
    """What of an earlier run would be written over here; None where there is nothing to lose."""
    directory = Path(directory)
    if found := checkpoints(directory):
        return found[0].relative_to(directory).as_posix()
    if number := num_rows(directory):
        return f"{number} rows of metrics.csv"
    result = result_of(directory)
    if seen := result.get("images_seen"):
        kind = "an evaluation" if result.get("kind") == "evaluate" else "a run"
        return f"the result of {kind} ({seen} images seen)"
    return None


def checkpoints(directory: Path) -> list[Path]:
    """A run's checkpoints, `last.ckpt` first, those that stay last and the newest of them first."""
    folder = directory / CHECKPOINTS
    found, stay = (
        [path for path in each.glob("*.ckpt") if path.is_file()] for each in (folder, folder / KEPT)
    )
    named = sorted(found, key=lambda path: (path.name != "last.ckpt", path.name))
    return [*named, *sorted(stay, key=lambda path: path.name, reverse=True)]


def num_rows(directory: Path) -> int:
    """Lines of a run's curve, without its header."""
    path = directory / "metrics.csv"
    with suppress(OSError):
        lines = [] if irregularity(path) else path.read_bytes().splitlines()
        return sum(bool(line.strip()) for line in lines[1:])
    return 0


def result_of(directory: Path) -> dict[str, Any]:
    """A run's result; nothing where there is none to read."""
    with suppress(OSError, ValueError):
        return checked_result(directory)
    return {}


def refuse_other_shapes(directory: Path) -> None:
    """Refuse a directory that is none, or in which something else has a file's or a folder's name.

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
        if (kind := irregularity(path)) is not None:
            raise DirectoryError(
                f"{path} should be a file of this run and is {kind}: move it away, or name "
                "another hydra.run.dir="
            )
    unknown = (directory / NAME).is_file() and "status" not in result_of(directory)
    if unknown and not checkpoints(directory):
        raise DirectoryError(
            f"{directory / NAME} is none that a run here left whole: move it away, or name another "
            "hydra.run.dir="
        )


def refuse_used(directory: Path, kind: str, ckpt: object, resume: object) -> None:
    """Refuse to write over what another run left.

    A training may go on in its own checkpoint's run, and write over any if it is forced to; an
    evaluation may write over an evaluation.

    Raises:
        DirectoryError: names what is there and the ways on.
    """
    found = contents(directory)
    if found is None or directory in begun_anew:
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
    if ckpt and (resume == "force" or is_among(str(ckpt), directory / CHECKPOINTS)):
        return
    if evaluated:
        raise DirectoryError(f"{directory} holds {found}: {new} is a run's own")
    last = directory / CHECKPOINTS / "last.ckpt"
    goes_on, begins = (f"ckpt={last}", "a branch") if ckpt else ("resume=auto", "another")
    raise DirectoryError(
        f"{directory} holds {found} of an earlier run: {goes_on} goes on with it, {new} begins "
        f"{begins}"
    )


def enter(directory: Path, kind: str, ckpt: object, resume: object) -> None:
    """Hold a directory for a run that may write to it.

    Raises:
        InUseError, DirectoryError: it may not; nothing was touched.
    """
    directory = Path(os.path.realpath(Path(directory).expanduser()))  # of a loop of links too
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


def refuse_held(directory: Path) -> None:
    """Refuse a directory that another process holds, and make nothing in it.

    Raises:
        InUseError: names that process.
    """
    if not locks.is_ours(directory) and (who := locks.holder(directory)) is not None:
        raise locks.InUseError(locks.in_use(directory, who))


@contextmanager
def enter_run(config: DictConfig, kind: str) -> Iterator[Path]:
    """Hold a run's directory inside the block, a missing one from `make_directory` on; yields it.

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


def make_directory(directory: Path) -> None:
    """Make a run's directory where it is missing; the first of its processes holds it.

    Raises:
        InUseError: another was faster.
    """
    directory.mkdir(parents=True, exist_ok=True)
    if external_rank() == 0:
        locks.take(directory)


def sweep(directory: Path) -> None:
    """Delete what killed processes were writing; folders of other runs in it are left alone."""
    sweep_below(directory)
    linked = directory / CHECKPOINTS  # perhaps to another disk, but not to another run's
    if linked.is_symlink() and run_of(linked / "last.ckpt") == directory.resolve():
        sweep_below(linked)


def sweep_below(place: Path) -> None:
    """The same in a folder, links in it not followed."""
    for folder, folders, files in os.walk(place):
        folders[:] = [
            name
            for name in folders
            if not name.startswith(".") and not Path(folder, name, locks.LOCK).exists()
        ]
        for name in filter(LEFT.fullmatch, files):
            with suppress(OSError):
                Path(folder, name).unlink()
