"""The same images in every container that is read, for the contract that all of them keep.

A builder writes named images into a place; what needs a library is skipped where it is missing.
"""

import io
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest

import ganlab.data

WITHOUT = "not installed; `make test-all` adds it"


def needs(library):
    return pytest.importorskip(library, reason=f"{library} is {WITHOUT}")


def write_folder(place, files):
    for name, content in files.items():
        path = place / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return ganlab.data.folder, place


def write_zip(place, files):
    place = place.with_suffix(".zip")
    with zipfile.ZipFile(place, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return ganlab.data.zipped, place


def write_tar(place, files):
    place = place.with_suffix(".tar")
    add_to_tar(place, files)
    return ganlab.data.tar, place


def add_to_tar(place, files):
    with tarfile.open(place, "w") as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))


def write_shards(place, files):
    """Two shards, the first half of the names in the first."""
    place.mkdir(parents=True)
    names = sorted(files)
    halves = names[: len(names) // 2], names[len(names) // 2 :]
    for number, half in enumerate(halves):
        add_to_tar(place / f"shard-{number:06}.tar", {name: files[name] for name in half})
    return ganlab.data.tar, place


def write_lmdb(place, files):
    lmdb = needs("lmdb")
    with lmdb.open(str(place), map_size=2**26) as file, file.begin(write=True) as transaction:
        for name, content in files.items():
            transaction.put(name.encode(), content)
    return ganlab.data.lmdb, place


def write_parquet(place, files):
    pyarrow, parquet = needs("pyarrow"), needs("pyarrow.parquet")
    place = place.with_suffix(".parquet")
    names = sorted(files)
    columns = {"image": [{"bytes": files[name], "path": name} for name in names]}
    if any("/" in name for name in names):
        columns["label"] = [name.partition("/")[0] for name in names]
    parquet.write_table(pyarrow.table(columns), place, row_group_size=3)
    return ganlab.data.parquet, place


def write_huggingface(place, files):
    datasets = needs("datasets")
    names = sorted(files)
    columns = {"image": [{"bytes": files[name], "path": None} for name in names]}
    kinds = {"image": datasets.Image()}
    if any("/" in name for name in names):
        classes = sorted({name.partition("/")[0] for name in names})
        columns["kind"] = [name.partition("/")[0] for name in names]
        kinds["kind"] = datasets.ClassLabel(names=classes)
    datasets.disable_progress_bars()
    table = datasets.Dataset.from_dict(columns, features=datasets.Features(kinds))
    table.save_to_disk(str(place))
    return ganlab.data.huggingface, place


CONTAINERS = {
    name.removeprefix("write_"): build
    for name, build in list(globals().items())
    if name.startswith("write_")
}


def files_of(root: Path) -> dict[str, bytes]:
    """Name -> content of all files below a folder."""
    found = (path for path in root.rglob("*") if path.is_file())
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in found}


def ready(data, rank=0, world_size=1):
    from types import SimpleNamespace

    if world_size > 1:
        data.trainer = SimpleNamespace(global_rank=rank, world_size=world_size)
    data.prepare_data()
    data.setup()
    return data


def pixels(data):
    return np.array(data.dataset.pixels)
