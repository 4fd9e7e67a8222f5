"""How a run begins: the directory it may write to, and what `resume=auto` comes to there.

All of it before Hydra writes the first byte and before torch is imported.
"""

import os
import sys
import time
import traceback
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.experimental.callback import Callback
from omegaconf import DictConfig, OmegaConf, open_dict, read_write

from ganlab.cli import EXPECTED, Again, fail
from ganlab.places import KEPT
from ganlab.processes import external_rank, start_token
from ganlab.runs import locks
from ganlab.runs.directory import (
    DirectoryError,
    begun_anew,
    checkpoints,
    contents,
    enter,
    refuse_held,
    refuse_other_shapes,
    refuse_used,
    result_of,
)

UNNAMED = "${training_directory:"  # begins hydra.run.dir where nobody gave one
PATIENCE = 600  # seconds that ranks wait for the first of them
WAYS = 3  # checkpoints in a message, of several
LINGERING = 30  # seconds in which an earlier start of a run may be ending yet
ENTERED = "GANLAB_ENTERED"  # the process that looked at the directory, for ranks that it starts


def resumable_checkpoint(directory: Path) -> Path | None:
    """The checkpoint from which `resume=auto` goes on; None where it begins.

    A kill between the names of a run's first file may leave one that is kept alone.

    Raises:
        DirectoryError: there is something, but nothing to go on from.
    """
    found = checkpoints(directory)
    if found and (found[0].name == "last.ckpt" or found[0].parent.name == KEPT):
        return found[0]
    if found:
        ways = " or ".join(f"ckpt={path}" for path in found[:WAYS])
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


def decide(directory: Path) -> Path | None:
    """The first rank's decision on `resume=auto`, told to the others.

    A run that was killed before its first checkpoint begins again, and says so.

    Raises:
        InUseError, DirectoryError: see `enter` and `resumable_checkpoint`.
    """
    refuse_other_shapes(directory)
    refuse_held(directory)
    resumable_checkpoint(directory)
    locks.take(directory)
    last = resumable_checkpoint(directory)
    if last is None:
        begun_anew.add(directory)
        if what := contents(directory):
            print(f"{directory}: {what} and no checkpoint yet: beginning again", file=sys.stderr)
    locks.say(directory, ckpt=last and str(last))
    return last


def await_decision(directory: Path) -> Path | None:
    """What the first rank decided on `resume=auto`, once it has.

    Raises:
        DirectoryError: it was refused or stays away.
        InUseError: another run holds the directory.
    """
    began = time.monotonic()
    while time.monotonic() - began < PATIENCE:
        who = first_holder(directory)
        if who is None:
            resumable_checkpoint(directory)  # where that is refused the first rank is so too
        elif "ckpt" in who.said:
            if who.said["ckpt"]:
                return Path(str(who.said["ckpt"]))
            begun_anew.add(directory)
            return None
        time.sleep(0.2)
    raise DirectoryError(f"the first rank of {directory} did not get ready in {PATIENCE} s")


def first_holder(directory: Path) -> locks.Holder | None:
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


class Beginning(Callback):
    """Keeps Hydra from writing into a directory that this run may not have."""

    def __init__(
        self,
        kind: str,  # train or evaluate
    ) -> None:
        self.kind = kind

    def on_run_start(self, config: DictConfig, **kwargs: object) -> None:
        """Before anything is written; ends the process with one line where it must not be."""
        try:
            self.begin(config)
        except EXPECTED as error:
            fail(error)  # Hydra would turn an exception of a callback into a warning and go on
        except Exception as error:  # a defect
            traceback.print_exception(error)
            sys.exit(1)

    def on_multirun_start(self, config: DictConfig, **kwargs: object) -> None:
        """A grid has ways of its own."""
        if OmegaConf.select(config, "resume") == "auto":
            fail(DirectoryError("resume=auto is one run's: a grid goes on by its command alone"))

    def begin(self, config: DictConfig) -> None:
        """Hold the directory, or find out what `resume=auto` means in it.

        Raises:
            Again: the command line says `resume=auto`; here is what it comes to.
            InUseError, DirectoryError: it has no name, or see `enter` and `resumable_checkpoint`.
        """
        HydraConfig.instance().set_config(config)  # a directory may be named after choices
        if not str(config.hydra.run.dir).strip():
            raise DirectoryError("hydra.run.dir= is empty: name a folder, or . for this one")
        directory = Path(os.path.realpath(str(config.hydra.run.dir)))  # of a loop of links too
        first = external_rank() == 0
        ckpt, resume = (OmegaConf.select(config, key) for key in ("ckpt", "resume"))
        if resume == "auto":
            refuse_aimless(config, ckpt)
            raise Again(decide(directory) if first else await_decision(directory))
        if first:
            enter(directory, self.kind, ckpt, resume)
        else:
            with read_write(config.hydra), open_dict(config.hydra):
                config.hydra.output_subdir = None  # the first rank writes it
            if os.environ.get(ENTERED) != str(os.getppid()):  # else that one has looked
                first_holder(directory)
                refuse_used(directory, self.kind, ckpt, resume)
        os.environ[ENTERED] = str(os.getpid())


def refuse_aimless(config: DictConfig, ckpt: object) -> None:
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
