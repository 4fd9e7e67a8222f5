"""CPU seconds of training a thousand images, of several settings over the first's.

    python benchmarks/equal_time.py                # the gallery's StyleGAN2, R3GAN, R3GAN lazily
    python benchmarks/equal_time.py "a: experiment=gallery/vae" "b: model=vae data=cifar10"

Each is `train.py` with one thread, without scores or callbacks, in turns with the others, twice a
round: what the longer training takes beyond the shorter one is of its steps alone. A ratio says how
many images of the first cost as much as one of this: by how much `sweep=equal_time` is unequal.
"""

import argparse
import os
import resource
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from results import report

from ganlab.runs.provenance import commit

ROOT = Path(__file__).parents[1]
SHORT, LONG = 1.0, 3.0  # kimg
DEFAULT = [
    "stylegan2: experiment=gallery/stylegan2",
    "r3gan: experiment=gallery/r3gan",
    "lazy: experiment=gallery/r3gan +model.intervals.r1=8 +model.intervals.r2=8",
]


def cpu_seconds(words, kimg):
    """Of one whole process."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    with tempfile.TemporaryDirectory() as folder:
        more = ["scores=null", "callbacks=none", f"kimg={kimg}", f"hydra.run.dir={folder}/run"]
        subprocess.run(
            [sys.executable, "train.py", *words.split(), *more],
            cwd=ROOT,
            env=os.environ | {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"},
            stdout=subprocess.DEVNULL,
            check=True,
        )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def measured(settings, rounds):
    """CPU seconds a kimg of each, every round."""
    found = {name: [] for name in settings}
    for _ in range(rounds):
        for name, seconds in found.items():
            longer, shorter = (cpu_seconds(settings[name], kimg) for kimg in (LONG, SHORT))
            seconds.append((longer - shorter) / (LONG - SHORT))
            print(f"{name}: {seconds[-1]:.2f} s a kimg", flush=True)
    return found


def summary(found):
    """Medians, and their ratios to the first."""
    medians = {name: statistics.median(seconds) for name, seconds in found.items()}
    first = next(iter(medians.values()))
    return {
        name: {"seconds_a_kimg": seconds, "time_ratio": seconds / first}
        for name, seconds in medians.items()
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("settings", nargs="*", default=DEFAULT, help="'name: words of train.py'")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--out", type=Path, help="write the result as JSON to this file")
    options = parser.parse_args()
    settings = dict(given.split(": ", 1) for given in options.settings)
    quoted = "".join(f' "{given}"' for given in options.settings if options.settings != DEFAULT)
    result = {
        "command": f"python benchmarks/equal_time.py{quoted} --rounds {options.rounds}",
        "commit": commit(),
        "seed": 0,
        "n": options.rounds,
        "threads": 1,
        **summary(measured(settings, options.rounds)),
    }
    report(result, options.out)


if __name__ == "__main__":
    main()
