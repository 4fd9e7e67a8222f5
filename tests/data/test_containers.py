"""What every container of encoded images keeps: pixels, labels, order, ranks, resume, its cache."""

import itertools
import sys

import numpy as np
import pytest
import torch
from containers import CONTAINERS, files_of, pixels, ready
from PIL import Image

from ganlab.data import BrokenData, any_images, check, folder
from ganlab.data import dataset as stored_sets


@pytest.fixture(params=sorted(CONTAINERS))
def container(request, tmp_path):
    """(name -> content, **options) -> ImageData over a container with these files."""

    def build(files, name="set", **options):
        reader, place = CONTAINERS[request.param](tmp_path / "built" / name, files)
        return reader(str(place), **{"resolution": 16, "batch_size": 4, **options})

    (tmp_path / "built").mkdir()
    return build


def test_images_and_labels_are_those_of_the_folder(pets, container):
    expected = ready(folder(str(pets), resolution=16)).dataset
    found = ready(container(files_of(pets))).dataset
    assert np.array_equal(found.pixels, expected.pixels)
    assert found.labels.tolist() == expected.labels.tolist()
    assert found.class_names == ["cat", "dog"]


def test_whatever_lies_at_a_path_is_told_by_itself(pets, container):
    expected = container(files_of(pets))
    found = ready(any_images(str(expected.source.path), resolution=16))
    assert found.content_key == ready(expected).content_key
    assert check.survey(expected.source.path).problems == []
    without = ready(any_images(str(expected.source.path), labels=False, resolution=16))
    assert without.dataset.labels is None


def test_arrays_are_told_too_and_what_is_none_is_named(tmp_path, pets):
    np.save(tmp_path / "a.npy", np.full((3, 16, 16), 7, np.uint8))
    assert (ready(any_images(str(tmp_path / "a.npy"), resolution=16)).dataset.pixels == 7).all()
    (tmp_path / "table").write_bytes(b"PAR1" + bytes(600))
    for place, reason in (
        (pets / "cat" / "a.png", r"a\.png: is one image \(data\.path takes a folder"),
        (tmp_path / "table", r"is a Parquet file \(data=parquet reads it\)"),
        ((tmp_path / "a.npy").rename(tmp_path / "b"), r"is an array \(data=arrays reads it\)"),
    ):
        with pytest.raises(BrokenData, match=reason):
            ready(folder(str(place)))


def test_labels_can_be_left_out(pets, container):
    assert ready(container(files_of(pets), labels=False)).dataset.labels is None


def test_a_mapped_set_is_the_one_in_memory_and_is_read_once(pets, container, monkeypatch):
    files = files_of(pets)
    data = container(files, memory_budget_mb=0)
    first = ready(data)
    assert isinstance(first.dataset.pixels, np.memmap)
    assert np.array_equal(pixels(first), pixels(ready(container(files, "other"))))
    monkeypatch.setattr(stored_sets, "scan", lambda *_: pytest.fail("decodes again"))
    again = type(data)(data.source, resolution=16, memory_budget_mb=0)
    assert ready(again).content_key == first.content_key


def test_two_ranks_are_one(pets, container):
    files = files_of(pets)
    whole = list(itertools.islice(iter(ready(container(files, flip=True)).train_dataloader()), 3))
    data = [container(files, name, flip=True) for name in ("zero", "one")]
    shares = [
        list(itertools.islice(iter(ready(each, rank, 2).train_dataloader()), 3))
        for rank, each in enumerate(data)
    ]
    for batch, zero, one in zip(whole, *shares, strict=True):
        both = torch.stack([zero.image, one.image], 1).flatten(0, 1)
        assert torch.equal(both, batch.image)


def test_a_run_that_goes_on_sees_the_images_it_would_have_seen(pets, container):
    files = files_of(pets)
    expected = list(itertools.islice(iter(ready(container(files)).train_dataloader()), 5))
    data = ready(container(files, "resumed"))
    data.position = 12
    for batch, other in zip(expected[3:], data.train_dataloader(), strict=False):
        assert torch.equal(batch.index, other.index)
        assert torch.equal(batch.image, other.image)


def test_broken_images_are_all_named_and_can_be_left_out(pets, container):
    (pets / "cat" / "b.png").write_bytes((pets / "cat" / "b.png").read_bytes()[:200])
    (pets / "dog" / "a.png").write_text("no image at all")
    files = files_of(pets)
    with pytest.raises(BrokenData, match=r"2 of 7 images cannot be used") as caught:
        ready(container(files))
    assert all(problem.reason and problem.fix for problem in caught.value.problems)
    with pytest.warns(UserWarning, match="left out: 2 of 7"):
        assert len(ready(container(files, "skipped", skip_broken=True)).dataset) == 5


def test_another_content_is_another_set(pets, container, photo, own_cache):
    files = files_of(pets)
    data = container(files, memory_budget_mb=0)
    ready(data)
    photo(16, 20).save(pets / "cat" / "a.png")
    ready(container(files_of(pets), "changed", memory_budget_mb=0))
    assert len(list((own_cache / "images").glob("*.npy"))) == 2


def test_sixteen_bits_have_their_range(tmp_path, container):
    (tmp_path / "deep").mkdir()
    values = np.random.default_rng(0).integers(0, 4096, (2, 16, 16), dtype=np.uint16)
    for k, image in enumerate(values):
        Image.fromarray(image).save(tmp_path / "deep" / f"{k}.png")
    data = ready(container(files_of(tmp_path / "deep"), channels=1, range=[0, 4095]))
    assert np.array_equal(pixels(data)[:, 0], np.rint(values / 4095 * 255))


@pytest.mark.parametrize("name", ["parquet", "huggingface"])
def test_a_library_that_is_missing_is_named_in_one_line(tmp_path, name, monkeypatch):
    library = {"parquet": "pyarrow", "huggingface": "datasets"}[name]
    monkeypatch.setitem(sys.modules, library, None)
    place = tmp_path / "a.parquet" if name == "parquet" else tmp_path
    (tmp_path / "state.json").touch()
    (tmp_path / "a.parquet").touch()
    reader = {"parquet": "parquet", "huggingface": "huggingface"}[name]
    import ganlab.data

    with pytest.raises(ImportError, match=rf"pip install 'ganlab\[{name}\]'"):
        getattr(ganlab.data, reader)(str(place)).setup()


def test_every_container_is_built_here():
    """Another one gets the contract by a builder of its own."""
    presets = {"folder", "zip", "tar", "lmdb", "parquet", "huggingface"}
    assert presets | {"shards"} == {*CONTAINERS}
