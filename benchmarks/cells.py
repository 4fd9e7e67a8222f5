"""Processor time of a grid's cell over that of importing what it runs.

    python benchmarks/cells.py            # 20 cells of 20 images each

Cells of one process on a CPU are forked from one that has imported everything; each notes at its
end what it took since then: composing, training, checkpoint, report. Beside it stands one
`import ganlab.run`, which a cell in a process of its own pays first.
"""

import argparse
import atexit
import os
import resource
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from lightning import Callback
from results import report

ROOT, BAR = Path(__file__).parents[1], 0.35
NOTE = "cpu_seconds"


class Noted(Callback):
    """`allow_targets=[cells]`: a cell's processor time, written at its very end."""

    def __init__(self, directory):
        self.path = Path(directory) / NOTE

    def on_fit_start(self, trainer, pl_module):
        atexit.register(lambda: self.path.write_text(str(used(resource.RUSAGE_SELF))))


def used(whose):
    """Seconds of processor time so far, of this process or of those it waited for."""
    spent = resource.getrusage(whose)
    return spent.ru_utime + spent.ru_stime


def imported():
    """Seconds that `import ganlab.run` takes in a process of its own."""
    before = used(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, "-c", "import ganlab.run"], cwd=ROOT, check=True)
    return used(resource.RUSAGE_CHILDREN) - before


def seconds_of_cells(count, folder):
    """What each cell of a grid took."""
    words = ["model=dcgan", "data=synthetic", "data.num=100", "data.resolution=32", "kimg=0.02"]
    words += ["scores=null", "callbacks=none", "allow_targets=[cells]", f"seed=range(0,{count})"]
    words += ["+callbacks.noted={_target_: cells.Noted, directory: '${run_dir}'}"]
    path = os.pathsep.join([str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")])
    command = [sys.executable, "train.py", "-m", *words, f"hydra.sweep.dir={folder}"]
    given = os.environ | {"PYTHONPATH": path}
    subprocess.run(command, cwd=ROOT, env=given, check=True, stdout=subprocess.DEVNULL)
    return [float(note.read_text()) for note in Path(folder).glob(f"*/{NOTE}")]


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--cells", type=int, default=20)
    parser.add_argument("--out", type=Path)
    chosen = parser.parse_args()
    from ganlab.runs.provenance import commit

    with tempfile.TemporaryDirectory() as folder:
        cells = seconds_of_cells(chosen.cells, folder)
    assert len(cells) == chosen.cells, "a cell ended without a note"
    imports = statistics.median(imported() for _ in range(5))
    cell = statistics.median(cells)
    result = {
        "command": f"python benchmarks/cells.py --out {chosen.out}",
        "commit": commit(),
        "seed": 0,
        "n": chosen.cells,
        "cell_seconds": cell,
        "slowest_cell_seconds": max(cells),
        "import_seconds": imports,
        "ratio": cell / imports,
        "bar": BAR,
    }
    report(result, chosen.out)
    sys.exit(result["ratio"] > BAR)


if __name__ == "__main__":
    main()
