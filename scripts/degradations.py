"""How FID and KID of an extractor order known degradations of the embedded emoji.

    python scripts/degradations.py --out docs/results/degradations.json
    python scripts/degradations.py --features inception --out inception.json

500 neutral pictures of one side of the split by name are the reals; 500 of the other side, without
and with a degradation, are scored against them. Minutes on one core.
"""

import argparse
import json
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from ganlab.data.emoji import CATEGORIES, EmojiSheet
from ganlab.data.synthetic import Synthetic
from ganlab.features import Classifier, EfficientNetLite0, Extractor, Inception
from ganlab.metrics import FrechetDistance
from ganlab.metrics.kernel import kernel_distances
from ganlab.runs.provenance import commit

SEED, BATCH, SUBSET = 0, 50, 100  # SUBSET: pictures of a side in a subset of KID
Pictures = NDArray[np.uint8]  # (N, 64, 64, 3)
EXTRACTORS: dict[str, Callable[[], Extractor]] = {
    "imagenet": EfficientNetLite0,
    "classifier": Classifier,
    "inception": Inception,
}


def blurred(pictures: Pictures, sigma: float) -> Pictures:
    """Gaussian blur, sigma in px."""
    blur = ImageFilter.GaussianBlur(sigma)
    return np.stack([np.asarray(Image.fromarray(each).filter(blur)) for each in pictures])


def noisy(pictures: Pictures, deviation: float) -> Pictures:
    """Normal noise on each value, its deviation in steps of 255."""
    noise = np.random.default_rng(SEED).normal(0, deviation, pictures.shape)
    return np.rint(pictures + noise).clip(0, 255).astype(np.uint8)


def mixed(pictures: Pictures, share: float) -> Pictures:
    """The first ones of another set, of drawn shapes, in the place of this share."""
    shapes = Synthetic(round(share * len(pictures)), pictures.shape[1])
    drawn = [np.asarray(shapes.image(k)) for k in range(len(shapes))]
    return np.concatenate([np.stack(drawn), pictures[len(drawn) :]])


def sets(num: int) -> Iterator[tuple[str, Pictures]]:
    """The reals, then every set that is compared with them."""
    yield "reals", EmojiSheet(False, "train", num).open().images
    pictures = EmojiSheet(False, "test", num).open().images
    yield "none", pictures
    for sigma in (1, 2, 4):
        yield f"blur_{sigma}", blurred(pictures, sigma)
    for deviation in (8, 32, 128):
        yield f"noise_{deviation}", noisy(pictures, deviation)
    for percent in (5, 20, 50):
        yield f"mixed_{percent}", mixed(pictures, percent / 100)
    yield "mirrored", pictures[:, :, ::-1]
    every = EmojiSheet(False, "test").open()
    people = every.labels == CATEGORIES.index("People & Body")
    yield "without_people", every.images[~people][:num]
    yield "repeated", np.resize(pictures[: num // 10], pictures.shape)


@torch.no_grad()
def features(
    extractor: Extractor,
    pictures: Pictures,
    known: dict[bytes, torch.Tensor],  # by a picture's pixels; what is missing is added
) -> torch.Tensor:
    """(N, feature_dim) of pictures, each looked at once."""
    fresh = {each.tobytes(): each for each in pictures if each.tobytes() not in known}
    if fresh:
        images = torch.from_numpy(np.stack([*fresh.values()])).permute(0, 3, 1, 2)
        found = [extractor(b.float() / 127.5 - 1)["features"] for b in images.split(BATCH)]
        known |= dict(zip(fresh, torch.cat(found), strict=True))
    return torch.stack([known[each.tobytes()] for each in pictures])


def distances(reals: torch.Tensor, fakes: torch.Tensor) -> dict[str, float]:
    """FID, and KID times 1,000."""
    frechet = FrechetDistance()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # fewer pictures than features, the same for all sets
        frechet.update(reals, real=True)
        frechet.update(fakes, real=False)
        fid = frechet.compute().item()
    kid = kernel_distances(reals, fakes, min(SUBSET, len(fakes)), 100).mean().item()
    return {"fid": fid, "kid": 1000 * kid}


def main() -> None:
    """Measure, print, and write where it is asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    chosen = ["imagenet", "classifier"]
    parser.add_argument("--features", nargs="+", choices=EXTRACTORS, default=chosen)
    parser.add_argument("--num", type=int, default=500, help="pictures of a side")
    parser.add_argument("--out", type=Path, help="write the result as JSON to this file")
    options = parser.parse_args()
    words = f"--features {' '.join(options.features)} --num {options.num}"
    result = {"command": f"python scripts/degradations.py {words}", "commit": commit()}
    result |= {"seed": SEED, "n": options.num}
    for name in options.features:
        extractor = EXTRACTORS[name]()
        extractor.prepare()
        known: dict[bytes, torch.Tensor] = {}
        named = sets(options.num)
        pictures, start = next(named)[1], time.process_time()
        reals = features(extractor, pictures, known)
        spent = 1000 * (time.process_time() - start) / len(pictures)
        result[name] = {"sha256": extractor.sha256, "resize": extractor.resize}
        result[name]["cpu_milliseconds_an_image"] = spent
        for degradation, pictures in named:
            result[name][degradation] = distances(reals, features(extractor, pictures, known))
            print(name, degradation, result[name][degradation], file=sys.stderr, flush=True)
    print(json.dumps(result, indent=2))
    if options.out:
        options.out.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
