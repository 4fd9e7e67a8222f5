"""Trials of the three protocols, the page's content, and where images come from."""

import html
import json
import re

import numpy as np
import pytest
import torch
from copy_toys import Honest, Stored, smooth
from PIL import Image
from study_toys import System, suite, trainer

from ganlab.data import NoImages
from ganlab.report.images import cells, save_png
from ganlab.sampling import Sampler
from ganlab.studies import RealOrFake, Study
from ganlab.studies.human_eval.real_or_fake import data_address, inside_script, page_of
from ganlab.studies.human_eval.trials import (
    Level,
    Trial,
    derangement,
    protocol_of,
    read_levels,
    trials_of,
)
from ganlab.systems.conditioning import Conditioner


def flat(value, side=4):
    return np.full((side, side, 3), value, np.uint8)


def level(num, name="", start=0):
    return Level(
        name, [flat(start + i) for i in range(num)], [flat(200 + start + i) for i in range(num)]
    )


def study_of(page):
    text = re.search(r'<script type="application/json" id="study">(.*?)</script>', page, re.DOTALL)
    return json.loads(text[1])


def pairs(folder, names, tone=0):
    for kind, value in (("fake", tone), ("real", tone + 100)):
        for place, name in enumerate(names):
            save_png(flat(value + place), folder / kind / f"{name}.png")
    return folder


def test_the_papers_numbers_are_the_defaults():
    assert protocol_of("single").num == 50
    assert protocol_of("single").seconds is None
    for name in ("paired", "unpaired"):
        assert (protocol_of(name).num, protocol_of(name).seconds) == (75, 1.0)


def test_single_shows_every_fake_and_every_real_once():
    trials, images = trials_of(protocol_of("single", 3), [level(5)], 0)
    assert [trial.fake for trial in trials] == [0, 1, 2, None, None, None]
    assert [trial.real for trial in trials] == [None, None, None, 3, 4, 5]
    assert [int(image[0, 0, 0]) for image in images] == [0, 1, 2, 200, 201, 202]


@pytest.mark.parametrize("name", ["paired", "unpaired"])
def test_pairs_hold_a_fake_and_its_own_or_anothers_reference(name):
    levels = [level(6, "conv1"), level(6, "fc8", 30)]
    trials, images = trials_of(protocol_of(name, 6), levels, 0)
    assert [trial.level for trial in trials] == ["conv1"] * 6 + ["fc8"] * 6
    found = [(int(images[t.fake][0, 0, 0]), int(images[t.real][0, 0, 0]) - 200) for t in trials]
    assert all((fake == real) == (name == "paired") for fake, real in found)
    for part in (found[:6], found[6:]):  # each once, within its level
        assert sorted(real for _, real in part) == sorted(fake for fake, _ in part)


@pytest.mark.parametrize("num", [2, 3, 10])
def test_unrelated_leaves_nothing_in_its_place(num):
    order = derangement(num, 0)
    assert sorted(order) == list(range(num))
    assert all(i != j for i, j in enumerate(order))
    assert order == derangement(num, 0)


def test_bad_tests_are_refused():
    with pytest.raises(ValueError, match="single, paired, unpaired"):
        protocol_of("double")
    with pytest.raises(ValueError, match=r"study\.num=1 must be at least 2"):
        protocol_of("unpaired", 1)
    with pytest.raises(ValueError, match="there are 2 fake images of level fc8"):
        trials_of(protocol_of("single", 3), [level(3, "conv1"), level(2, "fc8")], 0)
    odd = Level("", [flat(1, 4)], [flat(2, 8)])
    with pytest.raises(ValueError, match="one size"):
        trials_of(protocol_of("single", 1), [odd], 0)


def test_the_page_holds_everything_and_names_no_address():
    trials, images = trials_of(protocol_of("single", 2), [level(2)], 0)
    hostile = "</script><script>alert(1)</script>"
    page = page_of(protocol_of("single", 2), trials, images, title=hostile, model="m", seed=5)
    assert page.count("<script") == 2
    assert html.escape(hostile) in page
    content = study_of(page)
    assert content["title"] == hostile
    assert [Trial(**trial) for trial in content["trials"]] == trials
    assert content["images"] == [data_address(image) for image in images]
    outside = page.replace("http-equiv", "")
    assert not re.search(r"https?:|//\w|url\(|@import|<link|<iframe", outside)
    assert "default-src 'none'" in page
    assert "connect-src" not in page  # so that the default, none, holds


def test_json_cannot_end_its_element():
    assert "<" not in inside_script({"a": "</script><!--"})
    assert json.loads(inside_script({"a": "</script>&"})) == {"a": "</script>&"}


def test_the_test_has_a_name_of_its_own():
    trials, images = trials_of(protocol_of("single", 2), [level(2)], 0)
    names = set()
    for seed, model in ((0, "a"), (1, "a"), (0, "b"), (0, "a")):
        page = page_of(protocol_of("single"), trials, images, title="", model=model, seed=seed)
        names.add(study_of(page)["test"])
    assert len(names) == 3


def test_a_folder_of_pairs_keeps_pairs_together(tmp_path):
    names = [f"{i:02}" for i in range(9)]
    for place, name in enumerate(("conv1", "fc8")):
        pairs(tmp_path / name, names, tone=20 * place)
    levels = read_levels(tmp_path, protocol_of("paired", 5), seed=1)
    assert [each.name for each in levels] == ["conv1", "fc8"]
    for each in levels:
        tones = [int(image[0, 0, 0]) for image in each.fakes]
        assert [int(image[0, 0, 0]) - 100 for image in each.reals] == tones
        assert len(set(tones)) == 5
    assert tones != [20, 21, 22, 23, 24]  # a random choice


def test_a_folder_that_cannot_be_read_is_named(tmp_path):
    one = protocol_of("paired", 1)
    with pytest.raises(FileNotFoundError, match="is no folder"):
        read_levels(tmp_path / "none", one, 0)
    with pytest.raises(FileNotFoundError, match="holds no fake/ and real/"):
        read_levels(tmp_path, one, 0)
    place = pairs(tmp_path / "p", ["a", "b"])
    (place / "real" / "a.png").unlink()
    with pytest.raises(ValueError, match="a is not in both"):
        read_levels(place, one, 0)
    assert len(read_levels(place, protocol_of("single", 1), 0)[0].fakes) == 1
    (place / "real" / "b.png").write_bytes(b"no picture")
    with pytest.raises(ValueError, match=r"b\.png is no image"):
        read_levels(place, protocol_of("single", 1), 0)
    with pytest.raises(ValueError, match=r"study\.num=3"):
        read_levels(place, protocol_of("single", 3), 0)


def run(folder, data=None, system=None, **options):
    study = Study(RealOrFake(directory=folder, **({"seed": 6, "batch_size": 4} | options)))
    data = Stored(40) if data is None else data
    trainer(study).test(system or System(Honest()), data, verbose=False)
    return study, study_of((folder / "real_or_fake.html").read_text(encoding="utf-8"))


def test_fakes_are_the_first_latents_and_reals_are_of_the_data(tmp_path):
    _, content = run(tmp_path, num=5)
    made = [data_address(image) for image in cells(Sampler(Honest(), 6).batch(range(5)))]
    assert content["images"][:5] == made
    stored = {data_address(image) for image in cells(Stored(40).dataset)}
    assert len(set(content["images"][5:]) & stored) == 5
    assert (content["protocol"], content["seconds"]) == ("single", None)
    assert content["model"] == "copy_toys"


def test_a_conditioner_that_knows_references_makes_pairs(tmp_path):
    class References(Conditioner):
        def references(self, indices):
            return smooth(torch.tensor([[i / 10] * 4 for i in indices]))

    system = System(Honest())
    system.conditioner = References()
    _, content = run(tmp_path, NoImages(8, 1), system, protocol="paired", num=3, level="conv5")
    expected = [data_address(image) for image in cells(References().references(range(3)))]
    assert content["images"][3:] == expected
    assert [(t["level"], t["fake"], t["real"]) for t in content["trials"]] == [
        ("conv5", 0, 3),
        ("conv5", 1, 4),
        ("conv5", 2, 5),
    ]


def test_a_folder_needs_no_reals_of_the_data(tmp_path):
    place = pairs(tmp_path / "p", ["a", "b", "c"])
    _, content = run(tmp_path, NoImages(8, 1), images=place, protocol="unpaired", num=3)
    assert len(content["trials"]) == 3


def test_pairs_without_references_and_tests_without_reals_are_refused(tmp_path):
    with pytest.raises(ValueError, match=r"give study\.images=<folder>"):
        run(tmp_path, protocol="paired")
    with pytest.raises(ValueError, match="data=folder"):
        run(tmp_path, NoImages(8, 1))
    with pytest.raises(ValueError, match="50 real images asked for, and the data has 40"):
        run(tmp_path)
    with pytest.raises(FileNotFoundError, match=r"study\.results=.*none\.json: no such"):
        run(tmp_path, results=str(tmp_path / "none.json"))


def test_what_people_found_joins_the_scores(tmp_path):
    answers = [
        {"trial": i, "level": "", "truth": t, "answer": a}
        for i, (t, a) in enumerate([("fake", "real"), ("fake", "fake"), ("real", "real")])
    ]
    content = {"kind": "ganlab real_or_fake", "version": 1, "person": "a", "model": "m"}
    content |= {"test": "t", "protocol": "single", "num_trials": 4, "answers": answers}
    (tmp_path / "a.json").write_text(json.dumps(content))
    results = {"num": 2, "results": [str(tmp_path / "a.json")]}
    with pytest.raises(ValueError, match=r"a\.json is of 'm', and this checkpoint is 'copy_toys'"):
        run(tmp_path, **results)
    study, _ = run(tmp_path, model="m", suite=suite(24, 20), **results)
    values = {record["metric"]: record["value"] for record in study.records}
    assert values["human_accuracy"] == pytest.approx(2 / 3)
    assert values["human_fpr"] == 0.5
    assert any(name.startswith("fid") for name in values)
    assert (tmp_path / "judgements.md").exists()
    assert "fid" in (tmp_path / "table.csv").read_text()


def test_pictures_carry_nothing_but_pixels():
    import base64
    import io

    data = base64.b64decode(data_address(flat(7)).partition(",")[2])
    with Image.open(io.BytesIO(data)) as image:
        assert image.info == {}
        assert (np.asarray(image) == 7).all()
