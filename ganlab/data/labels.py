"""Labels of image files: from a file of labels beside them, else from the folders they lie in.

Files of labels, in this order: `dataset.json` of the StyleGAN tools; `labels.csv`; `metadata.csv`
and `metadata.jsonl` of Hugging Face's image folders, where they have a column of labels. They lie
at the top, or in the one folder that holds everything, and name files relative to themselves.
"""

import csv
import io
import json
import re
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np
from numpy.typing import NDArray

from ganlab.data.problems import BrokenData, Problem

UNLABELLED = -1  # label of a file that lies outside the class folders of its set
FILE_COLUMNS = ("file_name", "filename", "file", "path", "image", "name")
FILE_COLUMNS_TOO = ("file_path", "filepath", "image_path", "image_id", "img", "id")
LABEL_COLUMNS = ("label", "labels", "class", "category")
PARTS = {  # folders of these names alone are parts of a set, or what belongs to its images
    *("train", "training", "val", "valid", "validation", "dev", "eval", "test", "testing"),
    *("traina", "trainb", "testa", "testb", "image", "images", "imgs", "mask", "masks", "labels"),
}
MOST_CLASSES = 100_000
SHOWN = 20  # files that are named of those that one thing is wrong with
WHOLE = re.compile(r"-?\d{1,18}(\.0*)?")
Pair = tuple[str, object]  # a file and its label, as the file of labels has them


@dataclass(frozen=True)
class Labels:
    """The classes of image files in their order, and where they come from."""

    numbers: NDArray[np.int64] | None  # (N,); None = unlabelled
    class_names: tuple[str, ...]
    origin: str  # in words
    file: str | None = None  # the file of labels, by its relative path


def labels_of(
    names: Sequence[str],  # of the images, relative, with forward slashes
    others: Collection[str],  # of the other files
    content: Callable[[str], bytes],  # of one of them
    place: str = "",  # what they are in, with its slash, for messages
) -> Labels:
    """The labels of these images.

    Raises:
        BrokenData: a file of labels that cannot be read, that leaves images out, has one twice, or
            names some that are not there.
    """
    top = _top([*names, *others])
    for name, read in READERS.items():
        if (file := f"{top}{name}") not in others:
            continue
        try:
            pairs = read(content(file))
            if pairs is not None:
                found = _by_image(_matched(pairs, names, top, place), names)
                return number_labels([found[each] for each in names], file, names)
        except BrokenData:
            raise
        except UnicodeDecodeError as error:
            fix = "save it as UTF-8, delete it or set data.labels=false"
            reason = f"is no text in UTF-8 from byte {error.start:,} on"
            raise BrokenData([Problem(f"{place}{file}", reason, fix)]) from error
        except (ValueError, RecursionError, csv.Error) as error:
            fix = "mend it, delete it or set data.labels=false"
            raise BrokenData([Problem(f"{place}{file}", str(error), fix)]) from error
    return _of_folders(names)


def _of_folders(names: Sequence[str]) -> Labels:
    """Each folder that holds images is a class, by its whole path."""
    parents = [str(PurePosixPath(name).parent) for name in names]
    class_names = tuple(sorted({*parents} - {"."}))
    if not class_names:
        return Labels(None, (), "there are none")
    number = {name: k for k, name in enumerate(class_names)}
    numbers = np.array([number.get(name, UNLABELLED) for name in parents], np.int64)
    return Labels(numbers, class_names, f"the folders that images lie in{_doubt(class_names)}")


def _doubt(class_names: Sequence[str]) -> str:
    """What to say where folders look like parts of a set; nothing where they do not."""
    tops = sorted({name.partition("/")[0] for name in class_names})
    if len(tops) < 2 or not {top.casefold() for top in tops} <= PARTS:
        return ""
    return (
        f" ({', '.join(tops[:-1])} and {tops[-1]} look like parts of a set, not like classes: name "
        "one of them in data.path, or set data.labels=false)"
    )


def _matched(pairs: Sequence[Pair], names: Sequence[str], top: str, place: str) -> list[Pair]:
    """Pairs with the images' own names: a table may leave out suffixes, or have them otherwise."""
    known, by_stem = {*names}, dict[str, str | None]()
    for name in names:
        stem = _stem(name).casefold()
        by_stem[stem] = None if stem in by_stem else name  # of two it could be either
    found: list[Pair] = []
    for path, label in pairs:
        listed = _listed_as(path, top, place)
        stems = (listed.casefold(), _stem(listed).casefold())
        like = next((one for each in stems if (one := by_stem.get(each))), listed)
        found.append((listed if listed in known else like, label))
    return found


def _stem(path: str) -> str:
    """A path without its suffix."""
    return path.removesuffix(PurePosixPath(path).suffix)


def number_labels(labels: Sequence[object], file: str, names: Sequence[str] = ()) -> Labels:
    """Whole numbers are the classes themselves; names are numbered in sorted order.

    Raises:
        ValueError: a label that is neither, or no class's number; says whose of `names` it is, or
            in which row.
    """
    if all(label is None for label in labels):
        return Labels(None, (), f"{file}, which has none", file)
    labels = [int(x) if isinstance(x, float) and x.is_integer() else x for x in labels]
    if wrong := [k for k, label in enumerate(labels) if not _is_label(label)]:
        whose = f"of {names[wrong[0]]}" if names else f"in row {wrong[0]:,}"
        raise ValueError(
            f"has a label {whose} that is neither a name nor a whole number from 0 to "
            f"{MOST_CLASSES - 1:,}: {labels[wrong[0]]!r:.40}"
        )
    if all(type(label) is int for label in labels):
        numbers = [int(str(label)) for label in labels]
        class_names = tuple(map(str, range(max(numbers) + 1)))
        return Labels(np.array(numbers, np.int64), class_names, file, file)
    class_names = tuple(sorted({*map(str, labels)}))
    number = {name: k for k, name in enumerate(class_names)}
    return Labels(
        np.array([number[str(each)] for each in labels], np.int64), class_names, file, file
    )


def _is_label(label: object) -> bool:
    """A name of one printable line, true, false, or a whole number that a class can have."""
    if isinstance(label, str):
        return bool(label) and label.isprintable()
    return isinstance(label, int) and 0 <= label < MOST_CLASSES


def _by_image(pairs: Sequence[Pair], names: Sequence[str]) -> dict[str, object]:
    """Image -> label.

    Raises:
        ValueError: the two lists of files are not the same.
    """
    if not pairs:  # the StyleGAN tools' way to say that there are no labels
        return dict.fromkeys(names)
    count, wanted = Counter(path for path, _ in pairs), {*names}
    wrong = {
        "has no label for": sorted(wanted - {*count}),
        "names what is no image here:": sorted({*count} - wanted),
        "has more than one label for": sorted(path for path, n in count.items() if n > 1),
    }
    if any(wrong.values()):
        raise ValueError(
            "; ".join(f"{what} {name_list(files)}" for what, files in wrong.items() if files)
        )
    return dict(pairs)


def name_list(files: Sequence[str]) -> str:
    """The first of them, and how many more there are."""
    more = f" and {len(files) - SHOWN:,} more" if len(files) > SHOWN else ""
    return f"{', '.join(files[:SHOWN])}{more}"


def _of_json(data: bytes) -> list[Pair] | None:
    """`{"labels": [["00000/img.png", 3], ...]}`, null in place of the list for no labels.

    None where it is a file of something else.
    """
    content = json.loads(data.decode("utf-8-sig"))
    if not isinstance(content, dict) or "labels" not in content:
        return None
    pairs = content["labels"]
    if pairs is None:
        return []
    if not isinstance(pairs, list) or not all(_is_pair(each) for each in pairs):
        raise ValueError('is not of the form {"labels": [["file.png", 3], ...]}')
    return [(path, _hot(label)) for path, label in pairs]


def _is_pair(each: object) -> bool:
    return isinstance(each, list) and len(each) == 2 and isinstance(each[0], str)


def _hot(label: object) -> object:
    """The place of the one in a one-hot vector, which conditional StyleGANs take as well."""
    if isinstance(label, list) and label.count(1) == 1 and label.count(0) == len(label) - 1:
        return label.index(1)
    return label


def _of_table(data: bytes) -> list[Pair] | None:
    """A table with a file and a label in each row; None where it has no column of labels."""
    rows = list(csv.reader(io.StringIO(data.decode("utf-8-sig"))))
    rows = [[cell.strip() for cell in row] for row in rows if row]
    head = [cell.lower() for cell in rows[0]] if rows else []
    file = _column(head, (*FILE_COLUMNS, *FILE_COLUMNS_TOO))
    label = _column(head, LABEL_COLUMNS)
    if file is None:
        raise ValueError(_without(FILE_COLUMNS, head))
    if label is None:
        return None
    if short := [n for n, row in enumerate(rows, 1) if len(row) != len(head)]:
        raise ValueError(f"line {short[0]} has another number of cells than line 1")
    if not rows[1:]:
        raise ValueError("has no line below its header")
    return with_numbers([(row[file], row[label]) for row in rows[1:]])


def _of_labels_csv(data: bytes) -> list[Pair] | None:
    """A table as above, or without a header: a file and its label in every row."""
    first = data.decode("utf-8-sig").partition("\n")[0].strip()
    cells = {cell.strip(' "') for cell in first.lower().split(",")}
    headless = first.count(",") == 1 and not cells & {*LABEL_COLUMNS}
    pairs = _of_table(b"file,label\n" + data.removeprefix(b"\xef\xbb\xbf") if headless else data)
    if pairs is None:
        raise ValueError(_without(LABEL_COLUMNS, first.split(",")))
    return pairs


def _without(wanted: Sequence[str], head: Sequence[str]) -> str:
    """What is said of a table without a column, with those that it has."""
    there = ", ".join(f"{cell!r:.40}" for cell in head[:SHOWN]) or "none at all"
    apart = "" if len(head) > 1 else "; cells are parted by commas"
    return f"has no column {', '.join(wanted[:-1])} or {wanted[-1]}, but {there}{apart}"


def _of_lines(data: bytes) -> list[Pair] | None:
    """One JSON object a line; None where the first has no label."""
    rows = [_object(n, line) for n, line in enumerate(data.decode("utf-8-sig").split("\n"), 1)]
    rows = [row for row in rows if row]
    if not rows:
        raise ValueError("is not one JSON object a line")
    file = next((key for key in FILE_COLUMNS if key in rows[0]), None)
    label = next((key for key in LABEL_COLUMNS if key in rows[0]), None)
    if label is None:
        return None
    if file is None:
        raise ValueError(f"{_without(FILE_COLUMNS, [*rows[0]])} in its first line")
    pairs: list[Pair] = []
    for row in rows:
        name = row.get(file)
        if not isinstance(name, str) or label not in row:
            raise ValueError(f"has {json.dumps(row)[:80]} without {file} or {label}")
        pairs.append((name, _hot(row[label])))
    return pairs


def _object(number: int, line: str) -> dict[str, object]:
    """A line's JSON object; an empty one of an empty line. Raises ValueError with the number."""
    if not line.strip():
        return {}
    try:
        found = json.loads(line)
    except ValueError as error:
        raise ValueError(f"line {number} is no JSON ({error})") from error
    if not isinstance(found, dict):
        raise ValueError(f"line {number} is no JSON object")
    return found


def _column(head: Sequence[str], names: Sequence[str]) -> int | None:
    return next((head.index(name) for name in names if name in head), None)


def with_numbers(pairs: list[Pair]) -> list[Pair]:
    """Labels that are all whole numbers as such, `3.0` too: a table holds text alone.

    A whole number below 0 among them is one as well, and no class.
    """
    if all(WHOLE.fullmatch(str(label)) for _, label in pairs):
        return [(path, int(str(label).partition(".")[0])) for path, label in pairs]
    return pairs


def _listed_as(path: str, top: str, place: str) -> str:
    """A path in a file of labels as images are listed here: below the place, with `/`."""
    plain = path.replace("\\", "/")
    for root in (place, f"{Path(place).resolve()}/") if place else ():
        if plain.startswith(root):
            return plain.removeprefix(root)
    return f"{top}{plain.removeprefix('./')}"


def _top(names: Sequence[str]) -> str:
    """The one folder that holds everything, with its slash; nothing where there is none."""
    first, slash, _ = names[0].partition("/")
    return f"{first}/" if slash and all(name.startswith(f"{first}/") for name in names) else ""


READERS = {
    "dataset.json": _of_json,
    "labels.csv": _of_labels_csv,
    "metadata.csv": _of_table,
    "metadata.jsonl": _of_lines,
}
