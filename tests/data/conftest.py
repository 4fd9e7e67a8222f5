import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    """No test may read or write the user's cache."""
    monkeypatch.setenv("GANLAB_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def photo():
    """A noisy RGB picture, (H, W) -> PIL image; every call gives another one."""
    rng = np.random.default_rng(0)
    return lambda height, width: Image.fromarray(
        rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
    )


@pytest.fixture
def pets(tmp_path, photo) -> Path:
    """Seven PNGs of 16 px in the class folders cat (3) and dog (4)."""
    for name in ("cat/a", "cat/b", "cat/c", "dog/a", "dog/b", "dog/c", "dog/d"):
        path = tmp_path / "pets" / f"{name}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        photo(16, 16).save(path)
    return tmp_path / "pets"


@pytest.fixture
def png(tmp_path):
    """(number, px) -> the bytes of a grey PNG."""

    def build(value, px=8):
        Image.new("L", (px, px), value).save(tmp_path / "one.png")
        return (tmp_path / "one.png").read_bytes()

    return build
