"""Train the presets of conf/experiment/gallery_emoji and write docs/gallery_emoji.

    python scripts/gallery_emoji.py                 # all of them, one by one
    python scripts/gallery_emoji.py stylegan_pin    # one of them

Interrupted, the same command goes on. Of a model that is told categories the picture has a row
each: the same latents, and beside them the picture of the training set nearest to each sample.
"""

import argparse
import json
from collections.abc import Iterator
from typing import Any

import torch
from gallery import KEPT, ROOT, SEED, SHOWN, first_score, minutes, scored_in, trained_in
from torch import Tensor, nn

from ganlab.config import build
from ganlab.data import ImageData
from ganlab.report.images import Pixels, grid, labelled_grid, save_png
from ganlab.runs.recipes import rebuild_system
from ganlab.sampling import Sampled, Sampler
from ganlab.systems.checkpoint import load_checkpoint

RUNS, PAGE, RESULTS = (
    ROOT / "outputs/gallery_emoji",
    ROOT / "docs/gallery_emoji",
    ROOT / "docs/results",
)
EXPERIMENTS = ROOT / "conf/experiment/gallery_emoji"
IN_A_ROW = 8  # latents told each category


def record(name: str) -> dict[str, Any]:
    """Train, score and draw one model; returns what docs/results keeps of it."""
    folder = RUNS / name
    result = trained_in(folder, f"gallery_emoji/{name}")
    data = opened(result["config"])
    protocol = ["metrics.num_real=null", f"metrics.num_fake={len(data.dataset)}"]
    scores = scored_in(folder, result["images_seen"], protocol)
    system = rebuild_system(load_checkpoint(folder / "checkpoints/last.ckpt"), [])
    told = bool(system.conditioner.num_labels)
    extractor = build(scores["config"]["metrics"]["extractor"], "features")
    picture = by_category(system, data, extractor) if told else uncurated(system)
    latents = f"0-{(IN_A_ROW if told else SHOWN) - 1}, seed {SEED}"
    save_png(picture, PAGE / f"{name}.png", {"latents": latents})
    kept = {key: result[key] for key in KEPT if key in result}
    facts = {"kimg": result["images_seen"] / 1000, "minutes": minutes(folder), "told": told}
    return kept | {"scores": scores["scores"], "n": len(data.dataset)} | facts


def opened(settings: dict[str, Any]) -> ImageData:
    """The images that a run was trained on."""
    data: ImageData = build(settings["data"], "data")
    data.prepare_data()
    data.setup("test")
    return data


def uncurated(system: Sampled) -> Pixels:
    """Images of latents 0 to 63."""
    return grid(Sampler.of(system, SEED).images(range(SHOWN)), columns=16)


def by_category(system: Sampled, data: ImageData, extractor: nn.Module) -> Pixels:
    """A row a category: the same latents, a gap, and each sample's nearest picture."""
    reals = data.dataset.images(torch.arange(len(data.dataset))).float() / 127.5 - 1
    known = torch.cat(list(features(extractor, reals)))
    rows = []
    for label, category in enumerate(data.dataset.class_names):
        made = Sampler.of(system, SEED, labels=[label]).images(range(IN_A_ROW))
        nearest = torch.cdist(torch.cat(list(features(extractor, made))), known).argmin(1)
        gap = torch.ones_like(made[:1])
        rows.append((category, torch.cat([made, gap, reals[nearest]])))
    return labelled_grid(rows)


def features(extractor: nn.Module, images: Tensor) -> Iterator[Tensor]:
    """Features of images in [-1, 1], (N, 1280), a hundred at a time."""
    with torch.no_grad():
        for batch in images.split(100):
            yield extractor(batch)["features"]


def section(name: str, result: dict[str, Any]) -> str:
    """The Markdown under one picture; each number links to the result it comes from."""

    def link(key: str, value: float, digits: int) -> str:
        return f"[{value:.{digits}f}](../results/emoji_gallery_{name}.json#{key})"

    fid, precision, recall = (
        first_score(result, metric) for metric in ("fid", "precision", "recall")
    )
    facts = [
        f"`{fid[0]}` {link(*fid, 1)}",
        f"precision {link(*precision, 2)}, recall {link(*recall, 3)}",
        f"{link('kimg', result['kimg'], 0)} kimg in {link('minutes', result['minutes'], 1)} min",
        f"commit `{result['commit']}`",
    ]
    command = f"python train.py experiment=gallery_emoji/{name}"
    shown = TOLD if result["told"] else ""
    return f"## {name}\n\n![{name}]({name}.png)\n\n{shown}`{command}`: {'; '.join(facts)}.\n"


TOLD = """A row a category, which the generator is told: latents 0 to 7, the same in each, and on
the right the picture of the training set that is nearest to each in the features of the scores.

"""
INTRODUCTION = """# Gallery in colour

Small presets at 64 px on the [emoji](../data.md#what-comes-with-the-package) of the package, each
trained on one CPU core with another run on the second. Each grid shows latents 0 to 63 of seed 0,
none picked. Scores are of the averaged generator: as many images as there are real ones against all
of those, in the features of a small network of ImageNet, an FID that this few images bias upwards.
`python scripts/gallery_emoji.py` makes this page, a model at a time, from
`conf/experiment/gallery_emoji`.
"""


def write_page() -> None:
    """Write the page from every result at hand."""
    found = sorted(RESULTS.glob("emoji_gallery_*.json"))
    names = [path.stem.removeprefix("emoji_gallery_") for path in found]
    parts = [
        section(name, json.loads(path.read_text())) for name, path in zip(names, found, strict=True)
    ]
    (PAGE / "README.md").write_text("\n".join([INTRODUCTION, *parts]))


def main() -> None:
    """Train what is asked for and write the page."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    known = sorted(path.stem for path in EXPERIMENTS.glob("[!_]*.yaml"))
    parser.add_argument("names", nargs="*", metavar="name", help=", ".join(known))
    PAGE.mkdir(parents=True, exist_ok=True)
    for name in parser.parse_args().names or known:
        path = RESULTS / f"emoji_gallery_{name}.json"
        path.write_text(json.dumps(record(name), indent=2) + "\n")
        write_page()
        print(f"{name}: {path}")


if __name__ == "__main__":
    main()
