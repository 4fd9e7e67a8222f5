"""CPU time of the framework's training step over a bare PyTorch loop's, same work in one run.

    python benchmarks/overhead.py                 # DCGAN, width 64, batch 64, 32x32, one channel

Both train from the same seed on the same images and latents, in turns, and must end at the same
weights to 1e-6; then the ratio of their process CPU times is printed, and its median.
"""

import argparse
import json
import statistics
import tempfile
import time
from copy import deepcopy
from functools import partial
from pathlib import Path

import torch
from lightning import Callback
from torch.nn import functional as F

from ganlab.callbacks import Health, MetricsLog, Progress, Throughput
from ganlab.data import synthetic
from ganlab.data.sampler import ImageStream
from ganlab.loggers import CSVLog
from ganlab.losses import Nonsaturating
from ganlab.networks import dcgan
from ganlab.nn.randomness import keyed_generator
from ganlab.provenance import commit
from ganlab.systems import GAN
from ganlab.systems.trainer import make_trainer, quieten

BATCH, WARM_UP = 64, 5


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


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--width", type=int, default=64)
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--out", type=Path, help="write the result as JSON to this file")
    options = parser.parse_args()
    quieten()
    data = synthetic(num=2048, resolution=32, channels=1, batch_size=BATCH, flip=False, seed=0)
    data.prepare_data()
    data.setup("fit")
    ratios = []
    for _ in range(options.rounds):
        bare_seconds, *plain = bare(data, options.width, options.steps)
        with tempfile.TemporaryDirectory() as directory:
            seconds, *ours = framework(data, options.width, options.steps, Path(directory))
        gap = max(map(largest_difference, plain, ours))
        assert gap <= 1e-6, f"not the same work: weights differ by {gap}"
        ratios.append(seconds / bare_seconds)
        print(f"bare {bare_seconds:.2f} s  framework {seconds:.2f} s  ratio {ratios[-1]:.3f}")
    result = {
        "command": "python benchmarks/overhead.py "
        f"--width {options.width} --steps {options.steps} --rounds {options.rounds}",
        "commit": commit(),
        "seed": 0,
        "threads": torch.get_num_threads(),
        "batch_size": BATCH,
        "torch": torch.__version__,
        "cpu_time_ratios": ratios,
        "cpu_time_ratio": statistics.median(ratios),
        "largest_weight_difference": gap,
    }
    print(json.dumps(result, indent=2))
    if options.out:
        options.out.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
