import csv
import io
import math
import random
import re
from html.parser import HTMLParser

import numpy as np
import pytest
import torch

from ganlab.report.markup import latex_text, markdown_line, markdown_text, one_line, plain_text
from ganlab.report.tables import MISSING, Cell, ShownTable, Table, heading, parse_markdown, read_csv

HOSTILE = ["a & b", "50%", "x_y", "a|b", "<script>alert(1)</script>", "{z}", "#1", "$5", "~", "^"]
ROWS = [
    {"layers": [0, 1, 3], "fid": 29.64, "recall": 0.5, "seed": 7},
    {"layers": [0], "fid": 33.6, "recall": 0.25, "seed": 11},
    {"layers": "none", "fid": 48.9, "recall": None},
]


def table(**changes):
    given = {
        "columns": ["layers", "fid", "recall", "seed"],
        "rows": ROWS,
        "best": {"fid": "min", "recall": "max"},
        "caption": "Sequential ablation",
        "notes": ["30,000 latents"],
    }
    return Table(**{**given, **changes})


def typeset(source: str) -> str:
    """What LaTeX would print for the few constructs a cell may hold: an independent reading."""
    names = {"textbackslash": "\\", "textasciitilde": "~", "textasciicircum": "^"}
    names |= {"textless": "<", "textgreater": ">", "textbar": "|"}
    out, i = "", 0
    while i < len(source):
        if command := re.match(r"\\([a-z]+)\{\}", source[i:]):
            out += names[command[1]]
            i += command.end()
        elif source[i] == "\\":
            assert source[i + 1] in "&%$#_{}", source[i:]
            out += source[i + 1]
            i += 2
        elif source[i] in "{}":  # groups print nothing
            i += 1
        else:
            assert source[i] not in "&%$#_~^", f"bare {source[i]}"
            out += source[i]
            i += 1
    return out


def texts(seed, count=300):
    draw = random.Random(seed)
    letters = "\\`*_{}[]<>|~#&$%^!-+.()\"' ab1:=\n"
    return ["".join(draw.choices(letters, k=draw.randint(1, 12))) for _ in range(count)]


def test_csv_keeps_every_digit_and_any_text():
    rows = [
        {"name": text, "value": v}
        for text, v in zip(HOSTILE, np.random.default_rng(0).random(10), strict=True)
    ]
    rows.append({"name": 'comma, "quote"\nline', "value": 0.1 + 0.2})
    read = list(csv.DictReader(io.StringIO(Table(["name", "value"], rows).csv())))
    assert [row["name"] for row in read] == [row["name"] for row in rows]
    assert [float(row["value"]) for row in read] == [float(row["value"]) for row in rows]


def test_csv_leaves_missing_values_empty():
    assert table().csv().splitlines()[-1] == "none,48.9,,"


def test_markdown_is_exactly_this():
    assert table().markdown() == (
        "Sequential ablation\n\n"
        "| layers | fid | recall | seed |\n"
        "| --- | ---: | ---: | ---: |\n"
        "| [0, 1, 3] | **29.64** | **0.5000** | 7 |\n"
        "| [0] | 33.60 | 0.2500 | 11 |\n"
        "| none | 48.90 | \N{EN DASH} | \N{EN DASH} |\n"
        "\n- 30,000 latents\n"
    )


def test_latex_is_exactly_this():
    assert table(rows=ROWS[:2], columns=["layers", "fid", "recall", "seed"]).latex("tab:x") == (
        "\\begin{table}[t]\n  \\centering\n"
        "  \\caption{Sequential ablation}\n  \\label{tab:x}\n"
        "  \\begin{tabular}{lrrr}\n    \\toprule\n"
        "    layers & fid & recall & seed \\\\\n    \\midrule\n"
        "    {[}0, 1, 3{]} & \\textbf{29.64} & \\textbf{0.5000} & 7 \\\\\n"
        "    {[}0{]} & 33.60 & 0.2500 & 11 \\\\\n"
        "    \\bottomrule\n  \\end{tabular}\n"
        "  \\par\\smallskip{\\footnotesize 30,000 latents\\par}\n"
        "\\end{table}\n"
    )


def test_latex_prints_the_text_it_was_given():
    for text in [*HOSTILE, *texts(seed=1)]:
        source = latex_text(text)
        assert typeset(source) == one_line(text)
        assert not source.startswith(("[", "*"))  # `\\[`, `\\*` end a row in another way
        assert "--" not in source  # would print a dash


def test_markdown_escapes_can_be_undone_and_leave_no_bar_and_no_tag():
    for text in [*HOSTILE, *texts(seed=2)]:
        source = markdown_text(text)
        assert plain_text(source) == one_line(text)
        assert not re.search(r"(?<!\\)(\\\\)*\|", source)
        assert not re.search(r"(?<!\\)(\\\\)*<[a-zA-Z/!?]", source)


def test_markdown_reads_well_where_nothing_needs_escaping():
    for text in ("fid10k_classifier", "[0, 1, 3]", "R < 0.3", "a & b", "100%", "x#1"):
        assert markdown_text(text) == text


@pytest.mark.parametrize("start", ["> q", "# h", "- l", "+ l", "=", "[a]: b"])
def test_a_line_cannot_begin_a_block(start):
    assert markdown_line(start) == "\\" + start
    assert markdown_line("12. " + start) == "12\\. " + start


@pytest.mark.parametrize("caption", ["", "# not a heading", "1. not a list", "[not]: a-link"])
def test_markdown_table_round_trip(caption):
    names = [text for text in [*HOSTILE, *texts(seed=3)] if one_line(text)]
    rows = [{"name": name, "val|ue": i * 1.5} for i, name in enumerate(names)]
    notes = ["> not a quote", "- nor a list", "a | b"]
    given = Table(["name", "val|ue"], rows, {"val|ue": "max"}, caption, notes)
    read = parse_markdown(given.markdown())
    assert [row[0] for row in read.cells] == [Cell(one_line(name)) for name in names]
    assert [row[1] for row in read.cells] == [row[1] for row in given.shown().cells]
    assert (read.columns, read.caption, read.notes) == (["name", "val|ue"], caption, notes)


def test_markdown_without_a_table_is_refused():
    with pytest.raises(ValueError, match="no Markdown table"):
        parse_markdown("just words\n")


class Reader(HTMLParser):
    def __init__(self, source):
        super().__init__(convert_charrefs=True)
        self.tags, self.cells = [], []
        self.feed(source)

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        if tag in ("td", "th"):
            self.cells.append("")

    def handle_data(self, data):
        if self.tags and self.tags[-1] in ("td", "th", "strong"):
            self.cells[-1] += data


def test_html_shows_hostile_text_as_text():
    page = Table(
        ["name"], [{"name": text} for text in HOSTILE], caption="<b>", notes=["<i>"]
    ).html()
    read = Reader(page)
    assert [cell.strip() for cell in read.cells] == ["name", *HOSTILE]
    assert set(read.tags) == {
        *("figure", "div", "table", "caption", "thead", "tr", "th", "tbody", "td", "ul", "li")
    }


def test_html_marks_the_best():
    assert "<strong>29.64</strong>" in table().html()
    assert table().html().count("<strong>") == 2


def test_best_ignores_missing_nan_and_marks_ties():
    values = [math.nan, 2.0, None, 1.0, 1.0, math.inf]
    shown = Table(["v"], [{"v": v} for v in values], best={"v": "min"}).shown()
    assert [row[0].bold for row in shown.cells] == [False, False, False, True, True, False]
    assert [row[0].text for row in shown.cells] == ["NaN", "2.000", MISSING, "1.000", "1.000", "∞"]


def test_best_may_be_negative_and_latex_sets_a_minus():
    latex = Table(["v"], [{"v": -1.5}, {"v": 2.0}], best={"v": "min"}).latex()
    assert r"\textbf{$-1.500$}" in latex


def test_values_of_tensors_and_arrays_are_numbers():
    rows = [{"v": torch.tensor(0.5)}, {"v": np.float32(0.25)}, {"v": np.int64(3)}]
    assert Table(["v"], rows).csv().split() == ["v", "0.5", "0.25", "3"]
    assert Table(["v"], rows).shown().right_aligned() == [True]


def test_a_tiny_value_among_large_ones_is_not_shown_as_zero():
    shown = Table(["v"], [{"v": 1234.5}, {"v": 0.00012}]).shown()
    assert [row[0].text for row in shown.cells] == ["1234", "0.00012"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"best": {"fdi": "min"}}, "no column 'fdi'"),
        ({"best": {"fid": "lowest"}}, "must be 'min' or 'max'"),
        ({"rows": [{"fld": 1}]}, "no column 'fld'.*layers, fid, recall, seed"),
    ],
)
def test_wrong_columns_are_named(changes, message):
    with pytest.raises(ValueError, match=message):
        table(**changes)


def test_write_puts_three_files_and_nothing_else(tmp_path):
    paths = table().write(tmp_path / "study", stem="rates")
    assert sorted(p.name for p in (tmp_path / "study").iterdir()) == [
        *("rates.csv", "rates.md", "rates.tex")
    ]
    assert paths[1].read_text(encoding="utf-8") == table().markdown()
    assert r"\label{tab:study-rates}" in paths[2].read_text(encoding="utf-8"), "one of its own"


def test_a_table_without_rows_is_a_header():
    empty = Table(["a", "b"], [])
    assert empty.csv() == "a,b\n"
    assert parse_markdown(empty.markdown()) == ShownTable(["a", "b"], [])


def test_csv_is_read_back_with_numbers_as_numbers():
    read = read_csv("name,v,n\n8_0,0.5,3\n,nan,\n")
    assert read.rows[0] == {"name": "8_0", "v": 0.5, "n": 3}
    assert read.rows[1]["name"] is None
    assert math.isnan(read.rows[1]["v"])


@pytest.mark.parametrize("text", ["", "a,a\n1,2\n", "a,b\n1\n"])
def test_a_broken_csv_is_refused(text):
    with pytest.raises(ValueError, match="CSV table"):
        read_csv(text)


@pytest.mark.parametrize(
    ("column", "expected"),
    [
        ("fid10k", "FID (10k)"),
        ("fid50k_full", "FID (50k, full)"),
        ("recall10k_k3_classifier", "Recall (10k, k3, classifier)"),
        ("kid_std1300_of10k_s100_vgg16", "KID std (1300, of 10k, s100, vgg16)"),
        ("images_seen", "images seen"),
        ("layers", "layers"),
    ],
)
def test_headings_in_latex_are_words(column, expected):
    assert heading(column) == expected
    assert f"{expected} \\\\\n" in Table([column], [{column: 1}]).latex()


def test_where_all_tie_none_is_the_best():
    best = {"fid": "min"}
    for values, bold in (([2, 2, 2], []), ([2, 2, 3], [0, 1]), ([2], [0]), ([2, None], [0])):
        shown = Table(["fid"], [{"fid": value} for value in values], best=best).shown()
        assert [number for number, row in enumerate(shown.cells) if row[0].bold] == bold


FORMULAS = ["=cmd|' /C calc'!A0", "+1+x", "-2+3", "@sum(a1)", "\t=1", "\n=1"]


def test_no_text_of_a_csv_file_is_a_formula_and_all_of_it_is_read_back():
    plain = ["a=b", "'quoted'", "'", "-0.5", "+3", "1e-3", "\N{EN DASH}"]
    made = Table(["=name", "value"], [{"=name": text, "value": -0.5} for text in FORMULAS + plain])
    lines = list(csv.reader(io.StringIO(made.csv())))
    assert [line[0] for line in lines] == ["'=name", *(f"'{text}" for text in FORMULAS), *plain]
    assert {line[1] for line in lines[1:]} == {"-0.5"}
    back = read_csv(made.csv())
    assert back.columns == made.columns
    assert [row["=name"] for row in back.rows[: len(FORMULAS)]] == FORMULAS


def test_a_carriage_return_ends_no_line_of_a_csv_file():
    (row,) = read_csv(Table(["a"], [{"a": "x\ry\r\nz"}]).csv()).rows
    assert row["a"] == "x\ny\nz"
