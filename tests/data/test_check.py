import os
import zipfile

import numpy as np
import pytest

from ganlab.__main__ import data
from ganlab.data import BrokenData, Problem
from ganlab.data.check import check, report, survey


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
    assert problem.reason == "has values from 0 to 0 (float64)"
    assert problem.fix == "say data.range=[low,high]"


def test_what_cannot_be_opened_is_a_problem_not_an_exception(tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "fake.zip").write_text("no archive")
    reasons = {name: check(tmp_path / name)[0].reason for name in ("empty", "fake.zip", "gone")}
    assert reasons["empty"] == "holds no image files"
    assert reasons["fake.zip"].startswith("is not a zip archive")
    assert reasons["gone"] == "does not exist"


@pytest.mark.parametrize("kind", ["folder", "zip"])
def test_files_of_other_suffixes_are_counted(pets, kind):
    for name in ("cat/x.heic", "cat/y.HEIC", "dog/z.tga", "LICENSE", ".DS_Store", "cat/._a.tga"):
        (pets / name).touch()
    place = pets
    if kind == "zip":
        place = pets.with_suffix(".zip")
        with zipfile.ZipFile(place, "w") as archive:
            for file in pets.rglob("*"):
                archive.write(file, file.relative_to(pets))
    assert survey(place).passed_over == {".heic": 2, ".tga": 1, "": 1}
    assert report(check(place), survey(place).passed_over) == (
        "no problems found\npassed over, not known as images: 2 .heic, 1 without a suffix, 1 .tga"
    )


def test_what_is_not_listed_has_nothing_passed_over(tmp_path):
    np.save(tmp_path / "good.npy", np.zeros((4, 8, 8), np.uint8))
    (tmp_path / "fake.zip").write_text("no archive")
    assert not any(survey(tmp_path / name).passed_over for name in ("good.npy", "fake.zip", "gone"))


def test_a_folder_of_other_suffixes_alone_says_so(tmp_path):
    (tmp_path / "a.heic").touch()
    (problem,) = check(tmp_path)
    assert problem.reason == "holds no image files (passed over, not known as images: 1 .heic)"


def test_links_to_nothing_are_problems(pets):
    """A link without a suffix may have been one to a folder."""
    for name in ("cat/gone.png", "bird", "dog/loop.png"):
        (pets / name).symlink_to(pets / name if "loop" in name else "nowhere")
    (pets / "cat" / ".hidden.png").symlink_to("nowhere")
    (pets / "notes.txt").symlink_to("nowhere")
    problems = {each.path.removeprefix(f"{pets}/"): each.reason for each in check(pets)}
    assert sorted(problems) == ["bird", "cat/gone.png", "dog/loop.png"]
    assert problems["bird"] == problems["cat/gone.png"] == "is a link to nothing, nowhere"
    assert survey(pets).passed_over == {".txt": 1}


def test_the_command_counts_what_is_passed_over(pets, monkeypatch, capsys):
    (pets / "cat" / "x.heic").touch()
    monkeypatch.setattr("sys.argv", ["ganlab", "check", str(pets)])
    with pytest.raises(SystemExit) as end:
        data()
    assert end.value.code == 0
    assert capsys.readouterr().out.splitlines() == [
        "no problems found",
        "2 classes from the folders that images lie in",
        "values from 0 to 255 (uint8)",
        "passed over, not known as images: 1 .heic",
    ]


def test_bad_resolution_is_named(pets):
    with pytest.raises(ValueError, match=r"resolution=48"):
        check(pets, resolution=48)


def test_names_that_break_lines_or_are_no_text_stay_in_theirs(pets):
    """A terminal that takes UTF-8 alone refuses the bytes of such a name."""
    for name in (b"a\nb.png", b"\xff.png"):
        (pets / os.fsdecode(name)).write_bytes(b"broken")
    lines = report(check(pets)).encode("utf-8").decode().splitlines()
    assert len(lines) == 3
    assert lines[1].startswith(f"  {pets}/a\\nb.png: is not an image")
    assert lines[2].startswith(f"  {pets}/\\xff.png: is not an image")


def test_classes_without_images_are_counted(pets):
    names = sorted(str(path.relative_to(pets)) for path in pets.rglob("*.png"))
    (pets / "labels.csv").write_text("".join(f"{name},{9 * k}\n" for k, name in enumerate(names)))
    assert survey(pets).labelled == "55 classes from labels.csv, of which 7 have images"


def test_labels_of_arrays_are_said(tmp_path):
    np.savez(tmp_path / "a.npz", x=np.zeros((4, 8, 8), np.uint8), y=np.array([7, 9, 7, 7]))
    assert survey(tmp_path / "a.npz").labelled == "2 classes from the array of labels"


@pytest.mark.parametrize("wild", [np.nan, np.inf, -np.inf])
def test_what_is_no_number_is_in_no_advice(tmp_path, wild):
    values = np.linspace(0, 1, 3 * 64, dtype=np.float32).reshape(3, 8, 8)
    values[1, 2, 2] = wild
    np.save(tmp_path / "a.npy", values)
    (problem,) = check(tmp_path / "a.npy")
    assert "say data.range=[0,1] (all values lie in 0 to 1)" in problem.fix
    (problem,) = survey(tmp_path / "a.npy", channels=1, range=[0, 1]).problems
    assert problem.path.endswith("a.npy[1]")
    assert problem.reason == "has values that are no finite numbers"


@pytest.mark.parametrize("range", [[True, 5], [0, float("inf")], [float("nan"), 1]])
def test_a_range_of_no_numbers_is_named(pets, range):
    with pytest.raises(ValueError, match=r"data\.range=.* must be two numbers"):
        survey(pets, range=range)


def test_no_resolution_is_none_of_zero_pixels(pets):
    with pytest.raises(ValueError, match=r"data\.resolution=0 must be a power of two"):
        check(pets, resolution=0)


def test_a_zip_by_windows_or_from_above_or_encrypted(pets, tmp_path):
    image = (pets / "cat" / "a.png").read_bytes()
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        for name in ("cat\\a.png", "dog\\b.png", "../c.png"):
            member = zipfile.ZipInfo("x")
            member.filename = name
            archive.writestr(member, image)
    found = survey(tmp_path / "a.zip")
    assert found.problems == []
    assert found.labelled == "3 classes from the folders that images lie in"
    content = bytearray((tmp_path / "a.zip").read_bytes())
    content[content.find(b"PK\x01\x02") + 8] |= 1
    (tmp_path / "a.zip").write_bytes(content)
    (problem,) = check(tmp_path / "a.zip")
    assert problem.path.endswith("a.zip/cat/a.png")
    assert problem.reason == "is encrypted"


def test_one_problem_is_not_plural():
    assert report([Problem("a.png", "is damaged", "replace it")]) == (
        "1 problem found:\n  a.png: is damaged (replace it)"
    )


@pytest.mark.parametrize("name", ["x.png", "dataset.json", "labels.csv"])
def test_a_pipe_is_named_and_not_waited_for(pets, name):
    os.mkfifo(pets / name)
    (problem,) = check(pets)
    assert problem.path == f"{pets}/{name}"
    assert "no file but a pipe, a socket or a device" in problem.reason


def test_an_error_names_the_first_offenders_and_counts_the_rest():
    problems = [Problem(f"{k}.png", "is no image", "leave it out") for k in range(60)]
    error = BrokenData(problems, 100)
    assert str(error).count("is no image") == 50
    assert "and 10 more, which python -m ganlab data check lists" in str(error)
    assert error.problems == problems
    assert "more" not in str(BrokenData(problems[:50], 100))
