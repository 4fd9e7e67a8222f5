"""How cost grows with resolution, batch and parameters; with rates, cells and ranks.

    python benchmarks/growth.py --quick               # every model, a quarter of an hour of a core
    python benchmarks/growth.py stylegan2 --memory 20   # one, up to what 20 GiB hold
    python benchmarks/growth.py --estimate              # a paper's run on eight GPUs, on paper

Each point is a process of its own with one thread: CPU seconds of a training step of a small preset
on drawn images, with the penalties that fall into it, and peak memory above the libraries'. An axis
ends where the memory does, or where a step would take longer than `--seconds`. An exponent is the
slope of the last three points in log-log scale; what does not grow weighs on the first ones.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import numpy as np

PARTS = ("generator", "discriminator", "encoder", "decoder")
AXES = {
    "resolution": [32, 64, 128, 256, 512, 1024],  # px
    "batch": [4, 8, 16, 32],
    "width": [0.5, 1, 2, 4],  # times the preset's
}
QUICK = {"resolution": [32, 64, 128], "batch": [8, 16, 32], "width": [0.5, 1, 2]}
BATCH, WARM_UP, STEPS, SEED, GIB = 8, 1, 4, 0, 2**30
MEMORY_ENDED = ("not enough memory", "MemoryError", "Cannot allocate memory")


def exponent(x, y):
    """Slope of the last three points, both axes in logarithms."""
    return float(np.polyfit(np.log(x[-3:]), np.log(y[-3:]), 1)[0])


def widths(name, times):
    """Words that make a preset's networks so many times as wide; none where it has no width."""
    from omegaconf import OmegaConf

    from ganlab.cli import conf_dir

    model = OmegaConf.to_container(OmegaConf.load(conf_dir() / "model" / f"{name}.yaml"))
    return [
        f"model.{part}.{key}={round(times * model[part][key])}"
        for part in PARTS
        for key in ("width", "max_width")
        if isinstance(model.get(part, {}).get(key), int)
    ]


def step_of(name, axis, size):
    """One point: what a step takes, in this process."""
    import torch
    import train_step
    from memory import peak_mib

    torch.set_num_threads(1)
    train_step.quieten()
    train_step.WARM_UP = WARM_UP
    batch = int(size) if axis == "batch" else BATCH
    words = [f"data.num={batch}", f"data.resolution={int(size) if axis == 'resolution' else 32}"]
    words += widths(name, size) if axis == "width" else []
    before = peak_mib()
    system, data = train_step.prepared(name, batch, "synthetic", words)
    seconds = train_step.framework(system, data, STEPS, train_step.Clock("cpu")) / STEPS
    parameters = sum(p.numel() for p in system.parameters())
    return {"seconds": seconds, "peak_mib": peak_mib() - before, "parameters": parameters}


def in_child(name, axis, size, gib):
    """A point, or None where the memory does not suffice."""

    def limited():
        resource.setrlimit(resource.RLIMIT_DATA, (int(gib * GIB),) * 2)

    command = [sys.executable, __file__, "--child", name, axis, str(size)]
    answer = subprocess.run(
        command, capture_output=True, text=True, check=False, preexec_fn=limited
    )
    if answer.returncode == 0:
        return json.loads(answer.stdout.splitlines()[-1])
    if any(text in answer.stderr for text in MEMORY_ENDED):
        return None
    sys.exit(f"{name}, {axis} {size}:\n{answer.stderr or f'ended by {-answer.returncode}'}")


def walk(measure, sizes, seconds):
    """Points of an axis, and why it ended: memory, time, or its last size."""
    found, ended = [], "the last size"
    for size in sizes:
        if len(found) > 1:
            grown = found[-1]["seconds"] ** 2 / found[-2]["seconds"]  # as the last two grew
            if grown > seconds:
                ended = f"{size:g} would take longer than {seconds:g} s a step"
                break
        point = measure(size)
        if point is None:
            ended = f"{size:g} does not fit"
            break
        found.append({"size": size, **point})
    return found, ended


def curve(measure, sizes, seconds, against="size"):
    """An axis with the exponents of time and, where it is measured, memory."""
    points, ended = walk(measure, sizes, seconds)
    keys = [key for key in ("seconds", "peak_mib") if points and key in points[0]]
    x = [point[against] for point in points]
    slopes = {k: exponent(x, [p[k] for p in points]) for k in keys} if len(x) > 1 else {}
    return {"against": against, "points": points, "ended": ended, "exponents": slopes}


def of_model(name, axes, options):
    """Every axis of one model."""
    found = {}
    for axis, sizes in axes.items():
        if axis == "width" and not widths(name, 1):
            continue  # its layers are listed one by one
        against = "parameters" if axis == "width" else "size"
        measure = partial(in_child, name, axis, gib=options.memory)
        found[axis] = curve(measure, sizes, options.seconds, against)
        print(name, axis, json.dumps(found[axis]["exponents"]), found[axis]["ended"], flush=True)
    return found


def of_laboratory(options):
    """Latents whose rates are counted, cells of a grid, ranks of a training."""
    import cells
    import ranks
    import rates

    def counted(num):
        return {"seconds": rates.seconds("ours", generator, int(num))[0]}

    def planned(count):
        before = cells.used(resource.RUSAGE_CHILDREN)
        with tempfile.TemporaryDirectory() as folder:
            cells.seconds_of_cells(int(count), folder)
        return {"seconds": cells.used(resource.RUSAGE_CHILDREN) - before}

    def shared(world):
        given = SimpleNamespace(steps=STEPS, width=8, resolution=32, world=int(world))
        return {"seconds": ranks.seconds("alone" if world == 1 else "ours", given)[0]}

    generator = rates.network("dcgan", 16)
    rates.seconds("ours", generator, 200)
    axes = {
        "rates": (counted, [500, 1000, 2000, 4000]),
        "cells": (planned, [2, 4, 8, 16]),
        "ranks": (shared, [1, 2, 4]),
    }
    return {name: curve(*each, seconds=float("inf")) for name, each in axes.items()}


# What is assumed of a paper's run; the rest is counted.
GPUS, KIMG, PEAK, SHARE, PRICE = 8, 25_000, 494.7e12, 0.25, 3.5
PNG, CHECKPOINTS = 1.3e6, 3  # bytes of a photograph of 1024 px; files kept


def estimate():
    """StyleGAN2's config F at 1024 px: hours, money and disk, from FLOPs of one image's passes."""
    import memory
    import peers

    given, flop = SimpleNamespace(resolution=1024, batch=1), 0.0
    pair = memory.networks(given, False)
    for name, every in peers.EVERY.items():
        with peers.Recorder() as recorder:
            peers.one_pass(pair, lambda n: memory.PASSES[n](*pair, given), name)
        shrink = 2 if name == "path_length" else 1  # it sees half the batch
        flop += recorder.flop / every / shrink
    return on_paper(flop, *(sum(p.numel() for p in each.parameters()) for each in pair))


def on_paper(flop, of_generator, of_discriminator):
    """The arithmetic: FLOPs an image and parameters -> hours, money, disk."""
    seconds = flop * KIMG * 1000 / (GPUS * PEAK * SHARE)
    # Weights, average and two moments of G; weights and two moments of D; four bytes each.
    checkpoint = 4 * (4 * of_generator + 3 * of_discriminator)
    return {
        "assumed": {
            "gpus": GPUS,
            "kimg": KIMG,
            "peak_tflop_a_gpu": PEAK / 1e12,  # H200, TF32, dense, as published
            "share_of_peak": SHARE,
            "price_a_gpu_hour": PRICE,
        },
        "gflop_an_image": flop / 1e9,
        "days": seconds / 86400,
        "gpu_hours": GPUS * seconds / 3600,
        "seconds_a_kimg": seconds / KIMG,
        "price": GPUS * seconds / 3600 * PRICE,
        "gib": {
            "photographs": 70_000 * PNG / GIB,
            "decoded": 70_000 * 3 * 1024**2 / GIB,
            "checkpoint": checkpoint / GIB,
            "kept": CHECKPOINTS * checkpoint / GIB,
        },
    }


LABELS = {
    "resolution": "px a side",
    "batch": "images a step",
    "width": "parameters",
    "rates": "latents",
    "cells": "cells",
    "ranks": "ranks",
}


def drawn(found):
    """A row of panels a model, time and memory over those of the first point."""
    from ganlab.report import figures

    rows = dict(found["models"])
    if "laboratory" in found:
        rows["laboratory"] = found["laboratory"]
    with figures.house_style():
        figure, panels = figures.new_figure(8.6, 1.75 * len(rows), 3 * len(rows), 3)
        for number, (name, axes) in enumerate(rows.items()):
            for axis, panel in zip(axes, panels[3 * number :], strict=False):
                draw_curve(panel, axes[axis], f"{name}: {LABELS[axis]}")
            for spare in panels[3 * number + len(axes) : 3 * number + 3]:
                spare.set_axis_off()
    return figure


def draw_curve(panel, found, title):
    from ganlab.report import figures

    points = found["points"]
    if not points:  # not even the first size fitted
        panel.set_axis_off()
        return
    x = [point[found["against"]] for point in points]
    for i, (key, name) in enumerate({"seconds": "time", "peak_mib": "memory"}.items()):
        if key in points[0]:
            y = [point[key] / points[0][key] for point in points]
            label = f"{name}: exponent {found['exponents'][key]:.1f}" if len(x) > 1 else name
            panel.plot(x, y, marker="os"[i], markersize=3, color=figures.PALETTE[i], label=label)
    if "fit" in found["ended"]:
        panel.axvline(x[-1], color=figures.INK, linestyle=":", linewidth=0.8)
    panel.set(xscale="log", title=title)
    panel.set_yscale("log", base=2)
    panel.yaxis.set_major_formatter("{x:g}")
    panel.set_ylim(0.8, 1.3 * max(panel.get_ylim()[1], 4))
    panel.set_xticks(x, [f"{v:,.0f}" if v < 1e5 else f"{v / 1e6:.1f}M" for v in x])
    panel.xaxis.set_minor_formatter("")
    panel.legend(fontsize=6)


def measured(options):
    import train_step

    names = options.models or train_step.models()
    axes = QUICK if options.quick else AXES
    result = {"models": {name: of_model(name, axes, options) for name in names}}
    if not options.models:
        result["laboratory"] = of_laboratory(options)
    return result


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("models", nargs="*", help="all by default, and then the laboratory too")
    parser.add_argument("--quick", action="store_true", help="three sizes an axis")
    parser.add_argument("--memory", type=float, default=20, help="GiB that a process may take")
    parser.add_argument("--seconds", type=float, default=60, help="of a step, at most")
    parser.add_argument("--estimate", action="store_true", help="that alone, of config F")
    parser.add_argument("--out", type=Path, help="write the result as JSON to this file")
    parser.add_argument("--figure", type=Path, help="draw it to this PNG")
    parser.add_argument("--child", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        name, axis, size = options.child
        print(json.dumps(step_of(name, axis, float(size))))
        return
    from results import report

    from ganlab.runs.provenance import commit

    found = estimate() if options.estimate else measured(options)
    command = " ".join(["python benchmarks/growth.py", *sys.argv[1:]])
    stamp = {"command": command, "commit": commit()}
    report(stamp | {"seed": SEED, "n": STEPS, "threads": 1} | found, options.out)
    if options.figure and not options.estimate:
        drawn(found).savefig(options.figure, metadata={"Software": None})


if __name__ == "__main__":
    main()
