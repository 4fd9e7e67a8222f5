"""Where a run stands by the place of its checkpoint: rules that YAML and Python share."""

import os
import re
from pathlib import Path

CHECKPOINTS, KEPT = "checkpoints", "kept"  # folders: of a run, and in it of those that stay


def run_of(ckpt: str | Path) -> Path | None:
    """The directory of the run whose checkpoint this is, one that is kept too; None without one.

    Runs, their `checkpoints` and the files there may be links: where they lead counts before where
    they stand.
    """
    path = Path(ckpt).expanduser()
    for place in (Path(os.path.realpath(path)), path.absolute()):  # of a loop of links too
        folder = place.parent.parent if place.parent.name == KEPT else place.parent
        if folder.name == CHECKPOINTS:
            return folder.parent.resolve()
    return None


def is_among(ckpt: str | Path, checkpoints: Path) -> bool:
    """Whether a checkpoint is one of a folder, or kept there, by its place or by a link to it."""
    name, place = Path(ckpt).name, Path(os.path.realpath(Path(ckpt).expanduser()))
    return any(
        place == Path(os.path.realpath(folder / name)) or place.parent == folder.resolve()
        for folder in (checkpoints, checkpoints / KEPT)
    )


def training_directory(ckpt: str | None, fresh: str) -> str:
    """Where a training run writes: the checkpoint's own run when it resumes one, else `fresh`."""
    found = run_of(ckpt) if ckpt else None
    return fresh if found is None else str(found)


def config_folder(ckpt: str | None, run: str) -> str | None:
    """Where Hydra keeps the composed config; nowhere on a resume, whose run has its own.

    A branch, of another run's checkpoint, is a run of its own.
    """
    return None if ckpt and is_among(ckpt, Path(run).expanduser() / CHECKPOINTS) else ".hydra"


def data_choice(ckpt: str | None) -> str:
    """Name of the data config that a checkpoint's run was started with.

    The file beside the checkpoint is read as text: what is no name in it is ignored. Without a
    checkpoint files are evaluated.
    """
    if ckpt is None:
        return "files"
    run = run_of(str(ckpt))
    if run is None:
        return "unknown"
    path = run / ".hydra" / "hydra.yaml"
    try:
        text = path.read_text(encoding="utf-8") if path.is_file() else ""
    except (OSError, ValueError):
        return "unknown"
    choices = text.partition("\n    choices:\n")[2]
    found = re.match(r"(?: {6}.*\n)*? {6}data: ([\w-]+)\n", choices)
    return found[1] if found else "unknown"
