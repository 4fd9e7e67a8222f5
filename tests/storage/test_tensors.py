import random
import warnings

import pytest
import torch
from safetensors.torch import load, save

from ganlab.storage import DamagedFile
from ganlab.storage.tensors import pack, read_tensors

TENSORS = {"a": torch.arange(6.0).view(2, 3), "b": torch.arange(4), "c": torch.tensor(True)}
METADATA = {"format": "x/1", "seed": "3"}


def test_content_comes_back_and_other_programs_read_it(tmp_path):
    path = tmp_path / "t.safetensors"
    path.write_bytes(pack({**TENSORS, "a": TENSORS["a"].t().contiguous().t()}, METADATA))
    metadata, tensors = read_tensors(path)
    assert metadata == METADATA
    assert all(torch.equal(tensors[name], TENSORS[name]) for name in TENSORS)
    assert load(path.read_bytes()).keys() == TENSORS.keys()


def test_no_single_bit_changes_what_is_read(tmp_path):
    """A bit in the checksum's own name makes a file without one, which is read with a warning."""
    path, whole = tmp_path / "t.safetensors", pack(TENSORS, METADATA)
    refused = 0
    for position in range(len(whole)):
        changed = bytearray(whole)
        changed[position] ^= 1 << random.Random(position).randrange(8)
        path.write_bytes(changed)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                metadata, tensors = read_tensors(path)
            except DamagedFile:
                refused += 1
                continue
        assert tensors.keys() == TENSORS.keys()
        assert all(torch.equal(tensors[name], TENSORS[name]) for name in TENSORS)
        assert METADATA.items() <= metadata.items()
    assert refused > len(whole) / 2


def test_a_file_without_a_checksum_is_read_with_a_warning(tmp_path):
    path = tmp_path / "foreign.safetensors"
    path.write_bytes(save(TENSORS, METADATA))
    with pytest.warns(UserWarning, match=r"foreign\.safetensors has no checksum"):
        assert read_tensors(path)[0] == METADATA
