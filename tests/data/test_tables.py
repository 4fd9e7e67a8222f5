"""Tables of images: errors name the file, the column and what there is; splits are kept apart."""

import numpy as np
import pytest
from containers import needs, ready

from ganlab.data import BrokenData, huggingface, parquet


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
        f"{place}: has several columns of encoded images, left, right (set data.images to one of "
        "left, right)"
    )
    assert refusal(place, images="none") == (
        f"{place}: has no column data.images=none; its columns are left, right, file, label (set "
        "data.images to one of left, right)"
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
