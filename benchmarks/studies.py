"""Studies of neurons at scale: what rates of a 1024 px StyleGAN2 cost, and what detection keeps.

    python benchmarks/studies.py          # config F, random weights, one thread: ten minutes
    python benchmarks/studies.py --quick  # an eighth of its width

Counting on all layers stands beside generating the same images in turns of one run. The memory of
counting is that of processes that count few and many latents; that of detection is what a study of
a tiny network, run whole, takes to rank ten thousand and a million images. Each peak is above what
its process held before. A detection that is stopped in the midst of its counting and run again must
rank as one that was not.
"""

import argparse
import resource
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from contextlib import contextmanager
from pathlib import Path

import torch
from lightning import Trainer
from results import report

from ganlab.data.no_images import NoImages
from ganlab.networks import stylegan2
from ganlab.run import recipe
from ganlab.runs.provenance import commit
from ganlab.sampling import Sampler
from ganlab.studies import ArtifactDetection, Study
from ganlab.studies.neurons.counting import Counting
from ganlab.studies.neurons.detection import Ranking
from ganlab.systems.trainer import quieten

SEED, BATCH = 0, 2
ASKED = {"16x16/0": 3, "32x32/0": 5}  # deepest layers of the paper's sets -> layers up to there
COUNTED = 4, 32  # latents
RANKED = 10_000, 1_000_000  # images
STOPPED_AT = 11_000  # of 20,000 latents
BARS = {"rates_over_generation": 1.15, "detection_mib_added": 100}


def network(width, resolution=1024):
    torch.manual_seed(SEED)
    return stylegan2.Generator(resolution, 3, 512, 512, width, 16 * width, 8).eval()


def counter(generator, layers=None, near_zero=False):
    names = list(generator.layers)[:layers]
    return Counting(Sampler(generator, SEED, batch_size=BATCH), names, near_zero)


def images(generator, num):
    for _ in Sampler(generator, SEED, batch_size=BATCH).batches(range(num)):
        pass


def seconds(way):
    started = time.process_time()
    way()
    return time.process_time() - started


def rates(width, num, rounds):
    """CPU seconds over those of the images: rates of all layers, with near-zero counts, of few."""
    generator = network(width)
    counters = {"rates": counter(generator), "rates_and_near_zero": counter(generator, None, True)}
    counters |= {f"up_to_{name}": counter(generator, layers) for name, layers in ASKED.items()}
    ways = {name: lambda each=each: each.feed(range(num)) for name, each in counters.items()}
    ways["generation"] = lambda: images(generator, num)
    for way in ways.values():
        way()  # memory is asked for once
    rows = []
    for i in range(rounds):
        order = list(ways)[i % len(ways) :] + list(ways)[: i % len(ways)]
        rows.append({name: seconds(ways[name]) for name in order})
        print(" ".join(f"{name} {value:.2f} s" for name, value in rows[-1].items()))
    base = statistics.median(row["generation"] for row in rows)
    found = {f"{n}_over_generation": statistics.median(r[n] for r in rows) / base for n in counters}
    return {"cpu_seconds": rows, "seconds_an_image": base / num, **found}


def peak_mib():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def detection(num, folder, stop=None, num_latents=1000):
    """`study=artifact_detection` of a tiny network, whole, or stopped after so many latents."""
    words = ["data=synthetic", "data.resolution=32", "model.generator.hidden=[8]"]
    system = recipe("vanilla", *words, "model.generator.latent_dim=4")
    asked = {"num_latents": num_latents, "num_samples": num, "num": 2000, "batch_size": 1000}
    study = Study(ArtifactDetection(directory=folder, num_shown=16, **asked))
    with interrupted(system.generator_ema, stop):
        silent = dict.fromkeys(("enable_progress_bar", "enable_model_summary"), False)
        trainer = Trainer(accelerator="cpu", logger=False, callbacks=[study], **silent)
        trainer.test(system, datamodule=NoImages(32, 3), verbose=False)


class Stopped(Exception):  # noqa: N818 - as Ctrl-C is none of the network's errors
    """The study ends here."""


@contextmanager
def interrupted(generator, after):
    """Inside the block the network raises once it was given more than so many latents."""
    given = []

    def count(module, inputs):
        given.append(len(inputs[0]))
        if after is not None and sum(given) > after:
            raise Stopped

    handle = generator.register_forward_pre_hook(count)
    try:
        yield
    finally:
        handle.remove()


def resumed():
    """Whether 20,000 latents, stopped once while they are counted, are ranked all the same."""
    rankings = []
    for stops in ((None,), (STOPPED_AT, None)):
        torch.manual_seed(SEED)
        state = torch.get_rng_state()
        with tempfile.TemporaryDirectory() as folder:
            for stop in stops:
                torch.set_rng_state(state)  # the same random weights
                try:
                    detection(20_000, folder, stop, 20_000)
                except Stopped:
                    assert (Path(folder) / "rates.partial.safetensors").is_file(), "nothing kept"
            rankings.append(Ranking.load(folder))
    one, two = rankings
    return torch.equal(one.index, two.index) and torch.equal(one.count, two.count)


def child(what, num, width):
    """In a process of its own: print by how many MiB the peak rose."""
    if what == "counting":
        generator = network(width)
        before = peak_mib()
        counter(generator, None, True).feed(range(num))
    else:
        before = peak_mib()
        with tempfile.TemporaryDirectory() as folder:
            detection(num, folder)
    print(peak_mib() - before)


def peak(what, num, width):
    command = [sys.executable, __file__, "--child", what, str(num), "--width", str(width)]
    out = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    print(f"{what} {num}: {float(out.split()[-1]):.0f} MiB")
    return float(out.split()[-1])


def measured(options):
    result = {
        "command": f"python benchmarks/studies.py --width {options.width} --num {options.num} "
        f"--rounds {options.rounds}",
        "commit": commit(),
        "seed": SEED,
        "n": options.num,
        "threads": torch.get_num_threads(),
        "batch_size": BATCH,
        "torch": torch.__version__,
        "width": options.width,
    }
    small = max(1, options.width // 8)  # a child starts with its parent's peak: children first
    few, many = (peak("counting", num, small) for num in COUNTED)
    thousands, million = (peak("detection", num, 1) for num in RANKED)
    result["counting"] = {
        "n": COUNTED,
        "width": small,
        "peak_mib": [few, many],
        "peak_growth": many / few,
    }
    result["detection"] = {
        "n": RANKED,
        "peak_mib": [thousands, million],
        "mib_added": million - thousands,
        "resumed_alike": resumed(),
    }
    result["rates"] = rates(options.width, options.num, options.rounds)
    result["bars"] = BARS
    result["below"] = result["rates"]["rates_over_generation"] <= BARS["rates_over_generation"]
    result["below"] &= result["detection"]["mib_added"] <= BARS["detection_mib_added"]
    return result


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--width", type=int, default=32, help="channels at 1024 px; 32: config F")
    parser.add_argument("--num", type=int, default=8, help="latents that are timed")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--quick", action="store_true", help="the same as --width 4")
    parser.add_argument("--out", type=Path, help="write the result as JSON to this file")
    parser.add_argument("--child", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    options.width = 4 if options.quick else options.width
    torch.set_num_threads(1)
    quieten()
    warnings.simplefilter("ignore")
    if options.child:
        child(options.child[0], int(options.child[1]), options.width)
        return
    result = measured(options)
    report(result, options.out)
    sys.exit(not (result["below"] and result["detection"]["resumed_alike"]))


if __name__ == "__main__":
    main()
