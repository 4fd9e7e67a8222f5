import errno
import json
import os
from collections import namedtuple
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from ganlab.data import BrokenData, dataset, folder, module, synthetic

Usage = namedtuple("Usage", "total used free")


def ready(data, rank=0, world_size=1):
    if world_size > 1:
        data.trainer = SimpleNamespace(global_rank=rank, world_size=world_size)
    if rank == 0:
        data.prepare_data()
    data.setup()
    return data


def pets_data(pets, **options):
    return folder(str(pets), resolution=16, **options)


def test_mapped_and_in_memory_sets_are_equal_bit_for_bit(pets):
    memory, mapped = ready(pets_data(pets)), ready(pets_data(pets, memory_budget_mb=0))
    assert not isinstance(memory.dataset.pixels, np.memmap)
    assert isinstance(mapped.dataset.pixels, np.memmap)
    indices = torch.tensor([6, 0, 3, 3])
    assert torch.equal(memory.dataset.images(indices), mapped.dataset.images(indices))
    assert torch.equal(memory.dataset.labels, mapped.dataset.labels)
    assert memory.dataset.class_names == mapped.dataset.class_names
    assert memory.content_key == mapped.content_key
    batches = [next(iter(data.train_dataloader())) for data in (memory, mapped)]
    assert torch.equal(batches[0].image, batches[1].image)


def test_images_are_copies(pets):
    data = ready(pets_data(pets, memory_budget_mb=0)).dataset
    before = data.images([2]).clone()
    data.images([2]).zero_()
    assert torch.equal(data.images([2]), before)


@pytest.mark.parametrize(
    "change",
    [
        {"labels": [0, 0, 0, 0, 1, 1, 1]},
        {"labels": [0, 0, 0]},
        {"labels": None},
        {"labels": {"a": 1}},
        {"class_names": ["cat", "dig"]},
        {"class_names": 3},
        {"digest": "0" * 32},
        {"digest": None},
    ],
)
def test_a_description_that_is_not_of_these_images_is_made_anew(pets, own_cache, change):
    first = ready(pets_data(pets, memory_budget_mb=0))
    (path,) = (own_cache / "images").glob("*.json")
    older = dataset.check_seal(json.loads(path.read_text()))  # written without a checksum
    path.write_text(json.dumps({**older, **change}))
    with pytest.warns(UserWarning, match="are damaged .* made anew"):
        again = ready(pets_data(pets, memory_budget_mb=0))
    assert again.content_key == first.content_key
    assert torch.equal(again.dataset.labels, first.dataset.labels)
    assert again.dataset.class_names == first.dataset.class_names


def test_no_bit_of_a_description_flips_unseen():
    kept = {"labels": [0, 1], "class_names": ["a", "b"], "digest": "0" * 32, "range": [0, 4095.5]}
    whole = json.dumps(dataset.seal(kept)).encode()
    assert dataset.check_seal(json.loads(whole)) == kept
    assert dataset.check_seal(kept) == kept, "of an earlier version"
    for bit in range(8 * len(whole)):
        damaged = bytearray(whole)
        damaged[bit // 8] ^= 1 << bit % 8
        try:
            found = dataset.check_seal(json.loads(bytes(damaged).decode()))
        except ValueError:
            continue
        assert {key: found.get(key) for key in kept} == kept, "its name alone was damaged"


def test_the_images_of_another_size_under_this_name_are_made_anew(pets, own_cache):
    first = ready(pets_data(pets, memory_budget_mb=0))
    kept = {path.suffix: path for path in (own_cache / "images").iterdir()}
    ready(folder(str(pets), resolution=8, memory_budget_mb=0))
    for path in set((own_cache / "images").iterdir()) - set(kept.values()):
        path.replace(kept[path.suffix])
    with pytest.warns(UserWarning, match="describes other images"):
        assert ready(pets_data(pets, memory_budget_mb=0)).content_key == first.content_key


def test_a_sound_file_is_looked_at_once_a_process(pets, monkeypatch):
    ready(pets_data(pets, memory_budget_mb=0))
    looked = []
    digest_of = dataset.digest_of
    monkeypatch.setattr(dataset, "digest_of", lambda array: looked.append(1) or digest_of(array))
    ready(pets_data(pets, memory_budget_mb=0))
    assert looked == [1]


def test_mapped_file_is_decoded_once(pets, monkeypatch, own_cache):
    first = ready(pets_data(pets, memory_budget_mb=0))
    assert sorted(p.suffix for p in (own_cache / "images").iterdir()) == [".json", ".npy"]
    monkeypatch.setattr(dataset, "scan", lambda *_: pytest.fail("decodes again"))
    assert ready(pets_data(pets, memory_budget_mb=0)).content_key == first.content_key


@pytest.mark.parametrize(
    "change", ["pixels", "time", "name", "fit", "resolution", "skip_broken", "labels"]
)
def test_changed_content_or_preparation_gets_another_file(pets, photo, own_cache, change):
    ready(pets_data(pets, memory_budget_mb=0))
    options = {"resolution": 16, "memory_budget_mb": 0}
    if change == "pixels":
        photo(16, 20).save(pets / "cat" / "a.png")
    elif change == "time":  # an edit may keep the size
        os.utime(pets / "cat" / "a.png", ns=(1, 1))
    elif change == "name":
        (pets / "cat" / "a.png").rename(pets / "cat" / "z.png")
    else:
        options[change] = {"fit": "pad", "resolution": 8, "skip_broken": True, "labels": False}[
            change
        ]
    ready(folder(str(pets), **options))
    assert len(list((own_cache / "images").glob("*.npy"))) == 2


def test_content_key_follows_pixels_labels_and_mirroring(pets):
    key = ready(pets_data(pets)).content_key
    assert ready(pets_data(pets, fit="pad", filter="box")).content_key == key  # square already
    (pets / "dog").rename(pets / "bird")  # labels 0 0 0 1 1 1 1 become 1 1 1 1 0 0 0
    assert ready(pets_data(pets)).content_key != key
    (pets / "bird").rename(pets / "dog")
    others = [{"flip": True}, {"labels": False}, {"channels": 1}]
    keys = {ready(pets_data(pets, **options)).content_key for options in others}
    assert len(keys | {key}) == 4


def test_a_second_rank_maps_what_the_first_decoded(pets, monkeypatch):
    first = ready(pets_data(pets, batch_size=4), rank=0, world_size=2)
    monkeypatch.setattr(dataset, "scan", lambda *_: pytest.fail("decodes again"))
    second = ready(pets_data(pets, batch_size=4), rank=1, world_size=2)
    assert isinstance(second.dataset.pixels, np.memmap)
    assert second.content_key == first.content_key


def test_small_array_sources_need_no_file_under_several_ranks(own_cache):
    ready(synthetic(6, 8, batch_size=4), rank=1, world_size=2)
    assert not own_cache.exists()


def test_broken_images_leave_no_file_behind(pets, own_cache):
    (pets / "cat" / "b.png").write_text("broken")
    with pytest.raises(BrokenData, match=r"1 of 7(?s:.*)cat/b\.png"):
        ready(pets_data(pets, memory_budget_mb=0))
    assert list((own_cache / "images").iterdir()) == []


def test_skipping_gives_the_same_mapped_and_in_memory(pets):
    (pets / "cat" / "b.png").write_text("broken")
    with pytest.warns(UserWarning, match="left out"):
        mapped = ready(pets_data(pets, memory_budget_mb=0, skip_broken=True)).dataset
    with pytest.warns(UserWarning, match="left out"):
        memory = ready(pets_data(pets, skip_broken=True)).dataset
    assert len(mapped) == 6
    assert np.array_equal(mapped.pixels, memory.pixels)
    assert mapped.digest == memory.digest


def test_full_disk_is_found_before_decoding(pets, monkeypatch, own_cache):
    monkeypatch.setattr(dataset.shutil, "disk_usage", lambda _: Usage(10, 9, 1))
    with pytest.raises(OSError, match=r"no room for.*data\.cache_dir.*data\.memory_budget_mb"):
        ready(pets_data(pets, memory_budget_mb=0))
    assert list((own_cache / "images").iterdir()) == []


def test_disk_that_fills_up_meanwhile_leaves_nothing_behind(pets, monkeypatch, own_cache):
    def full(file, count, fitting):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(dataset, "_header", full)
    with pytest.raises(OSError, match=r"No space left on device.*data\.cache_dir"):
        ready(pets_data(pets, memory_budget_mb=0))
    assert list((own_cache / "images").iterdir()) == []


def test_cache_dir_that_cannot_be_made_is_named(pets, tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(OSError, match=r"file/cache.*data\.cache_dir"):
        ready(pets_data(pets, memory_budget_mb=0, cache_dir=str(tmp_path / "file" / "cache")))


def test_mapped_files_lie_in_the_users_cache(monkeypatch, tmp_path):
    monkeypatch.delenv("GANLAB_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert module.ImageData(None).cache_dir == tmp_path / "xdg" / "ganlab" / "images"
