"""Runs a program of the product with one defence taken away, to see that the campaign notices.

    python scripts/campaign/undefended.py atomic train.py model=vanilla ...

The product itself has no such switch: the functions are replaced in this process.
"""

import runpy
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]


def without_atomic() -> None:
    """Checkpoints are written where they will stand, over the one before."""
    from ganlab.systems.checkpoint import Checkpointing

    def written(self: Checkpointing, trainer: Any, best: bool) -> str | None:
        writer = trainer.strategy.checkpoint_io
        trainer.save_checkpoint(self.last)
        if writer.failure is None and best and trainer.is_global_zero:
            self._name_best(self.last)
        return getattr(writer, "failure", None)

    Checkpointing._written = written  # type: ignore[method-assign]


def without_lock() -> None:
    """Every process is given the lock that it asks for."""
    from ganlab.runs import locks

    locks._flocked = lambda *arguments: True


def without_crc() -> None:
    """A checkpoint's checksums are not looked at."""
    from ganlab.storage import archive

    archive.check_archive = lambda file, path: None


DEFENCES: dict[str, Callable[[], None]] = {
    "lock": without_lock,
    "crc": without_crc,
    "atomic": without_atomic,
}


def main() -> None:
    """Take the defence named first away and run the program named second."""
    defence, program, *words = sys.argv[1:]
    sys.path[0] = str(ROOT)
    sys.argv = [str(ROOT / program), *words]
    DEFENCES[defence]()
    runpy.run_path(sys.argv[0], run_name="__main__")


if __name__ == "__main__":
    main()
