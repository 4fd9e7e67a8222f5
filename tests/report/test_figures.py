import zipfile

import matplotlib
import numpy as np
import pytest
from PIL import Image

from ganlab.report.figures import MAX_POINTS, PALETTE, curves, house_style, new_figure, save
from ganlab.report.rho import histogram

RNG = np.random.default_rng(0)


def written(tmp_path, figure, numbers, name="x.png"):
    path = save(figure, tmp_path / name, numbers, caption="A <caption>")
    with np.load(path.with_suffix(".npz"), allow_pickle=False) as arrays:
        return path, dict(arrays)


def test_style_leaves_no_trace(tmp_path):
    import matplotlib.pyplot as plt

    with matplotlib.rc_context({"font.size": 21.0, "lines.linewidth": 7.0}):
        before, open_figures = dict(matplotlib.rcParams), plt.get_fignums()
        with house_style():
            assert matplotlib.rcParams["font.size"] < 12
        figure, numbers = curves({"a": ([0, 1], [1, 2])})
        save(figure, tmp_path / "x.png", numbers)
        assert dict(matplotlib.rcParams) == before
        assert plt.get_fignums() == open_figures


def test_style_is_undone_after_an_error():
    before = dict(matplotlib.rcParams)
    with pytest.raises(RuntimeError), house_style():
        raise RuntimeError
    assert dict(matplotlib.rcParams) == before


def test_a_users_settings_have_no_say(tmp_path):
    def bytes_of(name):
        figure, numbers = curves({"a": ([0, 1], [1, 2])})
        return save(figure, tmp_path / name, numbers).read_bytes()

    plain = bytes_of("a.png")
    with matplotlib.rc_context({"axes.facecolor": "red", "font.size": 20}):
        assert bytes_of("b.png") == plain


def test_saving_twice_gives_the_same_bytes(tmp_path):
    for name in ("a.png", "b.png"):
        figure, numbers = histogram({"4x4/0": [0, 0.5]})
        save(figure, tmp_path / name, numbers)
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()
    with zipfile.ZipFile(tmp_path / "a.npz") as archive:  # no clock in it either
        assert {entry.date_time for entry in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}
    assert len(list(tmp_path.iterdir())) == 4


def test_png_carries_its_caption(tmp_path):
    path, _ = written(tmp_path, *curves({"a": ([0, 1], [1, 2])}))
    with Image.open(path) as image:
        assert image.info["Description"] == "A <caption>"


def test_only_png_and_plain_arrays_are_written(tmp_path):
    figure, _ = curves({"a": ([0, 1], [1, 2])})
    with pytest.raises(ValueError, match=r"saved as \.png"):
        save(figure, tmp_path / "x.pdf", {})
    with pytest.raises(ValueError, match=r"[Oo]bject"):
        save(figure, tmp_path / "x.png", {"a": np.array([{}])})
    assert not list(tmp_path.iterdir())


def test_curves_save_the_whole_series(tmp_path):
    x, y = np.arange(1000.0), RNG.normal(size=1000)
    _, arrays = written(tmp_path, *curves({"loss/generator": (x, y), "file": (x[:3], y[:3])}))
    assert np.array_equal(arrays["loss/generator/x"], x)
    assert np.array_equal(arrays["loss/generator/y"], y)
    assert np.array_equal(arrays["file/y"], y[:3])


def test_long_curves_are_bucket_means_within_their_extremes():
    y = RNG.normal(size=MAX_POINTS * 5)
    figure, _ = curves({"a": (np.arange(len(y)), y)})
    (line,), (band,) = figure.axes[0].lines, figure.axes[0].collections
    buckets = y.reshape(MAX_POINTS, 5)
    assert np.allclose(line.get_ydata(), buckets.mean(axis=1))
    edges = band.get_paths()[0].vertices[:, 1]
    assert np.isclose(edges.max(), y.max())
    assert np.isclose(edges.min(), y.min())


def test_gaps_are_left_out_and_nothing_else():
    figure, _ = curves({"a": ([0, 1, 2], [1, np.nan, 3]), "empty": ([0], [np.nan])})
    (line,) = figure.axes[0].lines
    assert line.get_xydata().tolist() == [[0, 1], [2, 3]]


@pytest.mark.parametrize(
    ("y", "scale"), [([1, 1000], "log"), ([1, 50], "linear"), ([-1, 1000], "linear")]
)
def test_decades_call_for_a_logarithm(y, scale):
    figure, _ = curves({"a": ([0, 1], y)})
    assert figure.axes[0].get_yscale() == scale


def test_lines_differ_in_colour_and_in_dashes():
    figure, _ = curves({str(i): ([0, 1], [0, i]) for i in range(4)})
    lines = figure.axes[0].lines
    assert len({line.get_color() for line in lines}) == 4
    assert len({str(line._dash_pattern) for line in lines}) == 4


def nearest_pair(palette):
    """Smallest distance of two colours as seen by deuteranopes and protanopes.

    Vienot, Brettel, Mollon 1999: both kinds see a projection of linear RGB.
    """
    linear = np.array([matplotlib.colors.to_rgb(colour) for colour in palette]) ** 2.2
    deuteranope = [[0.29275, 0.70725, 0], [0.29275, 0.70725, 0], [-0.02234, 0.02234, 1]]
    protanope = [[0.11238, 0.88762, 0], [0.11238, 0.88762, 0], [0.00401, -0.00401, 1]]
    pairs = np.triu_indices(len(palette), 1)
    nearest = []
    for view in (deuteranope, protanope):
        seen = np.clip(linear @ np.array(view).T, 0, 1) ** (1 / 2.2)
        nearest.append(np.linalg.norm(seen[:, None] - seen[None], axis=2)[pairs].min())
    return min(nearest)


def test_palette_is_told_apart_better_than_matplotlibs_own():
    usual = matplotlib.rcParamsDefault["axes.prop_cycle"].by_key()["color"]
    assert nearest_pair(PALETTE[:6]) > 3 * nearest_pair(usual[:6])


def test_names_with_markup_are_shown_as_they_are(tmp_path):
    names = ["_hidden", r"$\no{$", "a\x07b", "<script>"]
    figure, numbers = curves({name: ([0, 1], [0, 1]) for name in names})
    shown = [text.get_text().strip() for text in figure.axes[0].get_legend().get_texts()]
    assert shown == ["_hidden", r"$\no{$", "a b", "<script>"]
    written(tmp_path, figure, numbers)


def test_curves_need_points_of_one_length():
    with pytest.raises(ValueError, match="finite point"):
        curves({"a": ([], [])})
    with pytest.raises(ValueError, match=r"'a' has x of shape \(2,\)"):
        curves({"a": ([0, 1], [1])})


def test_histogram_counts_by_an_explicit_loop(tmp_path):
    rates = np.round(RNG.random((3, 7, 7)), 2)
    rates[0] = 0
    _, arrays = written(tmp_path, *histogram({"4x4/0": rates}, bins=10))
    flat, counts = rates.ravel().tolist(), [0] * 10
    for rate in flat:
        place = max(i for i in range(10) if rate >= arrays["edges"][i])
        counts[place] += 1
    assert np.allclose(arrays["4x4/0/share"] * len(flat), counts)
    assert np.isclose(arrays["4x4/0/dead"], sum(r == 0 for r in flat) / len(flat))


def test_histogram_has_a_panel_a_layer():
    figure, _ = histogram({f"layer{i}": [0, 0.2, 0.9, 1] for i in range(4)})
    assert [axes.get_title(loc="left") for axes in figure.axes] == [f"layer{i}" for i in range(4)]
    for axes in figure.axes:
        assert axes.texts[0].get_text() == "= 0: 25.0%"
        assert np.isclose(sum(patch.get_height() for patch in axes.patches), 1)


@pytest.mark.parametrize("rates", [[], [1.01], [-0.01], [np.nan]])
def test_histogram_refuses_what_is_no_rate(rates):
    with pytest.raises(ValueError, match=r"8x8/1: histogram needs values in \[0, 1\]"):
        histogram({"8x8/1": rates})


def test_spare_panels_are_removed():
    with house_style():
        figure, axes = new_figure(3, 3, panels=5, columns=3)
    assert len(axes) == len(figure.axes) == 5


@pytest.mark.parametrize(("count", "outside"), [(1, None), (4, False), (8, True)])
def test_a_legend_of_many_names_has_room_of_its_own(count, outside):
    names = [f"seed-{number}_loss-nonsaturating" for number in range(count)]
    x = np.arange(5.0)
    figure, _ = curves({name: (x, x + i) for i, name in enumerate(names)})
    legends = [figure.axes[0].get_legend(), *figure.legends]
    there = [legend is not None for legend in legends]
    assert there == {None: [False], False: [True], True: [False, True]}[outside]
    if outside:
        figure.canvas.draw()
        box = figure.legends[0].get_window_extent()
        assert not box.overlaps(figure.axes[0].get_window_extent())
        assert box.x0 >= 0
        assert box.x1 <= figure.bbox.x1
        assert [text.get_text() for text in figure.legends[0].get_texts()] == names
