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
import random
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from copy import deepcopy
from pathlib import Path

import torch
from hydra import compose, initialize_config_dir
from lightning import Callback
from omegaconf import open_dict

from ganlab.callbacks import Health, MetricsLog, Progress, Throughput
from ganlab.cli import conf_dir, register_resolvers
from ganlab.config import build
from ganlab.data.batch import Batch
from ganlab.data.sampler import ImageStream
from ganlab.loggers import CSVLog
from ganlab.losses.variational import kl_divergence, reparameterize, squared_error
from ganlab.nn.growing import Stage
from ganlab.nn.masks import crops
from ganlab.nn.style import mix
from ganlab.provenance import commit
from ganlab.recipes import build_system, checked
from ganlab.systems.semantic import repeated
from ganlab.systems.trainer import make_trainer, quieten

WARM_UP = 4  # steps before the clock starts: allocations, lazily built kernels


def models():
    return sorted(p.stem for p in (conf_dir() / "model").glob("*.yaml") if p.stem[0] != "_")


def prepared(name, batch_size):
    """The system of a small preset at its last stage, and its data."""
    register_resolvers()
    words = [f"model={name}", "data=fashion_mnist", f"data.batch_size={batch_size}"]
    with initialize_config_dir(str(conf_dir()), version_base="1.3"):
        config = compose("train", words)
    with open_dict(config):
        config.run_dir = "unused"
    settings = checked(config, "train")
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


def descend(optimizer, loss):
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    optimizer.step()


@torch.no_grad()
def follow(average, network, beta=0.998):
    for slow, fast in zip(average.parameters(), network.parameters(), strict=True):
        slow.lerp_(fast, 1 - beta)
    for slow, fast in zip(average.buffers(), network.buffers(), strict=True):
        slow.copy_(fast)


class BareAutoencoder:
    def __init__(self, system):
        self.encoder, self.decoder, self.weight = system.encoder, system.generator, system.kl_weight
        self.averages = [deepcopy(self.encoder), deepcopy(self.decoder)]
        self.optimizer = system.optimizer([*self.encoder.parameters(), *self.decoder.parameters()])

    def __call__(self, images, count):
        mean, log_variance = self.encoder(images)
        code = reparameterize(mean, log_variance, torch.randn_like(mean))
        error = squared_error(self.decoder(code), images)
        descend(self.optimizer, error + self.weight * kl_divergence(mean, log_variance))
        for average, network in zip(self.averages, (self.encoder, self.decoder), strict=True):
            follow(average, network)


class BareAdversary:
    def __init__(self, system):
        self.system, self.generator = system, system.generator
        self.discriminator, self.loss = system.discriminator, system.loss
        self.average = deepcopy(self.generator)
        if hasattr(system.conditioner, "attach"):
            system.conditioner.attach(system)
        self.of_generator = system.generator_optimizer(self.generator.parameters())
        self.of_discriminator = system.discriminator_optimizer(self.discriminator.parameters())

    def latents(self, n):
        latents = self.generator.sample_latents(n, torch.default_generator)
        return latents.to(next(self.generator.parameters()).device)

    def styles(self, latents, condition, updating=False):
        """Mixed styles; the latents themselves where there are none."""
        if not hasattr(self.generator, "map"):
            return latents
        styles = self.generator.map(latents, condition)
        if updating:
            self.generator.update_mean_style(styles)
        if not (probability := self.system.mixing_probability):
            return styles
        layers = torch.randint(1, self.generator.num_styles, (len(styles),))
        layers[torch.rand(len(styles)) >= probability] = self.generator.num_styles
        other = self.generator.map(self.latents(len(styles)), condition)
        return mix(styles, other, layers.to(styles.device))

    def painted(self, styles, condition):
        if not hasattr(self.generator, "map"):
            return self.generator(styles, condition)
        return self.generator.synthesize(styles, noise="random")

    def told(self, images):
        """The images of a step and what the networks are told of them."""
        conditioner, n = self.system.conditioner, len(images)
        if not hasattr(conditioner, "stages"):
            return images, conditioner(Batch(images, None, torch.arange(n)))[1]
        kept, level = images[: n // 2], random.choice(conditioner.names)
        crop = None
        if random.random() < conditioner.crop_probability:
            crop = crops(torch.rand(len(kept), 4), images.shape[-1], *conditioner.crop)
        return torch.cat([kept, kept]), repeated(conditioner.condition(kept, level, crop))

    def penalties(self, group, count):
        """(times, penalty) of those due at this step."""
        for name, penalty in group.items():
            every = self.system.intervals.get(name, 1)
            if count % every == 0:
                yield every, penalty

    def __call__(self, images, count):
        device = images.device
        images, condition = self.told(images)
        n, real = len(images), self.discriminator.views(images)
        with torch.no_grad():
            fake = self.painted(self.styles(self.latents(n), condition), condition)
        answers = self.discriminator(real, condition), self.discriminator(fake, condition)
        loss = self.loss.discriminator(*answers)
        lazy = []
        for every, penalty in self.penalties(self.system.penalties, count):
            term = penalty(
                self.discriminator, real, fake, condition, lambda m: torch.rand(m, device=device)
            )
            lazy += [every * term] if every > 1 else []
            loss = loss + term if every == 1 else loss
        for term in [loss, *lazy]:
            descend(self.of_discriminator, term)
        self.discriminator.requires_grad_(False)
        self.step_generator(real, n, condition, count)
        self.discriminator.requires_grad_(True)
        follow(self.average, self.generator)

    def step_generator(self, real, n, condition, count):
        latents = self.latents(n)
        fake = self.painted(self.styles(latents, condition, updating=True), condition)
        answer = self.discriminator(fake, condition)
        relative = getattr(self.loss, "relativistic", False)
        other = self.discriminator(real, condition) if relative else None
        loss = self.loss.generator(answer, other)
        for penalty in self.system.image_penalties.values():
            loss = loss + penalty(fake, latents, condition, self.system.conditioner.stages)
        descend(self.of_generator, loss)

        def normal(shape):
            return torch.randn(shape, device=answer.device)

        for every, penalty in self.penalties(self.system.generator_penalties, count):
            styles = self.styles(self.latents(n), condition)
            term = penalty(self.generator, styles, condition, normal)
            descend(self.of_generator, every * term)


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
