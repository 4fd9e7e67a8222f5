"""What counting activation rates adds to generating the same images, and what the naive way adds.

    python benchmarks/rates.py            # DCGAN and StyleGAN2 at 64 px, all layers

The naive way stores every feature map and counts with numpy. Both must end at the same rates. Times
are process CPU times of one run, in turns; peak memory is that of child processes, above what they
held before the first image, on narrower networks so that the naive way fits at N = 10,000.
"""

import argparse
import resource
import statistics
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import torch
from results import report

from ganlab.metrics import ActivationRate
from ganlab.networks import dcgan, stylegan2
from ganlab.nn.tracing import recorded
from ganlab.runs.provenance import commit
from ganlab.sampling import Sampler
from ganlab.studies.neurons.counting import Counting
from ganlab.studies.neurons.layers import layer_shapes

BATCH, SEED = 100, 0
NETWORKS = {  # the widths of conf/model, and those whose memory is measured
    "dcgan": lambda width: dcgan.Generator(64, 3, 100, width),
    "stylegan2": lambda width: stylegan2.Generator(64, 3, 128, 128, width, 8 * width, 2),
}
WIDTHS = {"dcgan": 64, "stylegan2": 16}
MEMORY_WIDTHS = {"dcgan": 16, "stylegan2": 2}
FEW, MANY = 2_500, 10_000  # latents whose peak memory is measured


def network(name, width):
    """The network with biases at random, so that neurons differ in their rates."""
    torch.manual_seed(SEED)
    generator = NETWORKS[name](width)
    for key, parameter in generator.named_parameters():
        if key.endswith("bias") and "affine" not in key:
            torch.nn.init.normal_(parameter, 0.0, 0.5)
    return generator.eval()


def plain(generator, num):
    """The images alone."""
    for _ in Sampler(generator, SEED, batch_size=BATCH).batches(range(num)):
        pass


def ours(generator, num):
    """Rates and near-zero counts as `study=activation_rates` counts them, on all layers.

    The forward pass ends at the last layer, so this can take less time than the images.
    """
    counting = Counting(Sampler(generator, SEED, batch_size=BATCH), list(generator.layers), True)
    counting.feed(range(num))
    return counting.rates()


def ours_and_images(generator, num):
    """Rates alone, as the naive way counts them, while the images are made all the same."""
    active = ActivationRate(layer_shapes(Sampler(generator)))
    with recorded(generator.layers) as outputs:
        for _ in Sampler(generator, SEED, batch_size=BATCH).batches(range(num)):
            active.update(outputs)
    return active.compute()


def naive(generator, num):
    """Every feature map stored, then counted at once."""
    stored = {name: [] for name in generator.layers}
    handles = [
        layer.register_forward_hook(
            lambda module, inputs, output, kept=stored[name]: kept.append(output.numpy())
        )
        for name, layer in generator.layers.items()
    ]
    plain(generator, num)
    for handle in handles:
        handle.remove()
    return {
        name: torch.from_numpy((np.concatenate(stored.pop(name)) > 0).mean(0))
        for name in list(stored)
    }


WAYS = {"plain": plain, "ours": ours, "ours_and_images": ours_and_images, "naive": naive}


def seconds(way, generator, num):
    started = time.process_time()
    found = WAYS[way](generator, num)
    return time.process_time() - started, found


def check_equal(one, other):
    assert list(one) == list(other), "not the same layers"
    assert all(torch.equal(one[name], other[name]) for name in one), "not the same rates"


def times(name, num, rounds):
    """CPU seconds of each way, in turns, each as often first as last; memory warmed before each."""
    generator = network(name, WIDTHS[name])
    rows, ways = [], list(WAYS)
    for i in range(rounds):
        row, found = {}, {}
        for way in ways[i % len(ways) :] + ways[: i % len(ways)]:
            seconds("plain", generator, 2 * BATCH)
            row[way], found[way] = seconds(way, generator, num)
        for way in ("ours", "ours_and_images"):
            check_equal(found[way], found["naive"])
        rows.append(row)
        print(name, " ".join(f"{way} {value:.2f} s" for way, value in row.items()))
    return rows


def time_ratios(rows):
    """Medians over the rounds."""
    base = statistics.median(row["plain"] for row in rows)
    added = {w: statistics.median(row[w] for row in rows) - base for w in WAYS}
    found = {"naive_over_generation": 1 + added["naive"] / base}
    for way in ("ours", "ours_and_images"):
        found[f"{way}_over_generation"] = 1 + added[way] / base
        found[f"{way}_overhead_over_naive_overhead"] = added[way] / added["naive"]
    return found


def peak_mib():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def child(name, way, num):
    """In a process of its own: print how far the peak rose, in MiB."""
    generator = network(name, MEMORY_WIDTHS[name])
    before = peak_mib()
    WAYS[way](generator, num)
    print(peak_mib() - before)


def memory(name):
    """Peak memory of counting at two N, and of the naive way at the larger one."""

    def peak(way, num):
        command = [sys.executable, __file__, "--child", name, way, str(num)]
        out = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        print(f"{name} {way} N = {num}: {float(out):.0f} MiB")
        return float(out)

    few, many, stored = peak("ours", FEW), peak("ours", MANY), peak("naive", MANY)
    return {
        "peak_mib_few": few,
        "peak_mib_many": many,
        "peak_mib_naive": stored,
        "peak_growth": many / few,
        "naive_peak_over_ours": stored / many,
    }


def measured(options):
    result = {
        "command": f"python benchmarks/rates.py --num {options.num} --rounds {options.rounds}",
        "commit": commit(),
        "seed": SEED,
        "n": options.num,
        "n_memory": [FEW, MANY],
        "threads": torch.get_num_threads(),
        "batch_size": BATCH,
        "torch": torch.__version__,
        "widths": WIDTHS,
        "memory_widths": MEMORY_WIDTHS,
    }
    # a child starts with its parent's peak, so the parent must still be small
    peaks = {name: memory(name) for name in NETWORKS}
    for name in NETWORKS:
        rows = times(name, options.num, options.rounds)
        result[name] = {"cpu_seconds": rows, **time_ratios(rows), **peaks[name]}
    return result


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--num", type=int, default=400, help="latents that are timed")
    parser.add_argument("--rounds", type=int, default=8)
    parser.add_argument("--out", type=Path, help="write the result as JSON to this file")
    parser.add_argument("--child", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        name, way, num = options.child
        child(name, way, int(num))
        return
    result = measured(options)
    report(result, options.out)


if __name__ == "__main__":
    main()
