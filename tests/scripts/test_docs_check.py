import importlib.util
import json
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SPEC = importlib.util.spec_from_file_location("docs_check", ROOT / "scripts" / "docs_check.py")
docs_check = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(docs_check)

RESULT = {
    "command": "python train.py",
    "commit": "abc",
    "seed": 0,
    "ratio": 1.0264,
    "nested": {"count": 12345},
    "scores": [
        {"metric": "fid1k", "value": 9.0, "intervention": "LR"},
        {"metric": "fid1k", "value": 4.4149},
    ],
}


def lines(tmp_path, text, result=RESULT):
    (tmp_path / "r.json").write_text(json.dumps(result))
    (tmp_path / "page.md").write_text(text)
    return docs_check.problems([tmp_path / "page.md"])


@pytest.mark.parametrize(
    "text",
    [
        "[4.41](r.json#fid1k)",
        "[4.4](r.json#fid1k)",
        "[1.026](r.json#ratio)",
        "[12,345](r.json#nested.count)",
    ],
)
def test_rounded_values_agree(tmp_path, text):
    assert lines(tmp_path, text) == []


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("[4.42](r.json#fid1k)", "fid1k = 4.4149"),
        ("[4.4](gone.json#fid1k)", "does not exist"),
        ("[4.4](r.json#fid2k)", "has no fid2k"),
        ("[four](r.json#fid1k)", "is no number"),
    ],
)
def test_a_number_that_does_not_hold_is_named(tmp_path, text, complaint):
    (line,) = lines(tmp_path, f"Before [4.41](r.json#fid1k), then {text}.")
    assert complaint in line


@pytest.mark.parametrize("missing", ["command", "commit", "seed"])
def test_a_result_of_unknown_origin_does_not_count(tmp_path, missing):
    result = {key: value for key, value in RESULT.items() if key != missing}
    (line,) = lines(tmp_path, "[4.41](r.json#fid1k)", result)
    assert missing in line


def test_the_docs_of_this_project_hold():
    pages = [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("benchmarks/*.md")]
    assert docs_check.problems(pages) == []
    assert any(docs_check.LINK.search(page.read_text()) for page in pages)
