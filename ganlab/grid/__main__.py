"""`python -m ganlab.grid <cell>`: run a cell on its `cell.yaml`; so does each of its ranks."""

import os
import sys
import time
import traceback
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from ganlab.cli import EXPECTED, one_line, register_resolvers
from ganlab.grid import cell as cells
from ganlab.grid.cell import Cell, GridError
from ganlab.grid.process import HASH
from ganlab.processes import external_rank


def main() -> None:
    """Run the cell; exit with 0, 1 or 128 + the signal that stopped it."""
    if len(sys.argv) != 2:
        sys.exit("usage: python -m ganlab.grid <cell>")
    directory = Path(sys.argv[1])
    register_resolvers()
    try:
        agree(directory)
        first = external_rank() == 0
        with cells.lock(directory) if first else nullcontext():
            if first and cells.state(directory) == "done":
                sys.exit(0)  # another driver's process was here since this one was started
            sys.exit(run_recorded(directory) if first else outcome(directory)["exit_code"])
    except EXPECTED as error:
        print(f"error: {one_line(error)}", file=sys.stderr)
        sys.exit(1)


def agree(directory: Path) -> None:
    """Refuse to be a rank of a cell whose file is not what the first rank read.

    Raises:
        GridError: it was written anew in between.
    """
    found = cells.file_hash(directory)
    if os.environ.setdefault(HASH, found) != found:
        raise GridError(
            f"{directory / cells.CELL} is not the file that the first rank read "
            f"({found}, not {os.environ[HASH]}): do not run a grid twice at the same time"
        )


def run_recorded(directory: Path) -> int:
    """Run, and keep `attempt.json`; the exit code."""
    cells.begin_attempt(directory)
    facts: dict[str, Any] = {"state": "failed"}
    try:
        result = outcome(directory)
        facts = {"state": result["status"], "exit_code": result["exit_code"]}
        return int(result["exit_code"])
    except BaseException as error:
        if code := signal_exit_code(error):
            facts = {"state": "interrupted", "exit_code": code}
            return code
        facts["error"] = " ".join(f"{one_line(error)}".split())[:2000] or type(error).__name__
        if not isinstance(error, EXPECTED):
            traceback.print_exc()
            facts["error"] = f"{type(error).__name__}: {facts['error']}"
            return 1
        raise
    finally:
        cells.write_attempt(directory, **{"ended": time.time(), "error": None, **facts})


def signal_exit_code(error: BaseException) -> int | None:
    """Exit code of a run that a signal ended, 128 + its number; None where none did."""
    if isinstance(error, KeyboardInterrupt):  # a second signal
        return 130
    code = error.code if isinstance(error, SystemExit) else None  # an evaluation's way to end
    return code if isinstance(code, int) and code > 128 else None


def outcome(directory: Path) -> dict[str, Any]:
    """Train or evaluate what the file says; the run's result."""
    cell = cells.read_cell(directory)
    from ganlab import run  # torch comes in here
    from ganlab.runs.provenance import Origin, declare

    declare(Origin(cell.overrides, cell.choices, cell.grid, cell.values))
    config = OmegaConf.create(with_labels(cell))
    if cell.kind == "train":
        return run.train(config)
    return {"exit_code": 0, **run.evaluate(config)}


def with_labels(cell: Cell) -> dict[str, Any]:
    """The cell's config with the dashboard's labels, where the user gave none."""
    node = (cell.config.get("logger") or {}).get("wandb")
    if isinstance(node, dict):
        tags = [f"{key}={value}"[:64] for key, value in cell.values.items()]  # 64: their limit
        node["group"] = node.get("group") or cell.grid
        node["tags"] = [*(node.get("tags") or []), *tags]
        node["name"] = node.get("name") or f"{cell.grid}/{cell.directory.name}"
        node["job_type"] = cell.kind
    return cell.config


if __name__ == "__main__":
    main()
