import numpy as np
import pytest

from ganlab.data import BrokenData, cifar10, stl10
from ganlab.data.binaries import CIFAR10, CIFAR10_CLASSES, CIFAR10_FILES, STL10

RNG = np.random.default_rng(0)


@pytest.fixture
def cifar(tmp_path):
    """Six official-looking files of four records each; returns (folder, images, labels)."""
    images = RNG.integers(0, 256, (24, 3, 32, 32), dtype=np.uint8)
    labels = RNG.integers(0, 10, 24).astype(np.uint8)
    records = np.concatenate([labels[:, None], images.reshape(24, -1)], 1)
    (tmp_path / "cifar-10-batches-bin").mkdir()
    for k, name in enumerate(CIFAR10_FILES["all"]):
        records[4 * k : 4 * k + 4].tofile(tmp_path / "cifar-10-batches-bin" / name)
    return tmp_path / "cifar-10-batches-bin", images, labels


@pytest.fixture
def stl(tmp_path):
    """Three images a split in STL-10's layout (columns first); returns (folder, NCHW images)."""
    images = RNG.integers(0, 256, (3, 3, 96, 96), dtype=np.uint8)
    for split in ("train", "test", "unlabeled"):
        images.transpose(0, 1, 3, 2).tofile(tmp_path / f"{split}_X.bin")
        np.array([1, 10, 5], np.uint8).tofile(tmp_path / f"{split}_y.bin")
    return tmp_path, images


@pytest.mark.parametrize(
    ("split", "part"), [("train", slice(20)), ("test", slice(20, 24)), ("all", slice(24))]
)
def test_cifar10_reads_records_of_label_and_planes(cifar, split, part):
    folder, images, labels = cifar
    for path in (folder, folder.parent):
        data = cifar10(str(path), split, resolution=32)
        data.prepare_data()
        data.setup()
        assert np.array_equal(data.dataset.pixels, images[part])
        assert np.array_equal(data.dataset.labels, labels[part])
        assert data.dataset.class_names == CIFAR10_CLASSES


def test_stl10_undoes_the_column_order(stl):
    folder, images = stl
    data = stl10(str(folder), "train", resolution=128, enlarge=True, fit="pad")
    data.prepare_data()
    data.setup()
    assert np.array_equal(data.dataset.pixels[:, :, 16:112, 16:112], images)
    assert data.dataset.labels.tolist() == [0, 9, 4]


def test_stl10_unlabeled_has_no_labels(stl):
    assert STL10(str(stl[0])).open().labels is None


def test_truncated_binaries_are_named(cifar, stl):
    for path, source in (
        (cifar[0] / "data_batch_3.bin", CIFAR10(str(cifar[0]))),
        (stl[0] / "unlabeled_X.bin", STL10(str(stl[0]))),
    ):
        path.write_bytes(path.read_bytes()[:-5])
        with pytest.raises(BrokenData, match=rf"{path.name}: has .* bytes, no multiple"):
            source.open()


def test_impossible_labels_are_refused(cifar, stl):
    (np.arange(1 + 3072) % 251 + 5).astype(np.uint8).tofile(cifar[0] / "test_batch.bin")
    CIFAR10(str(cifar[0]), "test").open()
    np.full(3073, 10, np.uint8).tofile(cifar[0] / "test_batch.bin")
    with pytest.raises(BrokenData, match="labels outside its 10 classes"):
        CIFAR10(str(cifar[0]), "test").open()
    np.array([1, 2], np.uint8).tofile(stl[0] / "test_y.bin")
    with pytest.raises(BrokenData, match="2 labels for 3 images"):
        STL10(str(stl[0]), "test").open()
    np.array([0, 1, 2], np.uint8).tofile(stl[0] / "test_y.bin")
    with pytest.raises(BrokenData, match="labels outside its 10 classes"):
        STL10(str(stl[0]), "test").open()


def test_missing_files_come_with_the_place_to_get_them(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"lacks data_batch_1\.bin.*cs\.toronto\.edu"):
        CIFAR10(str(tmp_path)).open()
    with pytest.raises(FileNotFoundError, match=r"lacks unlabeled_X\.bin.*cs\.stanford\.edu"):
        STL10(str(tmp_path)).open()
    with pytest.raises(ValueError, match=r"data\.split=val must be one of train, test, all"):
        CIFAR10(str(tmp_path), "val")
    with pytest.raises(ValueError, match=r"data\.split=all must be one of train, test, unl"):
        STL10(str(tmp_path), "all")
