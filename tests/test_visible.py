"""What is printed of other people's files holds no command for a terminal."""

import json
import sys

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from ganlab.__main__ import main
from ganlab.cli import fail, one_line, plain_warning, visible
from ganlab.data.problems import BrokenData, Problem
from ganlab.runs.recipes import rebuild_system

CLEAR = "\x1b]0;title\x07\x1b[2J"  # a terminal's title is set, its screen cleared
TURNED = "\u202egnp.exe"  # shown from right to left


@given(st.text())
def test_nothing_stays_that_a_terminal_obeys_and_what_people_write_does(text):
    found = visible(text)
    assert found.replace("\n", "").isprintable()
    assert visible(found) == found
    if text.replace("\n", "").isprintable():
        assert found == text


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (CLEAR, r"\x1b]0;title\x07\x1b[2J"),
        (TURNED, r"\u202egnp.exe"),
        ("a\x9b2J", r"a\x9b2J"),  # the same command in one byte
        ("caf\udce9", r"caf\xe9"),  # a name that is no UTF-8
        ("r\u00f6d \u8d64 \U0001f600\n", "r\u00f6d \u8d64 \U0001f600\n"),
    ],
)
def test_it_is_written_out(text, expected):
    assert visible(text) == expected


@pytest.mark.parametrize(
    "error", [ValueError(CLEAR), KeyError(CLEAR), OSError(28, "no room", CLEAR)]
)
def test_an_error_and_a_warning_show_it_so(error, capsys):
    with pytest.raises(SystemExit):
        fail(error)
    assert r"\x1b]0;title\x07\x1b[2J" in capsys.readouterr().err
    assert plain_warning(error).isprintable() is False  # its line break
    assert plain_warning(error)[:-1].isprintable()


def test_every_line_of_a_list_does():
    error = BrokenData([Problem(f"{CLEAR}.png", "is empty", "delete it")] * 2, total=3)
    lines = one_line(error).split("\n")
    assert len(lines) == 4
    assert all(line.isprintable() for line in lines)


def test_what_a_checkpoint_says_is_shown_so():
    recipe = {"model": {"_target_": CLEAR}, "data": {}}
    with pytest.raises(ValueError, match="not allowed") as refused:
        rebuild_system({"recipe": recipe, "images_seen": 0, "state_dict": {}}, [])
    assert CLEAR in str(refused.value)
    assert one_line(refused.value).isprintable()


def test_a_table_of_other_peoples_results_shows_it_so(tmp_path, monkeypatch, capsys):
    facts = {"status": "failed", "error": CLEAR + TURNED, "kind": "train", "scores": []}
    run = tmp_path / "run"
    run.mkdir()
    (run / "result.json").write_text(json.dumps(facts))
    monkeypatch.setattr(sys, "argv", ["ganlab", "table", str(run)])
    main()
    said = capsys.readouterr().out
    assert "gnp.exe" in said
    assert said.replace("\n", "").isprintable()


def test_the_table_of_a_checkpoints_layers_shows_it_so(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(
        "ganlab.runs.description.describe_checkpoint", lambda *_: f"labels: {CLEAR}"
    )
    torch.save({}, tmp_path / "x.ckpt")
    monkeypatch.setattr(sys, "argv", ["ganlab", "info", f"ckpt={tmp_path / 'x.ckpt'}"])
    main()
    assert capsys.readouterr().out == "labels: \\x1b]0;title\\x07\\x1b[2J\n"
