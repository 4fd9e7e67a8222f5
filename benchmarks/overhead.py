"""CPU time of the framework's training step over a bare PyTorch loop's, same work in one run.

    python benchmarks/overhead.py                 # DCGAN, width 64, batch 64, 32x32, one channel
    python benchmarks/overhead.py --rounds 15 --beside <another checkout>

Both train from the same seed on the same images and latents, in turns, and must end at the same
weights to 1e-6; then the ratio of their process CPU times is printed, and its median. Beside
another checkout, such as a `git worktree` of an earlier commit, a process of each measures a round
in turns, both by this script, and the difference of the medians is printed too. Every round has a
process of its own, since where its memory lies is drawn once a process and moves the ratio by 0.02.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from copy import deepcopy
from functools import partial
from pathlib import Path

import torch
from lightning import Callback
from results import report
from torch.nn import functional as F

from ganlab.callbacks import Health, MetricsLog, Progress, Throughput
from ganlab.data import synthetic
from ganlab.data.sampler import ImageStream
from ganlab.loggers import CSVLog
from ganlab.losses import Nonsaturating
from ganlab.networks import dcgan
from ganlab.nn.randomness import keyed_generator
from ganlab.systems import GAN
from ganlab.systems.trainer import make_trainer, quieten

BATCH, WARM_UP = 64, 5


def commit():
    """Of the checkout that is measured; asked of git, since an older one keeps it elsewhere."""
    words = ["git", "describe", "--always", "--abbrev=12", "--exclude=*", "--dirty=+"]
    root = Path(sys.modules["ganlab"].__file__).parents[1]
    return subprocess.run(
        words, cwd=root, capture_output=True, text=True, check=True
    ).stdout.strip()


class Stopwatch(Callback):
    """CPU seconds of this process from the end of the warm-up to the end of training."""

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        if pl_module.images_seen == WARM_UP * BATCH:
            self.started = time.process_time()
        self.seconds = time.process_time() - getattr(self, "started", time.process_time())


def networks(width):
    torch.manual_seed(0)
    return dcgan.Generator(32, 1, 100, width), dcgan.Discriminator(32, 1, width)


def bare(data, width, steps):
    """The loop a person would write for this one case."""
    generator, discriminator = networks(width)
    average = deepcopy(generator).eval().requires_grad_(False)
    of_generator = torch.optim.Adam(generator.parameters(), lr=2e-4, betas=(0.5, 0.999))
    of_discriminator = torch.optim.Adam(discriminator.parameters(), lr=2e-4, betas=(0.5, 0.999))
    stream = iter(ImageStream(len(data.dataset), BATCH, seed=0))
    for step in range(steps):
        if step == WARM_UP:
            started = time.process_time()
        real = data.dataset.images(next(stream)[0]).float() / 127.5 - 1
        seen = step * BATCH
        with torch.no_grad():
            z = generator.sample_latents(BATCH, keyed_generator("discriminator", 0, seen))
            fake = generator(z)
        loss = F.softplus(-discriminator(real)).mean() + F.softplus(discriminator(fake)).mean()
        of_discriminator.zero_grad(set_to_none=True)
        loss.backward()
        of_discriminator.step()
        z = generator.sample_latents(BATCH, keyed_generator("generator", 0, seen))
        discriminator.requires_grad_(False)
        loss = F.softplus(-discriminator(generator(z))).mean()
        of_generator.zero_grad(set_to_none=True)
        loss.backward()
        discriminator.requires_grad_(True)
        of_generator.step()
        with torch.no_grad():
            beta = 0.5 ** (BATCH / min(10_000.0, 0.05 * (seen + BATCH)))
            pairs = zip(average.parameters(), generator.parameters(), strict=True)
            for slow, fast in pairs:
                slow.lerp_(fast, 1 - beta)
            for slow, fast in zip(average.buffers(), generator.buffers(), strict=True):
                slow.copy_(fast)
    return time.process_time() - started, average, discriminator


def framework(data, width, steps, directory):
    """The same run through the product, watched as a real run is."""
    generator, discriminator = networks(width)
    optimizer = partial(torch.optim.Adam, lr=2e-4, betas=(0.5, 0.999))
    system = GAN(
        generator, discriminator, Nonsaturating(), optimizer, optimizer, kimg=steps * BATCH / 1000
    )
    watch = Stopwatch()
    watching = [Progress(1.0), Throughput(1.0), Health(1.0), MetricsLog(1.0)]
    data.position = 0
    trainer = make_trainer(
        "cpu", callbacks=[*watching, watch], loggers=[CSVLog(directory)], directory=str(directory)
    )
    trainer.fit(system, datamodule=data)
    return watch.seconds, system.generator_ema, system.discriminator


def largest_difference(one, other):
    pairs = zip(one.state_dict().values(), other.state_dict().values(), strict=True)
    return max(float((a.double() - b.double()).abs().max()) for a, b in pairs)


def measured(data, width, steps):
    """One round: seconds of either, and how far apart their weights ended."""
    bare_seconds, *plain = bare(data, width, steps)
    with tempfile.TemporaryDirectory() as directory:
        seconds, *ours = framework(data, width, steps, Path(directory))
    gap = max(map(largest_difference, plain, ours))
    assert gap <= 1e-6, f"not the same work: weights differ by {gap}"
    return {"bare": bare_seconds, "framework": seconds, "gap": gap}


def measured_of(checkout, width, steps):
    """A round of another checkout, or of this, in a process of its own; what it is, beside."""
    words = [sys.executable, __file__, f"--width={width}", f"--steps={steps}", "--answer"]
    environment = os.environ | {"PYTHONPATH": str(checkout)}
    done = subprocess.run(words, cwd=checkout, env=environment, stdout=subprocess.PIPE, check=True)
    found = json.loads(done.stdout.splitlines()[-1])
    if (package := Path(found["package"])).parents[1] != checkout:
        sys.exit(f"{checkout} holds no ganlab: {package} was imported")
    return found


def answer(data, width, steps):
    """The other side of `measured_of`: one round, after one in which all is cold."""
    measured(data, width, WARM_UP + 3)
    about = {"package": sys.modules["ganlab"].__file__, "commit": commit()}
    print(json.dumps(about | measured(data, width, steps)))


def in_turns(sides, rounds):
    """Rounds of each side, which begins alternately."""
    found = {name: [] for name in sides}
    for number in range(rounds):
        for name in list(sides)[:: 1 if number % 2 else -1]:
            one = sides[name]()
            found[name].append(one)
            ratio = one["framework"] / one["bare"]
            print(
                f"{name:7} bare {one['bare']:.2f} s  framework {one['framework']:.2f} s  "
                f"ratio {ratio:.3f}",
                flush=True,
            )
    return found


def ratios(rounds):
    """Of every round, and their median."""
    found = [one["framework"] / one["bare"] for one in rounds]
    return {"cpu_time_ratios": found, "cpu_time_ratio": statistics.median(found)}


def compared(options):
    """This checkout and the one beside it, if there is one, in turns."""
    checkouts = {"here": Path(__file__).parents[1]}
    checkouts |= {"beside": options.beside.resolve()} if options.beside else {}
    sides = {
        name: partial(measured_of, checkout, options.width, options.steps)
        for name, checkout in checkouts.items()
    }
    found = in_turns(sides, options.rounds)
    ours = {**ratios(found["here"]), "largest_weight_difference": largest_gap(found["here"])}
    if not options.beside:
        return ours
    others = ratios(found["beside"]) | {"commit": found["beside"][0]["commit"]}
    others["difference"] = ours["cpu_time_ratio"] - others["cpu_time_ratio"]
    return ours | {"beside": others}


def largest_gap(rounds):
    return max(one["gap"] for one in rounds)


def options_of(words):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--width", type=int, default=64)
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--out", type=Path, help="write the result as JSON to this file")
    parser.add_argument("--beside", type=Path, help="another checkout, measured in turns with this")
    parser.add_argument("--answer", action="store_true", help=argparse.SUPPRESS)
    return parser.parse_args(words)


def main():
    options = options_of(sys.argv[1:])
    if options.answer:
        quieten()
        data = synthetic(num=2048, resolution=32, channels=1, batch_size=BATCH, flip=False, seed=0)
        data.prepare_data()
        data.setup("fit")
        return answer(data, options.width, options.steps)
    found = compared(options)
    words = [f"--width {options.width} --steps {options.steps} --rounds {options.rounds}"]
    words += [f"--beside {options.beside}"] if options.beside else []
    result = {
        "command": " ".join(["python benchmarks/overhead.py", *words]),
        "commit": commit(),
        "seed": 0,
        "n": options.rounds,
        "threads": torch.get_num_threads(),
        "batch_size": BATCH,
        "torch": torch.__version__,
        **found,
    }
    report(result, options.out)
    return None


if __name__ == "__main__":
    main()
