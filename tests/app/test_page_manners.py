"""How the page behaves: by keyboard, under many moves, beside a long count, with bad files."""

import threading
import time
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from importlib.util import find_spec
from pathlib import Path

import pytest
from headless import NEEDS_CHROMIUM

from ganlab.app import latents, neurons, samples
from ganlab.app.session import How

ABSENT = "needs ganlab[app], which `make test-all` adds"
pytestmark = [pytest.mark.skipif(find_spec("gradio") is None, reason=ABSENT)]
pytestmark += [pytest.mark.slow, pytest.mark.browser, NEEDS_CHROMIUM]
pytestmark += [pytest.mark.filterwarnings("ignore:::gradio")]  # of what it asks pandas for

OPERATED = {"textbox", "spinbutton", "slider", "button", "checkbox", "radio", "combobox", "tab"}
TABS = {  # tab -> those in it
    "dcgan": {
        "Samples": [],
        "Neurons": [],
        "Paint": [],
        "Latents": ["Between", "Sums", "Directions"],
    },
    "stylegan2": {"Samples": [], "Paint": [], "Latents": ["Styles"]},
    "eyes": {"Samples": []},
    "pyramid": {"Pyramid": ["Repaint", "Compose", "Relabel"]},
}
FORBIDDEN = """<div id="samples"></div>
<meta http-equiv="Content-Security-Policy" content="default-src 'self'">
<link rel="preconnect" href="https://ahead.invalid">
<link rel="dns-prefetch" href="https://found.invalid"><img src="http://blocked.invalid/x.png">"""
STOPS = """(() => {
    const seen = [...document.querySelectorAll('input, textarea, button, [tabindex]')];
    return seen.filter(each => each.offsetParent && !each.disabled && each.tabIndex >= 0
        && getComputedStyle(each).visibility !== 'hidden'
        && (each.type !== 'radio' || each.checked)).length;
})()"""


@pytest.mark.parametrize("kind", TABS)
def test_every_control_has_a_label_and_is_reached_by_keyboard(kind, request, opened):
    page = opened(request.getfixturevalue(kind))
    page.until("!!document.querySelector('#samples img')")
    for tab, inner in TABS[kind].items():
        page.tab(tab)
        for each in inner or [None]:
            if each:
                page.tab(each)
            time.sleep(1)
            controls = page.controls(OPERATED)
            assert len(controls) > 8
            assert not [role for role, name in controls if not name], controls
            assert page.run(STOPS) <= page.tabbed_through(), (tab, each)


def test_a_whole_look_by_keys_alone(dcgan, opened):
    page = opened(dcgan)
    page.shows("samples", samples.sheet(dcgan, How(), list(range(24))))
    page.tab_to("Latent")
    page.write(7)
    page.tab_to("Neurons")
    page.key("Enter")
    page.says("not counted yet")
    page.tab_to("Latents that rates are counted on")
    page.write(60)
    page.tab_to("Count activation rates")
    page.key("Enter")
    page.until("!!document.querySelector('#neurons img')")
    layers = samples.early_layers(dcgan.sampler(How()))
    rates = dcgan.rates(How(), layers, 60)
    page.tab_to("R, the highest low rate", "range")
    for _ in range(10):
        page.key("ArrowRight")
    page.shows("neurons", neurons.intervention(dcgan, How(), 7, rates, layers, 0.4))


def test_of_many_moves_of_a_slider_the_last_is_drawn_and_few_before_it(dcgan, opened, monkeypatch):
    page, made, real = opened(dcgan), [], latents.between
    page.tab("Latents")
    page.shows("between", latents.between(dcgan, How(), (0, 1), 0.5))
    drawing, most = [], []

    def slowly(session, how, ends, at, *rest):
        drawing.append(at)
        most.append(len(drawing))
        time.sleep(1)
        made.append(at)
        drawing.remove(at)
        return real(session, how, ends, at, *rest)

    monkeypatch.setattr(latents, "between", slowly)
    page.slide("Where on the way", 30)
    page.shows("between", real(dcgan, How(), (0, 1), 0.8))
    assert made[-1] == pytest.approx(0.8)
    assert len(made) <= 15  # never a queue of them: 30 moves
    assert max(most) == 1
    time.sleep(3)
    assert made[-1] == pytest.approx(0.8)
    assert not drawing


def test_two_pages_slide_at_once_and_each_gets_its_own(dcgan, opened):
    pages = opened(dcgan), opened(dcgan)
    for page in pages:
        page.tab("Latents")
    pages[1].type("To latent", 5)
    for _ in range(10):
        pages[0].slide("Where on the way", 1)
        pages[1].slide("Where on the way", -1)
    pages[0].shows("between", latents.between(dcgan, How(), (0, 1), 0.6))
    pages[1].shows("between", latents.between(dcgan, How(), (0, 5), 0.4))


def test_a_count_goes_on_under_a_bar_while_the_page_is_used(dcgan, opened, monkeypatch):
    go_on, real = threading.Event(), samples.count_neurons

    def waiting(session, how, num, progress):
        progress(0.37, "counting for a test")
        assert go_on.wait(120)
        return real(session, how, num, progress)

    monkeypatch.setattr(samples, "count_neurons", waiting)
    page = opened(dcgan)
    page.type("Among the first", 60)
    page.tick(samples.BY_NEURONS)
    page.says("not counted yet")
    page.press("Count for the order")
    page.says("counting for a test")
    page.says("37")
    page.tab("Latents")
    page.slide("Where on the way", 10)
    page.shows("between", latents.between(dcgan, How(), (0, 1), 0.6))
    page.tab("Samples")
    go_on.set()
    page.until("!!document.querySelector('#samples img')")
    order = samples.known_order(dcgan, How(), samples.BY_NEURONS, 60)
    page.shows("samples", samples.sheet(dcgan, How(), order[:24], samples.BY_NEURONS))


def test_without_reals_realism_is_a_line(dcgan, opened):
    page = opened(dcgan)
    page.tick(samples.BY_REALISM)
    page.says("needs real images")
    page.says("data=folder data.path=<folder>")


def test_a_file_that_is_no_image_is_a_line(pyramid, opened, tmp_path):
    (tmp_path / "none.png").write_text("no image at all")
    page = opened(pyramid)
    page.tab("Pyramid")
    page.choose_file("Image", str(tmp_path / "none.png"))
    page.says("image=")
    assert "Traceback" not in page.run("document.body.innerText")
    page.tab("Latents")  # the page goes on
    page.shows("between", latents.between(pyramid, How(), (0, 1), 0.5))


def test_a_checkpoint_that_vanished_is_a_line_or_nothing(dcgan, opened):
    page = opened(dcgan)
    Path(dcgan.ckpt).unlink()  # what is open stays open
    page.type("Seed", 8)
    page.shows("samples", samples.sheet(dcgan, How(seed=8), list(range(24))))
    page.type("Latent", -1)
    page.tab("Latents")
    page.says("Latent takes a whole number from 0")


def test_the_watch_sees_what_is_asked_for_blocked_or_looked_for(tmp_path):
    from explorer import Explorer

    (tmp_path / "page").mkdir()
    (tmp_path / "page" / "index.html").write_text(FORBIDDEN)
    serving = partial(SimpleHTTPRequestHandler, directory=str(tmp_path / "page"))
    with ThreadingHTTPServer(("127.0.0.1", 0), serving) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        with Explorer(tmp_path) as page:
            page.visit(f"http://127.0.0.1:{server.server_port}")
            time.sleep(3)
        server.shutdown()
    outside = page.outside()
    assert "http://blocked.invalid/x.png" in outside
    assert {"found.invalid", "ahead.invalid"} <= {*outside}
