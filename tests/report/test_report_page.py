import base64
import io
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from runs import HOSTILE, crashed_run, full_run, hostile_run, study, write_metrics, write_samples

from ganlab.report import facts
from ganlab.report.charts import draw, read_curves
from ganlab.report.html import shown_place, write_report
from ganlab.report.images import save_png
from ganlab.report.results import write_result
from ganlab.report.sections import MOMENTS, WIDEST, read_section

VOID = {"meta", "img", "input", "br", "hr", "link"}


class Page(HTMLParser):
    """The page as a browser's parser sees it: elements, attributes, text by element."""

    def __init__(self, path):
        super().__init__(convert_charrefs=True)
        self.elements, self.text, self._open = [], "", []
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))
        if tag not in VOID:
            self._open.append(tag)

    def handle_endtag(self, tag):
        assert self._open.pop() == tag, f"</{tag}> closes nothing"

    def handle_startendtag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))

    def handle_data(self, data):
        if not {"script", "style"} & set(self._open):
            self.text += data

    def all(self, tag):
        return [attributes for name, attributes in self.elements if name == tag]

    def values(self, attribute):
        return [found[attribute] for _, found in self.elements if attribute in found]


def check(page):
    """What must hold on every page, whatever it was built from."""
    assert not page._open
    ids = page.values("id")
    assert len(ids) == len(set(ids))
    for target in [*page.values("href"), *page.values("xlink:href")]:
        assert target.startswith("#")
        assert target[1:] in ids
    for target in page.values("aria-labelledby"):
        assert target in ids
    assert all(source.startswith("data:image/png;base64,") for source in page.values("src"))
    assert len(page.all("script")) == 1
    assert not {"link", "iframe", "object", "embed", "base"} & {tag for tag, _ in page.elements}
    assert not [name for _, found in page.elements for name in found if name.startswith("on")]
    assert all(image.get("alt") is not None for image in page.all("img"))
    assert all(svg["aria-label"] for svg in page.all("svg"))
    return page


def report(directory, **options):
    return check(Page(write_report(directory, **options)))


def test_a_full_run_shows_everything(tmp_path):
    page = report(full_run(tmp_path / "run"))
    for words in (
        "dcgan on fashion_mnist",
        "done",
        "19 kimg",
        "1 h 2 min",
        "fid1k_classifier 71.25",
    ):
        assert words in page.text
    for words in (
        "recall1k_k3_classifier ↑",
        "0.625",
        "10000",
        "classifier 3fa9c1d2",
        "torch 2.13.0",
    ):
        assert words in page.text
    assert len(page.all("svg")) == 3  # losses, sign rate, score
    headings = {"part-0", *(f"part-0-{s}" for s in ("scores", "samples", "curves", "setup"))}
    assert headings <= set(page.values("id"))
    assert headings <= {link["href"][1:] for link in page.all("a")}
    assert "does not exist" not in page.text


@pytest.mark.parametrize(("seen", "told"), [(0, False), (19_000, True)])
def test_of_a_training_elsewhere_no_length_is_told(tmp_path, seen, told):
    source = {"ckpt": "network.pt", "sha256": "3fa9"}
    facts = {"status": "done", "source": source, "images_seen": seen, "scores": []}
    write_result(tmp_path, {"kind": "evaluate", **facts})
    assert ("Trained on" in report(tmp_path).text) == told


def test_pictures_are_inside_byte_for_byte(tmp_path):
    run = full_run(tmp_path / "run")
    embedded = [s.partition(",")[2] for s in report(run).values("src")]
    files = sorted((run / "samples").iterdir())
    assert [base64.b64decode(data) for data in embedded] == [file.read_bytes() for file in files]


def test_the_same_files_give_the_same_page_anywhere(tmp_path):
    one = write_report(full_run(tmp_path / "a" / "w" / "x" / "y" / "run"), title="t").read_bytes()
    two = write_report(full_run(tmp_path / "b" / "w" / "x" / "y" / "run"), title="t").read_bytes()
    assert one == two
    assert str(tmp_path).encode() not in one


def test_studies_follow_the_run_on_one_page(tmp_path):
    run = full_run(tmp_path / "run")
    first, second = study(tmp_path / "one"), study(tmp_path / "two")
    page = report(run, title="Everything", include=[first, second])
    assert {"part-0", "part-1", "part-2", "part-1-tables", "part-2-figures"} <= set(
        page.values("id")
    )
    assert page.text.count("Sequential ablation") == 4  # twice in the contents, twice as a heading
    assert "By layers" in page.text
    assert "the same latents" in page.text
    strong = re.findall(r"<strong>(.*?)</strong>", (run / "report.html").read_text())
    assert strong == ["71.25", "0.625", "64.50", "64.50"]
    assert [i["alt"] for i in page.all("img") if "scores.png" in i["alt"]] == [
        *(2 * ["Scores by layer set (figures/scores.png)"])
    ]


def test_a_crashed_run_shows_what_is_left_and_says_what_is_not(tmp_path):
    page = report(crashed_run(tmp_path / "run"))
    assert "unfinished" in page.text
    assert "dcgan on fashion_mnist" in page.text  # from .hydra
    assert "19 kimg" in page.text  # the last whole row
    assert "fid1k_classifier 75" in page.text  # the lowest in metrics.csv: 90 - 15
    assert "result.json does not exist" in page.text
    assert "metrics.csv: 1 unreadable row(s) left out" in page.text
    assert "samples/000015000.png is not a whole picture" in page.text
    assert "kimg: 400" in page.text
    assert len(page.values("src")) == 4 - 1


def test_an_empty_directory_is_a_page_that_says_so(tmp_path):
    page = report(tmp_path)
    for words in ("result.json does not exist", "metrics.csv does not exist", "no sample grid yet"):
        assert words in page.text
    assert not page.all("svg")
    assert len(page.values("src")) == 0


def test_a_missing_directory_is_an_error_and_a_missing_include_a_remark(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"gone does not exist: there is no run"):
        write_report(tmp_path / "gone")
    assert "gone does not exist" in report(tmp_path, include=[tmp_path / "gone"]).text


@pytest.mark.parametrize(
    "content", [b"", b"\0\0\0", b"a,b\n1,2\n", b"\xff\xfe\x00", b"images_seen\n"]
)
def test_a_broken_metrics_file_is_a_remark(tmp_path, content):
    (tmp_path / "metrics.csv").write_bytes(content)
    page = report(tmp_path)
    assert re.search(r"metrics\.csv (has no images_seen column|holds no values yet)", page.text)


@pytest.mark.parametrize(
    "content",
    [
        *("{", "[]", '{"scores": 3, "seed": {}, "versions": [], "seconds": "x"}'),
        f'{{"images_seen": 1{"0" * 400}}}',  # no float
        f'{{"scores": [{{"metric": "fid", "value": 1{"0" * 400}}}]}}',
    ],
)
def test_a_broken_result_is_a_remark(tmp_path, content):
    (tmp_path / "result.json").write_text(content)
    write_metrics(tmp_path)
    assert len(report(tmp_path).all("svg")) == 3


def test_scores_of_interventions_are_left_to_the_tables(tmp_path):
    plain = {"metric": "fid1k", "value": 4.0}
    ablated = {"metric": "fid1k", "value": 2.0, "intervention": "LR R = 0.3 on 4x4/0"}
    write_result(tmp_path, {"kind": "evaluate", "scores": [plain, ablated]})
    text = write_report(tmp_path).read_text()
    assert "fid1k 4" in text, "the best score is the generator's own"
    assert text.count("<td>fid1k") + text.count('">fid1k') <= 1


def test_scores_with_odd_values_are_shown(tmp_path):
    scores = [{"metric": "fid", "value": float("nan")}, {"metric": "x", "value": None}, "text", {}]
    write_result(tmp_path, {"status": "failed", "kind": "train", "scores": scores})
    page = report(tmp_path)
    assert "fid ↓" in page.text
    assert "nan" in page.text
    assert "Best score" not in page.text


def test_hostile_text_is_text_everywhere(tmp_path):
    run = hostile_run(tmp_path / "run")
    page = report(run, title=HOSTILE)
    shown = HOSTILE
    assert page.text.count(shown) >= 12
    assert any(shown in image["alt"] for image in page.all("img"))
    assert "<script>alert" not in (run / "report.html").read_text()


def test_the_policy_admits_the_one_script_by_its_digest(tmp_path):
    import hashlib

    source = write_report(tmp_path).read_text()
    script = re.search(r"<script>(.*?)</script>", source, re.DOTALL)[1]
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'\">" in source
    assert "default-src 'none'" in source


def test_no_address_is_referenced_anywhere(tmp_path):
    run = full_run(tmp_path / "run")
    source = write_report(run, include=[study(tmp_path / "study")]).read_text()
    assert not re.search(
        r"https?:|url\((?!#)|@import|//[a-z]+\.", re.sub(r'src="data:[^"]*"', "", source)
    )


def test_many_moments_are_thinned_to_both_ends_and_even_steps(tmp_path):
    write_samples(tmp_path, moments=range(0, 100_000, 1000))
    section = read_section(tmp_path)
    assert section.num_samples == 100
    assert len(section.samples) == MOMENTS
    assert (section.samples[0].moment, section.samples[-1].moment) == ("0 kimg", "99 kimg")
    assert f"{MOMENTS} of the 100 moments" in report(tmp_path).text


def test_a_picture_without_a_moment_is_a_figure(tmp_path):
    write_samples(tmp_path)
    save_png(np.zeros((4, 4, 3), np.uint8), tmp_path / "samples" / "timeline.png")
    section = read_section(tmp_path)
    assert [picture.name for picture in section.figures] == ["samples/timeline.png"]
    assert len(section.samples) == 3


@pytest.mark.parametrize("address", ["index", "row"])
@pytest.mark.parametrize("kind", ["train", "evaluate", None])
def test_images_of_single_latents_are_no_moments_of_a_training(tmp_path, address, kind):
    for index in (0, 12, 4000):
        picture = np.zeros((4, 4), np.uint8)
        save_png(picture, tmp_path / "samples" / f"{index:06d}.png", {address: str(index)})
    save_png(np.zeros((8, 8), np.uint8), tmp_path / "figures" / "samples.png")
    write_result(tmp_path, {"status": "done", "kind": kind, "study": "samples"})
    page = report(tmp_path)
    assert "kimg" not in page.text
    shown = [image["alt"] for image in page.all("img") if image["alt"]]  # the last enlarges others
    assert shown == ["Samples (figures/samples.png)"]


@pytest.mark.parametrize(
    ("kind", "moments"), [("train", ["7 kimg", "9 kimg"]), ("evaluate", ["9 kimg"])]
)
def test_a_name_tells_a_moment_in_a_training_only(tmp_path, kind, moments):
    save_png(np.zeros((4, 4), np.uint8), tmp_path / "samples" / "000007000.png")
    said = {"images_seen": "9000"}
    save_png(np.zeros((4, 4), np.uint8), tmp_path / "samples" / "000000001.png", said)
    write_result(tmp_path, {"status": "done", "kind": kind})
    section = read_section(tmp_path)
    assert [picture.moment for picture in section.samples] == moments
    assert len(section.figures) == 2 - len(moments)


def test_huge_pictures_are_embedded_smaller_with_their_shape_kept(tmp_path):
    save_png(np.zeros((800, 2 * WIDEST, 3), np.uint8), tmp_path / "figures" / "wide.png")
    (picture,) = read_section(tmp_path).figures
    with Image.open(io.BytesIO(base64.b64decode(picture.source.partition(",")[2]))) as image:
        assert image.size == (picture.width, picture.height) == (WIDEST, 400)


def test_a_picture_too_large_to_open_is_a_remark(tmp_path, monkeypatch):
    write_samples(tmp_path, moments=[0])
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10)
    assert "samples/000000000.png is not a whole picture" in report(tmp_path).text


def test_a_table_without_its_markdown_is_shown_from_the_csv(tmp_path):
    study(tmp_path / "study")
    (tmp_path / "study" / "table.md").write_text("torn")
    assert "no Markdown table" in report(tmp_path / "study").text
    (tmp_path / "study" / "table.md").unlink()
    page = report(tmp_path / "study")
    assert "64.50" in page.text
    (tmp_path / "study" / "table.csv").write_text(f"a\n1{'0' * 400}\n")
    assert "∞" in report(tmp_path / "study").text
    assert "By layers" not in page.text


def test_curves_are_the_numbers_of_the_file(tmp_path):
    write_metrics(tmp_path, rows=6, tail="x,1,2,3,4\n500,7,,nan,\n5500,1\n")
    found = read_curves(tmp_path / "metrics.csv")
    assert found.images_seen.tolist() == [0, 500, 1000, 2000, 3000, 4000, 5000]
    assert found.columns["loss/generator"].tolist() == [1, 7, 2, 3, 4, 5, 6]
    score = found.columns["fid1k_classifier"]
    assert np.isfinite(score).tolist() == [True, False, False, False, False, False, True]
    assert found.skipped == 2


def test_a_number_beyond_every_axis_is_left_out(tmp_path):
    rows = ["images_seen,loss/generator", "1,0.5", "2,1e308", "3,-1e308", "1e300,1", "4,0.25"]
    (tmp_path / "metrics.csv").write_text("\n".join([*rows, ""]))
    found = read_curves(tmp_path / "metrics.csv")
    assert found.images_seen.tolist() == [1, 2, 3, 4]
    assert found.columns["loss/generator"].tolist() == pytest.approx(
        [0.5, np.nan, np.nan, 0.25], nan_ok=True
    )
    assert found.skipped == 1
    assert len(report(tmp_path).all("svg")) == 1


def test_the_best_score_follows_the_direction_of_the_metric(tmp_path):
    def best(*pairs):
        write_result(tmp_path, {"scores": [{"metric": m, "value": v} for m, v in pairs]})
        return facts.best_score(read_section(tmp_path))

    assert best(("fid10k", 30.0), ("fid10k", 20.5), ("fid10k", 25.0)) == "fid10k 20.5"
    assert best(("recall10k_k3", 0.25), ("recall10k_k3", 0.5)) == "recall10k_k3 0.5"
    assert best(("recall10k_k3", 0.25), ("fid10k", 30.0)) == "fid10k 30"
    assert best() == ""


def test_choices_come_from_the_result_then_hydra_then_overrides(tmp_path):
    (tmp_path / ".hydra").mkdir()
    (tmp_path / ".hydra" / "overrides.yaml").write_text("- model=dcgan\n- seed=0\n")
    assert facts.choice(read_section(tmp_path), "model") == "dcgan"
    assert facts.choice(read_section(tmp_path), "data") == ""
    write_result(tmp_path, {"model": "stylegan"})
    assert facts.choice(read_section(tmp_path), "model") == "stylegan"


def test_durations_in_words(tmp_path):
    def said(seconds):
        write_result(tmp_path, {"seconds": seconds})
        return dict(facts.key_facts(read_section(tmp_path))).get("Time")

    assert [said(s) for s in (0.4, 61, 3600, 90_000)] == ["0 s", "1 min 1 s", "1 h", "1 d 1 h"]
    assert said(float("nan")) is None


def test_a_directory_near_the_root_is_shown_as_it_is_written(tmp_path):
    """Of deeper ones the last four folders are."""
    assert shown_place(Path("/tmp/look")) == "/tmp/look"
    assert shown_place(Path("/a/b/c/d/e")) == "b/c/d/e"


def test_speed_is_the_last_curve(tmp_path):
    path = tmp_path / "metrics.csv"
    path.write_text("images_seen,images_per_second,loss/generator,fid\n1000,9,1,2\n2000,9,1,2\n")
    charts = [chart.title for chart in draw(read_curves(path))]
    assert charts == ["Losses", "fid", "Images per second"]


def test_a_study_that_paints_alone_has_finished(tmp_path):
    missing = "the study has not finished"
    for status, told in (("done", False), ("failed", True)):
        result = {"status": status, "kind": "evaluate", "study": "samples", "scores": []}
        write_result(tmp_path, result)
        assert (missing in write_report(tmp_path).read_text()) == told
