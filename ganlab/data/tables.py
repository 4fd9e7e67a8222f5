"""Encoded images in the rows of a table: Parquet files, and Hugging Face's `datasets`.

Both are optional libraries, imported where they are used.
"""

import io
import json
import threading
from abc import abstractmethod
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ganlab.data import stored
from ganlab.data.collection import Collection, content_hash
from ganlab.data.files import choice_of_images, require_path, state
from ganlab.data.labels import LABEL_COLUMNS, number_labels
from ganlab.data.problems import BrokenData, Problem, UnusableImage
from ganlab.data.stored import LARGEST, Stored
from ganlab.storage import irregularity

PARQUET_GUIDE = "a .parquet file, or a folder of them, with a column of encoded images"
HUB_GUIDE = "a folder that save_to_disk wrote; data.hub_path takes the name of a data set instead"
GROUP = 2**31  # bytes of a row group that is read at once, unpacked
KEPT = 4  # row groups in memory
SAVED = ("state.json", "dataset_dict.json")  # of which one lies in a folder of save_to_disk


class Rows(Collection):
    """Images and labels in the columns of a table; subclasses say how a row is read."""

    def __init__(
        self,
        place: str,  # the table, for messages
        columns: Mapping[str, bool],  # column -> whether it may hold encoded images
        images: str | None,  # the column of images; None = the only one
        labels: str | bool | None,  # the column of labels; None = one named so; False = none
        choice: str,  # how a user says which column is that of images, up to its name
    ) -> None:
        self.place = place
        fitting = [name for name, holds in columns.items() if holds]
        self.image_column = _column(place, choice, images, fitting, columns)
        named = [name for name in columns if name in LABEL_COLUMNS]
        wanted = named[0] if labels is None and len(named) == 1 else labels or None
        if labels is None and len(named) > 1:
            raise _wrong(place, f"has the columns {', '.join(named)}", "set data.labels to one")
        if wanted is not None and wanted not in columns:
            fix = f"set data.labels to one of {', '.join(columns)}, or to false"
            raise _wrong(place, f"has no column data.labels={wanted}", fix)
        self.label_column = None if wanted is None else str(wanted)
        if self.label_column is not None:
            self._take_labels(self.label_column)

    def _take_labels(self, column: str) -> None:
        values, names = self.labels_of(column)
        if names is None:
            try:
                found = number_labels(values, column)
            except ValueError as error:
                fix = "set data.labels to another column, or to false"
                raise _wrong(self.place, f"{column} {error}", fix) from error
            self.labels, self.class_names = found.numbers, found.class_names
        else:
            numbers = np.array([-1 if v is None else v for v in values], np.int64)
            if len(numbers) and not 0 <= numbers.min() <= numbers.max() < len(names):
                fix = "set data.labels=false"
                raise _wrong(self.place, f"{column} has labels outside of its classes", fix)
            self.labels, self.class_names = numbers, tuple(names)
        self.origin = f"the column {column}"

    @abstractmethod
    def labels_of(self, column: str) -> tuple[Sequence[Any], Sequence[str] | None]:
        """A column's values, and the names that they are the numbers of, where it has some."""

    @abstractmethod
    def cell(self, index: int) -> object:
        """The image of a row as it is stored: bytes, or a mapping with `bytes` and `path`."""

    def image(self, index: int) -> Stored:  # noqa: D102
        cell = self.cell(index)
        content = cell.get("bytes") if isinstance(cell, Mapping) else cell
        if not isinstance(content, bytes):
            named = isinstance(cell, Mapping) and cell.get("path")
            reason = "names a file and holds no image" if named else "holds no image"
            raise UnusableImage(reason, "store the images themselves in the table")
        if len(content) > LARGEST:
            reason = f"has {len(content) / 2**20:,.0f} MB, more than any image read here"
            raise UnusableImage(reason, "replace or delete it")
        return stored.open_stored(io.BytesIO(content))

    def address(self, index: int) -> str:  # noqa: D102
        return f"{self.place}[{index}]"


class ParquetRows(Rows):
    """Rows of Parquet files, in their order; a few row groups are in memory at a time."""

    def __init__(
        self,
        place: Path,
        parts: Sequence[Path],
        images: str | None,
        labels: str | bool | None,
        choice: str,
    ) -> None:
        import pyarrow.parquet as parquet

        self.parts = parts
        self.files = [_opened(parquet, part) for part in parts]
        groups = [(f, g) for f, file in enumerate(self.files) for g in range(file.num_row_groups)]
        sizes = [self.files[f].metadata.row_group(g).num_rows for f, g in groups]
        self.groups, self.starts = groups, np.cumsum([0, *sizes])
        self.lock, self.kept = threading.Lock(), OrderedDict[tuple[int, int], list[Any]]()
        schema = self.files[0].schema_arrow
        for part, file in zip(parts, self.files, strict=True):
            if not file.schema_arrow.equals(schema):
                has, first = ", ".join(file.schema_arrow.names), ", ".join(schema.names)
                reason = f"has the columns {has}, and {parts[0].name} {first}, or of other types"
                raise _wrong(str(part), reason, "name one of them, or set data.split")
        self.schema = schema
        columns = {each.name: _holds_images(each.type) for each in schema}
        super().__init__(str(place), columns, images, labels, choice)

    def __len__(self) -> int:
        return int(self.starts[-1])

    def labels_of(self, column: str) -> tuple[Sequence[Any], Sequence[str] | None]:
        """The column, and the names that Hugging Face's metadata give it."""
        values: list[Any] = []
        for part, file in zip(self.parts, self.files, strict=True):
            try:
                values += file.read(columns=[column]).column(column).to_pylist()
            except Exception as error:  # pyarrow's own, and OSError
                reason = f"has a column {column} that cannot be read ({error})"
                raise _wrong(str(part), reason, "fetch it again") from error
        return values, _class_names(self.schema.metadata or {}, column)

    def cell(self, index: int) -> object:
        """A cell of the group that the row lies in."""
        group = int(np.searchsorted(self.starts, index, "right")) - 1
        return self._group(*self.groups[group])[index - int(self.starts[group])]

    def _group(self, file: int, group: int) -> list[Any]:
        with self.lock:
            if (file, group) not in self.kept:
                self.kept[file, group] = self._read(file, group)
                while len(self.kept) > KEPT:
                    self.kept.popitem(last=False)
            self.kept.move_to_end((file, group))
            return self.kept[file, group]

    def _read(self, file: int, group: int) -> list[Any]:
        size = self.files[file].metadata.row_group(group).total_byte_size
        if size > GROUP:
            reason = f"{self.parts[file]} has a row group of {size / 2**30:,.1f} GB"
            raise UnusableImage(reason, "write it with fewer rows in a group")
        column = self.image_column
        read = self.files[file].read_row_group(group, columns=[column]).column(column)
        return list(read.to_pylist())

    def fingerprint(self) -> str:  # noqa: D102
        return content_hash(self.image_column, self.label_column, *map(state, self.parts))


def _opened(parquet: Any, part: Path) -> Any:
    try:
        if (kind := irregularity(part)) is not None:
            raise OSError(f"it is {kind}")
        return parquet.ParquetFile(part, memory_map=True)
    except Exception as error:  # pyarrow's own, and OSError
        raise _wrong(str(part), f"is no Parquet file ({error})", "fetch it again") from error


class ParquetImages:
    """Parquet files of encoded images as a source."""

    shared = True

    def __init__(
        self,
        path: str | Path | None,  # a .parquet file, or a folder of them
        images: str | None = None,  # column of images, where several could be meant
        labels: str | bool | None = None,  # column of labels; None = one named so; False = none
        split: str | None = None,  # of a folder: files whose names begin so, as train
        key: str = "data.path",  # the option that names the place, for messages
    ) -> None:
        self.path, self.images, self.labels, self.split = path, images, labels, split
        self.key = key

    def prepare(self) -> None:
        """Nothing to fetch."""

    def open(self) -> ParquetRows:
        """Open the files; raises `FileNotFoundError`, `BrokenData`, or ImportError with a hint."""
        place = require_path(self.path, PARQUET_GUIDE, self.key)
        import_library("pyarrow", "parquet")
        found = sorted(place.rglob("*.parquet")) if place.is_dir() else [place]
        of_split = self.split is None or not place.is_dir()
        parts = [each for each in found if of_split or each.name.startswith(str(self.split))]
        if not parts:
            reason = f"holds no .parquet file{f' of split {self.split}' if found else ''}"
            raise _wrong(str(place), reason, f"what is read is {PARQUET_GUIDE}")
        choice = choice_of_images(self.key, place)
        return ParquetRows(place, parts, self.images, self.labels, choice)


class HubRows(Rows):
    """Rows of a map-style data set of `datasets`; nothing is decoded by it."""

    def __init__(
        self,
        place: str,
        table: Any,
        images: str | None,
        labels: str | bool | None,
        choice: str,
        part: Sequence[str | None] = (),  # which part of it: subset, split, revision
    ) -> None:
        import datasets

        self.part = part

        kinds = {name: isinstance(kind, datasets.Image) for name, kind in table.features.items()}
        for name, is_image in kinds.items():
            if is_image:
                table = table.cast_column(name, datasets.Image(decode=False))
        kinds |= {
            name: True
            for name, kind in table.features.items()
            if isinstance(kind, datasets.Value) and kind.dtype in ("binary", "large_binary")
        }
        self.table = table
        classes = [n for n, k in table.features.items() if isinstance(k, datasets.ClassLabel)]
        if labels is None and len(classes) == 1:
            labels = classes[0]
        super().__init__(place, kinds, images, labels, choice)
        # A row of the whole table would be decoded whole, files and addresses in it fetched.
        self.table = table.select_columns([self.image_column])

    def __len__(self) -> int:
        return len(self.table)

    def labels_of(self, column: str) -> tuple[Sequence[Any], Sequence[str] | None]:
        """The column, and the names of a `ClassLabel`."""
        kind = self.table.features[column]
        return list(self.table[column]), getattr(kind, "names", None)

    def cell(self, index: int) -> object:
        """The image of a row."""
        return self.table[index][self.image_column]

    def fingerprint(self) -> str:  # noqa: D102
        files = [state(Path(each["filename"])) for each in self.table.cache_files]
        # Splits such as train[:50%] lie in one file.
        of = (self.place, *self.part, list(self.class_names))
        return content_hash(*of, self.image_column, self.label_column, len(self), *files)


class HubImages:
    """A data set of Hugging Face's `datasets`, in a folder or by its name, as a source.

    Raises:
        ValueError: on construction, both or neither of the two.
    """

    shared = True

    def __init__(
        self,
        path: str | Path | None = None,  # a folder that save_to_disk wrote
        hub_path: str | None = None,  # its name instead, as ylecun/mnist; fetched once a machine
        split: str = "train",
        images: str | None = None,  # column of images, where several could be meant
        labels: str | bool | None = None,  # column of labels; None = its classes; False = none
        subset: str | None = None,  # its configuration, where it has several
        revision: str | None = None,  # commit or tag of a name; None = the latest
        key: str = "data.path",  # the option that names the folder, for messages
    ) -> None:
        if path and hub_path:
            raise ValueError(f"data.path={path} and data.hub_path={hub_path} are two answers")
        self.path, self.name, self.subset, self.revision = path, hub_path, subset, revision
        self.split, self.images, self.labels, self.key = split, images, labels, key

    def prepare(self) -> None:
        """Fetch what a name stands for, once a machine, into the cache of `datasets`."""
        if self.name:
            self._named()

    def open(self) -> HubRows:
        """Open the split; raises `FileNotFoundError`, `BrokenData`, or ImportError with a hint."""
        part = (self.subset, self.split, self.revision)
        choice = choice_of_images(self.key, self.path)
        if self.name:
            return HubRows(self.name, self._named(), self.images, self.labels, choice, part)
        place = require_path(self.path, HUB_GUIDE, self.key)
        return HubRows(str(place), self._saved(place), self.images, self.labels, choice, part)

    def _named(self) -> Any:
        datasets = import_library("datasets", "huggingface")
        try:
            return datasets.load_dataset(
                self.name, self.subset, split=self.split, revision=self.revision
            )
        except Exception as error:  # of the network, the hub and its libraries
            told = " ".join(str(error).split())[:200]
            raise FileNotFoundError(
                f"data.hub_path={self.name} could not be loaded: {told}"
            ) from error

    def _saved(self, folder: Path) -> Any:
        datasets = import_library("datasets", "huggingface")
        if not any((folder / name).is_file() for name in SAVED):
            fix = "data=folder and data=parquet read files"
            raise _wrong(str(folder), "is no folder of save_to_disk", fix)
        try:
            found = datasets.load_from_disk(str(folder))
        except Exception as error:  # of Arrow and of its own
            raise _wrong(str(folder), f"cannot be opened ({error})", "save it again") from error
        if not isinstance(found, datasets.DatasetDict):
            return found
        if self.split not in found:
            raise _wrong(str(folder), f"has no split {self.split}", f"it has {', '.join(found)}")
        return found[self.split]


def import_library(library: str, extra: str) -> Any:
    """An optional library.

    Raises:
        ImportError: it is not installed; says how to.
    """
    try:
        return __import__(library)
    except ImportError as error:
        raise ImportError(
            f"data={extra} needs {library}, which is not installed: pip install 'ganlab[{extra}]'"
        ) from error


def _holds_images(kind: Any) -> bool:
    """Whether a column may hold encoded images: bytes, or bytes with the name of their file."""
    import pyarrow.types as types

    def is_bytes(each: object) -> bool:
        return bool(types.is_binary(each) or types.is_large_binary(each))

    if types.is_struct(kind):
        return any(field.name == "bytes" and is_bytes(field.type) for field in kind)
    return is_bytes(kind)


def _column(
    place: str, choice: str, asked: str | None, fitting: Sequence[str], columns: Mapping[str, bool]
) -> str:
    if asked is None and len(fitting) == 1:
        return fitting[0]
    if asked is not None and asked in fitting:
        return asked
    there = f"its columns are {', '.join(columns)}"
    told = f"has several columns of encoded images, {', '.join(fitting)}"
    told = told if fitting else f"has no column of encoded images; {there}"
    if asked is not None:
        told = f"has no column {choice}{asked}; {there}"
        told = f"has no encoded images in {choice}{asked}" if asked in columns else told
    fix = f"say which, as {choice}{fitting[0]}" if fitting else "store the images in the table"
    raise _wrong(place, told, fix)


def _class_names(metadata: Mapping[bytes, bytes], column: str) -> list[str] | None:
    """The names of a column's classes, as Hugging Face writes them beside a table."""
    try:
        described = json.loads(metadata[b"huggingface"])["info"]["features"][column]["names"]
    except (LookupError, TypeError, ValueError, RecursionError):
        return None
    names = described if isinstance(described, list) else []
    return [str(name) for name in names] or None


def _wrong(place: str, reason: str, fix: str) -> BrokenData:
    return BrokenData([Problem(place, reason, fix)])
