"""Tables of images: errors name the file, the column and what there is; splits are kept apart."""

import sys
from contextlib import suppress

import numpy as np
import pytest
from containers import needs, ready

from ganlab.__main__ import data as command
from ganlab.data import BrokenData, any_images, check, huggingface, parquet


def written(place, **columns):
    needs("pyarrow.parquet").write_table(needs("pyarrow").table(columns), place)
    return str(place)


def refusal(place, **options):
    with pytest.raises(BrokenData) as error:
        ready(parquet(place, resolution=8, **options))
    return str(error.value)


def test_columns_that_are_not_there_or_hold_no_images_are_named(tmp_path, png):
    images, texts = [png(1), png(2)], ["a.png", "b.png"]
    place = written(tmp_path / "a.parquet", left=images, right=images, file=texts, label=[0, 1])
    assert refusal(place) == (
        f"{place}: has several columns of encoded images, left, right (say which, as "
        "data.images=left)"
    )
    assert refusal(place, images="none") == (
        f"{place}: has no column data.images=none; its columns are left, right, file, label (say "
        "which, as data.images=left)"
    )
    assert "has no encoded images in data.images=file" in refusal(place, images="file")
    assert "set data.labels to one of left, right, file, label, or to false" in refusal(
        place, images="left", labels="none"
    )
    place = written(tmp_path / "b.parquet", file=texts, label=[0, 1])
    assert "no column of encoded images; its columns are file, label (store" in refusal(place)


@pytest.mark.parametrize("label", [None, 0.5, -1])
def test_a_label_that_is_none_is_named_with_its_column_and_row(tmp_path, png, label):
    place = written(tmp_path / "a.parquet", image=[png(1), png(2)], label=[1, label])
    assert f"{place}: label has a label in row 1 that is neither a name" in refusal(place)


def test_whole_numbers_of_a_column_of_floats_are_classes(tmp_path, png):
    place = written(tmp_path / "a.parquet", image=[png(1), png(2)], label=[2.0, 0.0])
    assert ready(parquet(place, resolution=8)).dataset.labels.tolist() == [2, 0]


def test_the_part_that_is_damaged_or_of_other_columns_is_named(tmp_path, png):
    (tmp_path / "set").mkdir()
    first = tmp_path / "set" / "train-0.parquet"
    written(first, image=[png(1)], label=[0])
    second = written(tmp_path / "set" / "train-1.parquet", image=[png(1)], kind=[0])
    told = refusal(str(tmp_path / "set"))
    assert f"{second}: has the columns image, kind, and train-0.parquet image, label" in told
    first.write_bytes(first.read_bytes()[:-9])
    assert f"{first}: is no Parquet file" in refusal(str(tmp_path / "set"))


def test_splits_of_one_file_share_no_decoded_images(tmp_path, png, monkeypatch):
    needs("datasets").disable_progress_bars()
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hub"))
    (tmp_path / "set").mkdir()
    written(tmp_path / "set" / "train.parquet", image=[png(10 * k) for k in range(1, 5)])
    sets = [
        ready(
            huggingface(
                hub_path=str(tmp_path / "set"),
                split=split,
                resolution=8,
                channels=1,
                memory_budget_mb=0,
            )
        )
        for split in ("train[:50%]", "train[50%:]")
    ]
    found = [np.unique(data.dataset.pixels).tolist() for data in sets]
    assert found == [[10, 20], [30, 40]]
    assert sets[0].content_key != sets[1].content_key


@pytest.fixture(params=["one set", "two splits"])
def saved(request, tmp_path, png):
    """A folder of save_to_disk with the column `kind` of classes, and how many images are read."""
    datasets = needs("datasets")
    datasets.disable_progress_bars()
    kinds = datasets.ClassLabel(names=["dog", "cat", "emu"])
    features = datasets.Features({"picture": datasets.Image(), "kind": kinds})

    def table(values):
        images = [{"bytes": png(value), "path": None} for value in values]
        return datasets.Dataset.from_dict(
            {"picture": images, "kind": [value // 100 for value in values]}, features=features
        )

    found = table([10, 120, 30])
    if request.param == "two splits":
        found = datasets.DatasetDict(train=found, test=table([40]))
    found.save_to_disk(str(tmp_path / "saved"))
    return tmp_path / "saved"


@pytest.mark.parametrize("reader", [huggingface, any_images])
def test_a_folder_of_save_to_disk_is_its_images_and_classes(saved, reader):
    dataset = ready(reader(str(saved), resolution=8, channels=1)).dataset
    assert dataset.pixels[:, 0, 0, 0].tolist() == [10, 120, 30]
    assert dataset.labels.tolist() == [0, 1, 0]
    assert dataset.class_names == ["dog", "cat", "emu"]


def test_data_check_reads_a_folder_of_save_to_disk(saved, monkeypatch, capsys):
    found = check.survey(saved, channels=1)
    assert found.problems == []
    assert found.labelled == "3 classes from the column kind, of which 2 have images"
    assert "10 to 120" in found.values
    monkeypatch.setattr(sys, "argv", ["ganlab", "check", str(saved)])
    with suppress(SystemExit):
        command()
    assert "no problems" in capsys.readouterr().out
    (piece,) = (saved if (saved / "state.json").is_file() else saved / "train").glob("*.arrow")
    piece.write_bytes(piece.read_bytes()[:40])
    (problem,) = check.check(saved)
    assert problem.path == str(saved)
    assert "cannot be opened" in problem.reason


def test_no_other_column_of_a_row_is_decoded(tmp_path, png, monkeypatch):
    """Which may name a file, or an address that it would be fetched from."""
    datasets = needs("datasets")
    datasets.disable_progress_bars()
    features = datasets.Features({"a": datasets.Image(), "b": datasets.List(datasets.Image())})
    cell = {"bytes": png(10), "path": None}
    table = datasets.Dataset.from_dict({"a": [cell], "b": [[cell]]}, features=features)
    table.save_to_disk(str(tmp_path / "saved"))

    def decode(*_, **__):
        raise AssertionError

    monkeypatch.setattr(datasets.Image, "decode_example", decode)
    dataset = ready(huggingface(str(tmp_path / "saved"), resolution=8, channels=1)).dataset
    assert dataset.pixels[:, 0, 0, 0].tolist() == [10]
