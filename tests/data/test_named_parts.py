"""`fakes.npz:images`: which array or column holds the images, where a path alone is said.

The file that `fake=` or `study.held_out=` names is told by that option's words, never by those of
the images that it stands beside; `data check` takes the words of a training.
"""

import sys
from types import SimpleNamespace

import numpy as np
import pytest
from containers import needs, ready

from ganlab.__main__ import data as data_command
from ganlab.data import BrokenData, any_images
from ganlab.data.decode import Fitting
from ganlab.data.presets import held_out_data
from ganlab.data.sources import part_named, source_of

pytestmark = pytest.mark.filterwarnings("ignore:the images use the values")  # they are of one grey
GREY = {"real": 10, "fake": 200}


@pytest.fixture
def several(tmp_path):
    """Two arrays of images, and two of labels."""
    images = {name: np.full((3, 8, 8), grey, np.uint8) for name, grey in GREY.items()}
    np.savez(tmp_path / "a.npz", **images, y=[0, 1, 2], z=[2, 1, 0])
    return tmp_path / "a.npz"


@pytest.fixture
def columns(tmp_path, png):
    """The same two as columns of a table."""
    needs("pyarrow")
    table = {name: [png(grey)] * 3 for name, grey in GREY.items()}
    needs("pyarrow.parquet").write_table(needs("pyarrow").table(table), tmp_path / "a.parquet")
    return tmp_path / "a.parquet"


def held_out(place):
    like = SimpleNamespace(fitting=Fitting(8, 1, enlarge=True))
    return held_out_data(place, like, "study.held_out")


@pytest.mark.parametrize("kind", ["several", "columns"])
@pytest.mark.parametrize("name", list(GREY))
def test_a_name_after_a_colon_chooses(request, kind, name):
    place = request.getfixturevalue(kind)
    assert (held_out(f"{place}:{name}").dataset.pixels == GREY[name]).all()


@pytest.mark.parametrize(
    ("kind", "several_"), [("several", "arrays may be"), ("columns", "columns of")]
)
def test_several_are_told_in_the_words_of_their_option(request, kind, several_):
    place = request.getfixturevalue(kind)
    told = rf"several {several_}.* real, fake \(say which, as study\.held_out={place}:real\)"
    with pytest.raises(BrokenData, match=told):
        held_out(place)
    with pytest.raises(BrokenData, match=rf"has no \w+ study\.held_out={place}:none"):
        held_out(f"{place}:none")


def test_a_path_that_is_there_is_whole(tmp_path):
    (tmp_path / "a:b").mkdir()
    assert part_named(str(tmp_path / "a:b"), "fake") == (str(tmp_path / "a:b"), None)
    assert part_named(str(tmp_path / "none.npz:b"), "fake")[1] is None
    assert part_named(f"{tmp_path}:b", "fake")[1] is None  # no arrays in a folder of files


@pytest.mark.parametrize(
    ("named", "told"),
    [
        ("a-{0..1}.tar", r"^fake=.*a-0\.tar does not exist"),
        ("a-{3..1}.tar", r"^fake=.*tar names 0 files"),
        ("one.txt", r"one\.txt: is no folder, archive or database of images \(fake takes a folder"),
        ("one.zip", r"one\.zip: is not a zip archive .*\(fake takes a folder"),
        ("one.npy", r"one\.npy: cannot be read: .*\(what is read is an \.npy file"),
    ],
)
def test_no_word_of_the_reals_in_what_is_said_of_another_path(tmp_path, named, told):
    for name in ("one.txt", "one.zip", "one.npy"):
        (tmp_path / name).write_bytes(b"no images" * 100)
    with pytest.raises((BrokenData, FileNotFoundError, ValueError), match=told) as error:
        source_of(str(tmp_path / named), key="fake").open()
    assert "data.path" not in str(error.value)


def test_arrays_and_tables_are_told_without_their_suffix(several, columns, tmp_path):
    np.save(tmp_path / "b.npy", np.full((3, 8, 8), 7, np.uint8))
    (tmp_path / "b.npy").rename(tmp_path / "b")
    columns.rename(tmp_path / "c")
    assert (ready(any_images(str(tmp_path / "b"), resolution=8)).dataset.pixels == 7).all()
    found = ready(any_images(str(tmp_path / "c"), resolution=8, images="fake")).dataset
    assert (found.pixels == GREY["fake"]).all()


def test_one_array_has_no_names(tmp_path):
    np.save(tmp_path / "b.npy", np.full((3, 8, 8), 7, np.uint8))
    with pytest.raises(BrokenData, match=r"is one array, .*leave out study\.held_out=.*npy:x"):
        held_out(f"{tmp_path / 'b.npy'}:x")


def checked(monkeypatch, capsys, *words):
    monkeypatch.setattr(sys, "argv", ["data", "check", *map(str, words)])
    with pytest.raises(SystemExit) as end:
        data_command()
    return end.value.code, capsys.readouterr().out


def test_a_check_takes_the_words_that_it_asks_for(several, monkeypatch, capsys):
    code, told = checked(monkeypatch, capsys, several, "data.channels=1")
    assert code == 1
    assert "say which, as data.images=real" in told
    words = ("data.channels=1", "data.images=fake")
    assert "say which, as data.labels=y" in checked(monkeypatch, capsys, several, *words)[1]
    code, told = checked(monkeypatch, capsys, several, *words, "data.labels=z")
    assert (code, "200 to 200" in told) == (0, True)
    assert "3 classes from the array of labels" in told


def test_names_are_of_arrays_and_columns(tmp_path):
    told = r"data\.images=a: data\.path=.* has no arrays and no columns"
    with pytest.raises(ValueError, match=told):
        any_images(str(tmp_path), images="a")
