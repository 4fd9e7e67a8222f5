"""How long the explorer takes to answer a slider: the picture, its maps and facts, and the file.

    python benchmarks/explorer.py                   # two minutes; prints the table as JSON
    python benchmarks/explorer.py --threads 1

A DCGAN of 64 px and a StyleGAN2 of 256 px in full width (64 to 512 channels), random weights, on
the CPU. Seconds are of the clock, which other programs share, and of the process on all threads
together; each is the median of the rounds. The page adds what sending a file on this machine takes.
"""

import argparse
import json
import os
import statistics
import tempfile
import time

import torch

from ganlab.app import latents, neurons, samples
from ganlab.app.session import How, Session
from ganlab.networks import dcgan, stylegan2
from ganlab.runs.provenance import commit
from ganlab.systems.pretrained import Pretrained

NETWORKS = {
    "dcgan_64": lambda: dcgan.Generator(64, 3, 100, 64),
    "stylegan2_256": lambda: stylegan2.Generator(256, 3, 512, 512, 64, 512, 8),
}
BARS = {"dcgan_64": 0.3, "stylegan2_256": 3.0}  # seconds on two cores
COUNTED = 4  # latents that rates are of: more take longer before, and not at the slider


def moves_of(session):
    """Name -> the views that a slider draws anew, by how far it is."""
    how, layers = How(), samples.early_layers(session.sampler(How()))
    rates = session.count_rates(how, layers, COUNTED, lambda share, text: None)

    def rate(at):
        seen = neurons.intervention(session, how, 0, rates, layers, at)
        return [seen, neurons.histogram(session, how, rates, at)]

    def truncation(at):
        return [latents.between(session, How(truncation=at), (0, 1), 0.5)]

    moves = {"rate": rate, "between": lambda at: [latents.between(session, how, (0, 1), at)]}
    return moves | ({"truncation": truncation} if session.has_styles else {})


def measured(move, rounds):
    """Median seconds of the clock and of the process; the first round is not kept."""
    found = []
    for step in range(rounds + 1):
        clock, process = time.perf_counter(), time.process_time()
        _ = [view.png for view in move(0.2 + 0.6 * step / rounds)]
        found.append((time.perf_counter() - clock, time.process_time() - process))
    wall, cpu = (statistics.median(each) for each in zip(*found[1:], strict=True))
    return {"seconds": wall, "cpu_seconds": cpu}


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    table = {"threads": options.threads, "commit": commit()}
    with tempfile.TemporaryDirectory() as cache:
        os.environ["GANLAB_CACHE"] = cache
        for name, make in NETWORKS.items():
            torch.manual_seed(0)
            moves = moves_of(Session(name, Pretrained(make())))
            found = {each: measured(move, options.rounds) for each, move in moves.items()}
            table[name] = {"bar": BARS[name], **found}
    print(json.dumps(table, indent=1))


if __name__ == "__main__":
    main()
