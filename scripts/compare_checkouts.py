"""Whether two checkouts of the project do the same: one set of command lines, a digest a file.

    python scripts/compare_checkouts.py ../before .                     # everything, 25 minutes
    python scripts/compare_checkouts.py ../before . --only studies      # or dcgan,study/samples
    python scripts/compare_checkouts.py .                               # digests of one checkout

Each model trains for 0.5 kimg, with growth and penalties and a resume in the middle, and again on
two ranks; then every study looks at one of them. Nothing of either checkout is imported: its
commands are processes of their own. Compared to the bit are the tensors of checkpoints, tables,
curves, arrays, pictures and texts; not seconds, paths, times and commits. What a clean commit has
left is kept under `--into` and not run again. Exit code 1 where a file differs or a command fails.
"""

import argparse
import csv
import hashlib
import io
import json
import os
import shutil
import subprocess
import sys
import time
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageSequence
from safetensors import safe_open

WIDTHS = (
    "model.generator.width=4 model.generator.max_width=8 "
    "model.discriminator.width=4 model.discriminator.max_width=8"
)
MODELS = {
    "vanilla": "model.generator.hidden=[16] model.discriminator.hidden=[16]",
    "lapgan": "",
    "dcgan": "model.generator.width=4 model.discriminator.width=4",
    "progan": f"{WIDTHS} model.growth.stable_kimg=0.08 model.growth.fade_kimg=0.08",
    "stylegan": (
        f"{WIDTHS} model/norm=pin model.growth.stable_kimg=0.1 model.growth.fade_kimg=0.1"
    ),
    "stylegan2": WIDTHS,
    "r3gan": f"{WIDTHS} model/power_averages=two",
    "msg_gan": WIDTHS,
    "semantic_pyramid": WIDTHS,
    "vae": "",
}
SCORES = "metrics.num_real=50 metrics.num_fake=50 ~metrics.metrics.kid"
TRAINING = (
    "data=synthetic data.resolution=32 data.channels=1 data.num=60 data.batch_size=16 "
    f"log_every_kimg=0.1 sample_every_kimg=0.25 {SCORES} checkpoint_every_kimg=0.25 "
    "score_every_kimg=0.25 callbacks.sample_grid.num=8"
)
TWO_RANKS = "trainer=ddp trainer.accelerator=cpu trainer.devices=2"
RATES = "study.num_latents=40 study.batch_size=16"
FOUND = "study.num_samples=60 study.num_artifacts=12"
PICTURE, MASK = "study.image=inputs/0.png", "study.mask=inputs/mask.png"
# The model whose last checkpoint is looked at, and words.
STUDIES = {
    "scores": f"dcgan study=scores {SCORES}",
    "samples": "stylegan study=samples study.num=5 study.truncation=0.7",
    "samples_zip": "stylegan2 study=samples study.form=zip study.noise=random",
    "samples_npz": "vae study=samples study.form=npz study.indices=3:9:2",
    "interpolation": (
        "stylegan2 study=interpolation study.num_steps=5 study.num_shown=3 study.latents=0:4"
    ),
    "walks_scored": (
        f"dcgan study=interpolation study.num_steps=5 study.suite=${{metrics}} {SCORES} "
        "study.extractor=${features} study.animation=gif"
    ),
    "contact_sheet": "progan study=arithmetic study.candidates=0:12",
    "arithmetic": (
        "stylegan study=arithmetic study.a=[0,1] study.b=[2,3] study.c=[4] study.space=w"
    ),
    "style_mixing": "stylegan study=style_mixing study.a=0:2 study.b=2:5",
    "directions": "stylegan2 study=directions study.num=2 study.num_latents=40 study.latents=0:2",
    "directions_pca": (
        "dcgan study=directions study.method=pca study.layer=0 study.num=2 study.num_latents=40"
    ),
    "truncation": f"stylegan2 study=truncation study.psis=[0.5,1.0] {SCORES}",
    "projection": "stylegan2 study=projection study.indices=0:3 study.num_steps=4",
    "projection_z": "dcgan study=projection study.images=inputs study.num_steps=4",
    "averages": f"r3gan study=averages study.lengths=[0.05,0.08] {SCORES}",
    "timeline": "dcgan study=timeline",
    "timeline_checkpoints": (
        "dcgan study=timeline study.checkpoints=runs/dcgan/checkpoints study.latents=[3,17]"
    ),
    "path_length": "stylegan2 study=path_length study.num_paths=12",
    "activation_rates": (
        f"stylegan2 study=activation_rates {RATES} study.confidence=0.9 study.save_every=16"
    ),
    "artifact_detection": (
        f"dcgan study=artifact_detection {RATES} study.num_samples=60 study.num=20 "
        "study.suite.num_real=50 study.num_shown=6"
    ),
    "sequential_ablation": (
        f"stylegan2 study=sequential_ablation {RATES} {FOUND} {SCORES} study.quantiles=[0.3]"
    ),
    "ablation_unscored": (
        f"dcgan study=sequential_ablation {RATES} study.suite=null study.latents=0:9 "
        "study.rate=0.3 study.layers=[0,1] study.noise=fixed"
    ),
    "unit_rates": f"stylegan study=unit_ablation {RATES} {SCORES} study.steps=[1,2]",
    "unit_magnitude": (
        f"dcgan study=unit_ablation {RATES} study.suite=null study.ranking=magnitude "
        "study.latents=0:9 study.num_ranked=20 study.region=[0.5,0,1,1]"
    ),
    "unit_fid": (
        f"dcgan study=unit_ablation {RATES} {SCORES} study.ranking=fid study.num_ranked=40"
    ),
    "neuron_figures": (
        f"stylegan2 study=neuron_figures {RATES} {FOUND} study.num_compared=9 study.num_shown=3"
    ),
    "circular_artifacts": (
        "stylegan study=circular_artifacts study.num_images=24 study.num_traced=6 "
        f"study.levels=1.2 study.num_worst=8 study.suite=${{metrics}} {SCORES} "
        "study.compare={other:runs/stylegan/checkpoints/best.ckpt}"
    ),
    "circles_calibrated": (
        "stylegan2 study=circular_artifacts study.num_images=24 study.num_traced=6 "
        "study.levels_from=runs/stylegan2/checkpoints/best.ckpt study.noise=random"
    ),
    "guided_backprop": "dcgan study=guided_backprop study.num_filters=3",
    "inception_select": (
        "dcgan study=inception_select study.num_samples=60 study.share=0.4 "
        "study.num_shown=6 study.suite=${metrics} metrics.num_real=50 "
        "metrics.num_fake=24 ~metrics.metrics.kid"
    ),
    "spectrum": "dcgan study=spectrum study.num=20",
    "nearest_neighbours": (
        "dcgan study=nearest_neighbours study.num=30 study.num_shown=3 study.batch_size=16"
    ),
    "held_out": (
        "vae study=nearest_neighbours study.num=20 study.num_shown=2 "
        f"study.held_out=inputs study.suite=${{metrics}} {SCORES}"
    ),
    "pyramid_levels": (
        "semantic_pyramid study=pyramid_levels study.num=40 study.num_pairs=6 study.num_shown=3"
    ),
    "repaint": (
        f"semantic_pyramid study=repaint {PICTURE} {MASK} study.num_variants=3 study.level=pool3"
    ),
    "compose": (
        f"semantic_pyramid study=compose {PICTURE} study.object=inputs/1.png "
        "study.box=[0.2,0.2,0.6,0.7] study.num_variants=2 study.at=[0.5,0.6] "
        "study.truncation=0.8"
    ),
    "relabel": (
        f"semantic_pyramid study=relabel {PICTURE} study.num_labels=2 study.num_variants=2"
    ),
    "unnatural": "semantic_pyramid study=unnatural study.images=inputs study.num_variants=2",
    "real_or_fake": "dcgan study=real_or_fake study.num=4",
    "real_or_fake_levels": (
        "semantic_pyramid study=real_or_fake study.protocol=paired study.num=3 "
        "study.levels=[pool2,fc7]"
    ),
    "samples_ranks": f"stylegan study=samples study.num=5 {TWO_RANKS}",
    "detection_ranks": (
        f"dcgan study=artifact_detection {RATES} study.num_samples=61 study.num=20 "
        f"study.suite.num_real=50 study.num_shown=6 {TWO_RANKS}"
    ),
    "ablation_ranks": (
        f"dcgan study=sequential_ablation {RATES} {FOUND} {SCORES} study.rate=0.3 "
        f"study.num_artifacts=13 {TWO_RANKS}"
    ),
    "select_ranks": (
        f"dcgan study=inception_select study.num_samples=61 study.share=0.1 {TWO_RANKS}"
    ),
    "circles_ranks": (
        f"stylegan study=circular_artifacts study.num_images=25 study.figures=false {TWO_RANKS}"
    ),
}
Command = tuple[str, list[str]]  # name and words after `python -m ganlab`


def options(group: str) -> dict[str, str]:
    """What there is besides of a config group in this script's checkout, with no words."""
    folder = Path(__file__).parents[1] / "conf" / group
    return {path.stem: "" for path in sorted(folder.glob("[!_]*.yaml"))}


def studies() -> dict[str, str]:
    """Each study with its words; one that has none here looks at a DCGAN as its config says."""
    said = {word for words in STUDIES.values() for word in words.split()}
    more = [name for name in options("study") if f"study={name}" not in said]
    return STUDIES | {name: f"dcgan study={name}" for name in more}


def commands() -> list[Command]:
    """All of them in an order in which each finds what it reads: `dcgan`, ..., `study/samples`."""
    found: list[Command] = []
    for model, words in (options("model") | MODELS).items():
        start = ["train", f"model={model}", *TRAINING.split(), *words.split()]
        last, place = f"ckpt=runs/{model}/checkpoints/last.ckpt", f"hydra.run.dir=runs/{model}"
        found += [
            (model, [*start, "kimg=0.25", place]),
            (f"{model}/resumed", ["train", last, "kimg=0.5"]),
            (f"{model}/ranks", [*start, "kimg=0.5", *TWO_RANKS.split(), f"{place}_two"]),
        ]
    for name, words in studies().items():
        model, *rest = words.split()
        ckpt = f"ckpt=runs/{model}/checkpoints/last.ckpt"
        found.append((f"study/{name}", ["evaluate", ckpt, *rest, f"hydra.run.dir=study/{name}"]))
    return found


def chosen(only: Sequence[str]) -> list[Command]:
    """The named commands, or `studies`, with the trainings whose checkpoints they read."""
    every, wanted = commands(), {"study/" if name == "studies" else name for name in only}
    named = [c for c in every if not only or any(c[0].startswith(name) for name in wanted)]
    if unknown := [n for n in wanted if not any(c[0].startswith(n) for c in every)]:
        sys.exit(f"error: no command begins with {', '.join(unknown)}")
    read = {words.split()[0] for n, words in studies().items() if f"study/{n}" in dict(named)}
    needed = {name for model in read for name in (model, f"{model}/resumed")}
    needed |= {name.removesuffix("/resumed") for name, _ in named if name.endswith("/resumed")}
    return [c for c in every if c in named or c[0] in needed]


def make_inputs(folder: Path) -> None:
    """Pictures that studies are given, and a mask."""
    folder.mkdir(parents=True, exist_ok=True)
    y, x = np.mgrid[0:40, 0:36]
    for i in range(4):
        wave = 127 + 100 * np.sin((i + 1) * x / 9 + y / (4 + i))
        Image.fromarray(wave.astype(np.uint8)).save(folder / f"{i}.png")
    mask = np.zeros((40, 36), np.uint8)
    mask[10:30, 8:24] = 255
    Image.fromarray(mask).save(folder / "mask.png")


def state_of(checkout: Path) -> str | None:
    """The commit of a checkout; None where files differ from it, so that nothing of it is kept."""

    def git(*words: str) -> str:
        return subprocess.run(
            ["git", "-C", str(checkout), *words], capture_output=True, text=True, check=False
        ).stdout.strip()

    return (
        None if git("status", "--porcelain", "--", "ganlab", "conf") else git("rev-parse", "HEAD")
    )


def execute(
    checkout: Path,
    folder: Path,  # where it runs, and where everything it writes goes
    todo: Sequence[Command],
    extra: Sequence[str] = (),  # words for every training
) -> list[str]:
    """Run the commands of one checkout; names of those that failed."""
    make_inputs(folder / "inputs")
    (folder / "logs").mkdir(exist_ok=True)
    environment = os.environ | {
        "PYTHONPATH": str(checkout.resolve()),
        "GANLAB_CACHE": str(folder.resolve() / "cache"),
        "OMP_NUM_THREADS": "1",
    }
    failed, anew = [], set[str]()
    for name, words in todo:
        words = [*words, *extra] if words[0] == "train" and "resumed" not in name else words
        stamp = folder / "logs" / f"{name.replace('/', '-')}.json"
        kept = {"commit": state_of(checkout), "words": words}
        source = name.removesuffix("/resumed")
        reusable = kept["commit"] and source not in anew and stamp.is_file()
        if reusable and json.loads(stamp.read_text()) == kept:
            continue
        anew.add(name)
        if words[0] == "train" and (place := run_of(words)):  # none is trained over another
            shutil.rmtree(folder / place, ignore_errors=True)
        started, log = time.monotonic(), stamp.with_suffix(".txt")
        with log.open("w") as file:
            ended = subprocess.run(
                [sys.executable, "-m", "ganlab", *words],
                cwd=folder, env=environment, stdout=file, stderr=subprocess.STDOUT, check=False,
            )  # fmt: skip
        seconds = time.monotonic() - started
        print(f"{checkout.name}: {name} {seconds:.0f} s", file=sys.stderr, flush=True)
        if ended.returncode:
            print(f"error: {name} failed in {checkout}; its end:", file=sys.stderr)
            print("\n".join(log.read_text().splitlines()[-8:]), file=sys.stderr)
            failed.append(name)
            stamp.unlink(missing_ok=True)
        else:
            stamp.write_text(json.dumps(kept))
    return failed


TIMING = ("images_per_second", "seconds_left")  # columns of metrics.csv
RESULT = ("status", "kind", "study", "seed", "images_seen", "scores", "exit_code", "error")
PART = ("status", "images_from", "images_to", "changes")  # of parts.json
SKIPPED = (".hydra", "cache", "logs", "report.html", ".attempts")  # names at any depth


def digests(folder: Path) -> dict[str, str]:
    """Relative path -> digest of what counts in the file, of everything the commands have left."""
    found = {}
    for path in sorted(folder.rglob("*")):
        relative = path.relative_to(folder)
        if path.is_file() and not set(relative.parts) & set(SKIPPED):
            found[str(relative)] = digest(path, str(folder.resolve()))
    return found


def digest(path: Path, place: str = "") -> str:
    """What counts in a file, hashed; `place` is taken out of texts."""
    sha256 = hashlib.sha256()
    for part in contents(path, place):
        sha256.update(part)
        sha256.update(b"\0")
    return sha256.hexdigest()[:16]


def contents(path: Path, place: str) -> Iterator[bytes]:
    """What counts in a file, as bytes."""
    match path.suffix:
        case ".ckpt":
            saved = torch.load(path, map_location="cpu", weights_only=True)
            for part in ("state_dict", "optimizer_states", "images_seen"):
                yield from of_tree(saved[part], part)
        case ".npz" | ".npy":
            loaded = np.load(path, allow_pickle=False)
            arrays = {"": loaded} if isinstance(loaded, np.ndarray) else dict(loaded)
            for name in sorted(arrays):
                yield from of_array(name, arrays[name], place)
        case ".safetensors":
            with safe_open(path, framework="np") as file:
                yield json.dumps(file.metadata(), sort_keys=True).encode()
                for name in sorted(file.keys()):
                    yield from of_array(name, file.get_tensor(name), place)
        case ".png" | ".webp" | ".gif":
            yield from of_picture(path.read_bytes(), place)
        case ".zip":
            with zipfile.ZipFile(path) as archive:
                for name in archive.namelist():
                    yield name.encode()
                    yield from of_picture(archive.read(name), place)
        case _:
            yield of_text(path, place).encode()


def of_tree(node: Any, name: str) -> Iterator[bytes]:
    """Tensors and plain values of a checkpoint, in order, each with its name."""
    if isinstance(node, torch.Tensor):
        yield from of_array(name, node.contiguous().view(-1).view(torch.uint8).numpy(), "")
        yield f"{node.dtype} {tuple(node.shape)}".encode()
    elif isinstance(node, Mapping):
        for key, value in node.items():
            yield from of_tree(value, f"{name}.{key}")
    elif isinstance(node, list | tuple):
        for i, value in enumerate(node):
            yield from of_tree(value, f"{name}.{i}")
    else:
        yield f"{name}={node!r}".encode()


def of_array(name: str, array: np.ndarray, place: str) -> Iterator[bytes]:
    """Name, type, shape and bytes."""
    yield f"{name} {array.dtype} {array.shape}".encode()
    text = array.dtype.kind in "US"
    yield scrubbed(str(array.tolist()), place).encode() if text else array.tobytes()


def of_picture(data: bytes, place: str) -> Iterator[bytes]:
    """Pixels of every frame, and the texts beside them; the whole file where it is no picture."""
    try:
        with Image.open(io.BytesIO(data)) as image:
            yield scrubbed(json.dumps(getattr(image, "text", {}), sort_keys=True), place).encode()
            for frame in ImageSequence.Iterator(image):
                yield f"{frame.mode} {frame.size} {frame.info.get('duration')}".encode()
                yield frame.tobytes()
    except OSError:
        yield data


def of_text(path: Path, place: str) -> str:
    """A text without what differs between two runs of the same: seconds, paths, times, commits."""
    text = path.read_text(encoding="utf-8", errors="replace")
    if path.name == "metrics.csv":
        rows = list(csv.DictReader(io.StringIO(text)))
        kept = [{k: v for k, v in row.items() if k not in TIMING} for row in rows]
        return json.dumps(kept)
    if path.name == "result.json":
        result = json.loads(text)
        text = json.dumps({key: result.get(key) for key in RESULT}, indent=1)
    if path.name == "parts.json":
        parts = json.loads(text)["parts"]
        text = json.dumps([{key: part.get(key) for key in PART} for part in parts], indent=1)
    return scrubbed(text, place)


def scrubbed(text: str, place: str) -> str:
    """Without the folder it was written in."""
    return text.replace(place, "HERE") if place else text


def compared(before: Mapping[str, str], after: Mapping[str, str]) -> list[str]:
    """A line for each file that differs or that one of both lacks."""
    lines = []
    for name in sorted({*before, *after}):
        a, b = before.get(name, "missing"), after.get(name, "missing")
        if a != b:
            lines.append(f"{name}: {a} before, {b} after")
    return lines


def main(arguments: Sequence[str] | None = None) -> int:
    """Run and compare."""
    assert __doc__ is not None
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("checkouts", nargs="+", type=Path, help="one, or before and after")
    parser.add_argument(
        "--into", type=Path, default=Path("outputs/compared"), help="where they run"
    )
    parser.add_argument("--only", default="", help="beginnings of names of commands, by commas")
    parser.add_argument("--after-words", nargs="*", default=[], help="for every training of after")
    parser.add_argument("--list", action="store_true", help="print the commands and stop")
    given = parser.parse_args(arguments)
    todo = chosen([name for name in given.only.split(",") if name])
    if given.list:
        print("\n".join(f"{name}: {' '.join(words)}" for name, words in todo))
        return 0
    sides = list(zip(("before", "after"), given.checkouts, strict=False))
    failed, found = [], {}
    for side, checkout in sides:
        folder = given.into.resolve() / side
        extra = given.after_words if side == "after" else []
        failed += execute(checkout, folder, todo, extra)
        found[side] = of_commands(digests(folder), todo)
    if len(sides) == 1:
        print("\n".join(f"{value}  {name}" for name, value in found["before"].items()))
        return int(bool(failed))
    lines = compared(found["before"], found["after"])
    print("\n".join(lines) or f"{len(found['after'])} files are equal")
    return int(bool(lines or failed))


def run_of(words: Sequence[str]) -> str | None:
    """The folder that a command begins, in that of its checkout; None of a resume."""
    named = (word for word in words if word.startswith("hydra.run.dir="))
    return next((word.removeprefix("hydra.run.dir=") for word in named), None)


def of_commands(found: Mapping[str, str], todo: Sequence[Command]) -> dict[str, str]:
    """Of what lies there, the files of these commands' folders."""
    folders = [f"{place}/" for _, words in todo if (place := run_of(words))]
    return {name: value for name, value in found.items() if name.startswith(tuple(folders))}


if __name__ == "__main__":
    sys.exit(main())
