"""What a run or study directory holds, read without trusting that any of it is there or whole."""

import csv
import io
import re
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from PIL import Image, UnidentifiedImageError

from ganlab.report import charts, parts, results, timeline
from ganlab.report.markup import picture_address
from ganlab.report.tables import ShownTable, parse_markdown, read_csv
from ganlab.storage import DamagedFile, read_text
from ganlab.storage.pictures import open_picture

Value = TypeVar("Value")

WIDEST = 1600  # pixels; larger pictures are embedded at this size
MOMENTS = 13  # sample grids shown: the first, the last, the others evenly between
TEXTS = ("overrides.yaml", "hydra.yaml", "config.yaml")  # of .hydra/, what was run
LONGEST_TEXT = 40_000  # characters of a configuration file


@dataclass(frozen=True)
class Picture:
    """One image of the page, inside the page."""

    source: str  # a data: address
    width: int  # pixels as embedded
    height: int
    name: str  # path inside its directory
    caption: str
    moment: str = ""  # e.g. "12.5 kimg", for a sample grid

    @property
    def small(self) -> bool:
        """Whether enlarging should show square pixels instead of a blur."""
        return self.width < 700


@dataclass
class Section:
    """One directory as the page shows it; what is missing or broken is said in `problems`."""

    directory: Path
    result: dict[str, Any] = field(default_factory=dict)
    parts: list[dict[str, Any]] = field(default_factory=list)  # of a training run
    curves: list[charts.Chart] = field(default_factory=list)
    metrics: charts.Curves | None = None  # the numbers behind `curves`
    samples: list[Picture] = field(default_factory=list)
    num_samples: int = 0  # grids on disk, of which `samples` shows some
    figures: list[Picture] = field(default_factory=list)
    tables: list[tuple[str, ShownTable]] = field(default_factory=list)
    texts: dict[str, str] = field(default_factory=dict)  # configuration files by name
    problems: list[str] = field(default_factory=list)

    @property
    def kind(self) -> str:
        """`train` or `evaluate`, guessed from the files where the result does not say."""
        guess = "evaluate" if self.tables and not self.curves else "train"
        return str(self.result.get("kind") or guess)

    def attempt(self, read: Callable[..., Value], *arguments: object) -> Value | None:
        """Call `read`; a file that is missing or broken becomes a problem instead of an error."""
        try:
            return read(*arguments)
        except OSError as error:
            named = error.strerror and error.filename
            self._note(f"{error.filename}: {error.strerror}" if named else str(error))
        except (ValueError, csv.Error) as error:
            self._note(str(error))
        return None

    def _note(self, problem: str) -> None:
        self.problems.append(problem.replace(f"{self.directory}/", ""))


def read_section(directory: Path, prefix: str = "section") -> Section:
    """Collect everything showable in one directory; `prefix` begins the ids of its charts."""
    section = Section(Path(directory))
    if not section.directory.is_dir():
        section.problems.append(f"{directory} does not exist")
        return section
    result = section.attempt(results.read_result, section.directory) or {}
    section.result = results.believable(result)
    section.attempt(lambda path: results.checked_result(path) if result else {}, section.directory)
    section.parts = section.attempt(parts.read_parts, section.directory) or []
    _read_tables(section)
    _read_curves(section, prefix)
    _read_pictures(section)
    _read_texts(section)
    return section


def _read_curves(section: Section, prefix: str) -> None:
    path = section.directory / "metrics.csv"
    if not path.exists():
        if section.kind == "train":
            section.problems.append("metrics.csv does not exist: no curves")
        return
    found = section.attempt(charts.read_curves, path)
    if found is None:
        return
    section.curves = section.attempt(charts.draw, found, f"{prefix}-chart") or []
    section.metrics = found
    if found.skipped:
        section.problems.append(f"metrics.csv: {found.skipped} unreadable row(s) left out")
    if not section.curves:
        section.problems.append("metrics.csv holds no values yet")


def _read_pictures(section: Section) -> None:
    timed: list[tuple[int, Path]] = []
    other = _visible(section.directory / "figures", "*.png")
    for path in _visible(section.directory / "samples", "*.png"):
        seen, single = None, False
        with suppress(*timeline.BROKEN):  # such a file is named by `_embed`
            seen = timeline.images_seen(path, named=section.kind == "train")
            # One image of many has no moment; a grid among the figures shows them.
            single = seen is None and timeline.is_single(path)
        if seen is not None:
            timed.append((seen, path))
        elif not single:
            other.append(path)
    section.num_samples = len(timed)
    for seen, path in timeline.evenly_spaced(sorted(timed), MOMENTS):
        _embed(section, section.samples, path, timeline.kimg_text(seen))
    for path in other:
        _embed(section, section.figures, path)
    if not section.samples and section.kind == "train":
        section.problems.append("samples/ holds no sample grid yet")


def _embed(section: Section, into: list[Picture], path: Path, moment: str = "") -> None:
    name = path.relative_to(section.directory).as_posix()
    picture = section.attempt(_picture, path, name, moment)
    if picture is not None:
        into.append(picture)


def _picture(path: Path, name: str, moment: str) -> Picture:
    try:
        with open_picture(path) as image:
            image.load()
            caption = str(image.info.get("Description", "")) or (moment and f"after {moment}")
            fits = image.format == "PNG" and max(image.size) <= WIDEST
            data, size = (path.read_bytes(), image.size) if fits else _reduced(image)
    except timeline.BROKEN as error:
        raise ValueError(f"{name} is not a whole picture ({_reason(error)})") from None
    return Picture(
        picture_address(data), size[0], size[1], name, caption or heading(path.stem), moment
    )


def _reason(error: Exception) -> str:
    return "unknown format" if isinstance(error, UnidentifiedImageError) else str(error)


def _reduced(image: Image.Image) -> tuple[bytes, tuple[int, int]]:
    smaller = image.convert("RGB")
    smaller.thumbnail((WIDEST, WIDEST), Image.Resampling.LANCZOS)
    data = io.BytesIO()
    smaller.save(data, format="PNG")
    return data.getvalue(), smaller.size


def _read_tables(section: Section) -> None:
    for path in _visible(section.directory, "*.csv"):
        if path.name != "metrics.csv":
            shown = section.attempt(_table, path)
            if shown is not None:
                section.tables.append((heading(path.stem), shown))
    told = section.tables or section.result.get("scores") or section.result.get("status") == "done"
    if section.kind == "evaluate" and not told:
        section.problems.append("no table.csv and no scores: the study has not finished")


def _table(path: Path) -> ShownTable:
    """The Markdown twin knows the best cells and the notes; without it, the bare CSV."""
    twin = path.with_suffix(".md")
    return parse_markdown(_text(twin)) if twin.is_file() else read_csv(_text(path)).shown()


def _text(path: Path) -> str:
    try:
        return read_text(path, errors="replace")
    except DamagedFile as error:
        raise ValueError(f"{path}: {error}") from error


def _read_texts(section: Section) -> None:
    for path in (section.directory / ".hydra" / n for n in TEXTS):
        if path.is_file():
            text = section.attempt(_text, path)
            section.texts[path.name] = (text or "")[:LONGEST_TEXT]


def _visible(folder: Path, pattern: str) -> list[Path]:
    found = folder.glob(pattern) if folder.is_dir() else []
    return sorted(path for path in found if path.is_file() and not path.name.startswith("."))


def heading(name: str) -> str:
    """A file's or study's name as a heading: `sequential_ablation` is "Sequential ablation"."""
    words = re.sub(r"[_\s]+", " ", name).strip()
    return words[:1].upper() + words[1:]
