"""The page as a real browser renders it: headless Chromium, no network."""

import numpy as np
import pytest
from headless import NEEDS_CHROMIUM, browse, rendered
from PIL import Image
from runs import HOSTILE, full_run, hostile_run, study

from ganlab.report.html import write_report

pytestmark = [pytest.mark.browser, NEEDS_CHROMIUM]


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    folder = tmp_path_factory.mktemp("browser")
    return write_report(full_run(folder / "run"), include=[study(folder / "study")])


def test_every_picture_and_chart_is_drawn(page, tmp_path):
    seen = rendered(
        page,
        tmp_path,
        """const size = (e) => { const b = e.getBoundingClientRect(); return [b.width, b.height]; };
        const images = [...document.querySelectorAll("main img")];
        return {
          natural: images.map((i) => i.naturalWidth),
          shown: images.map(size),
          charts: [...document.querySelectorAll("svg.chart")].map(size),
          words: [...document.querySelectorAll("svg.chart text")].map((t) => t.textContent),
          ink: getComputedStyle(document.querySelector("svg.chart text")).fill,
          headings: [...document.querySelectorAll("h2, h3")].map((h) => h.textContent),
        };""",
    )
    assert len(seen["natural"]) == 5  # three moments, the slider's picture, one figure
    assert min(seen["natural"]) > 0
    assert min(min(size) for size in seen["shown"]) > 50
    assert len(seen["charts"]) == 3
    assert min(min(size) for size in seen["charts"]) > 100
    assert {"generator", "discriminator", "kimg"} <= set(seen["words"])
    assert seen["ink"] == "rgb(26, 28, 31)"  # a colour of the page, not of the drawing
    assert seen["headings"] == [
        *("Training", "Scores", "Samples", "Curves", "Set-up"),
        *("Sequential ablation", "Tables", "Figures"),
    ]


def test_the_slider_moves_through_the_moments_and_a_click_enlarges(page, tmp_path):
    seen = rendered(
        page,
        tmp_path,
        """const range = document.querySelector(".stage input");
        const moment = () => document.querySelector(".stage output").textContent;
        const source = () => document.querySelector(".stage img").src;
        const at = [moment()];
        range.value = 0;
        range.dispatchEvent(new Event("input"));
        at.push(moment());
        const first = source() === document.querySelector(".moments img").src;
        document.querySelectorAll(".moments .zoom")[1].click();
        at.push(moment());
        const enlarged = document.querySelector("dialog");
        const before = enlarged.open;
        document.querySelector(".stage .zoom").click();
        const after = enlarged.open;
        enlarged.dispatchEvent(new KeyboardEvent("keydown", {key: "ArrowRight"}));
        const next = enlarged.querySelector("p").textContent;
        return {at, first, before, after, next, max: range.max};""",
    )
    assert seen["at"] == ["10 kimg", "0 kimg", "5 kimg"]
    assert seen["first"]
    assert (seen["before"], seen["after"]) == (False, True)
    assert seen["next"] == "after 10 kimg"
    assert seen["max"] == "2"


def test_the_script_runs_under_the_pages_own_policy(page, tmp_path):
    dom = browse(page, tmp_path, "--dump-dom")
    assert 'class="stage"' in dom  # the slider is made by the script


@pytest.mark.parametrize("width", [500, 1280])
def test_nothing_sticks_out_at_the_side(page, tmp_path, width):
    seen = rendered(
        page,
        tmp_path,
        "return [document.documentElement.scrollWidth, innerWidth];",
        f"--window-size={width},900",
    )
    assert seen[1] == width
    assert seen[0] <= width


def test_dark_and_light_are_both_drawn(page, tmp_path):
    brightness = []
    for scheme in (0, 1):  # Chromium's numbers: dark, light
        shot = tmp_path / f"{scheme}.png"
        settings = f"--blink-settings=preferredColorScheme={scheme}"
        browse(page, tmp_path, f"--screenshot={shot}", "--window-size=1000,800", settings)
        with Image.open(shot) as image:
            pixels = np.asarray(image.convert("L"), dtype=float)
        assert pixels.std() > 10  # something is drawn
        brightness.append(np.median(pixels))
    assert brightness[0] < 60
    assert brightness[1] > 200


def test_a_hostile_page_runs_nothing_and_asks_for_nothing(tmp_path):
    path = write_report(hostile_run(tmp_path / "run"), title=HOSTILE)
    seen = rendered(
        path,
        tmp_path,
        """return {
          scripts: document.querySelectorAll("body script").length,
          strangers: document.querySelectorAll("img[src=x], [onerror]").length,
          title: document.title,
          loaded: performance.getEntriesByType("resource")
            .map((entry) => entry.name).filter((name) => !name.startsWith("data:")),
        };""",
    )
    assert seen["scripts"] == 2  # the page's own and the probe
    assert seen["strangers"] == 0
    assert seen["title"] == HOSTILE
    assert seen["loaded"] == []
