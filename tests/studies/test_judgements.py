"""Result files of people, their rates against a count by hand, and the table."""

import csv
import json
import os
import sys

import pytest
from scipy.stats import binomtest

from ganlab.__main__ import main
from ganlab.grid.cell import GridError
from ganlab.grid.human_eval import are_judgements, publish_judgements
from ganlab.studies.human_eval.judgements import (
    Rate,
    judgement_records,
    judgement_table,
    read_judgements,
)


def result(folder, person, given, protocol="single", model="dcgan", test="t1", **changes):
    """`given`: (level, truth, answer)."""
    listed = [
        {"trial": i, "level": level, "truth": truth, "answer": answer, "shown_ms": 1000}
        for i, (level, truth, answer) in enumerate(given)
    ]
    content = {"kind": "ganlab real_or_fake", "version": 1, "person": person, "model": model}
    content |= {"test": test, "protocol": protocol, "num_trials": len(given), "seconds": None}
    content |= {"answers": listed} | changes
    path = folder / f"{person}-{test}.json"
    path.write_text(json.dumps(content))
    return path


ANN = [("", "fake", "real")] * 3 + [("", "fake", "fake")] * 7 + [("", "real", "real")] * 10
BEN = [("", "fake", "fake")] * 10 + [("", "real", "real")] * 6 + [("", "real", "fake")] * 4


def test_single_gives_accuracy_and_false_positive_rate(tmp_path):
    judged = read_judgements([result(tmp_path, "ann", ANN), result(tmp_path, "ben", BEN)])
    (row,) = judgement_table(judged).rows
    assert (row["people"], row["trials"]) == (2, 40)
    assert row["accuracy"] == 33 / 40
    assert row["false-positive rate"] == 3 / 20
    for name, hits, n in (("accuracy", 33, 40), ("false-positive rate", 3, 20)):
        expected = binomtest(hits, n).proportion_ci(0.95, method="wilson")
        assert row[f"{name}, low"] == pytest.approx(expected.low, abs=1e-12)
        assert row[f"{name}, high"] == pytest.approx(expected.high, abs=1e-12)


def test_a_row_a_person(tmp_path):
    judged = read_judgements([result(tmp_path, "ann", ANN), result(tmp_path, "ben", BEN)])
    rows = {row["person"]: row for row in judgement_table(judged, by_person=True).rows}
    assert rows["ann"]["accuracy"] == 17 / 20
    assert rows["ben"]["false-positive rate"] == 0


def test_pairs_give_the_confusion_rate_of_each_level_and_model(tmp_path):
    conv1 = [("conv1", "left", "right")] * 2 + [("conv1", "right", "right")] * 2
    fc8 = [("fc8", "left", "left")] * 3 + [("fc8", "right", "left")]
    paths = [
        result(tmp_path, "ann", conv1 + fc8, "paired", "pyramid"),
        result(tmp_path, "ben", fc8, "paired", "pyramid", num_trials=5),
        result(tmp_path, "ben", conv1, "paired", "other", "t2"),
    ]
    table = judgement_table(read_judgements(paths))
    rows = {(row["model"], row["level"]): row for row in table.rows}
    assert rows["pyramid", "conv1"]["confusion rate"] == 0.5
    assert (rows["pyramid", "conv1"]["people"], rows["pyramid", "conv1"]["trials"]) == (1, 4)
    assert rows["pyramid", "fc8"]["confusion rate"] == 0.25
    assert (rows["pyramid", "fc8"]["people"], rows["pyramid", "fc8"]["trials"]) == (2, 8)
    assert rows["other", "conv1"]["confusion rate"] == 0.5
    assert "not finished: ben" in table.notes
    assert "answers of 2 different pages" in table.notes


def test_records_carry_interval_and_number(tmp_path):
    judged = read_judgements([result(tmp_path, "ann", ANN)])
    judged += read_judgements(
        [result(tmp_path, "ben", [("conv1", "left", "right")], "paired", test="t2")]
    )
    found = {record["metric"]: record for record in judgement_records(judged, 0, 5)}
    assert list(found) == ["human_accuracy", "human_fpr", "human_confusion_paired_conv1"]
    assert found["human_fpr"]["value"] == 0.3
    assert found["human_fpr"]["trials"] == 10
    assert found["human_fpr"]["low"] < 0.3 < found["human_fpr"]["high"]
    assert Rate(0, 0).interval() is None


@pytest.mark.parametrize(
    "changes",
    [
        {"protocol": "double"},
        {"answers": [{"trial": 0, "level": "", "truth": "fake", "answer": "left"}]},
        {"answers": [{"trial": 0, "level": "", "truth": "fake"}]},
        {"answers": [{"trial": 0, "level": "", "truth": "fake", "answer": "real"}] * 2},
        {"answers": 3},
        {"answers": [3]},
        {"num_trials": 19},  # one more was answered
        {"num_trials": None},
        {"seconds": "1"},
        {"seconds": float("inf")},
        {"seconds": -0.5},
        {"test": None},
        {"model": {"name": "dcgan"}},
        *(
            {"answers": [{"level": "", "truth": "fake", "answer": "real"} | bad]}
            for bad in (
                {},
                *({"trial": trial} for trial in (float("inf"), 1.5, -1, 20, True, "0", None)),
                {"trial": 0, "level": {"x": 1}},
                {"trial": 0, "shown_ms": float("nan")},
                {"trial": 0, "shown_ms": -1},
                {"trial": 0, "shown_ms": 10**400},
            )
        ),
    ],
)
def test_damaged_results_are_named(tmp_path, changes):
    path = result(tmp_path, "ann", ANN, **changes)
    with pytest.raises(ValueError, match=r"ann-.*json is a damaged result"):
        read_judgements([path])


def test_other_files_are_refused(tmp_path):
    texts = ("{", "[1]", '{"kind": "evaluate"}', "", "[" * 100_000, "9" * 5000, '{"kind": [1]}')
    for name, text in zip("abcefgh", texts, strict=True):
        path = tmp_path / f"{name}.json"
        path.write_text(text)
        with pytest.raises(ValueError, match=f"{name}.json is "):
            read_judgements([path])
    (tmp_path / "pipes").mkdir()
    os.mkfifo(tmp_path / "pipes" / "p.json")
    with pytest.raises(ValueError, match=r"p\.json is .*no file but a pipe"):
        read_judgements([tmp_path / "pipes"])
    with pytest.raises(FileNotFoundError, match=r"d\.json: no such result file"):
        read_judgements([tmp_path / "d.json"])


def test_a_later_version_is_not_guessed_at(tmp_path):
    path = result(tmp_path, "ann", ANN, version=2)
    with pytest.raises(ValueError, match=r"ann-t1\.json is a result of version 2; .* version 1"):
        read_judgements([path])


def test_the_mark_that_an_editor_adds_is_no_damage(tmp_path):
    path = result(tmp_path, "ann", ANN)
    path.write_text(path.read_text(), encoding="utf-8-sig")
    assert read_judgements([path])[0].answers[0].answer == "real"


def test_images_shown_for_another_time_than_announced_are_noted(tmp_path):
    def answers(*shown):
        words = {"level": "", "truth": "left", "answer": "left"}
        return [{"trial": i, "shown_ms": ms} | words for i, ms in enumerate(shown)]

    given = [("", "left", "left")] * 5
    times = {"seconds": 1, "answers": answers(1000, 1099, 1101, 899, 60_000)}
    path = result(tmp_path, "ann", given, "paired", **times)
    notes = judgement_table(read_judgements([path])).notes
    assert any("in 3 trials the images were on the screen more than 10% too" in n for n in notes)
    even = result(tmp_path, "ben", given, "paired", seconds=1, answers=answers(*[1000] * 5))
    assert not any("on the screen" in n for n in judgement_table(read_judgements([even])).notes)


def test_names_from_outside_break_no_table(tmp_path):
    hostile = "a|b\n# x\x1b[31m<script>\ud800"
    path = result(tmp_path, "ann", ANN, model=hostile)
    path.write_text(json.dumps(json.loads(path.read_text()) | {"person": hostile}))
    text = publish_judgements([path], {"rows": "person"}, tmp_path)
    (row,) = [line for line in text.splitlines() if "20" in line and line.startswith("|")]
    assert "\x1b" not in text
    assert "<script" not in text.replace("\\<script", "")
    assert row.replace("\\|", "").count("|") == text.splitlines()[2].count("|")
    with (tmp_path / "judgements.csv").open(encoding="utf-8") as file:
        (found,) = csv.DictReader(file)
    assert found["trials"] == "20"


def test_one_person_counts_once_in_a_test(tmp_path):
    first = result(tmp_path, "ann", ANN)
    other = tmp_path / "copy.json"
    other.write_text(first.read_text())
    with pytest.raises(ValueError, match="both of ann"):
        read_judgements([first, other])
    assert len(read_judgements([first, first])) == 1


def test_nothing_answered_makes_no_table(tmp_path):
    with pytest.raises(ValueError, match="no trial was answered"):
        judgement_table(read_judgements([result(tmp_path, "ann", [], num_trials=4)]))


def test_files_of_people_are_told_from_grids(tmp_path):
    people, grid = tmp_path / "people", tmp_path / "grid"
    people.mkdir()
    grid.mkdir()
    path = result(people, "ann", ANN)
    (grid / "result.json").write_text('{"kind": "train"}')
    assert are_judgements([path])
    assert are_judgements([people])
    assert not are_judgements([grid])
    assert not are_judgements([])
    with pytest.raises(GridError, match="is no result file"):
        are_judgements([path, grid])
    with pytest.raises(GridError, match="not columns=seed"):
        publish_judgements([path], {"columns": "seed"})


def test_the_command_prints_and_writes_the_table(tmp_path, monkeypatch, capsys):
    paths = [str(result(tmp_path, "ann", ANN)), str(result(tmp_path, "ben", BEN))]
    monkeypatch.setattr(sys, "argv", ["ganlab", "table", *paths])
    main()
    assert "false-positive rate" in capsys.readouterr().out
    with (tmp_path / "judgements.csv").open() as file:
        (row,) = csv.DictReader(file)
    assert float(row["accuracy"]) == 33 / 40
    monkeypatch.setattr(sys, "argv", ["ganlab", "table", *paths, "none.json"])
    with pytest.raises(SystemExit):
        main()
    assert capsys.readouterr().err.startswith("error: none.json: no such result file")
