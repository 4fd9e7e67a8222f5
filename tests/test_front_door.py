"""What people look for besides pages: the workflow, the forms, the metadata say what is so."""

import re
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[1]
PROJECT = (ROOT / "pyproject.toml").read_text()
SUPPORTED = ["3.10", "3.11", "3.12", "3.13"]


def test_the_workflow_runs_the_same_script_on_every_python_that_is_claimed():
    jobs = yaml.safe_load((ROOT / ".github/workflows/ci.yml").read_text())["jobs"]
    assert jobs["suite"]["strategy"]["matrix"]["python"] == SUPPORTED
    assert any(".ci/run" in step.get("run", "") for step in jobs["suite"]["steps"])
    assert jobs["next"]["continue-on-error"] is True
    claimed = re.findall(r"Programming Language :: Python :: (3\.\d+)", PROJECT)
    assert claimed == SUPPORTED
    assert 'requires-python = ">=3.10,<3.14"' in PROJECT


def test_what_the_workflow_and_the_pages_make_is_there_to_be_made():
    makefile = (ROOT / "Makefile").read_text()
    targets = set(re.findall(r"^([a-z-]+):", makefile, re.MULTILINE))
    for name in ("README.md", "CONTRIBUTING.md", ".ci/run", ".github/workflows/ci.yml"):
        said = set(re.findall(r"^ *(?:- run: )?make ([a-z-]+)", (ROOT / name).read_text(), re.M))
        assert said <= targets, name


def test_what_comes_is_resolved_for_its_own_python():
    words = ["make", "-n", "test-next", f"NEXT_PYTHON={sys.executable}"]
    said = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert "hydra-core>=1.4.0rc1" in said
    assert ("--ignore-requires-python" in said) == (sys.version_info >= (3, 14))


def test_ci_refuses_an_environment_of_another_python(tmp_path):
    script = (ROOT / ".ci/run").read_text()
    check = script[script.index('if [ -n "${PYTHON:-}"') : script.index("make check")]
    for made, code in (("3.11.7", 0), ("3.12.1", 1)):
        for place, version in (("asked", "3.11.7"), (".venv/bin/python", made)):
            (tmp_path / place).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / place).write_text(f"#!/bin/sh\necho {version}\n")
            (tmp_path / place).chmod(0o755)
        words = ["bash", "-euc", f"PYTHON=./asked; {check}"]
        ran = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True)
        assert ran.returncode == code, ran.stderr


def test_the_form_of_a_problem_asks_for_what_doctor_tells():
    form = yaml.safe_load((ROOT / ".github/ISSUE_TEMPLATE/bug.yml").read_text())
    fields = {each["attributes"]["label"]: each for each in form["body"]}
    assert fields["python -m ganlab doctor"]["validations"]["required"] is True


def test_the_version_is_one_everywhere():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert citation["version"] == metadata.version("ganlab")
    assert len(citation["references"]) == 5


def test_the_image_is_built_on_a_base_that_is_an_argument():
    lines = (ROOT / "Dockerfile").read_text().splitlines()
    base = lines.index("ARG BASE=python:3.12-slim")
    assert lines[base + 1] == "FROM ${BASE}"
