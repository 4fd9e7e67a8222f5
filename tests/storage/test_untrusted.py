"""Files that nobody vouches for: read to the bit, or refused before anything of them is run."""

import argparse
import collections
import io
import json
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from mutations import mutations

from ganlab.storage.archive import CompressedArchive
from ganlab.storage.pickles import Record, RefusedPickle
from ganlab.storage.regular import DamagedFile
from ganlab.storage.untrusted import read_untrusted

sys.path.insert(0, str(Path(__file__).parent))

import hostile_pickles

CONTENT = {
    "state": torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.BatchNorm1d(4)).state_dict(),
    "turned": torch.nn.Parameter(torch.arange(6.0).reshape(2, 3).T.half()),
    "empty": torch.zeros(0, 3),
    "array": np.arange(6.0).reshape(2, 3).T,
    "number": np.float32(3.5),
    "arguments": argparse.Namespace(size=8, names=["a", "b"]),
    "set": {1, 2},
    "nested": [(1, 2.5, None, True, "text", b"bytes"), {"a": -(2**40)}],
    "counts": collections.OrderedDict(a=torch.arange(3), b=torch.tensor([True, False])),
}


def written(path, how):
    if how in ("zip", "older"):
        torch.save(CONTENT, path, _use_new_zipfile_serialization=how == "zip")
    else:
        path.write_bytes(pickle.dumps(CONTENT, protocol=how))
    return path


@pytest.mark.parametrize("how", ["zip", "older", 2, 3, 4, 5])
def test_plain_values_come_back_to_the_bit_and_objects_as_records(tmp_path, how):
    found = read_untrusted(written(tmp_path / "file", how))
    for name, value in CONTENT["state"].items():
        assert torch.equal(found["state"][name], value)
    assert found["turned"].dtype == torch.float16
    assert torch.equal(found["turned"], CONTENT["turned"])
    assert found["empty"].shape == (0, 3)
    np.testing.assert_array_equal(found["array"], CONTENT["array"])
    assert found["number"] == 3.5
    state = {"size": 8, "names": ["a", "b"]}
    assert found["arguments"] == Record("argparse.Namespace", state=state)
    assert found["set"] == {1, 2}
    assert found["nested"] == CONTENT["nested"]
    assert torch.equal(found["counts"]["b"], CONTENT["counts"]["b"])


def test_tensors_may_share_what_they_view(tmp_path):
    whole = torch.arange(12.0)
    torch.save([whole[2:5], whole.view(3, 4)[:, 1]], tmp_path / "views")
    first, second = read_untrusted(tmp_path / "views")
    assert first.tolist() == [2, 3, 4]
    assert second.tolist() == [1, 5, 9]


def test_a_class_of_anybody_is_a_record(tmp_path):
    pickled = b"\x80\x02cnobody.at.home\nModel\n)\x81}X\x01\x00\x00\x00aK\x05sb."
    (tmp_path / "file").write_bytes(pickled)
    assert read_untrusted(tmp_path / "file") == Record("nobody.at.home.Model", state={"a": 5})


def test_gpus_numbers_are_read_on_the_cpu(tmp_path):
    buffer = io.BytesIO()
    torch.save({"a": torch.arange(3.0)}, buffer, _use_new_zipfile_serialization=False)
    moved = buffer.getvalue().replace(b"ctorch\nFloatStorage", b"ctorch.cuda\nFloatStorage")
    moved = moved.replace(b"X\x03\x00\x00\x00cpu", b"X\x06\x00\x00\x00cuda:0")
    (tmp_path / "file").write_bytes(moved)
    assert read_untrusted(tmp_path / "file")["a"].tolist() == [0, 1, 2]


@pytest.fixture(scope="module")
def refusals(tmp_path_factory):
    """What a process said of each hostile file, which ends after 5 s of one; its megabytes."""
    folder = tmp_path_factory.mktemp("hostile")
    command = [sys.executable, hostile_pickles.__file__, str(folder)]
    answer = subprocess.run(command, capture_output=True, text=True, check=True)
    return folder, json.loads(answer.stdout)


@pytest.mark.parametrize("name", hostile_pickles.files("."))
def test_hostile_files_are_refused_in_one_line_in_little_time_and_memory(refusals, name):
    folder, found = refusals
    said, seconds, megabytes = found[name]
    assert said is not None, "it was read"
    assert hostile_pickles.files(".")[name][1] in said
    assert "\n" not in said
    assert seconds < hostile_pickles.SECONDS
    assert megabytes < 1000
    assert not (folder / "written").exists()


def check_mutated(content, path):
    path.write_bytes(content)
    said = ""
    try:
        read_untrusted(path)
    except (RefusedPickle, DamagedFile, CompressedArchive) as error:
        said = str(error)
    assert "\n" not in said


SMALL = {"a": torch.arange(4.0), "b": np.arange(3), "c": argparse.Namespace(x=[1, "y"])}


def samples():
    buffer = io.BytesIO()
    torch.save(SMALL, buffer, _use_new_zipfile_serialization=False)
    return [buffer.getvalue(), pickle.dumps(SMALL, 4), pickle.dumps(SMALL, 2)]


@pytest.mark.parametrize("sample", samples(), ids=["older", "protocol 4", "protocol 2"])
@pytest.mark.parametrize("number", [60, pytest.param(3000, marks=pytest.mark.slow)])
def test_changed_files_are_read_or_refused(tmp_path_factory, sample, number):
    folder = tmp_path_factory.mktemp("mutated")

    @settings(
        max_examples=number, deadline=None, suppress_health_check=list(HealthCheck), database=None
    )
    @given(mutations(sample))
    def refused_or_read(content):
        check_mutated(content, folder / "file")

    refused_or_read()
