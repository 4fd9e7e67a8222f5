"""Scores that were measured differently never stand in one column unmarked."""

import csv
import io

import pytest

from ganlab.report.protocols import PROTOCOL, mark_protocols, protocol_stamp, protocol_text
from ganlab.report.tables import Table, parse_markdown

RECORD = {
    "metric": "fid10k",
    "value": 9.0,
    "n_real": 10_000,
    "n_fake": 10_000,
    "extractor": "inception",
    "extractor_sha256": "6726825d" * 8,
    "resize": "bilinear-tf1-299",
    "truncation": None,
    "ema": True,
    "seed": 0,
    "images_seen": 1000,
}
OTHER = {
    "n_fake": 9_000,
    "n_real": 20_000,
    "mirror": True,
    "unseen": True,
    "extractor": "classifier",
    "extractor_sha256": "ab" * 32,
    "resize": "bicubic-antialias-299",
    "truncation": 0.7,
    "classes": "1",
    "ema": False,
    "size": "16 of 32 px, alpha 0.5",
}
ROWS = [
    {"norm": "in", "fid10k": 9.25, "recall10k_k3": 0.5},
    {"norm": "pin", "fid10k": 8.75, "recall10k_k3": 0.25},
    {"norm": "pn", "fid10k": None, "recall10k_k3": 0.75},
]
BEST = {"fid10k": "min", "recall10k_k3": "max"}


def table(columns=("norm", "fid10k", "recall10k_k3"), rows=ROWS):
    best = {column: way for column, way in BEST.items() if column in columns}
    return Table(list(columns), rows, best, notes=["a note"])


def scores(fid=None, recall=None):
    """The records of one row, with what differs from the usual protocol."""
    return [{**RECORD, **(fid or {})}, {**RECORD, "metric": "recall10k_k3", **(recall or {})}]


def test_scores_measured_alike_share_a_column_without_a_mark():
    marked = mark_protocols(table(), [scores(), scores(), scores()[1:]])
    assert marked.marks == {}
    assert marked.best == BEST
    assert marked.notes == [
        "a note",
        "10000 generated against 10000 real images; extractor inception 6726825d6726; "
        "resize bilinear-tf1-299",
    ]
    assert marked.csv() == table().csv()


@pytest.mark.parametrize("field", PROTOCOL)
def test_one_row_measured_differently_is_marked_in_every_form(field):
    other = {field: OTHER[field]}
    marked = mark_protocols(table(), [scores(), scores(fid=other), scores()[1:]])
    assert marked.marks == {(0, "fid10k"): "a", (1, "fid10k"): "b"}
    (note_a, note_b) = (n for n in marked.notes if n.startswith(("a: ", "b: ")))
    assert note_a.removeprefix("a: ") != note_b.removeprefix("b: ")
    markdown, latex, html = marked.markdown(), marked.latex(), marked.html()
    assert "| in | 9.250<sup>a</sup> | 0.5000 |" in markdown
    assert "| pin | 8.750<sup>b</sup> | 0.2500 |" in markdown
    assert r"9.250\textsuperscript{a} & 0.5000" in latex
    assert "8.750<sup>b</sup></td>" in html
    assert parse_markdown(markdown) == marked.shown()


@pytest.mark.parametrize(
    ("psi", "said"), [(None, ""), (0.7, "truncation 0.7"), (0.0, "truncation 0")]
)
def test_every_truncation_is_said_the_strongest_too(psi, said):
    parts = protocol_text(protocol_stamp({**RECORD, "truncation": psi})).split("; ")
    assert [part for part in parts if "truncation" in part] == [said] * bool(said)


def test_a_marked_column_has_no_best_and_the_others_keep_theirs():
    other = {"truncation": 0.7}
    marked = mark_protocols(table(), [scores(), scores(fid=other), scores()[1:]])
    assert marked.best == {"recall10k_k3": "max"}
    assert "**8.750**" not in marked.markdown()
    assert "**0.7500**" in marked.markdown()
    assert "values of fid10k with different letters" in marked.markdown()
    assert any(note.startswith("recall10k_k3: 10000 generated") for note in marked.notes)


def test_the_csv_says_which_protocol_in_a_column_of_its_own():
    other = {"resize": "bicubic-antialias-299"}
    marked = mark_protocols(table(), [scores(), scores(fid=other), scores()[1:]])
    rows = list(csv.DictReader(io.StringIO(marked.csv())))
    assert [row["fid10k protocol"] for row in rows] == ["a", "b", ""]
    assert [row["fid10k"] for row in rows] == ["9.25", "8.75", ""]
    assert "recall10k_k3 protocol" not in rows[0]


def test_a_value_averaged_over_unlike_scores_has_all_their_letters():
    clean = {"resize": "bicubic-antialias-299"}
    marked = mark_protocols(table(), [scores(), [*scores(fid=clean), *scores()], []])
    assert marked.marks == {(0, "fid10k"): "a", (1, "fid10k"): "a,b"}
    assert parse_markdown(marked.markdown()) == marked.shown()
    alone = mark_protocols(table(rows=ROWS[:1]), [[*scores(), *scores(fid=clean)]])
    assert alone.marks == {(0, "fid10k"): "a,b"}


def test_a_protocol_has_one_letter_in_all_columns():
    unlike = {"n_real": 70_000}
    records = [scores(recall=unlike), scores(fid=unlike), scores()]
    marks = mark_protocols(table(), records).marks
    assert marks[0, "fid10k"] == marks[1, "recall10k_k3"] == marks[2, "recall10k_k3"] == "a"
    assert marks[0, "recall10k_k3"] == marks[1, "fid10k"] == "b"
    assert (2, "fid10k") not in marks  # there is no value to mark


def test_columns_of_different_protocols_need_no_mark_but_say_so():
    vgg = {"extractor": "vgg16", "resize": "bilinear-antialias-224"}
    marked = mark_protocols(table(), [scores(recall=vgg)] * 3)
    assert marked.marks == {}
    assert [note.split(":")[0] for note in marked.notes[1:]] == ["fid10k", "recall10k_k3"]


def test_what_the_table_shows_itself_marks_nothing():
    rows = [{"truncation": psi, "fid10k": 9.0 + psi} for psi in (0.5, 0.7)]
    records = [[{**RECORD, "truncation": psi}] for psi in (0.5, 0.7)]
    marked = mark_protocols(table(("truncation", "fid10k"), rows), records)
    assert marked.marks == {}
    assert marked.best == {"fid10k": "min"}
    assert "truncation" not in marked.notes[-1]


def test_seed_and_length_of_training_are_no_protocol():
    for same in ({"seed": 4}, {"images_seen": 5}, {"value": 1.0}):
        assert protocol_stamp({**RECORD, **same}) == protocol_stamp(RECORD)


def test_latents_within_1_of_0_are_another_protocol_than_all():
    assert protocol_stamp({**RECORD, "truncation": 1.0}) != protocol_stamp(RECORD)
    assert protocol_stamp({}) != protocol_stamp(RECORD)


def test_every_field_of_a_protocol_is_in_its_text():
    texts = {protocol_text(protocol_stamp({**RECORD, key: OTHER[key]})) for key in PROTOCOL}
    assert len(texts | {protocol_text(protocol_stamp(RECORD))}) == len(PROTOCOL) + 1
    assert protocol_text(protocol_stamp({})) == "extractor unknown; resize unknown"


def test_other_metrics_and_other_numbers_of_rows():
    elsewhere = {**RECORD, "metric": "fid50k", "resize": "none"}
    marked = mark_protocols(table(), [[*scores(), elsewhere], scores(), scores()])
    assert marked.marks == {}
    with pytest.raises(ValueError, match="3 rows, but the records of 2"):
        mark_protocols(table(), [scores(), scores()])


def test_text_that_looks_like_a_mark_is_text():
    rows = [{"norm": "x<sup>a</sup>"}, {"norm": "\\<sup>b</sup>"}]
    shown = Table(["norm"], rows, marks={(1, "norm"): "c"}).shown()
    assert parse_markdown(shown.markdown()) == shown
    assert "<sup>a" not in shown.html()
