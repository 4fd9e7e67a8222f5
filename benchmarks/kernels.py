"""What the house's ways through a filter and a step save against the plain ones.

    python benchmarks/kernels.py          # about two minutes

Both ways of a pair must end at the same values; times are process CPU times, in turns, medians over
rounds. The maps are those of 32 channels at 32x32, the step is that of the small presets.
"""

import argparse
import statistics
import time
from contextlib import nullcontext
from functools import partial
from pathlib import Path

import torch
from results import report
from torch.nn.functional import conv2d, pad

from ganlab.nn.resample import Blur, fir_kernel
from ganlab.run import recipe
from ganlab.runs.provenance import commit

BATCH, CHANNELS, SIDE, SEED = 16, 32, 32, 0
MODELS = ("progan", "stylegan", "stylegan2", "msg_gan")


def maps():
    torch.manual_seed(SEED)
    return torch.randn(BATCH, CHANNELS, SIDE, SIDE, requires_grad=True)


def plain_blur(x):
    """The same filter as a grouped convolution, which differentiates its kernel, too."""
    kernel = fir_kernel([1, 2, 1]).expand(x.shape[1], 1, -1, -1)
    return conv2d(pad(x, (1, 1, 1, 1)), kernel, groups=x.shape[1])


def curvature(blur):
    """Gradient of a squared gradient through the filter, as R1 takes it."""
    x = maps()
    (slope,) = torch.autograd.grad(blur(x).square().sum(), x, create_graph=True)
    return torch.autograd.grad(slope.square().sum(), x)[0]


def seconds(way):
    started = time.process_time()
    found = way()
    return time.process_time() - started, found


def ratio(plain, ours, rounds, tolerance):
    """Median CPU time of the plain way over ours."""
    rows = []
    for _ in range(rounds):
        (slow, expected), (fast, found) = seconds(plain), seconds(ours)
        if tolerance:
            torch.testing.assert_close(found, expected, rtol=tolerance, atol=tolerance)
        rows.append((slow, fast))
    plain_median, our_median = (statistics.median(each) for each in zip(*rows[1:], strict=True))
    return {"plain": plain_median, "ours": our_median, "time_ratio": plain_median / our_median}


def step_of(name, half):
    """One D and one G step of a small preset with its penalties, without Lightning."""
    system = recipe(name, f"data.batch_size={BATCH}")
    networks = system.generator.train(), system.discriminator.train()
    if half:
        for network in networks:
            network.to(memory_format=torch.channels_last)
    generator, discriminator = networks
    uniform = lambda n: torch.full((n,), 0.5)  # noqa: E731
    real = discriminator.views(torch.randn(BATCH, 1, 32, 32))

    def step():
        around = torch.autocast("cpu", torch.bfloat16) if half else nullcontext()
        latents = torch.randn(BATCH, generator.latent_dim)
        with around:
            with torch.no_grad():
                fake = generator(latents)
            loss = system.loss.discriminator(discriminator(real), discriminator(fake))
        penalties = [p(discriminator, real, fake, None, uniform) for p in system.penalties.values()]
        (loss + sum(penalties)).backward()
        with around:
            relative = discriminator(real) if system.loss.relativistic else None
            loss = system.loss.generator(discriminator(generator(latents)), relative)
        loss.backward()

    return step


def measured(options):
    result = {
        "command": f"python benchmarks/kernels.py --rounds {options.rounds}",
        "commit": commit(),
        "seed": SEED,
        "n": options.rounds - 1,
        "threads": torch.get_num_threads(),
        "batch_size": BATCH,
        "torch": torch.__version__,
    }
    ways = partial(curvature, plain_blur), partial(curvature, Blur())
    result["filter_second_derivative"] = ratio(*ways, options.rounds, 1e-3)
    for name in MODELS:
        ways = step_of(name, half=False), step_of(name, half=True)
        result[f"bf16_{name}"] = ratio(*ways, options.rounds, None)
        print(name, result[f"bf16_{name}"])
    return result


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=9, help="the first is not counted")
    parser.add_argument("--out", type=Path, help="write the result as JSON to this file")
    options = parser.parse_args()
    result = measured(options)
    report(result, options.out)


if __name__ == "__main__":
    main()
