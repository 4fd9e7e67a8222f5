import gzip
import hashlib
import http.server
import threading

import numpy as np
import pytest

from ganlab.data import BrokenData, fashion_mnist, idx, mnist
from ganlab.data.idx import DEBIAN, MNIST, SHA256, FashionMNIST, read_embedded, read_idx, write_idx

RNG = np.random.default_rng(0)
needs_debian = pytest.mark.skipif(
    not DEBIAN.is_dir(), reason=f"Debian's dataset-fashion-mnist is not installed in {DEBIAN}"
)


@pytest.fixture
def small(monkeypatch, tmp_path):
    """A Fashion-MNIST of 30 + 10 images with its own checksums, gzipped in tmp_path/small."""
    (tmp_path / "small").mkdir()
    arrays = {}
    for name in SHA256:
        count = 30 if name.startswith("train") else 10
        shape = (count, 28, 28) if "images" in name else (count,)
        arrays[name] = RNG.integers(0, 10, shape, dtype=np.uint8)
        content = write_idx(arrays[name])
        monkeypatch.setitem(idx.SHA256, name, hashlib.sha256(content).hexdigest())
        (tmp_path / "small" / f"{name}.gz").write_bytes(gzip.compress(content))
    monkeypatch.setattr(idx, "DEBIAN", tmp_path / "no-debian")
    return tmp_path / "small", arrays


def unzip(folder):
    for path in list(folder.glob("*.gz")):
        path.with_suffix("").write_bytes(gzip.decompress(path.read_bytes()))
        path.unlink()


@pytest.fixture
def server(small):
    """The small set behind a local web server: its address, and the paths asked for."""
    asked = []

    class Handler(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *args):
            super().__init__(*args, directory=str(small[0]))

        def log_message(self, *args):
            asked.append(self.path)

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{running.server_port}/", asked
        running.shutdown()


def test_embedded_images_are_the_official_test_split():
    images, labels = read_embedded()
    for array, name in ((images, "t10k-images-idx3-ubyte"), (labels, "t10k-labels-idx1-ubyte")):
        assert hashlib.sha256(write_idx(array)).hexdigest() == SHA256[name]
    assert np.bincount(labels).tolist() == [1000] * 10


def test_default_set_is_padded_to_32_and_labelled():
    data = fashion_mnist(resolution=32, channels=1, fit="pad", name="fashion_mnist")
    data.prepare_data()
    data.setup()
    images, labels = read_embedded()
    assert np.array_equal(data.dataset.pixels[:, 0, 2:30, 2:30], images)
    assert data.dataset.pixels.sum(dtype=np.int64) == images.sum(dtype=np.int64)
    assert np.array_equal(data.dataset.labels.numpy(), labels)
    assert (data.num_classes, data.dataset.class_names[9]) == (10, "Ankle boot")


@needs_debian
def test_full_set_is_found_where_debian_puts_it():
    collection = FashionMNIST(full=True).open()
    images, labels = read_embedded()
    assert len(collection) == 70_000
    assert np.array_equal(collection.images[60_000:], images)
    assert np.array_equal(collection.labels[60_000:], labels)
    assert np.bincount(collection.labels).tolist() == [7000] * 10


@pytest.mark.parametrize("form", ["gz", "plain"])
def test_full_set_from_a_folder_is_train_then_test(small, form):
    folder, arrays = small
    if form == "plain":
        unzip(folder)
    source = FashionMNIST(str(folder), full=True)
    source.prepare()
    collection = source.open()
    parts = [arrays[f"{part}-images-idx3-ubyte"] for part in ("train", "t10k")]
    assert np.array_equal(collection.images, np.concatenate(parts))
    parts = [arrays[f"{part}-labels-idx1-ubyte"] for part in ("train", "t10k")]
    assert np.array_equal(collection.labels, np.concatenate(parts))


def test_other_content_under_the_right_name_is_refused(small):
    folder, arrays = small
    name = "train-images-idx3-ubyte"
    (folder / f"{name}.gz").write_bytes(gzip.compress(write_idx(arrays[name] ^ 1)))
    with pytest.raises(ValueError, match=rf"{name}\.gz is not the published file: SHA-256"):
        FashionMNIST(str(folder), full=True).open()


def test_truncated_download_is_refused(small):
    folder, _ = small
    path = folder / "t10k-images-idx3-ubyte.gz"
    path.write_bytes(path.read_bytes()[:500])
    with pytest.raises(ValueError, match=r"t10k-images-idx3-ubyte\.gz is damaged"):
        FashionMNIST(str(folder), full=True).open()


def test_missing_file_is_named_with_the_ways_out(small):
    folder, _ = small
    (folder / "t10k-labels-idx1-ubyte.gz").unlink()
    with pytest.raises(FileNotFoundError, match=r"lacks t10k-labels.*data\.full=false"):
        FashionMNIST(str(folder), full=True).open()
    with pytest.raises(FileNotFoundError, match=r"data\.path=/nowhere does not exist"):
        FashionMNIST("/nowhere", full=True).prepare()


def test_download_fills_the_cache_once(small, server, monkeypatch, own_cache):
    address, asked = server
    monkeypatch.setattr(idx, "HOMES", ("http://127.0.0.1:9/", address))  # the first one is dead
    source = FashionMNIST(full=True)
    source.prepare()
    assert len(asked) == 4
    assert np.array_equal(source.open().images[:30], small[1]["train-images-idx3-ubyte"])
    source.prepare()
    assert len(asked) == 4
    left = sorted(path.name for path in (own_cache / "fashion_mnist").iterdir())
    assert left == sorted(f"{name}.gz" for name in SHA256)


def test_download_with_a_wrong_checksum_leaves_nothing_behind(
    small, server, monkeypatch, own_cache
):
    monkeypatch.setattr(idx, "HOMES", (server[0],))
    monkeypatch.setitem(idx.SHA256, "train-images-idx3-ubyte", "0" * 64)
    with pytest.raises(ValueError, match="not the published file"):
        FashionMNIST(full=True).prepare()
    assert list((own_cache / "fashion_mnist").iterdir()) == []


def test_failing_download_says_what_to_do_offline(small, server, monkeypatch):
    (small[0] / "train-images-idx3-ubyte.gz").unlink()
    monkeypatch.setattr(idx, "HOMES", (server[0], "http://127.0.0.1:9/"))
    with pytest.raises(FileNotFoundError) as caught:
        FashionMNIST(full=True).prepare()
    for words in ("404", "dataset-fashion-mnist", "data.path", "data.full=false"):
        assert words in str(caught.value)


def test_nothing_is_downloaded_for_the_embedded_set(monkeypatch):
    monkeypatch.setattr(idx, "fetch", lambda *_: pytest.fail("downloads"))
    FashionMNIST().prepare()


@pytest.mark.parametrize(("split", "count"), [("train", 30), ("test", 10), ("all", 40)])
def test_mnist_splits(small, split, count):
    data = mnist(str(small[0]), split, resolution=32, channels=1, fit="pad")
    data.prepare_data()
    data.setup()
    assert (len(data.dataset), data.num_classes) == (count, 10)


@pytest.mark.parametrize("form", ["gz", "plain"])
def test_mnist_accepts_dots_in_file_names(small, form):
    folder, arrays = small
    if form == "plain":
        unzip(folder)
    for path in list(folder.iterdir()):
        path.rename(folder / path.name.replace("-idx", ".idx"))
    collection = MNIST(str(folder), "test").open()
    assert np.array_equal(collection.images, arrays["t10k-images-idx3-ubyte"])


def test_mnist_errors(small):
    folder, arrays = small
    with pytest.raises(ValueError, match=r"data\.split=val must be one of train, test, all"):
        MNIST(str(folder), "val")
    name = "t10k-labels-idx1-ubyte.gz"
    (folder / name).write_bytes(gzip.compress(write_idx(arrays[name[:-3]][:9])))
    with pytest.raises(
        BrokenData, match=r"images of shape \(10, 28, 28\), not \(N, H, W\), or labels \(9,\)"
    ):
        MNIST(str(folder), "test").open()
    (folder / name).write_bytes(gzip.compress(write_idx(np.arange(10, 20, dtype=np.uint8))))
    with pytest.raises(BrokenData, match=r"a label 19, and 10 classes from 0 .*data=arrays"):
        MNIST(str(folder), "test").open()
    whole = gzip.compress(write_idx(arrays[name[:-3]]))
    for content in (b"not gzip", whole[:-9], whole[:10] + b"\xff" * 20):  # the last: zlib's error
        (folder / name).write_bytes(content)
        with pytest.raises(BrokenData, match=rf"{name}: is damaged"):
            MNIST(str(folder), "test").open()
    (folder / name).unlink()
    with pytest.raises(FileNotFoundError, match="lacks t10k-labels"):
        MNIST(str(folder), "test").open()


@pytest.mark.parametrize(
    "change",
    [
        *(b"", b"\0\0\x08", b"\0\0\x0d\x01\0\0\0\x01a", b"short"),
        *(b"\0\0\x08\x01\0\0", b"\0\0\x08\x02\x80\0\0\0\x80\0\0\0"),  # no length; 2^62 bytes
    ],
)
def test_idx_header_and_size_must_agree(change, tmp_path):
    with pytest.raises(BrokenData, match="not a whole idx file"):
        read_idx(change, tmp_path)
    whole = write_idx(np.zeros((3, 4), np.uint8))
    for content in (whole[:-1], whole + b"\0"):
        with pytest.raises(BrokenData, match="not a whole idx file"):
            read_idx(content, tmp_path)
