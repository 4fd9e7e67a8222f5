"""What a rank of several pays for a step: processor time of one of two processes over one alone.

    python benchmarks/ranks.py            # StyleGAN2 at 64 px, batch 8 a rank, gloo

Beside it stands the same under torch's own DistributedDataParallel with `find_unused_parameters`,
which sends the gradients of both networks after each backward pass. Both must end at the same
weights, bit for bit. Every process trains on one thread; times are of the steps behind the first
two, in turns.
"""

import argparse
import os
import socket
import statistics
import tempfile
import time
from pathlib import Path

import torch
from lightning import Callback
from lightning.pytorch.strategies import DDPStrategy
from results import report

BATCH, FIRST = 8, 2  # images a rank; steps before the clock is read
WAYS = ("alone", "ours", "wrapped")  # one process; two; two under DistributedDataParallel


class Clock(Callback):
    """Processor time of this process over its later steps."""

    def on_train_batch_start(self, trainer, system, batch, number):
        if number == FIRST:
            self.started, self.images = time.process_time(), system.images_seen

    def on_train_end(self, trainer, system):
        spent, images = time.process_time() - self.started, system.images_seen - self.images
        self.seconds = spent / images * BATCH * trainer.world_size


def train(rank, way, folder, options):
    """One rank; the first leaves seconds a step, and all of them their weights."""
    from ganlab.run import data_of, recipe
    from ganlab.systems import trainer as trainers

    torch.set_num_threads(1)
    world = 1 if way == "alone" else options.world
    os.environ |= {"LOCAL_RANK": str(rank), "NODE_RANK": "0", "WORLD_SIZE": str(world)}
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": (folder / "port").read_text()}
    if way == "wrapped":
        trainers.strategy_of = lambda name: DDPStrategy(find_unused_parameters=True)
    size = f"data.batch_size={BATCH * world}"
    words = ["data=synthetic", f"data.resolution={options.resolution}", size]
    words += [f"model.{part}.width={options.width}" for part in ("generator", "discriminator")]
    kimg = (FIRST + options.steps) * BATCH * world / 1000
    system = recipe("stylegan2", *words, f"kimg={kimg}")
    clock = Clock()
    strategy = {"strategy": "auto" if world == 1 else "ddp", "devices": world}
    trainer = trainers.make_trainer("cpu", **strategy, callbacks=[clock], directory=str(folder))
    trainer.fit(system, datamodule=data_of(system))
    torch.save([clock.seconds, system.state_dict()], folder / f"{way}{rank}.pt")


def seconds(way, options):
    """Mean of the ranks' CPU seconds a step, and the first one's weights."""
    with tempfile.TemporaryDirectory() as name, socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        folder, world = Path(name), 1 if way == "alone" else options.world
        (folder / "port").write_text(str(free.getsockname()[1]))
        free.close()
        torch.multiprocessing.spawn(train, args=(way, folder, options), nprocs=world)
        left = [torch.load(folder / f"{way}{rank}.pt") for rank in range(world)]
    return statistics.mean(each[0] for each in left), left[0][1]


def measured(options):
    from ganlab.runs.provenance import commit

    made, rows = commit(), []
    for i in range(options.rounds):
        order = WAYS[i % len(WAYS) :] + WAYS[: i % len(WAYS)]
        found = {way: seconds(way, options) for way in order}
        one, two = found["ours"][1], found["wrapped"][1]
        same = [torch.equal(one[k], two[k]) for k in one if isinstance(one[k], torch.Tensor)]
        assert all(same), "not the same weights"
        rows.append({way: found[way][0] for way in WAYS})
        print(" ".join(f"{way} {value:.3f} s" for way, value in rows[-1].items()))
    typical = {way: statistics.median(row[way] for row in rows) for way in WAYS}
    return {
        "command": f"python benchmarks/ranks.py --steps {options.steps} --rounds {options.rounds}",
        "commit": made,
        "seed": 0,
        "n": options.steps,
        "batch_size": BATCH,
        "width": options.width,
        "resolution": options.resolution,
        "torch": torch.__version__,
        "cpu_seconds_a_step": rows,
        "rank_over_one_process": typical["ours"] / typical["alone"],
        "wrapped_over_one_process": typical["wrapped"] / typical["alone"],
        "wrapped_over_ours": typical["wrapped"] / typical["ours"],
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=16, help="that are timed: a lazy cycle")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--width", type=int, default=8, help="channels of the finest maps")
    parser.add_argument("--resolution", type=int, default=64)
    parser.set_defaults(world=2)  # growth.py asks for others
    parser.add_argument("--out", type=Path, help="write the result as JSON to this file")
    options = parser.parse_args()
    result = measured(options)
    report(result, options.out)


if __name__ == "__main__":
    main()
