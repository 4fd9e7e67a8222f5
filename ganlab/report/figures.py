"""Figures in one house style, each saved with the numbers it shows.

    figure, numbers = curves({"generator": (images_seen / 1000, loss)}, ylabel="loss")
    save(figure, directory / "figures" / "loss.png", numbers)        # loss.png and loss.npz

Colours are Okabe and Ito's palette (jfly.uni-koeln.de/color), told apart by colour-blind readers;
lines also differ in dashes, so that a grey print can be read. No figure touches pyplot or leaves a
changed rcParam behind.
"""

import io
import math
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from PIL import Image

from ganlab.report.markup import encodable, one_line
from ganlab.storage.atomic import replace_file

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Numbers = dict[str, NDArray[Any]]
Series = Mapping[str, tuple[ArrayLike, ArrayLike]]

PALETTE = (
    "#0072b2",
    "#d55e00",
    "#009e73",
    "#cc79a7",
    "#e69f00",
    "#56b4e9",
    "#8c6d1f",
)  # its yellow, darkened to show on white
DASHES: tuple[Any, ...] = ("-", (0, (5, 1.5)), (0, (1, 1)), (0, (5, 1, 1, 1)))
INK, FAINT = "#1a1c1f", "#d5d9de"
MAX_POINTS = 400  # a longer curve is drawn as bucket means within its minimum-maximum band

_STYLE: dict[str, Any] = {
    "figure.dpi": 160,
    "figure.constrained_layout.use": True,
    "savefig.dpi": 160,
    "font.family": "DejaVu Sans",
    "font.size": 8.5,
    "text.parse_math": False,  # a `$` in a metric's or a layer's name is a dollar
    "text.color": INK,
    "axes.titlesize": 9,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.labelcolor": INK,
    "axes.edgecolor": INK,
    "axes.linewidth": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.unicode_minus": True,
    "grid.color": FAINT,
    "grid.linewidth": 0.5,
    "xtick.color": INK,
    "ytick.color": INK,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "legend.frameon": False,
    "lines.linewidth": 1.4,
    "svg.fonttype": "none",
    "svg.hashsalt": "ganlab",
}


@contextmanager
def house_style() -> Iterator[None]:
    """Apply the house style inside the `with` block and restore every rcParam after it.

    A user's own matplotlibrc has no say inside, so that figures look the same on every machine.
    """
    import matplotlib

    defaults = matplotlib.rcParamsDefault.items()
    style: dict[Any, Any] = {k: value for k, value in defaults if not k.startswith("backend")}
    with matplotlib.rc_context(style | _STYLE):
        yield


def new_figure(
    width: float,  # inches
    height: float,  # inches
    panels: int = 1,
    columns: int = 1,  # panels in a row
) -> "tuple[Figure, list[Axes]]":
    """A figure for the Agg canvas, outside pyplot's registry, with its panels row by row.

    Call inside `house_style()`; panels of the last row that are not needed are removed.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height))
    FigureCanvasAgg(figure)
    rows = math.ceil(panels / columns)
    axes = list(figure.subplots(rows, columns, squeeze=False).flat)
    for spare in axes[panels:]:
        spare.remove()
    return figure, axes[:panels]


def save(
    figure: "Figure",
    path: Path,  # the picture, ending in .png; the numbers go beside it as .npz
    numbers: Mapping[str, ArrayLike],  # every array the figure shows, by name
    caption: str = "",  # kept in the PNG as "Description"; the report shows it
) -> Path:
    """Write the figure as PNG and its numbers as `.npz`, each atomically and reproducibly.

    Raises ValueError for another ending than .png and for arrays of objects.
    """
    path = Path(path)
    if path.suffix != ".png":
        raise ValueError(f"{path}: a figure is saved as .png, with its numbers as .npz beside it")
    arrays, picture = npz(numbers), png(figure, caption)
    replace_file(path.with_suffix(".npz"), arrays)
    return replace_file(path, picture)


def png(figure: "Figure", caption: str = "") -> bytes:
    """The figure as a PNG file, the same each time, with its caption as "Description"."""
    picture = io.BytesIO()
    with house_style():
        metadata = {"Software": None, **({"Description": encodable(caption)} if caption else {})}
        figure.savefig(picture, format="png", metadata=metadata)
    return picture.getvalue()


def pixels(figure: "Figure") -> NDArray[np.uint8]:
    """A figure as (H, W, 3) pixels, to be shown beside images."""
    with Image.open(io.BytesIO(png(figure))) as picture:
        return np.asarray(picture.convert("RGB"))


def npz(numbers: Mapping[str, ArrayLike]) -> bytes:
    """Arrays by name in the `.npz` format, without time stamps and without pickles."""
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as archive:
        for name, values in numbers.items():
            array = io.BytesIO()
            np.lib.format.write_array(array, np.asarray(values), allow_pickle=False)
            entry = zipfile.ZipInfo(f"{encodable(name)}.npy")  # dated 1980, the same in every run
            archive.writestr(entry, array.getvalue(), zipfile.ZIP_DEFLATED)
    return data.getvalue()


def curves(
    series: Series,  # name -> x and y, two vectors of one length; NaN in y is a gap
    xlabel: str = "kimg",
    ylabel: str = "",
    title: str = "",
    log: bool | None = None,  # logarithmic y; None = where positive values span over two decades
    size: tuple[float, float] = (4.6, 2.7),  # inches
) -> "tuple[Figure, Numbers]":
    """Lines over kimg; more than `MAX_POINTS` become bucket means in their min-max band.

    Returns the figure and the full series as `<name>/x` and `<name>/y`. Raises ValueError where no
    series has a finite point.
    """
    kept = {name: _finite_points(name, x, y) for name, (x, y) in series.items()}
    kept = {name: points for name, points in kept.items() if len(points[0])}
    if not kept:
        raise ValueError("curves needs at least one finite point")
    with house_style():
        figure, (axes,) = new_figure(*size)
        for index, (name, points) in enumerate(kept.items()):
            _draw_curve(axes, index, name, *points)
        logarithmic = _spans_decades([y for _, y in kept.values()]) if log is None else log
        axes.set(
            xlabel=xlabel, ylabel=ylabel, title=title, yscale="log" if logarithmic else "linear"
        )
        if logarithmic:  # powers as plain numbers: text kept as text cannot show exponents
            axes.yaxis.set_major_formatter("{x:g}")
        if len(kept) > 1:
            _draw_legend(figure, axes, [label(name) for name in kept])
    return figure, _series_numbers(series)


def _draw_legend(figure: "Figure", axes: "Axes", names: Sequence[str]) -> None:
    """Within the axes; of many names below them, in room of their own."""
    if len(names) <= 4:
        axes.legend(ncols=2 if len(names) > 3 else 1)
        return
    columns = 1 if max(map(len, names)) > 28 else 2
    width, height = figure.get_size_inches()
    figure.set_size_inches(width, height + 0.17 * math.ceil(len(names) / columns))
    figure.legend(loc="outside lower center", ncols=columns)


def _series_numbers(series: Series) -> Numbers:
    pairs = [
        (f"{name}/{axis}", xy[i]) for name, xy in series.items() for i, axis in enumerate("xy")
    ]
    return {name: np.asarray(values, dtype=np.float64) for name, values in pairs}


def _finite_points(name: str, x: ArrayLike, y: ArrayLike) -> tuple[NDArray[Any], NDArray[Any]]:
    x, y = np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)
    if x.shape != y.shape or x.ndim != 1:
        raise ValueError(f"series {name!r} has x of shape {x.shape} and y of shape {y.shape}")
    finite = np.isfinite(x) & np.isfinite(y)
    return x[finite], y[finite]


def _draw_curve(axes: "Axes", index: int, name: str, x: NDArray[Any], y: NDArray[Any]) -> None:
    colour, dashes = PALETTE[index % len(PALETTE)], DASHES[index % len(DASHES)]
    marker = "o" if len(x) <= 12 else None  # a few scores are points, not a curve
    if len(x) > MAX_POINTS:
        buckets = np.array_split(y, MAX_POINTS)
        low, high = ([float(f(b)) for b in buckets] for f in (np.min, np.max))
        x = np.array([b.mean() for b in np.array_split(x, MAX_POINTS)])
        y = np.array([b.mean() for b in buckets])
        axes.fill_between(x, low, high, color=colour, alpha=0.18, linewidth=0)
    axes.plot(x, y, color=colour, linestyle=dashes, marker=marker, markersize=3, label=label(name))


def draw_points(
    axes: "Axes", index: int, name: str, x: Sequence[float], y: Sequence[float]
) -> None:
    """A few points and the line through them, told from other lines by colour and dashes."""
    colour, dashes = PALETTE[index], DASHES[index]
    how = {"color": colour, "linestyle": dashes, "marker": "o", "markersize": 3}
    axes.plot(x, y, label=label(name), **how)


def label(name: str) -> str:
    """A name as matplotlib shows it in a legend (a leading underscore would hide it)."""
    text = one_line(name)
    return f" {text}" if text.startswith("_") else text


def _spans_decades(values: list[NDArray[Any]]) -> bool:
    low, high = min(v.min() for v in values), max(v.max() for v in values)
    return bool(low > 0 and high > 100 * low)
