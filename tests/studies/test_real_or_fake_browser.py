"""The test page as a person takes it: real keys and taps, real seconds, no network."""

import base64
import csv
import io
import json
import math
import statistics
import time

import numpy as np
import pytest
from browser import Browser
from headless import NEEDS_CHROMIUM
from PIL import Image

from ganlab.grid.human_eval import publish_judgements
from ganlab.studies.human_eval.real_or_fake import page_of
from ganlab.studies.human_eval.trials import Level, protocol_of, trials_of

pytestmark = [
    pytest.mark.browser,
    NEEDS_CHROMIUM,
]
# Which images are on the screen, frame by frame, as the page itself cannot know.
WATCH = """(() => {
  window.seen = []; window.sources = [];
  let since = null, last = "";
  const look = (now) => {
    const shown = [...document.images].filter((i) => !i.hidden && i.offsetParent && i.naturalWidth);
    const key = shown.map((i) => i.src).join();
    if (key !== last && last) seen.push(now - since);
    if (key !== last && key) { since = now; sources.push(key.split(/,(?=data)/)); }
    last = key;
    requestAnimationFrame(look);
  };
  requestAnimationFrame(look);
})()"""
READY = (
    "!document.querySelector('#trial').hidden && !document.querySelector('[data-answer]').disabled"
)


def flat(value):
    return np.full((8, 8, 3), value, np.uint8)


def written(folder, protocol, levels=("",), break_every=3):
    """A page whose fakes are dark (below 100) and whose reals are light, all different."""
    made = []
    for place, name in enumerate(levels):
        dark = range(40 * place, 40 * place + protocol.num)
        made.append(Level(name, [flat(t) for t in dark], [flat(255 - t) for t in dark]))
    trials, images = trials_of(protocol, made, seed=3)
    page = page_of(
        protocol, trials, images, title="A <b>test", model="toy", seed=3, break_every=break_every
    )
    path = folder / "real or fake.html"
    path.write_text(page, encoding="utf-8")
    return path


def begun(browser, page, person):
    browser.open(page)
    browser.run(WATCH)
    browser.run(f"document.querySelector('#person').value = {json.dumps(person)}")
    browser.tap("#start")


def tones(browser, place):
    """Of each image of the trial at `place`, as it was on the screen."""
    browser.until(f"sources.length > {place}")
    sources = browser.run(f"sources[{place}]")
    files = [io.BytesIO(base64.b64decode(source.partition(",")[2])) for source in sources]
    return [int(np.asarray(Image.open(file)).max()) for file in files]


def downloaded(browser):
    browser.tap("#download")
    for _ in range(500):
        if files := list(browser.downloads.glob("*.json")):
            return files[0]
        time.sleep(0.02)
    raise AssertionError("nothing was downloaded")


def rows_of(folder):
    with (folder / "judgements.csv").open() as file:
        return list(csv.DictReader(file))


def wilson(hits, n, z=1.959963984540054):
    centre, weight = hits / n + z * z / (2 * n), 1 + z * z / n
    spread = z * math.sqrt(hits * (n - hits) / n**3 + z * z / (4 * n * n))
    return (centre - spread) / weight, (centre + spread) / weight


def test_single_is_answered_to_its_end_and_counted_as_by_hand(tmp_path):
    page = written(tmp_path, protocol_of("single", num=4))
    plan = "frfrrfff"  # what the person says, trial by trial
    told = []
    with Browser(tmp_path) as browser:
        begun(browser, page, "Ann Ä.")
        for place, letter in enumerate(plan):
            browser.until(READY)
            told.append(("fake" if tones(browser, place)[0] < 100 else "real", letter))
            if place % 2:
                browser.key(letter)
            else:
                browser.tap(f"[data-answer={'fake' if letter == 'f' else 'real'}]")
            if (place + 1) % 3 == 0:
                browser.until("!document.querySelector('#break').hidden")
                assert browser.run("document.querySelector('#progress').value") == place + 1
                browser.tap("#continue")
        browser.until("!document.querySelector('#end').hidden")
        result = downloaded(browser)
        summary = browser.run("document.querySelector('#summary').innerText")
        requests = browser.requests()
    assert all(url.startswith(("file:", "data:", "blob:")) for url in requests)
    assert sum(url.startswith("file:") for url in requests) == 1  # the page itself
    right = sum(truth[0] == said for truth, said in told)
    fooled = sum(truth == "fake" and said == "r" for truth, said in told)
    assert [truth for truth, _ in told].count("fake") == 4
    content = json.loads(result.read_text(encoding="utf-8"))
    assert content["person"] == "Ann Ä."
    assert content["complete"] is True
    assert [(a["truth"], a["answer"][0]) for a in content["answers"]] == told
    assert f"{right} of 8" in summary
    assert f"{fooled} of 4" in summary
    publish_judgements([result], {}, tmp_path)
    (row,) = rows_of(tmp_path)
    assert (row["model"], row["protocol"], row["people"], row["trials"]) == (
        "toy",
        "single",
        "1",
        "8",
    )
    assert float(row["accuracy"]) == right / 8
    assert float(row["false-positive rate"]) == fooled / 4
    for name, hits, n in (("accuracy", right, 8), ("false-positive rate", fooled, 4)):
        ends = float(row[f"{name}, low"]), float(row[f"{name}, high"])
        assert ends == pytest.approx(wilson(hits, n), abs=1e-12)


@pytest.mark.slow  # a second each, and a machine quiet enough to keep its frames
def test_pairs_are_shown_for_one_second_and_judged_afterwards(tmp_path):
    page = written(tmp_path, protocol_of("unpaired", num=2), ("conv1", "fc8"), break_every=0)
    with Browser(tmp_path) as browser:
        begun(browser, page, "Ben")
        confused = {"conv1": 0, "fc8": 0}
        for place in range(4):
            browser.until(f"sources.length === {place + 1}")
            browser.key("ArrowLeft")  # too early: while they are shown nothing is answered
            browser.until(READY)
            assert browser.run("[...document.images].every((i) => i.hidden)")
            left, right = tones(browser, place)
            confused["conv1" if min(left, right) < 20 else "fc8"] += left > right
            browser.key("ArrowLeft")
        browser.until("!document.querySelector('#end').hidden")
        shown = browser.run("seen")
        content = json.loads(browser.run("document.querySelector('#result').value"))
        requests = browser.requests()
    said = [answer["shown_ms"] for answer in content["answers"]]
    assert len(said) == 4
    assert len(shown) >= 3  # what the page's watcher saw: it may miss a frame, never add one
    assert all(980 < each < 1250 for each in shown), shown  # a busy machine may lose frames
    assert statistics.median(shown) < 1050, shown
    assert [a["answer"] for a in content["answers"]] == ["left"] * 4
    assert all(min(abs(each - own) for own in said) < 40 for each in shown)
    assert all(980 < each < 1250 for each in said), said
    assert all(url.startswith(("file:", "data:", "blob:")) for url in requests)
    result = tmp_path / "ben.json"
    result.write_text(json.dumps(content))
    publish_judgements([result], {}, tmp_path)
    rows = {row["level"]: row for row in rows_of(tmp_path)}
    for level, count in confused.items():
        assert float(rows[level]["confusion rate"]) == count / 2
        assert rows[level]["trials"] == "2"


@pytest.mark.parametrize(("width", "height"), [(500, 320), (500, 900), (1600, 1000)])
def test_everything_fits_a_screen_and_has_a_name(tmp_path, width, height):
    page = written(tmp_path, protocol_of("paired", num=1, seconds=0.05))
    with Browser(tmp_path, width, height) as browser:
        if width == 500:  # a phone, upright or lying
            size = {"width": 320 if height > 320 else 568, "height": height}
            browser.call(
                "Emulation.setDeviceMetricsOverride", deviceScaleFactor=2, mobile=True, **size
            )
        begun(browser, page, "")
        browser.until(READY)
        inside = browser.run(
            """[...document.querySelectorAll("#trial button, #stage")].every((e) => {
              const b = e.getBoundingClientRect();
              return b.width > 40 && b.height > 40 && b.left >= 0 && b.top >= 0 &&
                b.right <= innerWidth && b.bottom <= innerHeight;
            })"""
        )
        browser.tap("[data-answer=right]")
        browser.until("!document.querySelector('#end').hidden")
        tree = browser.call("Accessibility.getFullAXTree")["nodes"]
        person = json.loads(browser.run("document.querySelector('#result').value"))["person"]
    assert inside
    assert person.startswith("anonymous-")
    roles = ("button", "textbox", "progressbar", "progressIndicator", "image")
    named = [n for n in tree if n.get("role", {}).get("value") in roles and not n.get("ignored")]
    assert len(named) >= 3
    assert all(node["name"]["value"] for node in named)


def test_the_keyboard_alone_is_enough_on_the_narrowest_screen(tmp_path):
    page = written(tmp_path, protocol_of("single", num=2), break_every=3)
    wide = []

    def look(browser, section):
        browser.until(f"!document.querySelector('#{section}').hidden")
        wide.append(browser.run("document.scrollingElement.scrollWidth"))

    def go_to(browser, name):
        for _ in range(9):
            if browser.run("document.activeElement.id") == name:
                return browser.key("Enter")
            browser.key("Tab")
        raise AssertionError(f"Tab never comes to {name}")

    with Browser(tmp_path, 500) as browser:
        size = {"width": 320, "height": 480, "deviceScaleFactor": 1, "mobile": True}
        browser.call("Emulation.setDeviceMetricsOverride", **size)
        browser.open(page)
        look(browser, "intro")
        go_to(browser, "person")  # Enter in the name starts
        for place in range(4):
            look(browser, "trial")
            browser.until(READY)
            browser.key("ArrowLeft" if place % 2 else "r")
            if place == 2:
                look(browser, "break")
                assert browser.run("document.activeElement.id") == "break-title"  # is read out
                go_to(browser, "continue")
        look(browser, "end")
        go_to(browser, "download")
        content = json.loads(browser.run("document.querySelector('#result').value"))
        for _ in range(500):
            if files := list(browser.downloads.glob("*.json")):
                break
            time.sleep(0.02)
    assert json.loads(files[0].read_text(encoding="utf-8")) == content
    assert [a["answer"] for a in content["answers"]] == ["real", "fake", "real", "fake"]
    assert max(wide) <= 320


def test_a_double_press_does_not_answer_for_the_next_image(tmp_path):
    page = written(tmp_path, protocol_of("single", num=2), break_every=0)
    with Browser(tmp_path) as browser:
        browser.open(page)
        browser.run("document.querySelector('#start').click()")
        browser.until(READY)
        browser.run(
            """(() => {
              const press = () => dispatchEvent(new KeyboardEvent("keydown", {key: "r"}));
              press();
              setTimeout(press, 60);
              setTimeout(() => { window.pressed = true; }, 60);
            })()"""
        )
        browser.until("window.pressed")
        browser.until(READY)
        assert browser.run("document.querySelector('#progress').value") == 1
