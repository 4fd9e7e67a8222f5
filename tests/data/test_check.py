import zipfile

import numpy as np
import pytest

from ganlab.data import Problem
from ganlab.data.check import check, report


def test_sound_folder_has_no_problems(pets):
    assert check(pets) == []
    assert check(pets, resolution=16) == []
    assert report([]) == "no problems found"


@pytest.mark.parametrize("kind", ["folder", "zip"])
def test_every_offender_is_listed_with_reason_and_fix(pets, kind):
    path = pets / "cat" / "b.png"
    path.write_bytes(path.read_bytes()[:400])
    (pets / "stray.png").write_bytes((pets / "cat" / "a.png").read_bytes())
    for k in range(30):
        (pets / "dog" / f"x{k:02}.jpg").write_text("broken")
    place = pets
    if kind == "zip":
        place = pets.with_suffix(".zip")
        with zipfile.ZipFile(place, "w") as archive:
            for file in pets.rglob("*.*g"):
                archive.write(file, file.relative_to(pets))
    problems = check(place)
    assert len(problems) == 32
    text = report(problems)
    assert text.startswith("32 problems found:")
    for problem in problems:
        assert str(problem) in text
        assert problem.path.startswith(str(place))
        assert problem.reason
        assert problem.fix


def test_resolution_adds_images_that_are_too_small(pets):
    problems = check(pets, resolution=32)
    assert len(problems) == 7
    assert "too small" in problems[0].reason
    assert "data.enlarge=true" in problems[0].fix


def test_arrays_are_checked_too(tmp_path):
    np.save(tmp_path / "good.npy", np.zeros((4, 8, 8), np.uint8))
    np.savez(tmp_path / "bad.npz", images=np.zeros((4, 8, 8), np.float64))
    assert check(tmp_path / "good.npy") == []
    assert len(check(tmp_path / "good.npy", resolution=16)) == 4
    (problem,) = check(tmp_path / "bad.npz")
    assert "float64, not uint8" in problem.reason


def test_what_cannot_be_opened_is_a_problem_not_an_exception(tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "fake.zip").write_text("no archive")
    reasons = {name: check(tmp_path / name)[0].reason for name in ("empty", "fake.zip", "gone")}
    assert reasons["empty"] == "holds no image files"
    assert reasons["fake.zip"].startswith("is not a zip archive")
    assert reasons["gone"] == "does not exist"


def test_bad_resolution_is_named(pets):
    with pytest.raises(ValueError, match=r"resolution=48"):
        check(pets, resolution=48)


def test_one_problem_is_not_plural():
    assert report([Problem("a.png", "is damaged", "replace it")]) == (
        "1 problem found:\n  a.png: is damaged (replace it)"
    )
