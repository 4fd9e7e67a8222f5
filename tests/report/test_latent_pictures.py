"""Animations and contact sheets."""

import numpy as np
import pytest
import torch
from PIL import Image

from ganlab.report.image_files import checked_format, ping_pong, save_animation
from ganlab.report.images import STRIP, contact_sheet


def frames(num=5):
    shades = [np.full((6, 8, 3), 40 * i, dtype=np.uint8) for i in range(num)]
    return [shade + np.array([0, 0, 9], dtype=np.uint8) for shade in shades]


@pytest.mark.parametrize("kind", ["gif", "webp"])
def test_an_animation_shows_its_frames_for_ever(tmp_path, kind):
    path = save_animation(frames(), tmp_path / f"walk.{kind}", fps=20)
    with Image.open(path) as film:
        assert film.n_frames == 5
        assert film.info["loop"] == 0
        for i, frame in enumerate(frames()):
            film.seek(i)
            shown = np.asarray(film.convert("RGB")).astype(int)
            assert np.abs(shown - frame).max() <= 6
        assert film.info["duration"] == 50
    assert save_animation(frames(), tmp_path / f"b.{kind}", 20).read_bytes() == path.read_bytes()


def test_there_and_back_has_no_jump():
    assert ping_pong([1, 2, 3, 4]) == [1, 2, 3, 4, 3, 2]
    assert ping_pong([1, 2]) == [1, 2]


@pytest.mark.parametrize(
    ("given", "name", "fps"),
    [
        ([], "a.gif", 16),
        (frames(1), "a.mp4", 16),
        (frames(1), "a.gif", 0),
        ([*frames(1), np.zeros((2, 2, 3), np.uint8)], "a.gif", 16),
    ],
)
def test_what_is_no_animation_is_refused(tmp_path, given, name, fps):
    with pytest.raises(ValueError, match=name):
        save_animation(given, tmp_path / name, fps)


def test_a_pillow_without_webp_is_named(monkeypatch):
    monkeypatch.setattr("PIL.features.check", lambda name: False)
    with pytest.raises(ValueError, match="built without WebP; use gif"):
        checked_format("webp")
    assert checked_format("gif") == "gif"


def test_a_contact_sheet_has_each_image_over_its_name():
    images = torch.linspace(-1, 0.5, 5).view(5, 1, 1, 1).expand(5, 1, 32, 32)
    sheet = contact_sheet(images, ["0", "1", "22", "3", "44"], columns=3)
    height = 64 + STRIP + 2
    assert sheet.shape == (2 * height + 2, 3 * 66 + 2, 3)
    for i in range(5):
        top, left = 2 + height * (i // 3), 2 + 66 * (i % 3)
        shade = round((float(images[i, 0, 0, 0]) + 1) * 127.5)
        assert np.abs(sheet[top : top + 64, left : left + 64].astype(int) - shade).max() <= 1
        strip = sheet[top + 64 : top + 64 + STRIP, left : left + 64]
        assert strip.min() < 100, "a name is written"
        assert (strip[:, :20] == 255).all(), "in the middle"
        assert (strip[:, 44:] == 255).all()
    assert (sheet[height + 2 :, 2 * 66 + 2 :] == 255).all(), "no sixth"


@pytest.mark.parametrize(("names", "columns"), [(["a"], 2), (["a", "b"], 0)])
def test_a_sheet_that_cannot_be_is_refused(names, columns):
    with pytest.raises(ValueError, match="as many names"):
        contact_sheet(torch.zeros(2, 1, 4, 4), names, columns)
