"""CPU time of a training step with augmentation, over that without.

    python benchmarks/augment.py          # about six minutes

The small StyleGAN2 at 64 px on the emoji, trained as a real run is, its lazy penalties included;
`model/augment=ada` at a fixed p, `diffaugment` and `none` take turns in one process. Medians over
the rounds.
"""

import argparse
import statistics
from pathlib import Path

import torch
from results import report
from train_step import WARM_UP, Clock, framework, prepared

from ganlab.runs.provenance import commit
from ganlab.systems.trainer import quieten

BATCH, SEED, P = 32, 0, 0.6
WAYS = {
    "none": ["model/augment=none"],
    "diffaugment": ["model/augment=diffaugment"],
    "ada": ["model/augment=ada", f"model.augment.p={P}"],
}


def seconds(words, steps):
    """CPU seconds of so many steps after the warm-up."""
    system, data = prepared("stylegan2", BATCH, "emoji", [*words, f"seed={SEED}"])
    return framework(system, data, steps, Clock("cpu"))


def measured(options):
    rounds = []
    for _ in range(options.rounds + 1):  # the first is not counted
        rounds.append({way: seconds(words, options.steps) for way, words in WAYS.items()})
        print({way: round(each, 2) for way, each in rounds[-1].items()}, flush=True)
    medians = {way: statistics.median(each[way] for each in rounds[1:]) for way in WAYS}
    words = f"--rounds {options.rounds} --steps {options.steps}"
    return {
        "command": f"python benchmarks/augment.py {words}",
        "commit": commit(),
        "seed": SEED,
        "n": options.rounds,
        "p": P,
        "batch_size": BATCH,
        "warm_up": WARM_UP,
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "seconds_a_step": {way: each / options.steps for way, each in medians.items()},
        "time_ratio": {way: medians[way] / medians["none"] for way in WAYS if way != "none"},
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5, help="after one that is not counted")
    parser.add_argument("--steps", type=int, default=16, help="a whole turn of lazy penalties")
    parser.add_argument("--out", type=Path, help="write the result as JSON to this file")
    options = parser.parse_args()
    quieten()
    result = measured(options)
    report(result, options.out)


if __name__ == "__main__":
    main()
