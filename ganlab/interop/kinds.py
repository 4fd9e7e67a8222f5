"""What a file is that is no checkpoint, by its first bytes: what people get instead of one."""

import re
import zipfile
from pathlib import Path

from ganlab.storage import open_regular
from ganlab.storage.archive import MAGIC

HEAD = 1024  # bytes that are looked at
TAR = slice(257, 262)  # where its mark stands
PACKED = "it is packed by {}: unpack it, and name the file that was in it"
TENSORFLOW = "it is part of a checkpoint of TensorFlow, which is not read; pickles of NVIDIA's are"
BEGINNINGS: dict[bytes, str] = {
    b"version https://git-lfs": "it is a pointer of Git LFS, not the file: run `git lfs pull`",
    b"\x1f\x8b": PACKED.format("gzip"),
    b"BZh": PACKED.format("bzip2"),
    b"\xfd7zXZ": PACKED.format("xz"),
    b"\x28\xb5\x2f\xfd": PACKED.format("zstd"),
    b"7z\xbc\xaf": PACKED.format("7-Zip"),
    b"Rar!": PACKED.format("rar"),
    b"\x89HDF": "it is HDF5, as Keras writes it, which is not read",
    b"\x93NUMPY": "it is an array of NumPy's; latents are given to studies as study.latents=",
    **dict.fromkeys((b"\x89PNG", b"\xff\xd8\xff", b"GIF8"), "it is a picture"),
    b"%PDF": "it is a document",
    b"model_checkpoint_path": TENSORFLOW,
}
PROGRAM = (
    "it is a program of torch.jit or torch.export, whose code is not run: what the network's "
    "state_dict() has is read, saved by torch.save"
)
PROGRAMS = ("constants.pkl", "archive_format", "models/model.json")  # ends of names in them
PAGES = (b"<!doctype", b"<html")
ANSWERS = (b"<?xml", b"{")


def kind_of(path: Path) -> str | None:
    """What it is and what to do, in a phrase; None where its first bytes are of no known kind.

    Raises:
        DamagedFile, OSError: see `storage.open_regular`.
    """
    with open_regular(path) as file:
        head = file.read(HEAD)
    if head.startswith(MAGIC):
        return kind_of_archive(path)
    if not head:
        return "it is empty: it was not downloaded to its end"
    text = head.lstrip().lower()
    if text.startswith(PAGES):
        asks = " in which Google Drive asks before it sends large files" * (b"google drive" in text)
        return f"it is a web page{asks}, in the file's place: download it by a browser"
    if text.startswith(ANSWERS):
        return "it is a web server's answer in text, in the file's place"
    if head[TAR] == b"ustar":
        return PACKED.format("tar")
    if re.fullmatch(r".+\.(index|meta|data-\d+-of-\d+)", path.name):
        return TENSORFLOW
    return next((said for mark, said in BEGINNINGS.items() if head.startswith(mark)), None)


def kind_of_archive(path: Path) -> str | None:
    """The same of a zip, which a file of torch.save is as well."""
    try:
        with open_regular(path) as file, zipfile.ZipFile(file) as archive:
            names = archive.namelist()
    except (zipfile.BadZipFile, ValueError, NotImplementedError):
        return None
    if any(name.endswith(PROGRAMS) for name in names):
        return PROGRAM
    plain = any(name.endswith("/data.pkl") for name in names)
    return None if plain else PACKED.format("zip")
