"""Fakes of a pyramid beside their references, as people judge them (Shocher et al., table 2)."""

import base64
import io
import json

import numpy as np
import pytest
from browser import Browser
from headless import NEEDS_CHROMIUM
from PIL import Image
from pyramid_toys import STAGES, Blocks, Pyramid, run
from study_toys import ConvGenerator, System

from ganlab.data import NoImages
from ganlab.report.images import cells
from ganlab.sampling import Sampler
from ganlab.studies import RealOrFake
from ganlab.studies.human_eval.real_or_fake import pyramid_levels


def page_of(folder, data=None, system=None, **options):
    run(RealOrFake(directory=folder, seed=3, batch_size=4, **options), data, system)
    page = (folder / "real_or_fake.html").read_text(encoding="utf-8")
    return json.loads(page.split('id="study">')[1].split("</script>")[0])


def levels_of(data, levels, num, **options):
    system = Pyramid()
    return pyramid_levels(Sampler.of(system, 1, **options), system.conditioner, data, levels, num)


def decoded(address):
    with Image.open(io.BytesIO(base64.b64decode(address.partition(",")[2]))) as image:
        return np.asarray(image)[..., 0].astype(int)


def test_each_fake_is_painted_from_its_reference():
    """From pool1 the toy copies its reference; from pool2 it paints means over 4x4 pixels."""
    data = Blocks()
    for level in levels_of(data, ["pool1", "pool2"], 5, batch_size=2):
        fakes, reals = (np.stack(each)[..., 0].astype(float) for each in (level.fakes, level.reals))
        if level.name == "pool1":
            assert np.array_equal(fakes, reals)
            continue
        means = reals.reshape(5, 2, 4, 2, 4).mean((2, 4)).repeat(4, 1).repeat(4, 2)
        assert np.abs(fakes - means).max() <= 1
        assert not np.array_equal(fakes, reals)


def test_levels_have_references_of_their_own_each_once():
    data = Blocks()
    first, second = levels_of(data, ["pool1", "fc7"], 20)
    stored = [each.tobytes() for each in cells(data.dataset)]
    chosen = [[stored.index(each.tobytes()) for each in level.reals] for level in (first, second)]
    assert all(len(set(each)) == 20 for each in chosen)
    assert chosen[0] != chosen[1]
    with pytest.raises(ValueError, match="41 real images asked for, and the data has 40"):
        levels_of(data, ["pool1"], 41)


@pytest.mark.parametrize("protocol", ["paired", "unpaired"])
def test_the_papers_two_tests(tmp_path, protocol):
    content = page_of(tmp_path, protocol=protocol, num=6)
    assert (content["protocol"], content["seconds"]) == (protocol, 1)
    assert [t["level"] for t in content["trials"]] == [name for name in STAGES for _ in range(6)]
    pool1 = [trial for trial in content["trials"] if trial["level"] == "pool1"]
    images = content["images"]
    same = [images[trial["fake"]] == images[trial["real"]] for trial in pool1]
    assert same == [protocol == "paired"] * 6, "pool1 says all, so a fake is its own reference"


def test_75_images_of_every_level_by_default(tmp_path):
    content = page_of(tmp_path, Blocks(80), protocol="paired")
    assert len(content["trials"]) == 75 * len(STAGES)


def test_some_levels_by_the_papers_names(tmp_path):
    content = page_of(tmp_path, protocol="single", num=2, levels=["conv2", "FC7"])
    assert [t["level"] for t in content["trials"]] == ["pool2"] * 4 + ["fc7"] * 4


def test_what_cannot_be_judged_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"study\.levels=fc6 is no level of this pyramid"):
        page_of(tmp_path, protocol="paired", levels="fc6")
    with pytest.raises(ValueError, match="paints from references and this checkpoint names none"):
        page_of(tmp_path, NoImages(8, 1), protocol="paired")
    with pytest.raises(ValueError, match=r"study\.levels names levels of a semantic pyramid"):
        page_of(tmp_path, system=System(ConvGenerator()), levels="conv1", num=2)
    with pytest.raises(ValueError, match="75 real images asked for, and the data has 40"):
        page_of(tmp_path, protocol="unpaired")


@pytest.mark.browser
@NEEDS_CHROMIUM
def test_a_person_sees_each_fake_beside_its_own_reference(tmp_path):
    """Real keys, a twentieth of a second, no network; judged level by level."""
    content = page_of(tmp_path, protocol="paired", num=2, levels=["pool2", "fc8"], seconds=0.05)
    pairs = {
        frozenset((content["images"][t["fake"]], content["images"][t["real"]])): t
        for t in content["trials"]
    }
    ready = "!document.querySelector('[data-answer]').disabled"
    with Browser(tmp_path) as browser:
        browser.open(tmp_path / "real_or_fake.html")
        browser.run("document.querySelector('#person').value = 'Cleo'")
        browser.tap("#start")
        shown = []
        for _ in range(4):
            browser.until(f"!document.querySelector('#trial').hidden && {ready}")
            shown.append(
                [browser.run(f"document.querySelector('#{s}').src") for s in ("left", "right")]
            )
            browser.key("ArrowLeft")
        browser.until("!document.querySelector('#end').hidden")
        result = json.loads(browser.run("document.querySelector('#result').value"))
        requests = browser.requests()
    assert all(url.startswith(("file:", "data:", "blob:")) for url in requests)
    assert {frozenset(each) for each in shown} == set(pairs)
    for sides, answer in zip(shown, result["answers"], strict=True):
        trial = pairs[frozenset(sides)]
        assert answer["level"] == trial["level"]
        assert sides.index(content["images"][trial["fake"]]) == ["left", "right"].index(
            answer["truth"]
        )
        if trial["level"] == "pool2":  # painted from that very reference
            real, fake = (decoded(content["images"][trial[kind]]) for kind in ("real", "fake"))
            means = real.reshape(2, 4, 2, 4).mean((1, 3)).repeat(4, 0).repeat(4, 1)
            assert np.abs(fake - means).max() <= 1
