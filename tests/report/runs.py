"""Run directories as training, a crash and a study leave them, for the tests of the page."""

import csv
import json

import numpy as np
import torch

from ganlab.report.figures import save
from ganlab.report.images import save_grid, save_png
from ganlab.report.results import write_result
from ganlab.report.rho import histogram
from ganlab.report.tables import Table

HOSTILE = '"><script>alert(1)</script><img src=x onerror=alert(2)>{{ 7*7 }}$&amp;'
STAMP = {"n_real": 10_000, "n_fake": 1000, "extractor": "classifier", "resize": "bilinear-32"}


def write_metrics(directory, rows=20, tail=""):
    columns = ["loss/generator", "loss/discriminator", "sign/real", "fid1k_classifier"]
    with (directory / "metrics.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["images_seen", *columns])
        for i in range(rows):
            writer.writerow([1000 * i, 1 + i, 2 / (1 + i), 0.5, 90 - i if i % 5 == 0 else ""])
        file.write(tail)


def write_samples(directory, moments=(0, 5000, 10_000)):
    for seen in moments:
        images = torch.rand(4, 1, 8, 8, generator=torch.Generator().manual_seed(seen)) * 2 - 1
        path = directory / "samples" / f"{seen:09d}.png"
        save_grid(images, path, metadata={"images_seen": str(seen)})


def full_run(directory):
    directory.mkdir(parents=True)
    write_metrics(directory)
    write_samples(directory)
    scores = [
        {"metric": "fid1k_classifier", "value": 71.25, "extractor_sha256": "3fa9c1d27b", **STAMP},
        {"metric": "recall1k_k3_classifier", "value": 0.625, **STAMP},
    ]
    write_result(
        directory,
        {
            "status": "done",
            "kind": "train",
            "overrides": ["model=dcgan", "data=fashion_mnist", "kimg=19"],
            "seed": 3,
            "versions": {"torch": "2.13.0"},
            "images_seen": 19_000,
            "seconds": 3725.0,
            "scores": scores,
            "config_hash": "a81f",
        },
    )
    return directory


def study(directory):
    directory.mkdir(parents=True)
    rows = [{"layers": "none", "fid": 71.0}, {"layers": [0, 1], "fid": 64.5}]
    table = Table(["layers", "fid"], rows, {"fid": "min"}, "By layers", ["the same latents"])
    table.write(directory)
    figure, numbers = histogram({"none": [0.71], "0, 1": [0.645]})
    save(figure, directory / "figures" / "scores.png", numbers, caption="Scores by layer set")
    payload = {"status": "done", "kind": "evaluate", "study": "sequential_ablation", "scores": []}
    write_result(directory, payload)
    return directory


def crashed_run(directory):
    """Killed in the middle of a row and of a picture: no result, one broken PNG."""
    directory.mkdir(parents=True)
    write_metrics(directory, tail="20000,1.5")
    write_samples(directory)
    whole = (directory / "samples" / "000010000.png").read_bytes()
    (directory / "samples" / "000015000.png").write_bytes(whole[: len(whole) // 2])
    (directory / ".hydra").mkdir()
    choices = "hydra:\n  runtime:\n    choices:\n      model: dcgan\n      data: fashion_mnist\n"
    (directory / ".hydra" / "hydra.yaml").write_text(choices)
    (directory / ".hydra" / "config.yaml").write_text("kimg: 400\n")
    return directory


def hostile_run(directory):
    """Every text that a config, a metric or a file name can bring is an attack."""
    full_run(directory)
    payload = json.loads((directory / "result.json").read_text())
    payload |= dict.fromkeys(("study", "seed", "config_hash"), HOSTILE)
    payload |= {"model": HOSTILE, "data": HOSTILE, "overrides": [f"a={HOSTILE}"]}
    payload["versions"] = {HOSTILE: HOSTILE}
    payload["config"] = {HOSTILE: HOSTILE}
    payload["scores"] = [dict.fromkeys(("metric", "extractor", "resize"), HOSTILE) | {"value": 1.0}]
    write_result(directory, payload)
    quoted = HOSTILE.replace('"', '""')
    header = f'images_seen,"loss/{quoted}","{quoted}","_{quoted}/x"\n'
    (directory / "metrics.csv").write_text(header + "0,1,2,3\n1000,2,3,4\n")
    (directory / "evil.csv").write_text(f'"{quoted}"\n"{quoted}"\n')
    metadata = {"Description": HOSTILE}
    name = "a<script>alert(3)<&.png"  # no slash: it is a file's name
    save_png(np.zeros((4, 4, 3), np.uint8), directory / "figures" / name, metadata)
    return directory
