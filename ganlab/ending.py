"""How a run ends: stopped by a signal or by itself, and what is said of it."""

import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import wraps
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from ganlab.config import Settings
from ganlab.provenance import started
from ganlab.report.html import write_report
from ganlab.report.results import read_result, write_result
from ganlab.systems.checkpoint import Checkpointing

Run = Callable[[DictConfig], Settings]


@contextmanager
def interruptible() -> Iterator[None]:
    """Let SIGTERM stop a study as Ctrl-C does; Lightning by itself would only note it.

    Raises:
        SystemExit: with 128 + the signal that stopped it.
    """
    received = [signal.SIGINT]

    def stop(number: int, frame: Any) -> None:
        received[:] = [signal.Signals(number)]
        raise KeyboardInterrupt

    main = threading.current_thread() is threading.main_thread()
    before = signal.signal(signal.SIGTERM, stop) if main else None
    try:
        yield
    except SystemExit as end:  # Lightning's answer to an interrupt
        if isinstance(end.__context__, KeyboardInterrupt):
            raise SystemExit(128 + received[0]) from None
        raise
    finally:
        if main:
            signal.signal(signal.SIGTERM, before)


def stopping(checkpointing: Checkpointing, system: Any, status: str) -> Settings:
    """How a training run ended: a signal that came after its last image changes nothing."""
    finished = status == "done" and system.images_seen >= system.kimg * 1000
    if status == "interrupted":  # before its first batch: no checkpoint could answer the signal
        return {}
    if checkpointing.signal is None or finished:
        return {"status": status, "exit_code": int(status == "failed")}
    return {"status": "interrupted", "exit_code": 128 + checkpointing.signal}


def refusals_kept(kind: str) -> Callable[[Run], Run]:
    """Let a run that is refused before it begins leave a `result.json`, so that tables name it.

    Only in a directory that is there; what came of an earlier run in it is kept.
    """

    def wrapper(run: Run) -> Run:
        @wraps(run)
        def kept(config: DictConfig) -> Settings:
            try:
                return run(config)
            except Exception as error:
                directory = Path(str(OmegaConf.select(config, "run_dir")))
                text, older = f"{type(error).__name__}: {error}", older_result(directory)
                came_to_something = older.get("status", "failed") != "failed"
                told = came_to_something or older.get("images_seen") or older.get("error") == text
                if directory.is_dir() and not told:
                    facts = {"status": "failed", "exit_code": 1, "error": text, "kind": kind}
                    facts |= {"images_seen": 0, "scores": [], **started(kind)}
                    with suppress(OSError):  # on a full disk the run's own error says more
                        write_result(directory, facts)
                raise

        return kept

    return wrapper


def finished(checkpoint: Settings, settings: Settings, older: Settings) -> bool:
    """Whether a run has reached its length and come to its end; if so, says how to lengthen it.

    One that was killed while it was scored has all its images and still has to be concluded.
    """
    seen, kimg = checkpoint["images_seen"], settings["kimg"]
    if seen < kimg * 1000:
        return False
    if older.get("status") != "done":
        print("all images were seen before; what is left are scores and report", file=sys.stderr)
        return False
    catch_up(Path(settings["run_dir"]))
    print(
        f"nothing to train: this run is finished, {seen / 1000:g} of {kimg:g} kimg; "
        f"kimg={2 * kimg:g} would go on",
        file=sys.stderr,
    )
    return True


def catch_up(directory: Path) -> None:
    """Write the report that a kill after the result, which comes first, kept from being written."""
    result, report = directory / "result.json", directory / "report.html"
    if not report.is_file() or report.stat().st_mtime_ns < result.stat().st_mtime_ns:
        with suppress(OSError, ValueError, KeyError):
            write_report(directory)


def way_on(last: Path | None) -> str:
    """How to go on after a rank was lost, from the newest checkpoint of a training run, if any."""
    if last is None:
        return "run it again"
    if not last.is_file():
        return "there is no checkpoint yet: start it again"
    return f"go on with ckpt={last}"


def older_result(directory: Path) -> Settings:
    """What the run's last `result.json` says; nothing where there is none."""
    try:
        return read_result(directory)
    except (OSError, ValueError):
        return {}


def conclude(settings: Settings, outcome: Settings, callbacks: list[Any]) -> None:
    """Write `result.json` and `report.html`, and say where they are.

    A run that ended before its first new image leaves an older result as it was.
    """
    directory = Path(settings["run_dir"])
    records = [record for each in callbacks for record in getattr(each, "records", [])]
    outcome |= {"scores": records}
    older = older_result(directory)
    nothing_new = older.get("images_seen", -1) >= outcome["images_seen"]
    if outcome["status"] != "done" and nothing_new and older.get("status") != "failed":
        return
    try:
        write_result(directory, outcome)
    except OSError as error:  # the run's own error, if it had one, is the one to raise
        outcome["exit_code"] = outcome["exit_code"] or 1
        print(f"error: {directory}/result.json was not written ({error})", file=sys.stderr)
        return
    with suppress(OSError, ValueError, KeyError):
        write_report(directory)
    if outcome["status"] != "failed":
        print(summary(directory, outcome), file=sys.stderr)


def summary(directory: Path, outcome: Settings) -> str:
    """What a person wants to read at the end: the scores, the report, how to go on."""
    plain = [record for record in outcome["scores"] if not record.get("intervention")]
    scores = "  ".join(f"{record['metric']} {record['value']:.4g}" for record in plain)
    lines = [scores] if scores else []
    if outcome["status"] == "interrupted" and outcome["kind"] == "train":
        last = directory / "checkpoints" / "last.ckpt"
        way = f"go on with ckpt={last}" if last.is_file() else "nothing was trained yet"
        lines.append(f"stopped at {outcome['images_seen'] / 1000:g} kimg; {way}")
    return "\n".join([*lines, f"report: {directory / 'report.html'}"])
