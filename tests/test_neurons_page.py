"""The notebook of docs/neurons.md runs as it is printed."""

import re
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from ganlab import interop
from ganlab.interop.foreign import of_content
from ganlab.storage.untrusted import read_untrusted

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "neurons.md"
sys.path.insert(0, str(ROOT / "tests" / "interop"))


@pytest.fixture
def notebook():
    (block,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    return block


def test_the_notebook_runs_in_ten_lines(notebook, tmp_path, monkeypatch):
    from tutorial_networks import generator, lively, state

    torch.save({"netG_state_dict": state(lively(generator(ngf=2)))}, tmp_path / "tiny.pth")
    tiny = tmp_path / "tiny.pth"
    monkeypatch.setitem(interop.NAMED, "faces", lambda: of_content(tiny, read_untrusted(tiny)))
    monkeypatch.chdir(tmp_path)
    code = [line for line in notebook.splitlines() if line and not line.startswith(("from", "#"))]
    assert len(code) <= 10
    names = {}
    exec(notebook, names)
    before, after = names["before"], names["after"]
    assert before.shape == after.shape == (8, 3, 64, 64)
    assert not torch.equal(before, after)
    assert np.asarray(Image.open("repaired.png")).shape[0] == 2 * 64 + 3 * 2


def test_the_commands_name_studies_and_keys_that_exist():
    """Every option printed after `study.` is one of some study's config."""
    from omegaconf import OmegaConf

    studies = {path.stem: OmegaConf.load(path) for path in (ROOT / "conf" / "study").glob("*.yaml")}
    text = PAGE.read_text()
    named = set(re.findall(r"study=(\w+)", text))
    keys = set(re.findall(r"study\.(\w+)=", text))
    assert {"artifact_detection", "sequential_ablation"} <= named <= set(studies)
    assert keys <= {str(key) for config in studies.values() for key in config}


def test_every_picture_is_there_and_small():
    pictures = re.findall(r"!\[[^]]+\]\(([^)]+)\)", PAGE.read_text())
    assert pictures
    for name in pictures:
        assert (PAGE.parent / name).stat().st_size < 400_000, name
