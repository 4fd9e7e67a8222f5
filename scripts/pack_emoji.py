"""Pack Noto Emoji into ganlab/data/emoji.webp and emoji.csv.

    npm pack emoji-datasource-google@16.0.0
    python scripts/pack_emoji.py emoji-datasource-google-16.0.0.tgz

A lossless sheet, 62 pictures of 64x64 px a row on white, in the order of their file names, and a
table that names each position: file, short name, category, skin tones. The same archive gives the
same pixels and the same table; the sheet's bytes depend on the version of libwebp as well. Nothing
is unpacked to disk.
"""

import argparse
import csv
import hashlib
import io
import json
import tarfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import astuple
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ganlab.data.decode import normalise
from ganlab.data.emoji import Emoji, read_embedded, sheet_of

SHA256 = "fb5fd131b362aab7a55542d2a147a79708cce0a8b1c1bbacd470172708b5c438"
TABLE, PICTURES = "package/emoji.json", "package/img/google/64/"
HOME = Path(__file__).parents[1] / "ganlab" / "data"


def main(words: Sequence[str] | None = None) -> None:
    """Read the archive, write sheet and table, read them back and compare."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("archive", type=Path, help="emoji-datasource-google-16.0.0.tgz")
    archive = parser.parse_args(words).archive
    table, images = packed(archive.read_bytes())
    write(table, images, HOME)
    found, rows = read_embedded()
    assert np.array_equal(found, images)
    assert rows == table
    print(f"{len(table):,} pictures, {(HOME / 'emoji.webp').stat().st_size:,} bytes in {HOME}")


def packed(archive: bytes, sha256: str = SHA256) -> tuple[list[Emoji], NDArray[np.uint8]]:
    """The table and the pictures (N, 64, 64, 3) of a package; ValueError if it is another one."""
    if (found := hashlib.sha256(archive).hexdigest()) != sha256:
        raise ValueError(f"the archive has sha256 {found}, not {sha256}")
    files = read(archive)
    table = sorted(rows(json.loads(files[TABLE])), key=lambda emoji: emoji.file)
    images = [picture(files[PICTURES + emoji.file]) for emoji in table]
    return table, np.stack(images)


def read(archive: bytes) -> dict[str, bytes]:
    """The table and the pictures in the archive, in one pass over it."""
    files = {}
    with tarfile.open(fileobj=io.BytesIO(archive), mode="r:gz") as tar:
        for member in tar:
            if member.isreg() and (member.name == TABLE or member.name.startswith(PICTURES)):
                files[member.name] = tar.extractfile(member).read()
    return files


def rows(listed: Sequence[Mapping[str, Any]]) -> Iterator[Emoji]:
    """Every emoji that has a picture, and its skin tones."""
    for entry in listed:
        for tones, form in {"": entry, **entry.get("skin_variations", {})}.items():
            if form["has_img_google"]:
                yield Emoji(form["image"], entry["short_name"], entry["category"], tones)


def picture(content: bytes) -> NDArray[np.uint8]:
    """A PNG's pixels on white, (64, 64, 3)."""
    with Image.open(io.BytesIO(content)) as image:
        return np.asarray(normalise(image).convert("RGB"))


def write(table: Sequence[Emoji], images: NDArray[np.uint8], folder: Path) -> None:
    """The sheet and the table in this folder."""
    sheet = Image.fromarray(sheet_of(images))
    sheet.save(folder / "emoji.webp", lossless=True, quality=80, method=6)
    with (folder / "emoji.csv").open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["position", "file", "name", "category", "variant"])
        writer.writerows((position, *astuple(emoji)) for position, emoji in enumerate(table))


if __name__ == "__main__":
    main()
