"""Train the small preset of every model on Fashion-MNIST and write docs/gallery.

    python scripts/gallery.py                 # every conf/experiment/gallery/*.yaml, one by one
    python scripts/gallery.py stylegan_pin    # one of them

Interrupted, the same command goes on: finished runs are kept; a broken one, or one whose experiment
has a larger kimg by now, resumes from its last checkpoint. Under each grid stand the scores of the
run beside those of the same generator before training, and how its samples fall into the classes
of the data, by the embedded classifier.
"""

import argparse
import csv
import json
import subprocess
import sys
from operator import sub
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ganlab.config import build
from ganlab.features import Classifier
from ganlab.nn.growing import Stage
from ganlab.report.images import grid, save_png
from ganlab.report.results import read_result
from ganlab.runs.recipes import rebuild_system
from ganlab.sampling import Sampler
from ganlab.systems.checkpoint import load_checkpoint

ROOT = Path(__file__).parent.parent
RUNS, PICTURES, RESULTS = ROOT / "outputs/gallery", ROOT / "docs/gallery", ROOT / "docs/results"
EXPERIMENTS = ROOT / "conf/experiment/gallery"
SEED, SHOWN, NUM_CLASSES = 0, 64, 10
KEPT = ("status", "command", "commit", "seed", "config_hash", "images_seen", "versions")


def trained(name: str) -> dict[str, Any]:
    """The result of the run of that name, trained or resumed where it is not finished."""
    return trained_in(RUNS / name, f"gallery/{name}")


def trained_in(folder: Path, experiment: str) -> dict[str, Any]:
    """The result of an experiment in a folder, trained or resumed where it is not finished."""
    words = [f"experiment={experiment}", f"hydra.run.dir={folder.relative_to(ROOT)}"]
    status = run("train.py", [*words, "resume=auto"])
    if status:
        sys.exit(
            f"{folder.name} stopped with exit code {status}; the same command goes on from there"
        )
    return finished_result(folder) or sys.exit(f"{folder.name} left no result in {folder}")


def scored(name: str, images_seen: int) -> dict[str, Any]:
    """The result of scoring that run's last generator on 10,000 images."""
    return scored_in(RUNS / name, images_seen, ["metrics=fid10k"])


def scored_in(folder: Path, images_seen: int, protocol: list[str]) -> dict[str, Any]:
    """The result of scoring a run's last generator, once for what it has seen."""
    scores, last = folder / "scores", folder / "checkpoints/last.ckpt"
    result = finished_result(scores)
    if result is not None and result["images_seen"] == images_seen:
        return result
    words = [f"ckpt={last.relative_to(ROOT)}", *protocol]
    if run("evaluate.py", [*words, f"hydra.run.dir={scores.relative_to(ROOT)}"]):
        sys.exit(f"{folder.name} could not be scored")
    return read_result(scores)


def run(program: str, words: list[str]) -> int:
    """Exit code of one command of the product, run from the project's root."""
    return subprocess.run([sys.executable, program, *words], check=False, cwd=ROOT).returncode


def finished_result(folder: Path) -> dict[str, Any] | None:
    """What the run in `folder` found, if it ran to its end."""
    if not (folder / "result.json").is_file():
        return None
    result = read_result(folder)
    return result if result["status"] == "done" else None


def minutes(folder: Path) -> float:
    """Time that the images of a run took, over all its parts, without scoring.

    A resumed run may log a speed of 0 before its first image: those rows took no time.
    """
    with (folder / "metrics.csv").open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if float(row["images_per_second"] or 0) > 0]
    seen = [float(row["images_seen"]) for row in rows]
    rates = [float(row["images_per_second"]) for row in rows]
    return sum(n / rate for n, rate in zip(map(sub, seen, [0.0, *seen]), rates, strict=True)) / 60


def untrained_scores(checkpoint: dict[str, Any], settings: dict[str, Any]) -> dict[str, float]:
    """Scores, by the run's own protocol, of its generator as it was before the first image."""
    torch.manual_seed(settings["seed"])
    system = build(settings["model"], "model")
    if hasattr(system.generator_ema, "grow_to"):
        system.generator_ema.grow_to(Stage(system.generator_ema.num_levels - 1, 1.0))
    data = build(settings["data"], "data")
    data.prepare_data()
    data.setup("test")
    system.recipe = checkpoint["recipe"]
    suite = build(settings["metrics"], "metrics")
    for chosen in suite.real_indices(len(data.dataset)).split(500):
        suite.update(data.dataset.images(chosen).float() / 127.5 - 1, real=True)
    for images in samples(system, suite.num_fake):
        suite.update(images, real=False)
    return dict(suite.compute())


def samples(system: Any, num: int) -> Any:
    """Batches of images of latents 0 .. num-1 by the averaged generator."""
    return Sampler.of(system, SEED).batches(range(num))


def class_shares(system: Any, num: int) -> Tensor:
    """Share of the samples that the embedded classifier gives to each class, (10,)."""
    classifier = Classifier()
    found = [classifier(images)["logits"].argmax(1) for images in samples(system, num)]
    return torch.cat(found).bincount(minlength=NUM_CLASSES) / num


def record(name: str) -> dict[str, Any]:
    """Train, measure and draw one model; returns what docs/results keeps of it."""
    result = trained(name)
    scores = scored(name, result["images_seen"])
    checkpoint = load_checkpoint(RUNS / name / "checkpoints/last.ckpt")
    system = rebuild_system(checkpoint, [])
    indices = range(SHOWN)
    images = Sampler.of(system, SEED).batch(indices)
    save_png(grid(images, columns=16), PICTURES / f"{name}.png", {"latents": f"0-63, seed {SEED}"})
    kept = {key: result[key] for key in KEPT if key in result}
    kept["scores"], num = scores["scores"], scores["scores"][0]["n_fake"]
    settings = {**result["config"], "metrics": scores["config"]["metrics"]}
    kept["untrained"] = untrained_scores(checkpoint, settings)
    kept["class_shares"] = class_shares(system, num).tolist()
    kept["smallest_class_share"] = min(kept["class_shares"])
    kept["kimg"] = result["images_seen"] / 1000
    kept["minutes"] = minutes(RUNS / name)
    return kept


def first_score(result: dict[str, Any], metric: str) -> tuple[str, float]:
    """Full name and value of the first score whose name starts with `metric`."""
    found = next(each for each in result["scores"] if each["metric"].startswith(metric))
    return found["metric"], found["value"]


def section(name: str, result: dict[str, Any]) -> str:
    """The Markdown under one grid; each number links to the result it comes from."""

    def link(key: str, value: float, digits: int) -> str:
        return f"[{value:.{digits}f}](../results/gallery_{name}.json#{key})"

    fid, precision, recall = (
        first_score(result, metric) for metric in ("fid", "precision", "recall")
    )
    before = result["untrained"][fid[0]]
    facts = [
        f"`{fid[0]}` {link(*fid, 1)} (untrained {link(f'untrained.{fid[0]}', before, 1)})",
        f"precision {link(*precision, 2)}, recall {link(*recall, 2)}",
        f"smallest class {link('smallest_class_share', result['smallest_class_share'], 3)} of "
        "the samples",
        f"{link('kimg', result['kimg'], 0)} kimg in {link('minutes', result['minutes'], 1)} min",
        f"commit `{result['commit']}`",
    ]
    command = f"python train.py experiment=gallery/{name}"
    return f"## {name}\n\n![{name}]({name}.png)\n\n`{command}`: {'; '.join(facts)}.\n"


INTRODUCTION = """# Gallery

Small presets, trained on the 10,000 Fashion-MNIST images of the package on two CPU
cores. Each grid shows latents 0 to 63 of seed 0, none picked. Scores are of the averaged generator:
10,000 images against the 10,000 real ones in the features of the embedded classifier, which was
trained on the other 60,000; the same seed throughout (0). `make gallery` makes this page, a model
at a time, from `conf/experiment/gallery`. Minutes are of training alone, with another run on the
second core.
"""


def write_page() -> None:
    """Write docs/gallery/README.md from every result at hand."""
    found = sorted(RESULTS.glob("gallery_*.json"))
    results = {path.stem.removeprefix("gallery_"): json.loads(path.read_text()) for path in found}
    parts = [section(name, result) for name, result in results.items()]
    (PICTURES / "README.md").write_text("\n".join([INTRODUCTION, *parts]))


def main() -> None:
    """Train what is asked for and write the page."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    known = sorted(path.stem for path in EXPERIMENTS.glob("[!_]*.yaml"))
    parser.add_argument("names", nargs="*", metavar="name", help=", ".join(known))
    names = parser.parse_args().names or known
    if unknown := sorted(set(names) - set(known)):
        parser.error(f"no gallery experiment {unknown[0]}; there are {', '.join(known)}")
    PICTURES.mkdir(parents=True, exist_ok=True)
    for name in names:
        result = record(name)
        path = RESULTS / f"gallery_{name}.json"
        path.write_text(json.dumps(result, indent=2) + "\n")
        write_page()
        print(f"{name}: {path}")


if __name__ == "__main__":
    main()
