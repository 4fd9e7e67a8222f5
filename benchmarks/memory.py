"""Peak memory of StyleGAN2's training passes with blocks run again, over keeping their maps.

    python benchmarks/memory.py                                  # config F, 1024 px, batch 1
    python benchmarks/memory.py --resolution 256 --batch 4

Each measurement is a process: weights of both networks, one pass forward and backward, its peak of
resident memory above what the libraries alone take, and its CPU seconds. Both ways must end at the
same gradients to 1e-3 of their length.
"""

import argparse
import json
import re
import subprocess
import sys
import time
from pathlib import Path

import torch

from ganlab.losses import Nonsaturating, path_length, r1
from ganlab.networks import stylegan2
from ganlab.nn.randomness import keyed_generator
from ganlab.runs.provenance import commit

WIDTH = 32 * 1024  # channels of the finest maps times their size: config F


def networks(options, recompute):
    torch.manual_seed(0)
    sizes = {"resolution": options.resolution, "width": WIDTH // options.resolution}
    generator = stylegan2.Generator(**sizes, recompute_blocks=recompute)
    return generator, stylegan2.Discriminator(**sizes, recompute_blocks=recompute)


def normal(*key):
    rng = keyed_generator(*key)
    return lambda shape: torch.randn(shape, generator=rng)


def painted(generator, batch):
    generator.draw_noise = normal("noise")
    return generator(normal("latents")((batch, generator.latent_dim)))


def of_discriminator(generator, discriminator, options):
    """Logits of reals and of fakes."""
    real = normal("real")((options.batch, 3, options.resolution, options.resolution))
    with torch.no_grad():
        fake = painted(generator, options.batch)
    return Nonsaturating().discriminator(discriminator(real), discriminator(fake))


def of_generator(generator, discriminator, options):
    discriminator.requires_grad_(False)
    return Nonsaturating().generator(discriminator(painted(generator, options.batch)), None)


def of_r1(generator, discriminator, options):
    real = normal("real")((options.batch, 3, options.resolution, options.resolution))
    return r1(discriminator, real, real, None, None)


def of_path_length(generator, discriminator, options):
    generator.draw_noise = normal("noise")
    styles = generator.map(normal("latents")((options.batch, generator.latent_dim)))
    return path_length(generator, styles, None, normal("directions"), batch_shrink=2)


PASSES = {
    "discriminator": of_discriminator,
    "generator": of_generator,
    "r1": of_r1,
    "path_length": of_path_length,
}


def peak_mib():
    """Of this program; `getrusage` begins at what its parent held."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return int(re.search(r"^VmHWM:\s+(\d+) kB$", status, re.MULTILINE)[1]) / 1024


def child(name, way, options):
    """One measurement, in this process."""
    torch.set_num_threads(1)
    before = peak_mib()
    pair = networks(options, way == "recomputed")
    started = time.process_time()
    PASSES[name](*pair, options).backward()
    seconds = time.process_time() - started
    gradients = [p.grad for each in pair for p in each.parameters() if p.grad is not None]
    length = float(torch.nn.utils.get_total_norm(gradients))
    print(json.dumps({"peak_mib": peak_mib() - before, "seconds": seconds, "gradient": length}))


def measured(name, way, options):
    words = [name, way, "--resolution", str(options.resolution), "--batch", str(options.batch)]
    answer = subprocess.run(
        [sys.executable, __file__, "--child", *words], capture_output=True, text=True, check=False
    )
    if answer.returncode:
        sys.exit(f"{name}, {way}:\n{answer.stderr or f'ended by {-answer.returncode}'}")
    return json.loads(answer.stdout.splitlines()[-1])


def compared(name, options):
    """Both ways, and their ratios."""
    kept, again = (measured(name, way, options) for way in ("kept", "recomputed"))
    gap = abs(again["gradient"] / kept["gradient"] - 1)
    assert gap < 1e-3, f"{name}: not the same gradients, lengths differ by {gap}"
    ratios = {key: again[key] / kept[key] for key in ("peak_mib", "seconds")}
    return {"kept": kept, "recomputed": again, "recomputed_over_kept": ratios}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--resolution", type=int, default=1024, help="px")
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--out", type=Path, help="write the result as JSON")
    parser.add_argument("--child", nargs=2, metavar=("PASS", "WAY"), help="one, in this process")
    options = parser.parse_args()
    if options.child:
        child(*options.child, options)
        return
    command = " ".join(["python", "benchmarks/memory.py", *sys.argv[1:]])
    found = {"command": command, "commit": commit(), "seed": 0, "n": options.batch}
    found["resolution"] = options.resolution
    for name in PASSES:
        found[name] = compared(name, options)
        print(name, json.dumps(found[name]["recomputed_over_kept"]), flush=True)
    if options.out:
        options.out.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
