"""docs/latents.md: its notebook runs as printed, its commands and pictures exist."""

import re
import sys
from pathlib import Path

import pytest
import torch
from omegaconf import OmegaConf

from ganlab import interop
from ganlab.interop.foreign import of_content
from ganlab.storage.untrusted import read_untrusted

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "latents.md"
sys.path.insert(0, str(ROOT / "tests" / "interop"))


def test_the_notebook_runs(tmp_path, monkeypatch, capsys):
    from tutorial_networks import generator, lively, state

    (notebook,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    torch.save({"netG_state_dict": state(lively(generator(ngf=2)))}, tmp_path / "tiny.pth")
    tiny = tmp_path / "tiny.pth"
    monkeypatch.setitem(interop.NAMED, "faces", lambda: of_content(tiny, read_untrusted(tiny)))
    names = {}
    exec(notebook, names)
    assert names["images"].shape == (8, 3, 64, 64)
    assert torch.allclose(names["path"][:, 0], names["images"][0::2], atol=1e-5)
    assert names["moved"].shape == names["latents"][:4].shape
    assert "unevenness" in capsys.readouterr().out


def test_the_commands_name_studies_and_keys_that_exist():
    studies = {path.stem: OmegaConf.load(path) for path in (ROOT / "conf" / "study").glob("*.yaml")}
    text = PAGE.read_text()
    named = set(re.findall(r"study=(\w+)", text))
    keys = set(re.findall(r"study\.(\w+)=", text))
    assert {"samples", "interpolation", "arithmetic", "style_mixing", "timeline"} <= named
    assert named <= set(studies)
    assert keys <= {str(key) for config in studies.values() for key in config}


@pytest.mark.parametrize("name", re.findall(r"!\[[^]]+\]\(([^)]+)\)", PAGE.read_text()))
def test_every_picture_is_there_and_small(name):
    assert (PAGE.parent / name).stat().st_size < 300_000
