"""A tiny trained pyramid, its studies from the command line, on image files of many kinds."""

import json
import re
import sys
from pathlib import Path

import numpy as np
import pytest
from hydra.core.global_hydra import GlobalHydra
from PIL import Image

from ganlab.report.tables import read_csv

ROOT = Path(__file__).parents[2]
TINY = [
    *("model=semantic_pyramid", "data.batch_size=16", "kimg=0.032", "features=classifier"),
    *("model.generator.width=4", "model.generator.max_width=8", "model.generator.latent_dim=8"),
    *("model.generator.embedding_dim=8", "model.discriminator.width=4"),
    *("model.discriminator.max_width=8", "scores=null", "callbacks=none"),
]
LEVELS = ["pool1", "pool2", "pool3", "pool4", "fc7", "fc8"]
GARMENTS = ["Top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag"]


def command(script, *words):
    """A command line in this process; its exit code."""
    from ganlab.__main__ import COMMANDS
    from ganlab.arguments import overlaid
    from ganlab.cli import run

    GlobalHydra.instance().clear()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", [script, *words])
        patch.chdir(ROOT)
        try:
            run(COMMANDS[script.removesuffix(".py")], overlaid)
        except SystemExit as ending:
            return ending.code or 0
    return 0


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    """Trained on ten class folders of nine images each."""
    folder = tmp_path_factory.mktemp("trained")
    for name in [*GARMENTS, "Boot"]:
        (folder / "data" / name).mkdir(parents=True)
        for i in range(9):
            photograph(folder / "data" / name / f"{i}.png", (32 + i, 40 - i), "L")
    data = [f"data.path={folder}/data", "data.resolution=32", "data.channels=1"]
    words = [*TINY, "data=folder", *data, f"hydra.run.dir={folder}/run"]
    assert command("train.py", *words) == 0
    return folder / "run" / "checkpoints" / "last.ckpt"


@pytest.fixture
def evaluated(checkpoint, tmp_path):
    def evaluated(study, *words):
        place = f"hydra.run.dir={tmp_path}/out"
        assert command("evaluate.py", f"ckpt={checkpoint}", f"study={study}", *words, place) == 0
        rows = read_csv((tmp_path / "out" / "table.csv").read_text()).rows
        return rows, tmp_path / "out"

    return evaluated


@pytest.fixture
def complaint(checkpoint, tmp_path, capsys):
    def complaint(study, *words):
        place = f"hydra.run.dir={tmp_path}/bad"
        capsys.readouterr()
        assert command("evaluate.py", f"ckpt={checkpoint}", f"study={study}", *words, place) == 1
        (line,) = [e for e in capsys.readouterr().err.splitlines() if e.startswith("error:")]
        return line

    return complaint


def photograph(path, size=(50, 40), mode="RGB", **options):
    """A bright blob on a dark ground."""
    y, x = np.mgrid[: size[1], : size[0]]
    blob = np.exp(-((x - size[0] / 2) ** 2 + (y - size[1] / 2) ** 2) / (0.08 * size[0] ** 2))
    image = Image.fromarray((255 * blob).astype(np.uint8))
    if mode == "I;16":
        image = Image.fromarray((65535 * blob).astype(np.uint16))
    elif mode == "RGBA":
        image = Image.merge("RGBA", [image, image, image, Image.new("L", size, 200)])
    else:
        image = image.convert(mode)
    image.save(path, **options)
    return path


def region(path, size=(50, 40), mode="L"):
    mask = np.zeros((size[1], size[0]), np.uint8)
    mask[size[1] // 4 : size[1] // 2, size[0] // 3 : size[0] // 2] = 255
    Image.fromarray(mask).convert(mode).save(path)
    return path


KINDS = [
    ("RGBA", (33, 65), "png"),
    ("I;16", (64, 64), "png"),
    pytest.param("RGB", (50, 40), "png", marks=pytest.mark.slow),
    pytest.param("P", (28, 28), "gif", marks=pytest.mark.slow),
    pytest.param("L", (32, 32), "jpg", marks=pytest.mark.slow),
    pytest.param("1", (33, 35), "bmp", marks=pytest.mark.slow),
]


@pytest.mark.parametrize(("mode", "size", "suffix"), KINDS)
def test_repaint_takes_image_files_of_every_kind(evaluated, tmp_path, mode, size, suffix):
    image = photograph(tmp_path / f"image.{suffix}", size, mode)
    mask = region(tmp_path / "mask.png", size, "1" if mode == "1" else "L")
    words = [f"study.image={image}", f"study.mask={mask}", "study.level=pool3"]
    rows, folder = evaluated("repaint", *words, "study.num_variants=2")
    assert [row["image"] for row in rows][-3:] == ["variant 0", "variant 1", "mean of variants"]
    assert all(0 <= row["change outside"] <= 1 for row in rows)
    for name in ("repaint/000.png", "repaint/001.png", "figures/repaint.png"):
        with Image.open(folder / name) as picture:
            assert picture.size == (32, 32) or name.startswith("figures")
    assert json.loads((folder / "result.json").read_text())["status"] == "done"
    assert (folder / "report.html").exists()


def test_compose_relabel_and_unnatural(evaluated, tmp_path):
    image, other = photograph(tmp_path / "a.png"), photograph(tmp_path / "b.jpg", (64, 64), "L")
    mask = region(tmp_path / "mask.png", (64, 64))
    place = [f"study.image={image}", f"study.object={other}", "study.num_variants=2"]
    rows, folder = evaluated("compose", *place, f"study.mask={mask}", "study.at=[0.7,0.6]")
    assert rows[0]["image"] == "naive paste"
    assert (folder / "compose" / "001.png").exists()
    rows, folder = evaluated(
        "relabel", f"study.image={image}", "study.labels=[Bag,8,Sneaker]", "study.num_variants=1"
    )
    assert [row["label"] for row in rows][-1] in ("Sneaker", "Bag")
    assert {row["label"] for row in rows} >= {"Sneaker"}
    assert (folder / "figures" / "relabel.png").exists()
    rows, folder = evaluated("unnatural", f"study.images=[{image},{other}]")
    assert [row["reference"] for row in rows] == ["a", "b"]
    assert (folder / "unnatural" / "01_b" / "003.png").exists()


def test_levels_are_scored_with_the_papers_numbers_beside(evaluated):
    rows, folder = evaluated("pyramid_levels", "study.num=70", "study.num_pairs=8")
    assert [row["level"] for row in rows] == LEVELS
    assert all(row["fid70_classifier"] > 0 for row in rows)
    assert [row["FID (paper)"] for row in rows] == [2.89, 8.67, 11.08, 17.64, 22.67, 29.34]
    assert all(row["diversity"] >= 0 for row in rows)
    result = json.loads((folder / "result.json").read_text())
    assert [r["intervention"] for r in result["scores"] if r["metric"][:3] == "fid"] == LEVELS


def test_the_notebook_of_the_docs_runs(checkpoint, tmp_path, monkeypatch):
    page = (ROOT / "docs" / "semantic_pyramid.md").read_text()
    (notebook,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    assert len([line for line in notebook.splitlines() if line]) <= 12
    photograph(tmp_path / "shirt.png")
    region(tmp_path / "collar.png")
    monkeypatch.chdir(tmp_path)
    names = {}
    exec(notebook.replace("run/checkpoints/last.ckpt", str(checkpoint)), names)
    assert names["variants"].shape == (8, 1, 32, 32)
    assert names["picture"].ndim == 3


@pytest.mark.parametrize("protocol", ["paired", pytest.param("unpaired", marks=pytest.mark.slow)])
def test_people_judge_each_level_apart(checkpoint, tmp_path, protocol):
    words = [f"ckpt={checkpoint}", "study=real_or_fake", f"study.protocol={protocol}"]
    words += ["study.num=3", "study.levels=[conv1,fc8]", f"hydra.run.dir={tmp_path}"]
    assert command("evaluate.py", *words) == 0
    page = (tmp_path / "real_or_fake.html").read_text()
    content = json.loads(page.split('id="study">')[1].split("</script>")[0])
    assert [trial["level"] for trial in content["trials"]] == ["pool1"] * 3 + ["fc8"] * 3
    assert content["seconds"] == 1
    assert len(content["images"]) == 12


def test_mistakes_are_one_line_that_names_the_key(complaint, tmp_path):
    image, mask = photograph(tmp_path / "i.png"), region(tmp_path / "m.png")
    full = tmp_path / "full.png"
    Image.new("L", (50, 40), 255).save(full)
    line = complaint("repaint", f"study.image={image}", f"study.mask={full}")
    assert line.startswith(f"error: study.mask={full} marks every pixel")
    assert "study.image is not set; it takes an image file" in complaint(
        "repaint", f"study.mask={mask}"
    )
    line = complaint("pyramid_levels", "study.num=20000")
    assert "study.num=20000 references asked for, and the data has 90: study.num=90" in line


@pytest.mark.slow
def test_more_mistakes_are_one_line_that_names_the_key(complaint, tmp_path):
    """Every kind of bad file, of which tests of `image_input` see what is said."""
    image, mask = photograph(tmp_path / "i.png"), region(tmp_path / "m.png")
    empty, odd = tmp_path / "empty.png", region(tmp_path / "odd.png", (40, 50))
    Image.new("L", (50, 40), 0).save(empty)
    told = {
        "no such file": f"study.mask={tmp_path}/none.png",
        "marks nothing": f"study.mask={empty}",
        "is no mask": f"study.mask={photograph(tmp_path / 'grey.png')}",
        "is 40x50 px": f"study.mask={odd}",
    }
    for reason, word in told.items():
        line = complaint("repaint", f"study.image={image}", word)
        assert line.startswith(f"error: {word}"), line
        assert reason in line
    words = [f"study.image={image}", f"study.mask={mask}", "study.level=fc6"]
    assert "study.level=fc6 is no level" in complaint("repaint", *words)
    line = complaint("relabel", f"study.image={image}", "study.labels=Hat")
    assert "study.labels=Hat is no class" in line
