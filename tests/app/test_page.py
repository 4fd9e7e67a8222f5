"""The page in a browser: what is clicked, painted and slid shows what the pure functions give."""

from importlib.util import find_spec

import pytest
from headless import NEEDS_CHROMIUM

from ganlab.app import latents, neurons, paint, samples
from ganlab.app import pyramid as views
from ganlab.app.session import How, Session
from ganlab.downloads import cache_dir
from ganlab.studies.neurons.painted import Dab

ABSENT = "needs ganlab[app], which `make test-all` adds"
pytestmark = [pytest.mark.skipif(find_spec("gradio") is None, reason=ABSENT)]
pytestmark += [pytest.mark.slow, pytest.mark.browser, NEEDS_CHROMIUM]
pytestmark += [pytest.mark.filterwarnings("ignore:::gradio")]  # of what it asks pandas for


def pixel_of(position):
    """The middle of a cell on the sheet of 16 px images, six in a row."""
    row, column = divmod(position, 6)
    return 2 + column * 66 + 32, 2 + row * 81 + 32


def test_from_a_sheet_to_the_neurons_and_units_of_an_image(dcgan, opened):
    layers, how = samples.early_layers(dcgan.sampler(How())), How()
    page = opened(dcgan)
    page.shows("samples", samples.sheet(dcgan, how, list(range(24))))
    page.type("Page", 2)
    page.shows("samples", samples.sheet(dcgan, how, list(range(24, 48))))
    page.click_picture("samples", *pixel_of(7))
    page.until(f"{page.input('Latent')}.value === '31'")

    page.tab("Neurons")
    page.says("not counted yet")
    page.type("Latents that rates are counted on", 60)
    page.press("Count activation rates")
    page.until("!!document.querySelector('#neurons img')")
    rates = dcgan.rates(how, layers, 60)
    page.shows("neurons", neurons.intervention(dcgan, how, 31, rates, layers, 0.3))
    page.slide("R, the highest", 5)
    page.shows("neurons", neurons.intervention(dcgan, how, 31, rates, layers, 0.35))
    page.shows("rates", neurons.histogram(dcgan, how, rates, 0.35))

    page.tab("Paint")
    page.shows("canvas", paint.canvas(dcgan, how, 31, []))
    page.click_picture("canvas", 71, 183)
    dab = Dab((183 + 0.5) / 256, (71 + 0.5) / 256, 0.12)
    page.shows("canvas", paint.canvas(dcgan, how, 31, [dab]))
    layer = paint.map_layers(dcgan)[0]
    units = paint.ranked_units(dcgan, how, 31, layer, [dab])
    page.says(units[0].label)
    page.tick(units[0].label)
    page.shows("without", paint.without_units(dcgan, how, 31, layer, [units[0].number]))
    page.press("Add the dab")
    page.shows("canvas", paint.canvas(dcgan, how, 31, [dab, Dab(0.5, 0.5, 0.12)]))
    page.press("Clear")
    page.shows("canvas", paint.canvas(dcgan, how, 31, []))


def test_a_region_is_drawn_freely(dcgan, opened, monkeypatch):
    from ganlab.app.brush import Brush

    drawn, real = [], Brush.drawn
    monkeypatch.setattr(Brush, "drawn", lambda *all: drawn.append(real(*all)) or drawn[-1])
    page = opened(dcgan)
    page.tab("Paint")
    page.unfold("Draw freely")
    page.drag("#canvas-free", (0.3, 0.2), (0.3, 0.7), lambda: bool(drawn and drawn[-1]))
    (strokes,) = drawn[-1]
    page.shows("canvas", paint.canvas(dcgan, How(), 0, [strokes]))
    assert (strokes.y, strokes.x) == pytest.approx((0.3, 0.45), abs=0.08)
    layer = paint.map_layers(dcgan)[0]
    page.says(paint.ranked_units(dcgan, How(), 0, layer, [strokes])[0].label)
    page.press("Clear")
    page.shows("canvas", paint.canvas(dcgan, How(), 0, []))


@pytest.mark.parametrize("ckpt", ["faces", "eyes"])
def test_a_published_generator_is_looked_into(ckpt, opened, cache, monkeypatch):
    with monkeypatch.context() as users:
        users.delenv("GANLAB_CACHE")
        if not (cache_dir() / ckpt).is_dir():
            pytest.skip(f"not in the user's cache: python -m ganlab info ckpt={ckpt}")
        session = Session.open(ckpt)
    session.cache, how, first = cache / "explore", How(), list(range(24))
    page = opened(session)
    page.shows("samples", samples.sheet(session, how, first))
    index = samples.index_at(session, first, 200, 100)
    page.click_picture("samples", 200, 100)
    page.until(f"{page.input('Latent')}.value === '{index}'")
    page.tab("Neurons")
    page.type("Latents that rates are counted on", 20)
    page.press("Count activation rates")
    page.until("!!document.querySelector('#neurons img')", 120)
    layers = samples.early_layers(session.sampler(how))
    rates = session.rates(how, layers, 20)
    page.slide("R, the highest", 5)
    page.shows("neurons", neurons.intervention(session, how, index, rates, layers, 0.35))
    page.tab("Paint")
    page.click_picture("canvas", 100, 150)
    dab = Dab((150 + 0.5) / 256, (100 + 0.5) / 256, 0.12)
    page.shows("canvas", paint.canvas(session, how, index, [dab]))
    layer = paint.map_layers(session)[0]
    unit = paint.ranked_units(session, how, index, layer, [dab])[0]
    page.tick(unit.label)
    page.shows("without", paint.without_units(session, how, index, layer, [unit.number]))
    page.tab("Latents")
    page.slide("Where on the way", -10)
    page.shows("between", latents.between(session, how, (index, 1), 0.4))


def test_a_class_is_chosen(eyes, opened):
    page = opened(eyes)
    page.shows("samples", samples.sheet(eyes, How(), list(range(24))))
    page.choose("Class", eyes.classes[3])
    page.shows("samples", samples.sheet(eyes, How(label=3), list(range(24))))
    page.type("Or these latents", "5, 2")
    page.shows("samples", samples.sheet(eyes, How(label=3), [5, 2]))


def test_what_cannot_be_is_a_line_in_the_page(dcgan, opened):
    page = opened(dcgan)
    page.type("Or these latents", "none")
    page.says("latents=none: give numbers such as 3, 17, or a range such as 0:24")
    page.type("Or these latents", "")
    page.type("Page", 99)
    page.says("page=99: there are pages 1 to 42")
    page.tab("Latents")
    page.tab("Directions")
    page.type("Or a saved one", "gone.npz")
    page.says("gone.npz: no such file")
    assert "Traceback" not in page.run("document.body.innerText")


def test_two_pages_do_not_disturb_each_other(dcgan, opened):
    first, second = opened(dcgan), opened(dcgan)
    first.type("Seed", 4)
    first.shows("samples", samples.sheet(dcgan, How(seed=4), list(range(24))))
    second.shows("samples", samples.sheet(dcgan, How(), list(range(24))))
    second.type("Latent", 9)
    assert first.value("Latent") == "0"


def test_latents_of_a_generator_with_styles(stylegan2, opened):
    page = opened(stylegan2)
    page.tick("Truncate")
    how = How(truncation=0.7)
    page.shows("samples", samples.sheet(stylegan2, how, list(range(24))))
    page.slide("Truncated styles", -2)
    how = How(truncation=0.7, cutoff=stylegan2.num_styles - 2)
    page.shows("samples", samples.sheet(stylegan2, how, list(range(24))))
    page.tick("Truncate")
    page.tab("Latents")
    page.shows("between", latents.between(stylegan2, How(), (0, 1), 0.5))
    page.tick("w")
    page.slide("Where on the way", -20)
    page.shows("between", latents.between(stylegan2, How(), (0, 1), 0.3, "w"))
    page.type("And to a third latent", 4)
    page.slide("How far to the third", 25)
    three = latents.among_three(stylegan2, How(), (0, 1, 4), 0.3, 0.25, "w")
    page.shows("between", three)
    page.tab("Styles")
    page.shows("styles", latents.mixed(stylegan2, How(), 0, 1, [0, 1]))
    page.tick("3")
    page.shows("styles", latents.mixed(stylegan2, How(), 0, 1, [0, 1, 3]))
    page.tab("Sums")
    page.shows("sums", latents.arithmetic(stylegan2, How(), "0:4", "4:8", "8:12", "w"))
    page.tab("Directions")
    page.shows("directions", latents.along(stylegan2, How(), 0, "sefa", None, 0, 2.0))
    page.slide("Component", 3)
    page.slide("How far", 7)
    page.shows("directions", latents.along(stylegan2, How(), 0, "sefa", None, 3, 2.7))


def test_a_spot_and_circles_of_a_generator_with_styles(stylegan2, opened):
    page = opened(stylegan2)
    page.type("Among the first", 30)
    page.tick(samples.BY_CIRCLES)
    page.says("not counted yet")
    page.press("Count for the order")
    page.until("!!document.querySelector('#samples img')")
    order = samples.known_order(stylegan2, How(), samples.BY_CIRCLES, 30)
    page.shows("samples", samples.sheet(stylegan2, How(), order[:24], samples.BY_CIRCLES))
    page.tab("Paint")
    page.press("Add the dab")
    page.says("top unit")


def test_a_pyramid_repaints_what_is_marked(pyramid, photographs, opened):
    page = opened(pyramid)
    page.tab("Pyramid")
    page.choose_file("Image", photographs[0])
    page.shows("region", views.shown(pyramid, photographs[0], []))
    page.click_picture("region", 128, 100)
    dab = Dab((100 + 0.5) / 256, (128 + 0.5) / 256, 0.12)
    page.shows("region", views.shown(pyramid, photographs[0], [dab]))
    page.slide("Variants", -4)
    page.press("Paint it anew")
    level, how = views.usual_level(pyramid), How()
    page.shows("repainted", views.repainted(pyramid, how, photographs[0], [dab], level, 4))
    page.tab("Compose")
    page.press("Put it there")
    page.says("nothing is painted")
    page.choose_file("Image that holds an object", photographs[1])
    page.click_picture("object", 128, 100)
    page.shows("object", views.shown(pyramid, photographs[1], [dab]))
    page.press("Put it there")
    where = photographs[0], photographs[1], [dab], (0.5, 0.5), 1
    page.shows("composed", views.composed(pyramid, how, *where, level, 4))
    page.tab("Relabel")
    page.press("Paint it as this class")
    page.shows("relabelled", views.relabelled(pyramid, how, photographs[0], 0, level, 4))


def test_a_tab_with_nothing_to_show_is_left_out(dcgan, pyramid, monkeypatch):
    from ganlab.app import page

    assert list(page.tabs_of(dcgan)) == ["Neurons", "Paint", "Latents"]
    assert list(page.tabs_of(pyramid)) == ["Neurons", "Paint", "Latents", "Pyramid"]
    monkeypatch.setattr(page, "map_layers", lambda session: [])  # as of fully connected networks
    assert list(page.tabs_of(dcgan)) == ["Neurons", "Latents"]
