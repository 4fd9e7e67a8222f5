"""Images per second and peak memory of every model's small preset, over a bare PyTorch loop's.

    python benchmarks/train_step.py                           # every model, batch 32, Fashion-MNIST
    python benchmarks/train_step.py stylegan2 --device cuda   # one, on a GPU

Each measurement is a fresh process: framework and bare loop take turns, on the same networks at
their full resolution, with the same losses, penalties, intervals, mixing and averaging. The bare
loop has no Trainer, callbacks, logs, guards or addressed random numbers. The ratio compares images
per second of CPU time (of wall time on a GPU), so that a busy machine does not decide it.
"""

import argparse
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch
from bare_steps import BareAdversary, BareAutoencoder
from hydra import compose, initialize_config_dir
from lightning import Callback
from omegaconf import open_dict

from ganlab.callbacks import Health, MetricsLog, Progress, Throughput
from ganlab.cli import conf_dir, register_resolvers
from ganlab.config import build
from ganlab.data.sampler import ImageStream
from ganlab.loggers import CSVLog
from ganlab.nn.growing import Stage
from ganlab.runs.provenance import commit
from ganlab.runs.recipes import build_system, check_config
from ganlab.systems.trainer import make_trainer, quieten

WARM_UP = 4  # steps before the clock starts: allocations, lazily built kernels


def models():
    """Those that are trained here."""
    pretrained = "_target_: ganlab.systems.pretrained"
    paths = [p for p in (conf_dir() / "model").glob("*.yaml") if p.stem[0] != "_"]
    return sorted(p.stem for p in paths if pretrained not in p.read_text())


def prepared(name, batch_size, data="fashion_mnist", words=()):
    """The system of a small preset at its last stage, and its data."""
    register_resolvers()
    words = [f"model={name}", f"data={data}", f"data.batch_size={batch_size}", *words]
    with initialize_config_dir(str(conf_dir()), version_base="1.3"):
        config = compose("train", words)
    with open_dict(config):
        config.run_dir = "unused"
    settings = check_config(config, "train")
    system = build_system(settings)
    if getattr(system, "growth", None) is not None:
        for network in system.networks().values():
            network.grow_to(Stage(system.growth.last_level, 1.0))
        system.growth = None
    data = build(settings["data"], "data")
    data.prepare_data()
    data.setup("fit")
    return system, data


class Clock:
    """Seconds since `start`: of this process's CPU, or of the wall where a GPU does the work."""

    def __init__(self, device):
        self.device, self.started = device, 0.0

    def start(self):
        self.started = 0.0
        self.started = self.seconds()

    def seconds(self):
        if self.device == "cpu":
            return time.process_time() - self.started
        torch.cuda.synchronize()
        return time.perf_counter() - self.started


class Stopwatch(Callback):
    """Starts the clock after the warm-up."""

    def __init__(self, clock):
        self.clock = clock

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        if pl_module.steps == WARM_UP:
            self.clock.start()


def framework(system, data, steps, clock):
    """Seconds of `steps` steps as a real run makes them, watched and logged."""
    system.kimg = (WARM_UP + steps) * data.batch_size / 1000
    watching = [Progress(1.0), Throughput(1.0), Health(1.0), MetricsLog(1.0)]
    with tempfile.TemporaryDirectory() as folder:
        trainer = make_trainer(
            "cpu" if clock.device == "cpu" else "gpu",
            callbacks=[*watching, Stopwatch(clock)],
            loggers=[CSVLog(folder)],
            directory=folder,
        )
        trainer.fit(system, datamodule=data)
        return clock.seconds()


def bare(system, data, steps, clock):
    """Seconds of the same steps in the loop that a person would write."""
    system.to(clock.device)
    step = BareAutoencoder(system) if hasattr(system, "encoder") else BareAdversary(system)
    stream = iter(ImageStream(len(data.dataset), data.batch_size, seed=0))
    for count in range(WARM_UP + steps):
        if count == WARM_UP:
            clock.start()
        images = data.dataset.images(next(stream)[0]).to(clock.device).float() / 127.5 - 1
        step(images, count)
    return clock.seconds()


def measured(name, kind, options):
    """One measurement, in this process."""
    quieten()
    system, data = prepared(name, options.batch)
    clock = Clock(options.device)
    seconds = {"bare": bare, "framework": framework}[kind](system, data, options.steps, clock)
    if options.device == "cpu":
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    else:
        peak = torch.cuda.max_memory_allocated() / 2**20
    return {"images_per_second": options.steps * options.batch / seconds, "peak_mb": peak}


def in_child(name, kind, options):
    """The same in a process of its own, whose peak memory is its own too."""
    command = [sys.executable, __file__, name, "--child", kind, "--device", options.device]
    command += ["--steps", str(options.steps), "--batch", str(options.batch)]
    answer = subprocess.run(command, capture_output=True, text=True, check=False)
    if answer.returncode:
        sys.exit(f"{name}, {kind}:\n{answer.stderr}")
    return json.loads(answer.stdout.splitlines()[-1])


def compared(name, options):
    """Medians over the rounds of one model."""
    rounds = [
        {kind: in_child(name, kind, options) for kind in ("bare", "framework")}
        for _ in range(options.rounds)
    ]

    def median(kind, key):
        return statistics.median(each[kind][key] for each in rounds)

    keys = ("images_per_second", "peak_mb")
    found = {kind: {key: median(kind, key) for key in keys} for kind in ("bare", "framework")}
    ratios = [
        each["bare"]["images_per_second"] / each["framework"]["images_per_second"]
        for each in rounds
    ]
    found["memory_ratio"] = found["framework"]["peak_mb"] / found["bare"]["peak_mb"]
    return {**found, "time_ratio": statistics.median(ratios)}


def stamped(found, options):
    """The measurements with what they were made by."""
    command = f"python {' '.join(['benchmarks/train_step.py', *sys.argv[1:]])}"
    made = {"command": command, "commit": commit(), "seed": 0, "device": options.device}
    made["n"] = options.rounds
    how = {"threads": torch.get_num_threads(), "batch_size": options.batch, "steps": options.steps}
    return {**made, **how, "torch": torch.__version__, "models": found}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("models", nargs="*", default=models(), metavar="model")
    for name, default in {"steps": 12, "batch": 32, "rounds": 3}.items():
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    parser.add_argument("--out", type=Path, help="write the result as JSON to this file")
    parser.add_argument("--child", choices=["bare", "framework"], help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        print(json.dumps(measured(options.models[0], options.child, options)))
        return
    print(f"{'model':10} {'images/s':>9} {'bare':>9} {'time':>6} {'peak MB':>8} {'memory':>7}")
    found = {}
    for name in options.models:
        row = found[name] = compared(name, options)
        ours, plain = row["framework"], row["bare"]
        print(
            f"{name:10} {ours['images_per_second']:9.1f} {plain['images_per_second']:9.1f} "
            f"{row['time_ratio']:6.2f} {ours['peak_mb']:8.0f} {row['memory_ratio']:7.2f}",
            flush=True,
        )
    if options.out:
        options.out.write_text(json.dumps(stamped(found, options), indent=2) + "\n")


if __name__ == "__main__":
    main()
