"""docs/semantic_pyramid.md: its commands, keys and pictures exist, its numbers are the paper's."""

import re
from pathlib import Path

import pytest
from omegaconf import OmegaConf

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "semantic_pyramid.md"
STUDIES = {"pyramid_levels", "repaint", "compose", "relabel", "unnatural", "real_or_fake"}


def test_the_commands_name_studies_sweeps_and_keys_that_exist():
    studies = {path.stem: OmegaConf.load(path) for path in (ROOT / "conf" / "study").glob("*.yaml")}
    text = PAGE.read_text()
    for command in re.findall(r"^python evaluate\.py (?:.*\\\n)*.*$", text, re.MULTILINE):
        named = re.findall(r"study=(\w+)", command)
        keys = set(re.findall(r"study\.(\w+)=", command))
        assert all(keys <= {str(key) for key in studies[name]} for name in named), command
    assert set(re.findall(r"study=(\w+)", text)) == STUDIES
    for kind in ("sweep", "experiment"):
        for name in re.findall(rf"{kind}=([\w/]+)", text):
            assert (ROOT / "conf" / kind / f"{name}.yaml").exists()


@pytest.mark.parametrize("name", re.findall(r"!\[[^]]+\]\(([^)]+)\)", PAGE.read_text()))
def test_every_picture_is_there_and_small(name):
    assert (PAGE.parent / name).stat().st_size < 300_000


def test_the_papers_numbers_are_those_of_the_table():
    from ganlab.studies.pyramid.levels import PAPER

    (row,) = re.findall(r"^\| FID \|(.*)\|$", PAGE.read_text(), re.MULTILINE)
    assert [float(cell) for cell in row.split("|")] == [fid for _, fid in PAPER.values()]
    sweep = OmegaConf.load(ROOT / "conf" / "sweep" / "shocher2020_table1.yaml")
    printed = {entry.intervention: entry.FID for entry in sweep.grid.table.paper["values"]}
    assert printed == {level: fid for level, (_, fid) in PAPER.items()}
