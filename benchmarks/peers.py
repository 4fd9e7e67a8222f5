"""CPU time of StyleGAN2's four training passes: this house's, its convolutions alone, two peers'.

    python benchmarks/peers.py --floor                                 # minutes of one core: eight
    python benchmarks/peers.py --nvidia DIR --rosinality DIR --floor   # twenty

DIR is a checkout of NVlabs/stylegan2-ada-pytorch, whose code for a CPU is its reference path, or of
rosinality/stylegan2-pytorch, whose extensions are not built here. Their code runs where it lies.
Networks of config F's widths at `--resolution`, as many parameters in each; a process each, one
thread, rounds in turns, medians. A cycle is what a step costs with R1 at every 16th and path
length at every 4th. The floor is the time of a pass's convolutions and matrix products alone, each
repeated with its shapes and strides, or channels last where that is faster.
"""

import argparse
import contextlib
import json
import statistics
import subprocess
import sys
import time
import warnings
from collections import Counter
from pathlib import Path

import torch
from torch.nn import functional as F
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

EVERY = {"discriminator": 1, "generator": 1, "r1": 16, "path_length": 4}  # steps to one such pass
SHARED = ("nvidia", "rosinality", "resolution", "batch")  # options that a child is given
aten = torch.ops.aten
CONVOLUTIONS = {aten.convolution.default, aten.convolution_backward.default}
HEAVY = CONVOLUTIONS | {aten.mm.default, aten.addmm.default, aten.bmm.default}


def ours(options):
    """Networks, and a function that gives a pass's loss."""
    import memory

    pair = memory.networks(options, False)
    return pair, lambda name: memory.PASSES[name](*pair, options)


def nvidia(options):
    """Theirs accumulate gradients themselves, of both terms in D's pass one after the other."""
    sys.path.insert(0, str(options.nvidia))
    from training.loss import StyleGAN2Loss
    from training.networks import Discriminator, Generator

    sizes = {"img_resolution": options.resolution, "img_channels": 3}
    generator = Generator(512, 0, 512, **sizes, mapping_kwargs={"num_layers": 8})
    discriminator = Discriminator(0, **sizes)
    parts = generator.mapping, generator.synthesis, discriminator
    shrink = min(2, options.batch)  # one image at least
    loss = StyleGAN2Loss(torch.device("cpu"), *parts, style_mixing_prob=0, pl_batch_shrink=shrink)
    names = {"discriminator": "Dmain", "generator": "Gmain", "r1": "Dreg", "path_length": "Greg"}
    empty = torch.zeros(options.batch, 0)

    def run(name):
        real = torch.randn(options.batch, 3, options.resolution, options.resolution)
        latents = torch.randn(options.batch, 512)
        loss.accumulate_gradients(names[name], real, empty, latents, empty, sync=True, gain=1)

    return (generator, discriminator), run


def rosinality(options):
    """Their losses stand in a script of training that needs more; they are two lines each."""
    sys.path.insert(0, str(options.rosinality))
    from torch.utils import cpp_extension

    cpp_extension.load = lambda *args, **kwargs: None  # what a CPU does not use
    from model import Discriminator, Generator
    from op import conv2d_gradfix

    generator = Generator(options.resolution, 512, 8)
    discriminator = Discriminator(options.resolution)

    def run(name):
        batch = max(1, options.batch // (2 if name == "path_length" else 1))
        real = torch.randn(batch, 3, options.resolution, options.resolution)
        if name == "r1":
            real.requires_grad_()
            with conv2d_gradfix.no_weight_gradients():
                (slope,) = torch.autograd.grad(discriminator(real).sum(), real, create_graph=True)
            return slope.square().flatten(1).sum(1).mean()
        fake, styles = generator([torch.randn(batch, 512)], return_latents=name == "path_length")
        if name == "generator":
            return F.softplus(-discriminator(fake)).mean()
        if name == "discriminator":
            return (F.softplus(discriminator(fake)) + F.softplus(-discriminator(real))).mean()
        noise = torch.randn_like(fake) / options.resolution
        (slope,) = torch.autograd.grad((fake * noise).sum(), styles, create_graph=True)
        lengths = slope.square().sum(2).mean(1).sqrt()
        return (lengths - lengths.mean().detach()).square().mean()

    return (generator, discriminator), run


WHO = {"ours": ours, "nvidia": nvidia, "rosinality": rosinality}


def one_pass(pair, run, name):
    """Forward and backward with gradients of the trained network alone."""
    generator, discriminator = pair
    generator.requires_grad_(name in ("generator", "path_length"))
    discriminator.requires_grad_(name in ("discriminator", "r1"))
    for network in pair:
        network.zero_grad(set_to_none=True)
    loss = run(name)
    if loss is not None:
        loss.backward()


class Recorder(TorchDispatchMode):
    """How often each heavy operation was called with which shapes and strides, and their FLOPs."""

    def __init__(self):
        super().__init__()
        self.calls, self.flop = Counter(), 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        if func in HEAVY:
            self.calls[func, tuple(map(described, args))] += 1
            self.flop += flop_registry[func.overloadpacket](*args, out_val=out)
        return out


def described(value):
    if isinstance(value, torch.Tensor):
        return "tensor", tuple(value.shape), value.stride()
    return tuple(value) if isinstance(value, list) else value


def made(value, last):
    """An argument again; `last` = maps with their channels last."""
    if not isinstance(value, tuple) or value[:1] != ("tensor",):
        return list(value) if isinstance(value, tuple) else value
    _, shape, strides = value
    reach = 1 + sum((n - 1) * step for n, step in zip(shape, strides, strict=True))
    tensor = torch.randn(reach).as_strided(shape, strides)
    is_map = last and tensor.dim() == 4
    return tensor.contiguous(memory_format=torch.channels_last) if is_map else tensor


def seconds_of(func, args, last):
    """Least CPU time of three calls, the first not counted."""
    again = [made(each, last) for each in args]
    found = []
    for _ in range(3):
        started = time.process_time()
        func(*again)
        found.append(time.process_time() - started)
    return min(found[1:])


def floor_of(calls):
    """Seconds of all calls alone, each as it came or with channels last, whichever is faster."""
    total = 0.0
    for (func, args), count in calls.items():
        layouts = (False, True) if func in CONVOLUTIONS else (False,)
        total += count * min(seconds_of(func, args, last) for last in layouts)
    return total


def measure(who, options):
    """One process: seconds a pass, and of ours what its heavy operations take alone."""
    from memory import peak_mib

    torch.manual_seed(0)
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    with contextlib.redirect_stdout(sys.stderr):
        pair, run = WHO[who](options)
        result = {"parameters": [sum(p.numel() for p in each.parameters()) for each in pair]}
        for name in EVERY:
            if options.floor:
                with Recorder() as recorder:
                    one_pass(pair, run, name)
                floor = floor_of(recorder.calls)
                result[name] = {"flop": recorder.flop, "floor": floor}
            else:
                one_pass(pair, run, name)
                started = time.process_time()
                one_pass(pair, run, name)
                result[name] = {"seconds": time.process_time() - started}
    return result | {"peak_mib": peak_mib()}


def in_child(who, options, *more):
    words = [f"--{key}={value}" for key, value in vars(options).items() if value and key in SHARED]
    command = [sys.executable, __file__, *words, "--child", who, *more]
    answer = subprocess.run(command, capture_output=True, text=True, check=False)
    if answer.returncode:
        sys.exit(f"{who}:\n{answer.stderr or f'ended by {-answer.returncode}'}")
    return json.loads(answer.stdout)


def compared(options):
    """Medians of each, and what each costs over ours."""
    names = [who for who in WHO if who == "ours" or getattr(options, who)]
    rounds = [{who: in_child(who, options) for who in names} for _ in range(options.rounds)]
    result = {}
    for who in names:
        median = {
            name: statistics.median(each[who][name]["seconds"] for each in rounds) for name in EVERY
        }
        median["plain"] = median["discriminator"] + median["generator"]
        median["cycle"] = sum(median[name] / every for name, every in EVERY.items())
        peak = statistics.median(each[who]["peak_mib"] for each in rounds)
        known = {"parameters": rounds[0][who]["parameters"], "peak_mib": peak}
        result[who] = known | {"seconds": median}
    for who in names[1:]:
        own, theirs = (result[each]["seconds"] for each in ("ours", who))
        over = {name: theirs[name] / own[name] for name in own}
        over["peak_mib"] = result[who]["peak_mib"] / result["ours"]["peak_mib"]
        result[who]["over_ours"] = over
    if options.floor:
        result["floor"] = floor_over(result["ours"]["seconds"], options)
    return result


def floor_over(seconds, options):
    found = in_child("ours", options, "--floor")
    found = {name: found[name] for name in EVERY}
    plain = [found[name] for name in ("discriminator", "generator")]
    found["plain"] = {key: sum(each[key] for each in plain) for key in ("flop", "floor")}
    for name, each in found.items():
        each["ours_over_floor"] = seconds[name] / each["floor"]
        each["gflop_per_second"] = each["flop"] / seconds[name] / 1e9
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--nvidia", type=Path, help="a checkout of stylegan2-ada-pytorch")
    parser.add_argument("--rosinality", type=Path, help="a checkout of stylegan2-pytorch")
    parser.add_argument("--resolution", type=int, default=64, help="px")
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--out", type=Path, help="write the result as JSON to this file")
    parser.add_argument("--floor", action="store_true", help="time our convolutions alone, too")
    parser.add_argument("--child", choices=WHO, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        print(json.dumps(measure(options.child, options)))
        return
    from results import report

    from ganlab.runs.provenance import commit

    peers = [who for who in WHO if who != "ours" and getattr(options, who)]
    result = {
        "command": "python benchmarks/peers.py"
        + "".join(f" --{who} DIR" for who in peers)
        + f" --resolution {options.resolution} --batch {options.batch} --rounds {options.rounds}"
        + (" --floor" if options.floor else ""),
        "commit": commit(),
        "seed": 0,
        "n": options.rounds,
        "threads": 1,
        "torch": torch.__version__,
        **compared(options),
    }
    report(result, options.out)


if __name__ == "__main__":
    main()
