"""What a GPU makes of the training steps, in one command of under nine minutes.

    make bench-gpu                                        # writes outputs/gpu.json
    python benchmarks/gpu.py --device cpu --small         # toys, in a minute: no numbers

Every part is a process with a limit of its own, so that one that fails or takes too long leaves the
others theirs; what is left out says why. Training is that of `trainer=gpu` on synthetic images,
whole cycles of the lazy penalties after one of warm-up; the clock is the wall's.
"""

import argparse
import json
import resource
import subprocess
import sys
import time
from pathlib import Path

import torch
from hydra import compose, initialize_config_dir
from lightning import Callback
from omegaconf import OmegaConf
from train_step import Clock, bare, framework, prepared

from ganlab.cli import conf_dir, register_resolvers
from ganlab.runs.provenance import commit
from ganlab.sampling import Sampler
from ganlab.studies.neurons.counting import Counting
from ganlab.systems.speed import Speed
from ganlab.systems.trainer import make_trainer, quieten

TOTAL = 530.0  # seconds of all parts
CYCLE = 16  # steps after which every lazy penalty was due
PLAIN = ["trainer.precision=32-true", "trainer.compile=null"]
PAPER = ["model.generator.latent_dim=512", "model.generator.style_dim=512"]
WIDE = ["model.generator.max_width=512", "model.discriminator.max_width=512"]


def sized(width, *words):
    widths = [f"model.{each}.width={width}" for each in ("generator", "discriminator")]
    return [*widths, *WIDE, *words]


HALF = (256, 32, sized(64, *PAPER, "model.generator.mapping_layers=8"))  # config F at half width
FULL = (1024, 16, sized(32, *PAPER, "model.generator.mapping_layers=8"))  # config F
TRAININGS = {  # part -> model, (resolution, batch, words), words of the trainer
    "stylegan2_256": ("stylegan2", HALF, []),
    "stylegan2_1024": ("stylegan2", FULL, []),
    "stylegan2_256_without_compile": ("stylegan2", HALF, ["trainer.compile=null"]),
    "stylegan2_256_cuda_graphs": ("stylegan2", HALF, ["trainer.compile=cudagraphs"]),
    "stylegan2_256_tf32": ("stylegan2", HALF, PLAIN),
    "stylegan2_256_float32": ("stylegan2", HALF, [*PLAIN, "trainer.tf32=false"]),
    "stylegan2_256_recomputed": (
        "stylegan2",
        (*HALF[:2], [*HALF[2], "model.generator.recompute_blocks=true"]),
        ["trainer.compile=null"],
    ),
    "stylegan_1024": ("stylegan", (1024, 16, sized(16, *PAPER)), ["trainer.compile=null"]),
    "progan_1024": (
        "progan",
        (1024, 16, sized(16, "model.generator.latent_dim=512")),
        ["trainer.compile=null"],
    ),
}
LIMITS = {"stylegan2_256": 100, "stylegan2_1024": 120}  # seconds; of the others:
LIMIT = 55


class Timed(Callback):
    """Trains for whole cycles until its seconds are over, after one cycle of warm-up."""

    def __init__(self, device, seconds, profiling):
        self.clock, self.budget = Clock(device), seconds
        self.seconds, self.steps, self.profile = 0.0, 0, None
        self.profiling = profiling

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        done = pl_module.steps - CYCLE - 1
        if done == 0:
            self.clock.start()
        elif done > 0 and done % CYCLE == 0 and self.profile is None:
            self.seconds, self.steps = self.clock.seconds(), done
            if self.seconds < self.budget:
                return
            if not self.profiling:
                trainer.should_stop = True
                return
            kinds = torch.profiler.ProfilerActivity
            kind = kinds.CPU if self.clock.device == "cpu" else kinds.CUDA
            self.profile = torch.profiler.profile(activities=[kind])
            self.profile.__enter__()
        elif self.profile is not None and (done % CYCLE == 0 or self.clock.device == "cpu"):
            self.profile.__exit__(None, None, None)  # of a whole cycle, on a CPU of a step
            trainer.should_stop = True


def shrunk(size, small):
    """Toys in the place of a size."""
    if not small:
        return size
    tiny = [w.split("=")[0] + "=8" for w in size[2] if "width" in w or "_dim" in w]
    return 16, 4, [*tiny, *(w for w in size[2] if "recompute" in w)]


def made(model, size, options):
    """A system, its data and its batch size."""
    resolution, batch, own = shrunk(size, options.small)
    given = ["data.num=256", f"data.resolution={resolution}", "data.channels=3"]
    return *prepared(model, batch, "synthetic", [*given, *own]), batch


def trainer_settings(words, options):
    """Of `trainer=gpu`, under these words."""
    register_resolvers()
    if options.device == "cpu":
        words = [word for word in words if not word.endswith("=cudagraphs")]
        words = ["trainer.accelerator=cpu", "trainer.compile=eager", *words]
    with initialize_config_dir(str(conf_dir()), version_base="1.3"):
        node = compose("train", ["model=dcgan", "data=synthetic", "trainer=gpu", *words]).trainer
    settings = OmegaConf.to_container(node)
    del settings["_target_"]
    return settings


def top_ten(profile, device):
    """The kernels that take longest, by their own time."""
    time_of = f"self_{'cpu' if device == 'cpu' else 'device'}_time_total"
    events = [(getattr(each, time_of), each.key) for each in profile.key_averages()]
    whole = sum(spent for spent, _ in events) or 1
    return [{"name": key, "share": spent / whole} for spent, key in sorted(events)[:-11:-1]]


def training(part, options):
    """Seconds a thousand images, peak memory, and of the first part where the time goes."""
    model, size, words = TRAININGS[part]
    system, data, batch = made(model, size, options)
    system.kimg = 1e9
    budget = 0.1 if options.small else 15.0
    watch = Timed(options.device, budget, part == "stylegan2_256")
    make_trainer(**trainer_settings(words, options), callbacks=[watch]).fit(system, datamodule=data)
    found = {
        "seconds_per_kimg": 1000 * watch.seconds / (watch.steps * batch),
        "peak_mib": peak_mib(options.device),
        "batch": batch,
        "steps": watch.steps,
    }
    return found | ({"top_ten": top_ten(watch.profile, options.device)} if watch.profiling else {})


def peak_mib(device):
    if device == "cpu":
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return torch.cuda.max_memory_allocated() / 2**20


def counting(part, options):
    """Images a second, alone and with all layers counted."""
    system, _, batch = made("stylegan2", HALF, options)
    generator = system.generator_ema.to(options.device)
    num, clock, found = (16 if options.small else 2_000), Clock(options.device), {}

    def plain(some):
        for _ in Sampler(generator, 0, batch_size=batch).batches(some):
            pass

    def counted(some):
        counts = Counting(Sampler(generator, 0, batch_size=batch), list(generator.layers), True)
        counts.feed(some)

    for name, way in (("sampling", plain), ("rates", counted)):
        way(range(batch))
        clock.start()
        way(range(num))
        found[f"{name}_images_per_second"] = num / clock.seconds()
    plain_rate, counted_rate = found.values()
    return found | {"rates_over_sampling": plain_rate / counted_rate}


def overhead(part, options):
    """Seconds of the framework's step over those of a bare loop, in float32, in turns."""
    clock, seconds = Clock(options.device), {"bare": [], "framework": []}
    for _ in range(1 if options.small else 2):
        for name, way in (("bare", bare), ("framework", framework)):
            Speed.round_products(tf32=False)
            system, data, _ = made("stylegan2", HALF, options)
            seconds[name].append(way(system, data, CYCLE, clock))
    least = {name: min(each) for name, each in seconds.items()}
    return {"seconds": least, "framework_over_bare": least["framework"] / least["bare"]}


PARTS = {**dict.fromkeys(TRAININGS, training), "rates": counting, "overhead": overhead}


def in_child(part, options, left):
    """A part's answer, or why there is none; of toys in this process, which spares its imports."""
    if options.small:
        return PARTS[part](part, options)
    limit = min(LIMITS.get(part, LIMIT), left)
    if limit < 10:
        return {"left_out": f"no time was left of {TOTAL:.0f} s"}
    command = [sys.executable, __file__, "--device", options.device, "--part", part]
    try:
        answer = subprocess.run(command, capture_output=True, text=True, timeout=limit, check=False)
    except subprocess.TimeoutExpired:
        return {"left_out": f"took longer than {limit:.0f} s"}
    if answer.returncode:
        return {"left_out": (answer.stderr.strip().splitlines() or ["it said nothing"])[-1][:300]}
    return json.loads(answer.stdout.splitlines()[-1])


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cuda", choices=["cpu", "cuda"])
    parser.add_argument("--small", action="store_true", help="toys: shows that it works")
    parser.add_argument("--out", type=Path, help="write the result as JSON")
    parser.add_argument("--part", choices=[*PARTS], help="one part, in this process")
    options = parser.parse_args(arguments)
    quieten()
    if options.part:
        print(json.dumps(PARTS[options.part](options.part, options)), flush=True)
        return
    if options.device == "cuda" and not torch.cuda.is_available():
        sys.exit("torch sees no GPU here: --device cpu --small shows that it works")
    name = "cpu" if options.device == "cpu" else torch.cuda.get_device_name()
    result = {"commit": commit(), "device": name, "torch": torch.__version__, "parts": {}}
    result["small"], started = options.small, time.monotonic()
    for part in PARTS:
        found = in_child(part, options, TOTAL - (time.monotonic() - started))
        result["parts"][part] = found
        print(part, json.dumps(found, indent=1 if "top_ten" in found else None), flush=True)
        if options.out:
            options.out.parent.mkdir(parents=True, exist_ok=True)
            options.out.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
