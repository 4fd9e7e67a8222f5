"""scripts/pack_emoji.py on a small archive of its form."""

import hashlib
import importlib.util
import io
import json
import tarfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ganlab.data.emoji import Emoji, read_table, tiles

ROOT = Path(__file__).parents[2]
RED = (200, 40, 0)


@pytest.fixture(scope="module")
def script():
    spec = importlib.util.spec_from_file_location("pack_emoji", ROOT / "scripts/pack_emoji.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def png(mode, colour):
    buffer = io.BytesIO()
    Image.new(mode, (64, 64), colour).save(buffer, "png")
    return buffer.getvalue()


def entry(image, name, category, has=True, **more):
    return {
        "image": image, "short_name": name, "category": category, "has_img_google": has, **more
    }  # fmt: skip


@pytest.fixture(scope="module")
def archive():
    """A hand in one tone, a grey shape half transparent, and one that has no picture."""
    tones = {"1F3FB": {"image": "b-1.png", "has_img_google": True}}
    listed = [
        entry("b.png", "hand", "People & Body", skin_variations=tones),
        entry("a.png", "shape", "Symbols"),
        entry("c.png", "absent", "Flags", has=False),
    ]
    files = {
        "package/emoji.json": json.dumps(listed).encode(),
        "package/img/google/64/b.png": png("RGB", RED),
        "package/img/google/64/b-1.png": png("RGBA", (*RED, 255)),
        "package/img/google/64/a.png": png("LA", (55, 51)),  # a fifth opaque
        "package/img/apple/64/a.png": b"another set",
    }
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


def packed(script, archive):
    return script.packed(archive, hashlib.sha256(archive).hexdigest())


def test_pictures_are_in_the_order_of_their_files_on_white(script, archive):
    table, images = packed(script, archive)
    assert table == [
        Emoji("a.png", "shape", "Symbols", ""),
        Emoji("b-1.png", "hand", "People & Body", "1F3FB"),
        Emoji("b.png", "hand", "People & Body", ""),
    ]
    assert images.shape == (3, 64, 64, 3)
    assert (images[0] == 255 - (255 - 55) // 5).all()
    assert (images[1] == RED).all()
    assert (images[2] == RED).all()


def test_the_same_archive_gives_the_same_files_which_read_back(script, archive, tmp_path):
    table, images = packed(script, archive)
    for name in ("once", "twice"):
        (tmp_path / name).mkdir()
        script.write(table, images, tmp_path / name)
    for file in ("emoji.webp", "emoji.csv"):
        assert (tmp_path / "once" / file).read_bytes() == (tmp_path / "twice" / file).read_bytes()
    with Image.open(tmp_path / "once" / "emoji.webp") as picture:
        assert np.array_equal(tiles(np.asarray(picture.convert("RGB")), 3), images)
    assert read_table((tmp_path / "once" / "emoji.csv").read_text()) == table


def test_another_archive_is_refused(script, archive):
    with pytest.raises(ValueError, match=f"not {script.SHA256}"):
        script.packed(archive)
