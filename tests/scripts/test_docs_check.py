import importlib.util
import json
import re
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
    assert sum(len(docs_check.claims(page)) for page in pages) > 600


CELLS = RESULT | {
    "tables": {
        "table": {
            "bottom": {"fid": 4.4149, "fid_std": 0.25, "recall": None},
            "top": {"fid": 12.5, "fid_std": 0.75, "recall": 0.123},
        }
    }
}
COMMENT = """<!-- r.json#tables.table
columns: - fid,fid_std,_ recall
rows: bottom top
-->
"""
TABLE = """| images | FID (paper) | recall |
| --- | --- | --- |
| bottom 20 | 4.41 ± 0.25 (31.8) | none |
| top 20 | 12.5 ± 0.75 (90.1) | 0.12 |
"""


def test_the_numbers_of_a_table_agree_row_by_row_and_column_by_column(tmp_path):
    assert lines(tmp_path, f"Text.\n\n{COMMENT}{TABLE}\nMore [4.41](r.json#fid1k).\n", CELLS) == []
    assert len(docs_check.claims(tmp_path / "page.md")) == 7


@pytest.mark.parametrize(
    ("before", "after", "complaint"),
    [
        ("4.41 ±", "4.42 ±", r"says 4\.42, r\.json has tables\.table\.bottom\.fid = 4\.4149"),
        ("0.75 (90", "0.85 (90", r"tables\.table\.top\.fid_std = 0\.75"),
        ("| none |", "| 0.2 |", r"tables\.table\.bottom\.recall = None"),
        ("| 0.12 |", "| none |", r"says None, r\.json has tables\.table\.top\.recall = 0\.123"),
        (" (31.8)", "", "should hold 3 numbers"),
        ("rows: bottom top", "rows: top bottom", r"tables\.table\.top\.fid = 12\.5"),
        ("rows: bottom top", "rows: bottom middle", r"has no tables\.table\.middle"),
        ("rows: bottom top", "rows: bottom", "1 rows and 3 columns are named"),
        ("_ recall", "_", "2 rows and 2 columns are named"),
        ("r.json#", "gone.json#", "does not exist"),
    ],
)
def test_a_table_that_does_not_hold_is_named(tmp_path, before, after, complaint):
    said = lines(tmp_path, (COMMENT + TABLE).replace(before, after, 1), CELLS)
    assert re.search(complaint, "\n".join(said)), said


def test_rows_of_a_table_may_come_from_several_files(tmp_path):
    (tmp_path / "s.json").write_text(json.dumps(CELLS))
    comment = COMMENT.replace("top\n", "-\ns.json#tables.table\nrows: - top\n")
    assert lines(tmp_path, comment + TABLE, CELLS) == []
    (line,) = lines(tmp_path, comment + TABLE.replace("12.5", "12.6"), CELLS)
    assert "s.json has tables.table.top.fid" in line


KEPT = {
    "command": "python evaluate.py ckpt=faces study=samples study.num=24",
    "commit": "abc",
    "seed": 0,
    "n": {"num": 24},
    "scores": [{"metric": "fid1k", "value": 4.4149, "n_fake": 1000}],
}


def faults(tmp_path, page="[4.41](r.json#fid1k)", makers="", **changes):
    """What is said of a result with these changes, None taking a key away."""
    result = {key: value for key, value in {**KEPT, **changes}.items() if value is not None}
    (tmp_path / "r.json").write_text(json.dumps(result))
    (tmp_path / "page.md").write_text(page)
    return docs_check.record_problems([tmp_path / "r.json"], [tmp_path / "page.md"], makers)


SCORE = {"metric": "fid", "value": 1.0}


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"n": None, "scores": None}, "does not say of how many"),
        ({"n": {}, "scores": []}, "does not say of how many"),
        ({"scores": [SCORE]}, "does not say of how many"),
        ({"scores": [{**SCORE, "n_fake": 9}, {**SCORE, "intervention": "LR"}]}, "how many"),
        ({"cells": {"a": {"scores": [SCORE]}}}, "does not say of how many"),
        ({"commit": "abc+"}, r"was made at abc\+, a commit with changes"),
        ({"commit": "abc, def+"}, "a commit with changes"),
        ({"command": "python evaluate.py study.numb={PN: a, b"}, "does not compose"),
        (
            {"command": "python evaluate.py study=samples study.nought=1"},
            "does not compose: .*nought",
        ),
        ({"command": "python evaluate.py study=no_such"}, "does not compose"),
        ({"command": "python train.py 'seed=0"}, "its command is none"),
        ({"command": "python gone.py"}, "names no script: gone.py"),
        ({"command": "python benchmarks/rates.py --nought 3"}, "has --nought, which"),
        (
            {"command": "python evaluate.py ckpt=outputs/mine/x/checkpoints/last.ckpt"},
            "no command makes its input outputs/mine/x/",
        ),
        ({"reservation": "Said."}, "has a reservation and lacks nothing"),
    ],
)
def test_a_record_that_lacks_something_is_named(tmp_path, changes, complaint):
    said = faults(tmp_path, page="[4.41](r.json#fid1k) Said.", **changes)
    assert len(said) == 1, said
    assert re.search(rf"r\.json: .*{complaint}", said[0])


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"n": None},
        {"n": 4, "scores": None},
        {"command": "python train.py --multirun experiment=norms/in,norms/pn seed=0,1"},
        {"command": "python benchmarks/rates.py --num 400 --rounds 8"},
        {"command": "python evaluate.py ckpt=outputs/mine/x/checkpoints/last.ckpt study=samples"},
        {"command": "python evaluate.py ckpt=outputs/multirun/g/a+seed-0/checkpoints/last.ckpt"},
    ],
)
def test_a_record_that_says_all_is_passed(tmp_path, changes):
    makers = "python train.py hydra.run.dir=outputs/mine/x\nR=outputs/multirun/g\n"
    assert faults(tmp_path, makers=makers, **changes) == []


def test_what_cannot_be_made_anew_is_said_where_its_numbers_stand(tmp_path):
    said = "Printed with changes that were not kept."
    page = "[4.41](r.json#fid1k). Printed with\nchanges that were not kept."
    assert faults(tmp_path, page, commit="abc+", reservation=said) == []
    (line,) = faults(tmp_path, "[4.41](r.json#fid1k)", commit="abc+", reservation=said)
    assert line == f"page.md: has numbers of r.json without: {said}"
    assert faults(tmp_path, "[4](other_r.json#x)", commit="abc+", reservation=said) == []


@pytest.mark.slow
def test_the_records_of_this_project_hold():
    pages = [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("benchmarks/*.md")]
    results = list(ROOT.glob("docs/results/*.json"))
    assert len(results) > 50
    assert docs_check.record_problems(results, pages, docs_check.makers_of(pages)) == []
