import hashlib
import io
import random
import tracemalloc
import zipfile

import numpy as np
import pytest

from ganlab.storage import DamagedFile
from ganlab.storage.arrays import ArrayArchive, digest_of, is_archive, read_npy

VALUES = np.random.default_rng(0).integers(0, 256, (5, 4, 3), dtype=np.uint8)


def npy(array, **changed):
    """An .npy file whose header says something else than the array."""
    file = io.BytesIO()
    header = {"descr": array.dtype.str, "fortran_order": False, "shape": array.shape}
    np.lib.format.write_array_header_1_0(file, {**header, **changed})
    return file.getvalue() + array.tobytes()


@pytest.mark.parametrize(
    "array",
    [VALUES, np.asfortranarray(VALUES), VALUES.astype(">u2"), VALUES[:0], np.float32(3)[None]],
)
def test_arrays_are_read_as_numpy_reads_them(tmp_path, array):
    np.save(tmp_path / "a.npy", array)
    np.savez_compressed(tmp_path / "a.npz", one=array, word=np.array("text"))
    for found in (read_npy(tmp_path / "a.npy"), ArrayArchive(tmp_path / "a.npz")["one"]):
        assert (found.dtype, found.shape) == (array.dtype, array.shape)
        assert np.array_equal(found, array)
    assert str(ArrayArchive(tmp_path / "a.npz")["word"]) == "text"
    assert ArrayArchive(tmp_path / "a.npz").shapes == {"one": array.shape, "word": ()}
    assert [is_archive(tmp_path / name) for name in ("a.npy", "a.npz")] == [False, True]


HOSTILE = {
    "huge": npy(VALUES, shape=(2**40, 4, 3)),
    "overflowing": npy(VALUES, shape=(2**62, 2**62, 4)),
    "empty but huge": npy(VALUES[:0], shape=(0, 2**62, 2**62)),
    "negative": npy(VALUES, shape=(-5, -4, 3)),
    "true": npy(VALUES[:1, :1], shape=(True, True, 3)),
    "smaller": npy(VALUES, shape=(4, 4, 3)),
    "objects": npy(VALUES, descr="|O"),
    "nothing": npy(VALUES, descr="|V0", shape=(2**40,)),
    "records": npy(VALUES, descr=[("a", "|u1")]),
    "many axes": npy(VALUES, shape=(60, *[1] * 70)),
    "no header": b"\x93NUMPY\x01\x00\x10\x00" + b"{" * 16 + VALUES.tobytes(),
    "nested": b"\x93NUMPY\x01\x00\x20\x4e" + b"(" * 20_000,
    "open string": b"\x93NUMPY\x01\x00\x10\x00" + b"{'descr': '|u1\n " + VALUES.tobytes(),
    "version": b"\x93NUMPY\x09\x00" + npy(VALUES)[8:],
    "cut": npy(VALUES)[:-1],
    "magic alone": b"\x93NUMPY",
    "no bytes": b"",
    "text": b"hello",
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_headers_are_refused_before_memory_is_asked_for(tmp_path, name):
    (tmp_path / "a.npy").write_bytes(HOSTILE[name])
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        archive.writestr("a.npy", HOSTILE[name])
    tracemalloc.start()
    for read in (
        lambda: read_npy(tmp_path / "a.npy"),
        lambda: ArrayArchive(tmp_path / "a.npz")["a"],
    ):
        with pytest.raises(DamagedFile):
            read()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2**24


def test_a_bit_flipped_in_a_header_is_refused_or_changes_nothing(tmp_path):
    whole, start = npy(VALUES), len(npy(VALUES)) - VALUES.nbytes
    for position in range(start):
        changed = bytearray(whole)
        changed[position] ^= 1 << random.Random(position).randrange(8)
        (tmp_path / "a.npy").write_bytes(changed)
        try:
            found = read_npy(tmp_path / "a.npy")
        except DamagedFile:
            continue
        assert np.array_equal(found, VALUES)


def test_a_bit_flipped_in_an_archive_is_refused_or_changes_nothing(tmp_path):
    np.savez_compressed(tmp_path / "a.npz", a=VALUES)
    whole = (tmp_path / "a.npz").read_bytes()
    found = set()
    for position in range(len(whole)):
        changed = bytearray(whole)
        changed[position] ^= 1 << random.Random(position).randrange(8)
        (tmp_path / "a.npz").write_bytes(changed)
        try:
            read = ArrayArchive(tmp_path / "a.npz")["a"]
        except (DamagedFile, KeyError) as error:
            found.add(type(error))
            continue
        assert np.array_equal(read, VALUES)
    assert DamagedFile in found


def test_a_bomb_is_refused_unread(tmp_path):
    """A gigabyte of zeros from a megabyte; as many images as that never shrink a hundredfold."""
    path = tmp_path / "bomb.npz"
    header = npy(VALUES[:0], shape=(2**30,))
    with (
        zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive,
        archive.open("a.npy", "w", force_zip64=True) as member,
    ):
        member.write(header)
        for _ in range(2**6):
            member.write(bytes(2**24))
    tracemalloc.start()
    with pytest.raises(DamagedFile, match=r"would unpack to 1,024 MB"):
        ArrayArchive(path)
    assert tracemalloc.get_traced_memory()[1] < 2**24
    tracemalloc.stop()


def test_the_digest_is_of_all_elements_in_order():
    expected = hashlib.blake2b(VALUES.tobytes(), digest_size=16).hexdigest()
    assert digest_of(VALUES).hexdigest() == expected
    assert digest_of(np.asfortranarray(VALUES)).hexdigest() == expected
    assert digest_of(VALUES[::-1]).hexdigest() != expected
