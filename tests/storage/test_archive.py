"""Files of `torch.save`: no bit of theirs may change what is read."""

import random
import warnings
import zipfile
from pathlib import Path

import pytest
import torch

from ganlab.storage import DamagedFile
from ganlab.storage.archive import read_archive, write_archive

CONTENT = {
    "state": {f"w{i}": torch.arange(3.0) + i for i in range(2)},
    "recipe": {"seed": 1, "rates": [1e-3, None, "adam", True]},
}


@pytest.fixture
def whole(tmp_path):
    write_archive(CONTENT, tmp_path / "whole.pt")
    return (tmp_path / "whole.pt").read_bytes()


def equal(one, other):
    if isinstance(one, torch.Tensor):
        return isinstance(other, torch.Tensor) and torch.equal(one, other)
    if isinstance(one, dict):
        return list(one) == list(other) and all(equal(one[key], other[key]) for key in one)
    if isinstance(one, list):
        return len(one) == len(other) and all(map(equal, one, other))
    return type(one) is type(other) and one == other


def outcome(path, content):
    """`refused`, `equal` or `wrong`."""
    path.write_bytes(content)
    try:
        return "equal" if equal(CONTENT, read_archive(path)) else "wrong"
    except Exception:  # torch has errors of its own; a refusal is one whatever it says
        return "refused"


def flips(whole, chosen):
    for position, bit in chosen:
        changed = bytearray(whole)
        changed[position] ^= 1 << bit
        yield bytes(changed)


def test_a_flipped_bit_is_refused_or_lies_where_nothing_is(tmp_path, whole):
    everywhere = [(at, bit) for at in range(len(whole)) for bit in range(8)]
    chosen = random.Random(0).sample(everywhere, 500)
    # torch takes a record marked as a folder for an empty one, and leaves its memory as it was
    marks = [at + 38 for at in range(len(whole)) if whole.startswith(b"PK\x01\x02", at)]
    assert len(marks) > 5
    chosen += [(at, 4) for at in marks]
    found = [outcome(tmp_path / "flipped.pt", each) for each in flips(whole, chosen)]
    assert set(found) == {"refused", "equal"}
    assert set(found[500:]) == {"refused"}


@pytest.mark.slow
def test_no_single_bit_of_a_file_changes_what_is_read(tmp_path, whole):
    everywhere = [(at, bit) for at in range(len(whole)) for bit in range(8)]
    found = [outcome(tmp_path / "flipped.pt", each) for each in flips(whole, everywhere)]
    assert "wrong" not in found


def test_the_damaged_record_is_named(tmp_path, whole):
    at = whole.index(CONTENT["state"]["w1"].numpy().tobytes())
    (tmp_path / "flipped.pt").write_bytes(next(flips(whole, [(at + 3, 6)])))
    assert not torch.load(tmp_path / "flipped.pt")["state"]["w1"].equal(CONTENT["state"]["w1"])
    with pytest.raises(DamagedFile, match=r"record archive/data/1 is damaged: a checksum"):
        read_archive(tmp_path / "flipped.pt")


@pytest.mark.parametrize(
    "change",
    [
        lambda whole: whole[:-1],
        lambda whole: whole[: len(whole) // 2],
        lambda whole: whole[:3],
        lambda whole: b"",
        lambda whole: whole + b"\0",
        lambda whole: whole + whole,
        lambda whole: b"\0" + whole,
        lambda whole: bytes(len(whole)),
    ],
)
def test_what_is_cut_or_has_something_around_it_is_refused(tmp_path, whole, change):
    (tmp_path / "changed.pt").write_bytes(change(whole))
    with pytest.raises(DamagedFile):
        read_archive(tmp_path / "changed.pt")


def test_two_records_of_one_name_are_refused(tmp_path, whole):
    path = tmp_path / "twice.pt"
    path.write_bytes(whole)
    with zipfile.ZipFile(path, "a") as archive, pytest.warns(UserWarning, match="Duplicate"):
        archive.writestr("archive/data/1", bytes(12))
    with pytest.raises(DamagedFile, match="two of its records have one name"):
        read_archive(path)


def test_a_file_saved_without_checksums_is_read_with_one_warning(tmp_path, monkeypatch):
    path = tmp_path / "unsummed.pt"
    torch.serialization.set_crc32_options(False)
    try:
        torch.save(CONTENT, path)
    finally:
        torch.serialization.set_crc32_options(True)
    with pytest.warns(UserWarning, match=r"unsummed\.pt was saved without checksums"):
        assert equal(CONTENT, read_archive(path))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert equal(CONTENT, read_archive(path))


def test_formats_before_archives_are_read_where_asked_for(tmp_path):
    path = tmp_path / "older.pt"
    torch.save(CONTENT, path, _use_new_zipfile_serialization=False)
    with pytest.raises(DamagedFile, match="does not begin as an archive"):
        read_archive(path)
    assert equal(CONTENT, read_archive(path, older=True))


def test_a_file_written_to_while_it_is_read_is_refused(tmp_path, whole, monkeypatch):
    path = tmp_path / "changing.pt"
    path.write_bytes(whole)
    load = torch.load

    def slow(file, **options):
        path.write_bytes(whole + b"\0")
        return load(file, **options)

    monkeypatch.setattr(torch, "load", slow)
    with pytest.raises(DamagedFile, match="written to while it was read"):
        read_archive(path)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is always full")
def test_a_full_disk_is_told_in_the_systems_words(tmp_path):
    link = tmp_path / "link.pt"
    link.symlink_to("/dev/full")
    with pytest.raises(OSError, match="No space left on device") as told:
        write_archive({"w": torch.zeros(100_000)}, link)
    assert told.value.filename == str(link)
    assert "inline_container" not in str(told.value)
    assert not link.is_symlink(), "nothing is left of it"
