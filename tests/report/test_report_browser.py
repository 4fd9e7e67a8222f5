"""The page as a real browser renders it: headless Chromium, no network."""

import json
import os
import re
import shutil
import subprocess

import numpy as np
import pytest
from PIL import Image
from runs import HOSTILE, full_run, hostile_run, study

from ganlab.report.html import write_report

NAMES = ("chromium", "chromium-browser", "google-chrome")
CHROMIUM = os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, NAMES)), None)
pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(not CHROMIUM, reason="no Chromium: install it, or set CHROMIUM to its path"),
]
FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--hide-scrollbars",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


def browse(page, folder, *flags):
    command = [CHROMIUM, *FLAGS, f"--user-data-dir={folder / 'profile'}", *flags, page.as_uri()]
    run = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert run.returncode == 0, run.stderr[-2000:]
    return run.stdout


def rendered(page, folder, script, *flags):
    """What `script` returns at the end of the page, under a policy that admits it too."""
    source = re.sub(r"<meta http-equiv=.*?>", "", page.read_text(encoding="utf-8"))
    probe = f"""<script>addEventListener("load", () => {{
        const answer = document.createElement("pre");
        answer.id = "answer";
        answer.textContent = JSON.stringify((() => {{ {script} }})());
        document.body.append(answer);
    }});</script></body>"""
    copy = folder / "probed.html"
    copy.write_text(source.replace("</body>", probe), encoding="utf-8")
    dom = browse(copy, folder, "--dump-dom", *flags)
    answer = re.search(r'<pre id="answer">(.*?)</pre>', dom, re.DOTALL)[1]
    return json.loads(answer.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&"))


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
