import shutil
import zipfile

import numpy as np
import pytest
from PIL import Image

from ganlab.data import BrokenData, folder, zipped


def ready(data):
    data.prepare_data()
    data.setup()
    return data


def truncated(path, keep=0.6):
    content = path.read_bytes()
    path.write_bytes(content[: int(keep * len(content))])


def zip_of(root):
    archive = root.with_suffix(".zip")
    with zipfile.ZipFile(archive, "w") as file:
        for path in sorted(root.rglob("*"), reverse=True):
            file.write(path, path.relative_to(root))
    return archive


@pytest.fixture(params=["folder", "zip"])
def load(request):
    """(root, **options) -> ImageData over the folder itself or over a zip archive of it."""

    def build(root, **options):
        options = {"resolution": 16, **options}
        if request.param == "folder":
            return ready(folder(str(root), **options))
        return ready(zipped(str(zip_of(root)), **options))

    return build


def test_nested_folders_are_classes_in_sorted_order(pets, load):
    data = load(pets)
    assert data.dataset.class_names == ["cat", "dog"]
    assert data.dataset.labels.tolist() == [0, 0, 0, 1, 1, 1, 1]
    assert data.num_classes == 2
    first = np.asarray(Image.open(pets / "cat" / "a.png")).transpose(2, 0, 1)
    assert np.array_equal(data.dataset.images([0])[0].numpy(), first)


def test_deeper_folders_keep_their_whole_path_as_class(pets, load):
    (pets / "dog").rename(pets / "d")
    (pets / "wild").mkdir()
    (pets / "d").rename(pets / "wild" / "dog")
    assert load(pets).dataset.class_names == ["cat", "wild/dog"]


def test_labels_can_be_ignored(pets, load):
    data = load(pets, labels=False)
    assert data.dataset.labels is None
    assert (data.num_classes, len(data.dataset)) == (0, 7)


def test_flat_folder_is_unlabelled(pets, load):
    for path in list(pets.glob("*/*.png")):
        path.rename(pets / f"{path.parent.name}_{path.name}")
    assert load(pets).dataset.labels is None


def test_other_and_hidden_files_are_no_images(pets, load):
    (pets / "README.txt").write_text("pets")
    (pets / "cat" / "._a.png").write_bytes(b"a resource fork")
    (pets / "__MACOSX").mkdir()
    (pets / "__MACOSX" / "a.png").write_bytes(b"another")
    assert len(load(pets).dataset) == 7


def test_all_broken_files_are_listed_with_the_option_to_skip_them(pets, load):
    truncated(pets / "cat" / "b.png")
    (pets / "dog" / "c.png").write_text("no image at all")
    (pets / "dog" / "d.png").write_bytes(b"")
    with pytest.raises(BrokenData, match=r"data\.skip_broken=true") as caught:
        load(pets)
    message = str(caught.value)
    assert "3 of 7 images cannot be used" in message
    assert [p.path.split("/")[-1] for p in caught.value.problems] == ["b.png", "c.png", "d.png"]
    assert all(problem.path in message for problem in caught.value.problems)
    assert "truncated" in caught.value.problems[0].reason
    assert "not an image" in caught.value.problems[1].reason
    assert all(problem.fix for problem in caught.value.problems)


def test_broken_files_are_skipped_on_demand_with_their_labels(pets, load):
    whole = load(pets).dataset
    truncated(pets / "cat" / "b.png")
    with pytest.warns(UserWarning, match=r"1 of 7 images cannot be used(?s:.*)b\.png"):
        rest = load(pets, skip_broken=True).dataset
    kept = [0, 2, 3, 4, 5, 6]
    assert rest.labels.tolist() == whole.labels[kept].tolist()
    assert np.array_equal(rest.pixels, whole.pixels[kept])


def test_a_folder_of_broken_files_only_cannot_be_skipped(pets, load):
    for path in pets.glob("*/*.png"):
        truncated(path)
    with pytest.raises(BrokenData, match="7 of 7"):
        load(pets, skip_broken=True)


def test_a_photograph_larger_than_the_limit_is_named_with_the_words_that_admit_it(tmp_path, load):
    (tmp_path / "large").mkdir()
    Image.new("L", (64, 48), 7).save(tmp_path / "large" / "a.png")
    told = r"a\.png: 64x48 px are more than data\.max_pixels=3071 \(set data\.max_pixels=3072"
    with pytest.raises(BrokenData, match=told):
        load(tmp_path / "large", max_pixels=3071)
    assert len(load(tmp_path / "large", max_pixels=3072).dataset) == 1


def test_pillows_own_limit_does_not_bound_what_may_be_read(tmp_path, load, monkeypatch):
    (tmp_path / "large").mkdir()
    Image.new("L", (64, 48), 7).save(tmp_path / "large" / "a.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    assert len(load(tmp_path / "large").dataset) == 1
    assert Image.MAX_IMAGE_PIXELS == 100


def test_every_offender_is_named_however_many(tmp_path, load):
    (tmp_path / "many").mkdir()
    for k in range(33):
        (tmp_path / "many" / f"{k:02}.png").write_text("broken")
    with pytest.raises(BrokenData, match="33 of 33 images") as caught:
        load(tmp_path / "many")
    assert len(caught.value.problems) == 33
    assert str(caught.value).count(".png: ") == 33


def test_files_outside_the_class_folders_are_listed(pets, load):
    shutil.copy(pets / "cat" / "a.png", pets / "stray1.png")
    shutil.copy(pets / "cat" / "a.png", pets / "stray2.png")
    with pytest.raises(BrokenData, match=r"2 of 9(?s:.*)stray1(?s:.*)stray2") as caught:
        load(pets)
    assert {problem.fix for problem in caught.value.problems} == {
        "move it into a class folder or set data.labels=false"
    }
    assert len(load(pets, labels=False).dataset) == 9
    with pytest.warns(UserWarning, match="left out: 2 of 9"):
        assert len(load(pets, skip_broken=True).dataset) == 7


def test_too_small_images_are_listed_with_the_option_to_enlarge(pets, photo, load):
    photo(8, 12).save(pets / "cat" / "tiny.png")
    with pytest.raises(BrokenData, match=r"tiny\.png: 12x8 px is too small(?s:.*)data\.enlarge"):
        load(pets)
    assert len(load(pets, enlarge=True).dataset) == 8


def test_empty_folder_says_what_to_do(tmp_path, load):
    (tmp_path / "empty" / "nested").mkdir(parents=True)
    with pytest.raises(BrokenData, match=r"empty.*holds no image files.*data\.path") as caught:
        load(tmp_path / "empty")
    assert "\n" not in str(caught.value)


def test_missing_path_names_the_option(tmp_path):
    for path in (None, str(tmp_path / "nowhere")):
        with pytest.raises(FileNotFoundError, match=r"data\.path"):
            ready(folder(path))


def test_a_text_file_called_zip_is_no_archive(tmp_path):
    (tmp_path / "fake.zip").write_text("not an archive")
    with pytest.raises(BrokenData, match=r"fake\.zip: is not a zip archive") as caught:
        ready(zipped(str(tmp_path / "fake.zip")))
    assert "data.path takes a .zip of images" in str(caught.value)


def test_links_to_folders_are_followed_as_classes_but_not_in_circles(pets, tmp_path):
    """Two links to one folder are two classes; a link back up is nothing."""
    root = tmp_path / "linked"
    root.mkdir()
    for name in ("cat", "dog"):
        (root / name).symlink_to(pets / name)
    (root / "again").symlink_to(pets / "cat")
    (pets / "dog" / "up").symlink_to(pets)
    (pets / "dog" / "self").symlink_to(pets / "dog")
    data = ready(folder(str(root), resolution=16))
    names = data.dataset.class_names
    assert [names[label] for label in data.dataset.labels][:9] == ["again"] * 3 + ["cat"] * 3 + [
        *["dog"] * 3
    ]
    assert [name for name in names if "self" in name] == []
    assert max(name.count("/") for name in names) == 2, "dog/up/cat, and no further"


@pytest.mark.parametrize("budget", [0, 1])
def test_a_link_to_nothing_is_listed_and_can_be_skipped(pets, budget):
    (pets / "cat" / "gone.png").symlink_to("nowhere")
    (pets / "bird").symlink_to("elsewhere")
    options = {"resolution": 16, "memory_budget_mb": budget}
    with pytest.raises(BrokenData, match=r"2 of 9(?s:.*)bird: is a link to nothing(?s:.*)gone"):
        ready(folder(str(pets), **options))
    with pytest.warns(UserWarning, match="left out: 2 of 9"):
        assert len(ready(folder(str(pets), skip_broken=True, **options)).dataset) == 7
    (pets / "cat" / "gone.png").unlink()
    (pets / "bird").unlink()
    assert len(ready(folder(str(pets), **options)).dataset) == 7


def test_a_damaged_archive_member_is_listed(pets):
    archive = zip_of(pets)
    with zipfile.ZipFile(archive) as file:
        start = file.getinfo("dog/b.png").header_offset
    content = bytearray(archive.read_bytes())
    content[start + 200 : start + 210] = bytes(10)
    archive.write_bytes(content)
    with pytest.raises(BrokenData, match=r"1 of 7(?s:.*)dog/b\.png: .*CRC"):
        ready(zipped(str(archive), resolution=16))


def test_an_archives_member_of_a_gigabyte_is_refused_by_its_size_alone(pets, monkeypatch):
    archive = zip_of(pets)
    with (
        zipfile.ZipFile(archive, "a", zipfile.ZIP_DEFLATED, compresslevel=1) as file,
        file.open("dog/bomb.png", "w", force_zip64=True) as member,
    ):
        for _ in range(2**6):
            member.write(bytes(2**24))
    read, unpacked = zipfile.ZipFile.read, []
    monkeypatch.setattr(
        zipfile.ZipFile,
        "read",
        lambda self, member, *rest: unpacked.append(member.filename) or read(self, member, *rest),
    )
    with pytest.raises(BrokenData, match=r"dog/bomb\.png: unpacks to 1,024 MB"):
        ready(zipped(str(archive), resolution=16))
    assert "dog/a.png" in unpacked
    assert "dog/bomb.png" not in unpacked


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("a.npz", "is a file of arrays (data=arrays reads it)"),
        ("a.mp4", "is no folder, archive or database of images (data.path takes a folder"),
        ("a.pt", "is no folder, archive or database of images (data.path takes a folder"),
    ],
)
def test_a_file_of_another_kind_is_no_damaged_archive(tmp_path, name, told):
    content = b"PK" if name == "a.npz" else b"none of these"
    (tmp_path / name).write_bytes(content * 100)
    with pytest.raises(BrokenData) as caught:
        ready(folder(str(tmp_path / name)))
    assert told in str(caught.value)


def test_links_behind_links_come_to_an_end(tmp_path):
    """Thirty folders, each with two links to the next, have a thousand million paths."""
    for number in range(30):
        (tmp_path / f"{number}").mkdir()
        for name in "ab" if number < 29 else "":
            (tmp_path / f"{number}" / name).symlink_to(tmp_path / f"{number + 1}")
    with pytest.raises(BrokenData, match=r"is come to by more than 100 links \(delete links"):
        folder(str(tmp_path / "0"), resolution=8).prepare_data()
