import hashlib
import json

import numpy as np
import pytest

from ganlab.data import generated
from ganlab.data.generated import BATCH, Generated


class Painter:
    """Image i of seed s holds the numbers i and s; counts what it was asked for."""

    digest, shape, source = "abc", (8, 8, 3), {"licence": "MIT"}

    def __init__(self, fail_at=None):
        self.painted, self.fail_at = [], fail_at

    def __call__(self, ckpt):
        self.ckpt = ckpt
        return self

    def paint(self, indices, seed):
        if self.fail_at is not None and self.fail_at in indices:
            raise KeyboardInterrupt
        self.painted += list(indices)
        images = np.zeros((len(indices), 8, 8, 3), np.uint8)
        images[..., 0] = np.array(indices).reshape(-1, 1, 1) % 256
        images[..., 1] = seed
        return images


def module(painter, num=5, latent_seed=7, **options):
    options = {"resolution": 8, **options}
    data = generated(ckpt="x", num=num, latent_seed=latent_seed, painter=painter, **options)
    data.prepare_data()
    data.setup()
    return data


def files(cache):
    return sorted(path.name for path in (cache / "generated").rglob("*"))


def test_the_set_holds_image_i_of_each_latent_in_order(own_cache):
    num = BATCH + 3  # one whole batch and a part
    painter = Painter()
    data = module(painter, num)
    assert painter.painted == list(range(num))
    pixels = data.dataset.images(range(num))
    assert pixels.shape == (num, 3, 8, 8)
    assert pixels[:, 0, 0, 0].tolist() == list(range(num))
    assert set(pixels[:, 1].flatten().tolist()) == {7}


def test_it_is_drawn_once(own_cache):
    module(Painter())
    again = Painter()
    data = module(again)
    assert again.painted == []
    assert len(data.dataset) == 5
    assert len(files(own_cache)) == 2


@pytest.mark.parametrize("change", [{"num": 6}, {"latent_seed": 8}, {"digest": "other"}])
def test_other_images_are_another_file(own_cache, change):
    first = module(Painter())
    painter = Painter()
    painter.digest = change.pop("digest", "abc")
    second = module(painter, **{"num": 5, "latent_seed": 7, **change})
    assert painter.painted
    assert len(files(own_cache)) == 4
    same = np.array_equal(first.dataset.pixels, second.dataset.pixels)
    assert (first.content_key == second.content_key) == same


def test_an_interruption_leaves_no_half_file(own_cache):
    with pytest.raises(KeyboardInterrupt):
        module(Painter(fail_at=BATCH + 1), num=2 * BATCH)
    assert files(own_cache) == []
    assert len(module(Painter(), num=2 * BATCH).dataset) == 2 * BATCH


def test_pixels_without_their_description_are_drawn_again(own_cache):
    module(Painter())
    next((own_cache / "generated").glob("*.json")).unlink()
    painter = Painter()
    module(painter)
    assert painter.painted == list(range(5))


def test_damaged_images_are_drawn_again(own_cache):
    first = module(Painter())
    pixels, described = (next((own_cache / "generated").glob(f"*.{k}")) for k in ("npy", "json"))
    content = pixels.read_bytes()
    changes = {
        pixels: [content[:-9], content[:-9] + bytes(9), b"", bytes(len(content))],
        described: [b"", b"[]", b"{", b'{"blake2b": "0"}'],
    }
    for path, contents in changes.items():
        for each in contents:
            path.write_bytes(each)
            painter = Painter()
            with pytest.warns(UserWarning, match="damaged .* drawn anew"):
                data = module(painter)
            assert painter.painted == list(range(5))
            assert data.content_key == first.content_key


def test_images_drawn_before_checksums_were_kept_are_taken_with_a_warning(own_cache):
    first = module(Painter())
    described = next((own_cache / "generated").glob("*.json"))
    described.write_text("{}")
    painter = Painter()
    with pytest.warns(UserWarning, match="has no checksum"):
        assert module(painter).content_key == first.content_key
    assert not painter.painted


def test_the_record_says_what_the_images_are(own_cache):
    data = module(Painter())
    kept = json.loads(next((own_cache / "generated").glob("*.json")).read_text())
    (path,) = (own_cache / "generated").glob("*.npy")
    summed = hashlib.blake2b(np.load(path).tobytes(), digest_size=16).hexdigest()
    assert kept.pop("blake2b") == summed
    assert kept == data.source.record
    assert kept["ckpt"] == "x"
    assert (kept["num"], kept["latent_seed"], kept["licence"]) == (5, 7, "MIT")


def test_it_takes_the_options_of_any_data(own_cache):
    data = module(Painter(), resolution=4, channels=1, flip=True, batch_size=3)
    assert data.dataset.pixels.shape == (5, 1, 4, 4)
    assert (data.flip, data.batch_size) == (True, 3)


def test_images_smaller_than_asked_for_are_refused_before_any_is_drawn(own_cache):
    painter = Painter()
    with pytest.raises(ValueError, match=r"data\.ckpt=x .* set data\.resolution=8"):
        module(painter, resolution=16)
    assert painter.painted == []
    assert module(painter, resolution=16, enlarge=True).dataset.pixels.shape == (5, 3, 16, 16)


def test_what_cannot_be_is_refused(own_cache, monkeypatch):
    with pytest.raises(ValueError, match=r"data\.num=0"):
        Generated("x", 0, 0, None)
    with pytest.raises(RuntimeError, match=r"ganlab\.run"):
        Generated("x", 1, 0, None).prepare()
    monkeypatch.setattr("shutil.disk_usage", lambda path: type("Disk", (), {"free": 3}))
    with pytest.raises(OSError, match=r"lower data\.num"):
        module(Painter())
    assert files(own_cache) == []
