import os

import numpy as np
import pytest

from ganlab.data import BrokenData, arrays

RNG = np.random.default_rng(0)
RGB = RNG.integers(0, 256, (5, 8, 8, 3), dtype=np.uint8)  # (N, H, W, C)
LABELS = np.array([3, 7, 3, 9, 7])


def opened(path, **options):
    data = arrays(str(path), resolution=8, **options)
    data.prepare_data()
    data.setup()
    return data.dataset


def saved(path, *positional, **named):
    (np.savez if path.suffix == ".npz" else np.save)(path, *positional, **named)
    return path


@pytest.mark.parametrize("images", [RGB, RGB.transpose(0, 3, 1, 2)], ids=["NHWC", "NCHW"])
def test_colour_arrays_in_both_layouts(tmp_path, images):
    dataset = opened(saved(tmp_path / "images.npy", images))
    assert np.array_equal(dataset.pixels, RGB.transpose(0, 3, 1, 2))
    assert dataset.labels is None


@pytest.mark.parametrize("shape", [(5, 8, 8), (5, 8, 8, 1), (5, 1, 8, 8)])
def test_grey_arrays_in_three_layouts(tmp_path, shape):
    grey = RGB[..., 0]
    dataset = opened(saved(tmp_path / "images.npy", grey.reshape(shape)), channels=1)
    assert np.array_equal(dataset.pixels[:, 0], grey)


def test_sixteen_bit_arrays_are_scaled(tmp_path):
    dataset = opened(saved(tmp_path / "images.npy", RGB.astype(np.uint16) * 257))
    assert np.array_equal(dataset.pixels, RGB.transpose(0, 3, 1, 2))


def test_alpha_is_composited_on_white(tmp_path):
    clear = np.concatenate([RGB, np.zeros((5, 8, 8, 1), np.uint8)], -1)
    assert (opened(saved(tmp_path / "images.npy", clear)).pixels == 255).all()


def test_npz_labels_are_found_and_numbered(tmp_path):
    dataset = opened(saved(tmp_path / "set.npz", pictures=RGB, kinds=LABELS[:, None]))
    assert dataset.labels.tolist() == [0, 1, 0, 2, 1]
    assert dataset.class_names == ["3", "7", "9"]


def test_npy_labels_come_from_a_second_file(tmp_path):
    labels = saved(tmp_path / "labels.npy", LABELS)
    dataset = opened(saved(tmp_path / "images.npy", RGB), labels=str(labels))
    assert dataset.labels.tolist() == [0, 1, 0, 2, 1]


def test_several_candidates_must_be_told_apart(tmp_path):
    path = saved(tmp_path / "set.npz", train=RGB, test=RGB[::-1])
    told = r"several arrays may be the images, train, test \(say which, as data\.images=train\)"
    with pytest.raises(BrokenData, match=told):
        opened(path)
    assert np.array_equal(opened(path, images="test").pixels, RGB[::-1].transpose(0, 3, 1, 2))
    with pytest.raises(BrokenData, match=r"data\.images=val: train \(5, 8, 8, 3\)"):
        opened(path, images="val")


def test_file_with_python_objects_is_never_opened(tmp_path):
    class Trap:
        def __reduce__(self):
            return (pytest.fail, ("unpickled",))

    for name in ("trap.npy", "trap.npz"):
        path = saved(tmp_path / name, np.array([Trap()], dtype=object))
        with pytest.raises(BrokenData, match="Python objects, which are never opened"):
            opened(path)


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (RGB.astype(np.complex64), "type complex64, which are no real numbers"),
        (RGB.astype(np.float32), r"values from 0 to 255 \(float32\).*say data\.range=\[0,255\]"),
        (RGB[0, 0], r"wrong size \(8, 3\)"),
        (RGB[..., :2], r"2 channels, not data\.channels=3 \(set data\.channels=2\)"),
        (RGB[:0], r"no images: shape \(0, 8, 8, 3\)"),
    ],
)
def test_wrong_arrays_are_described(tmp_path, images, message):
    with pytest.raises(BrokenData, match=message):
        opened(saved(tmp_path / "images.npy", images))


@pytest.mark.parametrize(
    "labels", [LABELS[:4], LABELS + 0.5, LABELS + 1j, LABELS + np.inf, LABELS + 1e300]
)
def test_wrong_labels_are_described(tmp_path, labels):
    path = saved(tmp_path / "set.npz", images=RGB, labels=labels)
    with pytest.raises(BrokenData, match=r"has labels labels .* 5 images, not one integer each"):
        opened(path, labels="labels")


@pytest.mark.parametrize("kind", [np.float32, np.int64, np.uint8, bool])
@pytest.mark.parametrize("key", ["labels", "y", "attributes"])
def test_one_hot_rows_are_classes(tmp_path, kind, key):
    """Each is the place of its one, a class that no image has is one as well."""
    rows = np.eye(4)[[2, 0, 2, 3, 0]].astype(kind)
    path = saved(tmp_path / "set.npz", images=RGB, **{key: rows})
    dataset = opened(path, labels=key) if key == "attributes" else opened(path)
    assert dataset.labels.tolist() == [2, 0, 2, 3, 0]
    assert dataset.class_names == list("0123")


@pytest.mark.parametrize("row", [[0.25, 0.75, 0], [1, 1, 0], [0, 0, 0], [1, 0, np.nan], [2, 0, 0]])
def test_soft_labels_are_refused_by_name_with_the_way_out(tmp_path, row):
    rows = np.eye(3)[[0, 1, 2, 0, 1]]
    rows[3] = row
    path = saved(tmp_path / "set.npz", images=RGB, labels=rows)
    with pytest.raises(BrokenData, match=r"labels in labels \(5, 3\): row 3 is \[") as error:
        opened(path)
    for words in ("set data.labels to", "or to false", "labels.argmax(1)"):
        assert words in str(error.value)
    assert opened(path, labels=False).labels is None
    beside = saved(tmp_path / "soft.npy", rows)
    with pytest.raises(BrokenData, match=r"labels in soft\.npy \(5, 3\): row 3"):
        opened(saved(tmp_path / "images.npy", RGB), labels=str(beside))


def test_rows_that_are_not_called_labels_are_none_unless_asked_for(tmp_path):
    path = saved(tmp_path / "set.npz", images=RGB, attributes=np.ones((5, 4)))
    assert opened(path).labels is None
    with pytest.raises(BrokenData, match="labels in attributes"):
        opened(path, labels="attributes")


@pytest.mark.parametrize("labels", [LABELS.astype(float), LABELS[:, None].astype(np.float32)])
def test_whole_numbers_among_the_floats_are_classes(tmp_path, labels):
    dataset = opened(saved(tmp_path / "set.npz", images=RGB, labels=labels))
    assert (dataset.labels.tolist(), dataset.class_names) == ([0, 1, 0, 2, 1], ["3", "7", "9"])


@pytest.mark.parametrize("kind", ["U", "S"])
def test_names_are_classes_in_sorted_order(tmp_path, kind):
    names = np.array(["dog", "cat", "dog", "emu", "cat"]).astype(kind)
    dataset = opened(saved(tmp_path / "set.npz", images=RGB, labels=names))
    assert (dataset.labels.tolist(), dataset.class_names) == (
        [1, 0, 1, 2, 0],
        ["cat", "dog", "emu"],
    )


@pytest.mark.parametrize("name", ["set.npz", "images.npy"])
def test_truncated_file_is_named(tmp_path, name):
    path = saved(tmp_path / name, RGB)
    path.write_bytes(path.read_bytes()[:300])
    with pytest.raises(BrokenData, match=name):
        opened(path)


def test_pipes_are_refused_and_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe.npy")
    for options in ({}, {"labels": str(tmp_path / "pipe.npy")}):
        path = saved(tmp_path / "images.npy", RGB) if options else tmp_path / "pipe.npy"
        with pytest.raises(FileNotFoundError, match=r"pipe\.npy is no file but a pipe"):
            opened(path, **options)


def test_a_scalar_asked_for_as_images_is_described(tmp_path):
    path = saved(tmp_path / "set.npz", one=np.uint8(3), two=RGB)
    with pytest.raises(BrokenData, match=r"holds no images|wrong size \(\)"):
        opened(path, images="one")


def test_npz_without_images(tmp_path):
    with pytest.raises(BrokenData, match=r"holds no array of images: labels \(5,\)"):
        opened(saved(tmp_path / "set.npz", labels=LABELS))


def test_images_of_the_wrong_size_are_all_listed(tmp_path):
    path = saved(tmp_path / "images.npy", RGB)
    data = arrays(str(path), resolution=16)
    data.prepare_data()
    with pytest.raises(BrokenData, match=r"5 of 5(?s:.*)\[0\]: 8x8 px(?s:.*)\[4\]: 8x8 px"):
        data.setup()
