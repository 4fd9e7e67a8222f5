"""How many planted artifacts of one channel are found, and how many images without are not spared.

    python benchmarks/circles.py --out docs/results/circles_channels.json

A StyleGAN with 512 channels in its 8x8 layers, random but for kernels that weigh the middle most,
in six settings a norm: leaky ReLU and ReLU; biases of a deviation of 0, 4 and 10, of which the last
two leave many channels rarely active, or never. In each one unit is made to spike in 20 images, its
style neither scaling nor shifting, so that the spot is in one channel of 512. Looked at are those
20, 180 others of the same generator, and what 1,000 further ones say of its channels. Counted is
what the contrast of all channels together finds, and what single channels find beside it at several
levels.
"""

import argparse
import itertools
import json
import sys
from pathlib import Path

import torch

from ganlab.metrics.spikes import are_near, places
from ganlab.nn.norm import InstanceNorm, PixelInstanceNorm, PixelNorm
from ganlab.runs.provenance import commit
from ganlab.sampling import Sampler
from ganlab.studies.circles.channels import LEVEL, usual_peaks
from ganlab.studies.circles.levels import Levels
from ganlab.studies.circles.observation import Seen, observe, origins, reading_points

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "tests" / "studies"))

from circle_toys import SEED, made, planted  # noqa: E402 - the tests' own generators

NORMS = {"in": InstanceNorm, "pin": PixelInstanceNorm, "pn": PixelNorm}
WIDTHS = {4: 128, 8: 512, 16: 128}
LAYER, UNIT, SIDE = "8x8/1", 5, 8
SPIKED, CLEAN = 20, 180
TRIED = (2.0, LEVEL, 2.5, 3.0)  # levels


def positions(num: int, side: int) -> list[list[int]]:
    rng = torch.Generator().manual_seed(1)
    return torch.randint(1, side - 1, (num, 2), generator=rng).tolist()


def setting(args: argparse.Namespace, norm: str, slope: float, spread: float) -> dict[str, object]:
    how = {"resolution": 16, "seed": args.seed, "widths": WIDTHS, "slope": slope, "spread": spread}
    plain = made(NORMS[norm], **how)
    where = positions(SPIKED, SIDE)
    generator = planted(plain, LAYER, UNIT, range(SPIKED), where, None)
    sampler = Sampler(generator, SEED, batch_size=40)
    indices = [*range(SPIKED), *range(100, 100 + CLEAN)]
    usual = usual_peaks(sampler, args.reference)
    seen = observe(sampler, indices, reading_points(generator), usual=usual)
    contrast = seen.spikes(seen.layers.index(LAYER)).contrast[:SPIKED]
    ratios = seen.alone[..., 0].amax(1)
    return {
        "contrast_low": float(contrast.min()),
        "contrast_high": float(contrast.max()),
        "ratio_planted": float(ratios[:SPIKED].min()),
        "ratio_clean": float(ratios[SPIKED:].max()),
        "together": counted(seen, where, None),
        **{f"channels_{level:g}".replace(".", "_"): counted(seen, where, level) for level in TRIED},
    }


def counted(seen: Seen, where: list[list[int]], level: float | None) -> dict[str, int]:
    """Planted images found at their place, those traced to layer and unit, and false ones."""
    levels = Levels(channel=level)
    found = seen.detect(levels)
    right = are_near(found.place[:SPIKED], places(torch.tensor(where), (SIDE, SIDE)))
    traced = origins(seen, found, levels)[:SPIKED]
    named = [each is not None and (each.layer, each.unit) == (LAYER, UNIT) for each in traced]
    return {
        "found": int((found.affected[:SPIKED] & right).sum()),
        "traced": sum(named),
        "false": int(found.affected[SPIKED:].sum()),
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--reference", type=int, default=1000, help="images of channels alone")
    parser.add_argument("--norms", nargs="+", choices=NORMS, default=list(NORMS))
    parser.add_argument("--seed", type=int, default=0, help="of the generators")
    parser.add_argument("--out", type=Path, help="a file for the result, as JSON")
    args = parser.parse_args()
    torch.set_num_threads(1)
    result = {"command": " ".join(["python benchmarks/circles.py", *sys.argv[1:]])}
    result |= {"commit": commit(), "seed": args.seed, "torch": torch.__version__}
    result |= {"n": {"planted": SPIKED, "clean": CLEAN, "reference": args.reference}}
    result |= {"level": LEVEL, "settings": {}}
    for norm, slope, spread in itertools.product(args.norms, (0.2, 0.0), (0.0, 4.0, 10.0)):
        name = f"{norm}_{'leaky' if slope else 'relu'}_{spread:g}"
        result["settings"][name] = setting(args, norm, slope, spread)
        print(name, result["settings"][name], flush=True)
        if args.out:
            args.out.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
