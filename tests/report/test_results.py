import json
import math
import os
from collections import UserDict
from pathlib import Path

import numpy as np
import pytest
import torch

from ganlab.report.results import checked_result, read_result, write_result
from ganlab.storage.atomic import replace_file


def test_a_result_comes_back_as_it_went(tmp_path):
    payload = {
        "status": "done",
        "overrides": ["model=dcgan", "note='ψé'"],
        "seed": 0,
        "scores": [{"metric": "fid", "value": 24.3181234567891, "truncation": None, "ema": True}],
    }
    write_result(tmp_path, payload)
    assert read_result(tmp_path) == payload
    assert read_result(tmp_path / "result.json") == payload


def test_numbers_that_json_lacks_survive_in_strict_json(tmp_path):
    path = write_result(tmp_path, {"scores": [math.nan, math.inf, -math.inf]})

    def refuse(name):
        raise AssertionError(f"{name} is not JSON")

    json.loads(path.read_text(), parse_constant=refuse)
    nan, plus, minus = read_result(tmp_path)["scores"]
    assert math.isnan(nan)
    assert (plus, minus) == (math.inf, -math.inf)


def test_values_of_other_kinds_become_plain(tmp_path):
    write_result(
        tmp_path,
        {
            "path": Path("a/b"),
            "tensor": torch.tensor([1.5, 2.5]),
            "scalar": torch.tensor(3),
            "numpy": np.float32(0.5),
            "tuple": (1, "x"),
            "set": {2, 1},
            "mapping": UserDict({1: np.bool_(True)}),
            "odd": complex(1, 2),
        },
    )
    assert read_result(tmp_path) == {
        "path": "a/b",
        "tensor": [1.5, 2.5],
        "scalar": 3,
        "numpy": 0.5,
        "tuple": [1, "x"],
        "set": [1, 2],
        "mapping": {"1": True},
        "odd": "(1+2j)",
    }


def test_a_wrong_status_is_refused_before_anything_is_written(tmp_path):
    with pytest.raises(ValueError, match=r"'finished'.*running, done, interrupted, failed"):
        write_result(tmp_path, {"status": "finished"})
    assert not list(tmp_path.iterdir())


def test_a_missing_result_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"result\.json does not exist"):
        read_result(tmp_path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"status": "do', "not valid JSON"),
        ("", "not valid JSON"),
        ("[1]", "holds a list"),
        (b"\xff\xfe", "not valid JSON"),
        (f'{{"seconds": 1{"0" * 400}}}', r"seconds is 10\^400 and more and should be a finite"),
    ],
)
def test_a_broken_result_is_named(tmp_path, text, message):
    (tmp_path / "result.json").write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(ValueError, match=rf"result\.json.*{message}"):
        checked_result(tmp_path)


def test_a_failing_write_leaves_the_old_file_and_no_other(tmp_path, monkeypatch):
    replace_file(tmp_path / "x", b"old")

    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        replace_file(tmp_path / "x", b"new")
    assert [(p.name, p.read_bytes()) for p in tmp_path.iterdir()] == [("x", b"old")]


def test_the_file_is_complete_on_disk_before_it_gets_its_name(tmp_path, monkeypatch):
    target = tmp_path / "deep" / "x"
    at_sync = []

    def look(descriptor):
        at_sync.append((os.fstat(descriptor).st_size, target.exists()))

    monkeypatch.setattr(os, "fsync", look)
    replace_file(target, b"12345")
    assert at_sync == [(5, False)]
    assert target.read_bytes() == b"12345"


def test_permissions_follow_the_umask(tmp_path):
    before = os.umask(0o027)
    try:
        replace_file(tmp_path / "x", b"")
    finally:
        os.umask(before)
    assert (tmp_path / "x").stat().st_mode & 0o777 == 0o640
