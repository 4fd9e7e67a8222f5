"""The notebooks: text that runs, and what the site shows of it is of the code it stands beside."""

import json
import re
import sys
from pathlib import Path

import pytest
import torch
from PIL import Image

from ganlab.run import data_of, recipe, suite_of

ROOT = Path(__file__).parents[1]
sys.path += [str(ROOT / "scripts"), str(ROOT / "tests" / "interop")]

import notebooks  # noqa: E402
from tutorial_networks import generator, lively, state  # noqa: E402

ALL = sorted(notebooks.HOME.glob("*.py"))
SHOWN = [path for path in ALL if path.with_suffix(".json").is_file()]
SMALL = {  # parameters of a few seconds
    "train": {"kimg": 0.128, "width": 4, "num": 100},
    "neurons": {"ckpt": "tiny.pth", "num": 40, "shown": 3},
    "circles": {"num": 4},
    "scores": {"num": 60},
    "model": {"kimg": 0.064, "width": 8, "num_latents": 10},
}


@pytest.mark.parametrize("path", ALL, ids=lambda path: path.stem)
def test_a_notebook_runs_at_a_small_size(path, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    torch.save({"netG_state_dict": state(lively(generator(ngf=2)))}, "tiny.pth")
    small = SMALL[path.stem]
    parameters, shown = notebooks.run(path, small, notebooks.kept(path.stem, tmp_path))
    assert small.items() <= parameters.items()
    assert sum("picture" in said or "markdown" in said for said in shown.values()) >= 2
    for said in shown.values():
        if "picture" in said:
            assert Image.open(tmp_path / said["picture"]).width > 50


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("path", ALL, ids=lambda path: path.stem)
def test_a_notebook_runs_at_its_own_size(path, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    notebooks.show(path, tmp_path / "record.json", tmp_path)
    made = json.loads((tmp_path / "record.json").read_text())
    assert SMALL[path.stem].keys() <= made["parameters"].keys()
    if path in SHOWN:
        kept = json.loads(path.with_suffix(".json").read_text())
        assert made["parameters"] == kept["parameters"]
        for number, said in kept["shown"].items():
            assert set(made["shown"][number]) == set(said)


@pytest.mark.parametrize("path", SHOWN, ids=lambda path: path.stem)
def test_what_the_site_shows_is_of_this_code(path):
    last = json.loads(path.with_suffix(".json").read_text())
    assert last["code"] == notebooks.digest(path.read_text()), f"run {last['command']}"
    page = notebooks.page(path)
    for name in re.findall(r"!\[[^]]+\]\(\.\./images/notebooks/(\S+)\)", page):
        assert (notebooks.PICTURES / name).stat().st_size < 300_000
    pictures = [said["picture"] for said in last["shown"].values() if "picture" in said]
    assert page.count("../images/notebooks/") == len(pictures)
    assert f"`{last['command']}` at commit `{last['commit']}`" in page


def test_every_notebook_is_in_the_contents():
    named = re.findall(r"^notebooks/(\w+)$", (ROOT / "docs" / "index.md").read_text(), re.MULTILINE)
    assert sorted(named) == [path.stem for path in ALL] == sorted(SMALL)
    assert SHOWN == ALL, "python scripts/notebooks.py makes what is missing"


TEXT = """# %% [markdown]
# # Title
#
# Words.

# %% tags=["parameters"]
count = 2

# %%
print("said")
[count] * count  # shown
"""


def test_a_cell_shows_what_it_prints_and_its_last_value(tmp_path):
    path = tmp_path / "x.py"
    path.write_text(TEXT)
    assert notebooks.run(path, {}, str) == ({"count": 2}, {2: {"text": "said\n[2, 2]"}})
    assert notebooks.run(path, {"count": 3}, str)[1] == {2: {"text": "said\n[3, 3, 3]"}}
    with pytest.raises(KeyError, match="no parameter other"):
        notebooks.run(path, {"other": 3}, str)


def test_a_page_has_text_code_and_what_was_shown(tmp_path):
    path = tmp_path / "x.py"
    path.write_text(TEXT)
    last = {"shown": {"2": {"text": "said\n[2, 2]", "picture": "x_2.png"}}, "command": "c"}
    last |= {"commit": "abc", "parameters": {"count": 2}, "seconds": 4, "threads": 1}
    path.with_suffix(".json").write_text(json.dumps(last))
    page = notebooks.page(path)
    assert page.startswith("# Title\n\nWords.\n\n```python\ncount = 2\n```\n\n```python\nprint(")
    assert "```text\nsaid\n[2, 2]\n```\n\n![shown](../images/notebooks/x_2.png)\n" in page
    assert "`c` at commit `abc`, `count=2`: 4 s" in page


def test_an_error_of_a_cell_names_its_line(tmp_path):
    path = tmp_path / "x.py"
    path.write_text(TEXT.replace("[count] * count  # shown", "1 / 0"))
    with pytest.raises(ZeroDivisionError) as caught:
        notebooks.run(path, {}, str)
    assert caught.traceback[-1].lineno == TEXT[: TEXT.index("[count]")].count("\n")


def test_other_words_do_not_change_what_code_is_known_by():
    other = TEXT.replace("Words.", "Other words.")
    assert notebooks.digest(other) == notebooks.digest(TEXT)
    assert notebooks.digest(TEXT.replace("2", "3")) != notebooks.digest(TEXT)


def test_a_recipe_names_its_images_and_its_scores():
    words = ["data.resolution=16", "data.num=40", "metrics.num_real=30", "metrics.num_fake=20"]
    system = recipe("vanilla", "data=synthetic", "features=classifier", *words)
    data, suite = data_of(system), suite_of(system)
    data.setup()
    assert data.dataset.pixels.shape == (40, 3, 16, 16)
    assert (suite.num_real, suite.num_fake, suite.extractor.name) == (30, 20, "classifier")
