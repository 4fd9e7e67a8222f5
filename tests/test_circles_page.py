"""The notebook of docs/circular_artifacts.md runs as it is printed, on a small checkpoint."""

import re
import sys
from pathlib import Path

import numpy as np
import pytest
from omegaconf import OmegaConf
from PIL import Image

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "circular_artifacts.md"
sys.path.insert(0, str(ROOT / "tests" / "studies"))


def test_the_notebook_runs_in_ten_lines(tmp_path, monkeypatch, capsys):
    from circle_oracles import planted

    import ganlab.run

    (notebook,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    code = [line for line in notebook.splitlines() if line and not line.startswith(("from", "#"))]
    assert len(code) <= 10
    generator = planted()
    monkeypatch.setattr(ganlab.run, "generator_of", lambda ckpt: generator)
    monkeypatch.chdir(tmp_path)
    names = {}
    exec(notebook.replace("range(2000)", "range(20)"), names)
    assert "of the images are affected" in capsys.readouterr().out
    assert [len(step.units) for step in names["steps"]] == [0, 1, 2, 3]
    assert np.asarray(Image.open("moved.png")).shape[0] == 4 * 64 + 5 * 2


def test_the_commands_name_keys_that_exist_and_the_table_every_figure():
    from ganlab.studies.circles.figures import FIGURES

    text = PAGE.read_text()
    keys = {str(key) for key in OmegaConf.load(ROOT / "conf/study/circular_artifacts.yaml")}
    named = set(re.findall(r"study\.(\w+)", text))
    assert {"levels_from", "compare"} <= named
    assert named <= keys
    assert set(FIGURES) <= set(re.findall(r"`(figure\w+)`", text))


@pytest.mark.parametrize("name", re.findall(r"!\[[^]]+\]\(([^)]+)\)", PAGE.read_text()))
def test_every_picture_is_there_and_small(name):
    assert (PAGE.parent / name).stat().st_size < 400_000
