"""Tar archives and LMDB files: indices, WebDataset's labels, and what is damaged or hostile."""

import json
import os
import tarfile

import numpy as np
import pytest
from containers import add_to_tar, files_of, needs, ready, write_lmdb, write_tar

from ganlab.data import BrokenData, any_images, check, folder, index, lmdb, packed, tar
from ganlab.data.containers import shards_named
from ganlab.storage import DamagedFile
from ganlab.storage.key_values import entries


def labels_of(place):
    data = ready(tar(str(place), resolution=8, channels=1))
    names = data.dataset.class_names
    return [names[k] for k in data.dataset.labels], data.dataset.pixels[:, 0, 0, 0].tolist()


@pytest.mark.parametrize(("suffix", "form"), [(".cls", "{}"), (".json", '{{"label": {}}}')])
def test_classes_stand_beside_each_image_in_shards(tmp_path, png, suffix, form):
    """Keys begin anew in each shard, as some writers' do; there are more dots after the first."""
    (tmp_path / "shards").mkdir()
    for shard in range(2):
        files = {}
        for k in range(3):
            files[f"{k:04}.left.png"] = png(10 * shard + k)
            files[f"{k:04}{suffix}"] = form.format(shard + k).encode()
        add_to_tar(tmp_path / "shards" / f"a-{shard:06}.tar", files)
    assert labels_of(tmp_path / "shards") == (list("012123"), [0, 1, 2, 10, 11, 12])
    named = str(tmp_path / "shards" / "a-{000000..000001}.tar")
    assert labels_of(named) == (list("012123"), [0, 1, 2, 10, 11, 12])
    found = check.survey(named)
    assert found.labelled == f"4 classes from the {suffix} beside each image"
    assert not found.passed_over


def test_classes_by_name_and_a_file_of_labels_before_them(tmp_path, png):
    files = {"a.png": png(1), "a.cls": b"dog\n", "b.png": png(2), "b.cls": b"cat"}
    add_to_tar(tmp_path / "a.tar", files)
    assert labels_of(tmp_path / "a.tar") == (["dog", "cat"], [1, 2])
    files["dataset.json"] = json.dumps({"labels": [["a.png", 1], ["b.png", 0]]}).encode()
    add_to_tar(tmp_path / "b.tar", files)
    assert labels_of(tmp_path / "b.tar") == (["1", "0"], [1, 2])


def test_an_image_without_its_class_is_named(tmp_path, png):
    add_to_tar(tmp_path / "a.tar", {"a.png": png(1), "a.cls": b"1", "b.png": png(2)})
    with pytest.raises(BrokenData, match=r"no label in a \.cls beside b\.png .*data\.labels=false"):
        labels_of(tmp_path / "a.tar")


@pytest.mark.parametrize("text", [b"1\n2", b"-1", b"100000", b"a\tb"])
def test_a_label_that_is_none_is_named_with_its_file(tmp_path, png, text):
    add_to_tar(tmp_path / "a.tar", {"a.png": png(1), "a.cls": b"1", "b.png": png(2), "b.cls": text})
    if text in (b"-1", b"100000"):
        expected = r"a\.tar: has a label of b\.cls that is neither a name nor a whole number"
    else:
        expected = r"a\.tar: has a label of b\.cls that is neither"
    with pytest.raises(BrokenData, match=expected):
        labels_of(tmp_path / "a.tar")


def test_an_index_is_made_once_and_again_when_the_file_changes(pets, tmp_path, monkeypatch):
    _, place = write_tar(tmp_path / "a", files_of(pets))
    first = ready(tar(str(place), resolution=16))
    opened = tarfile.open
    monkeypatch.setattr(tarfile, "open", lambda *_, **__: pytest.fail("is walked again"))
    assert ready(tar(str(place), resolution=16)).content_key == first.content_key
    monkeypatch.setattr(tarfile, "open", opened)
    files = files_of(pets)
    write_tar(tmp_path / "a", {name: files[name] for name in list(files)[1:]})
    assert len(ready(tar(str(place), resolution=16)).dataset) == 6


@pytest.mark.parametrize("damage", [b"", b"PK", "cut", "flipped"])
def test_a_damaged_index_is_made_anew(pets, tmp_path, own_cache, damage):
    _, place = write_tar(tmp_path / "a", files_of(pets))
    first = ready(tar(str(place), resolution=16))
    (kept,) = (own_cache / "indices").glob("*.npz")
    content = bytearray(kept.read_bytes())
    if isinstance(damage, bytes):
        content = damage
    elif damage == "cut":
        content = content[:-30]
    else:
        content[200] ^= 1
    kept.write_bytes(content)
    assert ready(tar(str(place), resolution=16)).content_key == first.content_key


def test_an_index_of_another_file_is_not_believed(tmp_path):
    index.Index.of([("a", 0, 100, "")], (100, 7)).write(tmp_path / "a.npz")
    assert index.Index.load(tmp_path / "a.npz", (100, 7)).places == {"a": (0, 100, "")}
    for other in ((99, 7), (101, 7), (100, 8)):
        with pytest.raises(DamagedFile, match="of another file"):
            index.Index.load(tmp_path / "a.npz", other)


def test_a_file_that_is_written_to_is_named_and_no_index_of_it_kept(tmp_path, own_cache):
    place = tmp_path / "a"
    place.write_bytes(b"abcdef")

    def members(path):
        yield "x", 1, 3, ""
        path.write_bytes(b"abcdefgh")

    with pytest.raises(DamagedFile, match="was written to while it was read"):
        index.kept_index(place, members)
    assert not (own_cache / "indices").exists()


def test_images_of_a_file_that_changed_after_it_was_listed_are_named(pets, tmp_path):
    """Bytes at the old places may be other images."""
    _, place = write_tar(tmp_path / "a", files_of(pets))
    images = tar(str(place), resolution=16).source.open()
    images.image(0).close()
    add_to_tar(place, dict(sorted(files_of(pets).items(), reverse=True)))
    with pytest.raises(DamagedFile, match=r"a\.tar was written to since it was listed"):
        images.image(0)


def test_names_that_are_no_text_are_kept(tmp_path):
    name = b"\xff\x00\xe9".decode("utf-8", "surrogateescape")
    index.Index.of([(name, 1, 2, "é")], (3, 0)).write(tmp_path / "a.npz")
    assert index.Index.load(tmp_path / "a.npz", (3, 0)).places == {name: (1, 2, "é")}


def test_a_tar_that_ends_too_early_or_goes_wrong_is_named(pets, tmp_path):
    _, place = write_tar(tmp_path / "a", files_of(pets))
    whole = place.read_bytes()
    place.write_bytes(whole[:1200])
    with pytest.raises(BrokenData, match=r"a\.tar: it ends in the middle of \w+/"):
        ready(tar(str(place), resolution=16))
    place.write_bytes(whole)
    with tarfile.open(place) as archive:
        third = archive.getmembers()[2].offset
    place.write_bytes(whole[:third] + bytes([1] * 512) + whole[third + 512 :])
    with pytest.raises(BrokenData, match=rf"byte {third:,} is no member"):
        ready(tar(str(place), resolution=16))


def test_links_devices_and_places_outside_are_never_followed(tmp_path, png):
    outside = tmp_path / "secret.png"
    outside.write_bytes(png(99))
    with tarfile.open(tmp_path / "a.tar", "w") as archive:
        archive.add(outside, "a.png")
        for name, kind, link in (
            ("link.png", tarfile.SYMTYPE, str(outside)),
            ("hard.png", tarfile.LNKTYPE, "a.png"),
            ("pipe.png", tarfile.FIFOTYPE, ""),
        ):
            member = tarfile.TarInfo(name)
            member.type, member.linkname = kind, link
            archive.addfile(member)
        archive.add(outside, "../up.png")
    with pytest.raises(BrokenData) as error:
        ready(tar(str(tmp_path / "a.tar"), resolution=8, labels=False))
    found = {each.path.rpartition("/")[2]: each.reason for each in error.value.problems}
    assert found == {
        "link.png": "is a link in the archive, and no file",
        "hard.png": "is a link in the archive, and no file",
        "pipe.png": "is a pipe in the archive, and no file",
    }
    with pytest.warns(UserWarning, match="3 of 5 images cannot be used"):
        data = ready(tar(str(tmp_path / "a.tar"), resolution=8, skip_broken=True, labels=False))
    assert data.dataset.pixels.shape[0] == 2  # that from above is read in place, as any


def test_a_file_of_labels_that_is_a_link_is_not_passed_over(tmp_path, png):
    """Classes of the folders would be others."""
    with tarfile.open(tmp_path / "a.tar", "w") as archive:
        (tmp_path / "a.png").write_bytes(png(1))
        archive.add(tmp_path / "a.png", "cat/a.png")
        member = tarfile.TarInfo("labels.csv")
        member.type, member.linkname = tarfile.SYMTYPE, "/elsewhere.csv"
        archive.addfile(member)
    (problem,) = check.check(tmp_path / "a.tar")
    assert problem.path.endswith("a.tar/labels.csv")
    assert "is a link in the archive" in problem.reason


@pytest.mark.parametrize("named", ["folder", "range", "itself"])
def test_a_pipe_or_a_folder_in_place_of_a_shard_is_not_waited_for(tmp_path, png, named):
    (tmp_path / "shards").mkdir()
    add_to_tar(tmp_path / "shards" / "s-0.tar", {"a.png": png(1)})
    os.mkfifo(tmp_path / "shards" / "s-1.tar")
    names = {"folder": "", "range": "s-{0..1}.tar", "itself": "s-1.tar"}
    error = BrokenData if named == "folder" else FileNotFoundError
    with pytest.raises(error, match=r"s-1\.tar:? i[ts] (is )?no file but a pipe"):
        tar(str(tmp_path / "shards" / names[named])).source.open()


def test_a_member_of_no_size_that_there_can_be_has_an_end(tmp_path, png, monkeypatch):
    """Libraries before 2025 walk back to where they were, for ever."""
    add_to_tar(tmp_path / "a.tar", {"a.png": png(1), "b.png": png(2)})
    walked = tarfile.TarFile.next

    def back(self):
        member = walked(self)
        if member is not None:
            self.offset = 0
        return member

    monkeypatch.setattr(tarfile.TarFile, "next", back)
    with pytest.raises(BrokenData, match=r"a\.tar: the size of \w\.png in it is"):
        tar(str(tmp_path / "a.tar")).source.open()


def test_a_tar_of_nothing_holds_no_images(tmp_path):
    with tarfile.open(tmp_path / "a.tar", "w"):
        pass
    assert check.check(tmp_path / "a.tar")[0].reason == "holds no image files"


def test_a_packed_archive_says_what_to_do(tmp_path, pets):
    with tarfile.open(tmp_path / "a.tar.gz", "w:gz") as archive:
        archive.add(pets, "pets")
    (problem,) = check.check(tmp_path / "a.tar.gz")
    assert problem.reason == (
        "is packed as a whole (gzip): no image can be read without the others"
    )


def test_a_tar_by_any_name_and_in_any_preset(pets, tmp_path):
    _, place = write_tar(tmp_path / "a", files_of(pets))
    place = place.rename(tmp_path / "images")
    assert check.check(place) == []
    assert len(ready(folder(str(place), resolution=16)).dataset) == 7


def test_a_member_larger_than_any_image_is_refused_by_its_size(pets, tmp_path, monkeypatch):
    _, place = write_tar(tmp_path / "a", files_of(pets))
    monkeypatch.setattr(packed, "LARGEST", 100)
    with pytest.raises(BrokenData, match=r"7 of 7(?s:.*)has 0 MB, more than any image"):
        ready(tar(str(place), resolution=16))


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("a.tar", None),
        ("a-{08..11}.tar", ["a-08.tar", "a-09.tar", "a-10.tar", "a-11.tar"]),
        (None, None),
    ],
)
def test_shards_named_by_a_range(path, expected):
    found = shards_named(path)
    assert (None if found is None else [str(each) for each in found]) == expected


def test_a_range_of_no_shards_is_named():
    with pytest.raises(ValueError, match=r"names 0 files"):
        shards_named("a-{3..1}.tar")


def written(place, pairs, **options):
    lmdb = needs("lmdb")
    with lmdb.open(str(place), map_size=2**28, **options) as file:
        for start in range(0, len(pairs), 100):  # several transactions leave free pages behind
            with file.begin(write=True) as transaction:
                for key, value in pairs[start : start + 100]:
                    transaction.put(key, value)
    return (place if options.get("subdir") is False else place / "data.mdb"), lmdb


@pytest.mark.parametrize("sizes", [(0, 40), (1000, 2100), (3000, 60_000)])
@pytest.mark.parametrize("subdir", [True, False])
def test_every_value_of_an_lmdb_lies_where_the_library_finds_it(tmp_path, sizes, subdir):
    rng = np.random.default_rng(0)
    keys = [rng.bytes(int(rng.integers(1, 120))) for _ in range(600)]
    pairs = [(key, rng.bytes(int(rng.integers(*sizes)))) for key in keys]
    place, lmdb = written(tmp_path / "db", pairs, subdir=subdir)
    options = {"readonly": True, "subdir": subdir}
    with lmdb.open(str(tmp_path / "db"), **options) as file, file.begin() as transaction:
        expected = list(transaction.cursor())
    content = place.read_bytes()
    found = [(key, content[start : start + size]) for key, start, size in entries(place)]
    assert found == expected


def test_an_lmdb_of_bookkeeping_and_binary_keys(tmp_path, png):
    pairs = [(k.to_bytes(4, "little") + b"\xff", png(k)) for k in range(5)]
    place, _ = written(tmp_path / "db", [*pairs, (b"length", b"5"), (b"a.json", b"{}")])
    data = ready(folder(str(tmp_path / "db"), resolution=8, channels=1))
    assert sorted(data.dataset.pixels[:, 0, 0, 0].tolist()) == [0, 1, 2, 3, 4]
    assert check.survey(place).passed_over == {"": 1, ".json": 1}


def test_an_lmdb_that_is_cut_short_or_empty_or_of_databases_is_named(tmp_path, png):
    place, lmdb = written(tmp_path / "db", [(b"%d" % k, png(k) * 50) for k in range(50)])
    content = place.read_bytes()
    place.write_bytes(content[: len(content) // 2])
    with pytest.raises(BrokenData, match="cut short"):
        ready(folder(str(tmp_path / "db")))
    with lmdb.open(str(tmp_path / "empty")):
        pass
    with pytest.raises(BrokenData, match="holds no image files"):
        ready(folder(str(tmp_path / "empty")))
    with lmdb.open(str(tmp_path / "named"), max_dbs=2) as file:
        file.open_db(b"inner")
    with pytest.raises(BrokenData, match="b'inner' in it is a database of its own"):
        ready(folder(str(tmp_path / "named")))


def test_no_flipped_bits_of_an_lmdb_do_more_than_refuse_it(tmp_path, png):
    """The library follows such offsets out of its map, which ends the process."""
    place, _ = written(tmp_path / "db", [(b"%05d" % k, b"x" * (k % 3000)) for k in range(400)])
    content, rng = place.read_bytes(), np.random.default_rng(0)
    used = [k for k in range(len(content)) if content[k]]
    outcomes = {"read": 0, "refused": 0}
    for _ in range(300):
        damaged = bytearray(content)
        for at in rng.choice(len(used), 3):
            damaged[used[at]] ^= 1 << int(rng.integers(8))
        place.write_bytes(damaged)
        try:
            found = list(entries(place))
            assert all(0 <= start <= start + size <= len(content) for _, start, size in found)
            outcomes["read"] += 1
        except DamagedFile:
            outcomes["refused"] += 1
    assert min(outcomes.values()) > 0


def test_lmdb_folders_are_classes_of_their_keys(pets, tmp_path):
    write_lmdb(tmp_path / "db", files_of(pets))
    assert ready(folder(str(tmp_path / "db"), resolution=16)).dataset.class_names == ["cat", "dog"]


def several_sizes(place, png, sizes=(8, 16, 32), count=3):
    """As the trainers of growing networks keep them: every image at each size, the grey k + px."""
    pairs = [(f"{px}-{k:05}".encode(), png(k + px, px)) for px in sizes for k in range(count)]
    return written(place, [*pairs, (b"length", b"%d" % count)])[0]


@pytest.mark.parametrize("px", [8, 16, 32])
@pytest.mark.parametrize("reader", [lmdb, folder, any_images])
def test_the_size_asked_for_is_read_of_an_lmdb_of_several(tmp_path, png, px, reader):
    several_sizes(tmp_path / "db", png)
    data = ready(reader(str(tmp_path / "db"), resolution=px, channels=1))
    assert data.dataset.pixels.shape == (3, 1, px, px)
    for k, image in enumerate(data.dataset.pixels):
        assert (image == k + px).all(), "another size was scaled"


def test_sizes_that_are_there_are_named_where_one_is_not(tmp_path, png):
    place = several_sizes(tmp_path / "db", png)
    told = r"db: holds its images at 8, 16, 32 px, and none at 64 \(set data\.resolution"
    with pytest.raises(BrokenData, match=told):
        ready(lmdb(str(tmp_path / "db"), resolution=64))
    assert "none at 64" in check.check(place, 64)[0].reason
    assert check.check(place, 16) == []
    found = check.survey(place)  # the largest
    assert (found.problems, found.passed_over) == ([], {"": 1})
    assert "32" in found.values


def test_a_rectangle_is_made_of_the_largest_size(tmp_path, png):
    several_sizes(tmp_path / "db", png)
    data = ready(lmdb(str(tmp_path / "db"), resolution=[16, 32], channels=1))
    assert data.dataset.pixels.shape == (3, 1, 16, 32)
    assert data.dataset.pixels[:, 0, 0, 0].tolist() == [32, 33, 34]


def test_a_number_before_a_hyphen_that_is_no_size_says_nothing(tmp_path, png):
    """As a class and the number of an image in it."""
    pairs = [(f"{kind}-{k:05}".encode(), png(kind)) for kind in (1, 2) for k in range(2)]
    written(tmp_path / "db", pairs)
    data = ready(lmdb(str(tmp_path / "db"), resolution=8, channels=1))
    assert data.dataset.pixels[:, 0, 0, 0].tolist() == [1, 1, 2, 2]
