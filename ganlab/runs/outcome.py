"""How a run ends: stopped by a signal or by itself, and what is said of it."""

import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import wraps
from pathlib import Path

from lightning import Callback
from omegaconf import DictConfig

from ganlab.cli import tell, visible
from ganlab.config import Settings
from ganlab.places import CHECKPOINTS, KEPT, is_among
from ganlab.processes import external_rank, heeded_signals
from ganlab.report.facts import duration
from ganlab.report.html import write_report
from ganlab.report.results import divergence_text, write_result
from ganlab.runs.directory import enter_run, result_of
from ganlab.runs.locks import is_lost
from ganlab.runs.provenance import origin, start_record
from ganlab.runs.saved_options import shell_text, words_to_repeat
from ganlab.slurm import AGAIN, requeue
from ganlab.storage.atomic import replace_file
from ganlab.systems.checkpoint import CheckpointError, Checkpointing, load_checkpoint
from ganlab.systems.early_stopping import Patience
from ganlab.systems.scorer import Scorer
from ganlab.systems.signals import ECHO, STOPS, TIME_UP
from ganlab.systems.system import System
from ganlab.systems.training import Training

SHOWN = 3  # scores in the last lines of a run
Run = Callable[[DictConfig], Settings]


@contextmanager
def interruptible() -> Iterator[None]:
    """Let the signals that stop a run end what is under way as Ctrl-C does.

    A scheduler's later ones change nothing; its first is often followed by another.

    Raises:
        SystemExit: with 128 + the signal that stopped it.
    """
    received: list[int] = []

    def stop(number: int, frame: object) -> None:
        received.append(number)
        if len(received) == 1 or number not in AGAIN:
            raise KeyboardInterrupt

    main = threading.current_thread() is threading.main_thread()
    numbers = heeded_signals((signal.SIGTERM, signal.SIGHUP, *AGAIN)) if main else ()
    before = {number: signal.signal(number, stop) for number in numbers}
    try:
        yield
    except BaseException as error:
        # Lightning answers an interrupt with an exit; other ranks, or what it broke, with an error
        if received or KeyboardInterrupt in (type(error), type(error.__context__)):
            raise SystemExit(128 + (received or [signal.SIGINT])[0]) from None
        raise
    finally:
        for number, handler in before.items():
            late = bool(received) and number in AGAIN
            signal.signal(number, signal.SIG_IGN if late else handler)


@contextmanager
def concluding() -> Iterator[None]:
    """Let a signal wait while a run's end is written: it comes too late to stop anything.

    A second SIGTERM, SIGINT or SIGHUP, no echo of the first, does not wait.
    """
    first: list[float] = []

    def wait(number: int, frame: object) -> None:
        now = time.monotonic()
        if first and now - first[0] > ECHO and number not in AGAIN:
            signal.signal(number, signal.SIG_DFL)
            signal.raise_signal(number)
        first.append(now)

    main = threading.current_thread() is threading.main_thread()
    numbers = heeded_signals(STOPS) if main else ()
    before = {number: signal.signal(number, wait) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def again_later(outcome: Settings, checkpointing: Checkpointing | None) -> None:
    """Under SLURM, ask for the job again after a run that one of its signals stopped.

    Not if its state could not be written: it would stop there again, and the reason is to be seen.
    """
    number = outcome["exit_code"] - 128
    lost = checkpointing is not None and checkpointing.failure is not None
    if outcome["status"] == "interrupted" and number in AGAIN and not lost:
        requeue()


def stopping(checkpointing: Checkpointing, system: System, status: str) -> Settings:
    """How a training run ended: a signal that came after its last image changes nothing.

    One that a signal stopped and whose state is in no file has failed.
    """
    finished = status == "done" and system.complete
    if status == "interrupted":  # before its first batch: no checkpoint could answer the signal
        return {}
    if checkpointing.signal is None or finished or checkpointing.lost(system.images_seen):
        return {"status": status, "exit_code": int(status == "failed")}
    return {"status": "interrupted", "exit_code": 128 + checkpointing.signal}


def refusals_kept(kind: str) -> Callable[[Run], Run]:
    """Let a run that is refused before it begins leave a `result.json`, so that tables name it.

    Only in a directory that is there; what came of an earlier run in it is kept.
    """

    def wrapper(run: Run) -> Run:
        @wraps(run)
        def kept(config: DictConfig) -> Settings:
            with enter_run(config, kind) as directory:
                return recorded(config, directory)

        def recorded(config: DictConfig, directory: Path) -> Settings:
            try:
                return run(config)
            except Exception as error:
                if external_rank() > 0:  # the first rank has the last word
                    raise
                text, older = f"{type(error).__name__}: {error}", result_of(directory)
                came_to_something = older.get("status", "failed") != "failed"
                told = came_to_something or older.get("images_seen") or older.get("error") == text
                if directory.is_dir() and not told and not is_lost(directory):
                    facts = {"status": "failed", "exit_code": 1, "error": text, "kind": kind}
                    facts |= {"images_seen": 0, "scores": [], **start_record(kind)}
                    with suppress(OSError):  # on a full disk the run's own error says more
                        write_result(directory, facts)
                raise

        return kept

    return wrapper


def is_finished(checkpoint: Settings, settings: Settings, older: Settings) -> bool:
    """Whether a run has reached its length and come to its end; if so, says how to lengthen it.

    One that was killed while it was scored has all its images and still has to be concluded, a
    lengthened one too, whose result is of before.
    """
    seen, kimg = checkpoint["images_seen"], settings["kimg"]
    patience = Patience(**settings.get("stop", {}))
    known, folder = checkpoint.get("patience"), Path(settings["run_dir"], CHECKPOINTS)
    if known and is_among(settings["ckpt"], folder):  # a branch has a patience of its own
        patience.load_state_dict(known)
    if seen < kimg * 1000 and not patience.exhausted:
        return False
    if older.get("status") != "done" or older.get("images_seen", 0) < seen:
        print("all images were seen before; what is left are scores and report", file=sys.stderr)
        return False
    catch_up(Path(settings["run_dir"]))
    way = patience.told if patience.exhausted else f"{longer(settings)} would go on"
    print(
        f"nothing to train: this run is finished, {seen / 1000:g} of {kimg:g} kimg; {way}",
        file=sys.stderr,
    )
    return True


def longer(settings: Settings) -> str:
    """Words that lengthen a run; a schedule up to its end stays as it was."""
    kimg = settings["kimg"]
    schedule = settings.get("model", {}).get("schedule") or {}
    stays = [f"model.schedule.until_kimg={kimg:g}"] if schedule.get("until_kimg") == kimg else []
    return " ".join([f"kimg={2 * kimg:g}", *stays])


def ended_early(system: Training) -> Settings:
    """What `result.json` says of a run that stopped because its score no longer improved."""
    patience = system.patience
    if not patience.exhausted or system.images_seen >= system.kimg * 1000:
        return {}
    return {"ended_early": {"patience": patience.patience, "why": patience.told}}


def mend_last(checkpoint: Path) -> None:
    """Put a checkpoint of a run's end in the place of a damaged or missing `last.ckpt` beside it.

    The same state is in both, so the run is whole again.
    """
    folder = checkpoint.parent.parent if checkpoint.parent.name == KEPT else checkpoint.parent
    last = folder / "last.ckpt"
    if checkpoint.name != "best.ckpt" and folder == checkpoint.parent:
        return
    try:
        load_checkpoint(last)
    except CheckpointError as error:
        replace_file(last, checkpoint.read_bytes())
        print(visible(f"{error}; {last} is now a copy of {checkpoint}"), file=sys.stderr)


def catch_up(directory: Path) -> None:
    """Write the report that a kill after the result, which comes first, kept from being written."""
    result, report = directory / "result.json", directory / "report.html"
    if not report.is_file() or report.stat().st_mtime_ns < result.stat().st_mtime_ns:
        with suppress(OSError, ValueError, KeyError):
            write_report(directory)


def how_to_resume(last: Path | None) -> str:
    """How to go on after a rank was lost, from the newest checkpoint of a training run, if any."""
    if last is None:
        return "run it again"
    if not last.is_file():
        return "there is no checkpoint yet: start it again"
    return f"go on with {continuation(last)}"


def continuation(last: Path) -> str:
    """The words that go on from a checkpoint, with those that none may choose for itself."""
    begun = origin()
    repeated = words_to_repeat(begun.overrides) if begun else []
    words = [word for word in repeated if not word.startswith(("ckpt=", "resume="))]
    return " ".join(map(shell_text, [f"ckpt={last}", *words]))


def conclude(
    settings: Settings,
    outcome: Settings,
    callbacks: Sequence[Callback],
    trained: bool | None = None,  # whether a training saw an image; None = it is an evaluation
) -> None:
    """Write `result.json` and `report.html`, and say where they are.

    A run that ended before its first new image leaves an older result as it was.
    """
    directory = Path(settings["run_dir"])
    records = [record for each in callbacks if isinstance(each, Scorer) for record in each.records]
    outcome |= {"scores": records}
    older = result_of(directory)
    nothing_new = older.get("images_seen", -1) >= outcome["images_seen"]
    if trained is not None:  # one that went back to an earlier checkpoint has new images too
        nothing_new = bool(older) and not trained
    if outcome["status"] != "done" and nothing_new and older.get("status") != "failed":
        return
    try:
        write_result(directory, outcome)
    except OSError as error:  # the run's own error, if it had one, is the one to raise
        outcome["exit_code"] = outcome["exit_code"] or 1
        tell(f"error: {directory}/result.json was not written ({error})")
        return
    with suppress(OSError, ValueError, KeyError):
        write_report(directory)
    if outcome["status"] != "failed":
        tell(summary(directory, outcome))


def summary(directory: Path, outcome: Settings) -> str:
    """What a person wants to read at the end: the scores, the report, how to go on."""
    plain = [record for record in outcome["scores"] if not record.get("intervention")]
    shown = [f"{record['metric']} {record['value']:.4g}" for record in plain[:SHOWN]]
    more = [f"{len(plain) - SHOWN} more in the report"] if len(plain) > SHOWN else []
    lines = ["  ".join([*shown, *more])] if shown else []
    if len(outcome.get("parts", ())) > 1:
        lines.append(f"{len(outcome['parts'])} parts, {duration(outcome['seconds'])} together")
    if found := divergence_text(outcome):
        lines.append(f"diverged: {found}; best.ckpt, if there is one, is of before")
    if outcome["status"] == "interrupted" and outcome["kind"] == "train":
        last = directory / "checkpoints" / "last.ckpt"
        way = f"go on with {continuation(last)}" if last.is_file() else "nothing was trained yet"
        late = " after max_hours" if outcome["exit_code"] == 128 + TIME_UP else ""
        lines.append(f"stopped at {outcome['images_seen'] / 1000:g} kimg{late}; {way}")
    if early := outcome.get("ended_early"):
        lines.append(f"ended at {outcome['images_seen'] / 1000:g} kimg: {early['why']}")
    return "\n".join([*lines, f"report: {directory / 'report.html'}"])
