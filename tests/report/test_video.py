"""Films: how large their pixels are, and what an mp4 holds."""

import numpy as np
import pytest
from mp4_boxes import Film, film

from ganlab.report.video import enlargement, require_video, save_video


@pytest.mark.parametrize(
    ("height", "width", "image", "size", "factor"),
    [
        (64, 64, None, 256, 4),
        (28, 28, None, 256, 10),  # 280: 9 would do, but an odd factor splits pixels
        (32, 48, None, 33, 2),
        (256, 256, None, 256, 1),
        (1024, 1024, None, 256, 1),
        (33, 34, None, 32, 2),  # odd
        (34, 33, None, 32, 2),
        (104, 104, 32, 64, 2),  # a grid of three rows of images
    ],
)
def test_pixels_are_repeated_evenly_or_not_at_all(height, width, image, size, factor):
    assert enlargement(height, width, size, image) == factor


def test_a_frame_too_large_for_players_is_refused():
    assert enlargement(4096, 64, 4097) == 2
    with pytest.raises(ValueError, match=r"study\.size=4097: frames of 8196x4098 pixels"):
        enlargement(2049, 4098, 4097)


def test_without_the_library_one_line_says_what_to_install(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "av", None)
    with pytest.raises(ModuleNotFoundError, match=r"^study\.video=true .*'ganlab\[video\]'$"):
        require_video()


@pytest.fixture(scope="module")
def frames():
    rng = np.random.default_rng(0)
    base = rng.integers(0, 256, (6, 9, 3), dtype=np.uint8)
    return [np.roll(base, i // 4, axis=1) for i in range(20)]


def test_a_video_has_every_frame_at_its_speed_and_size(tmp_path, frames):
    pytest.importorskip("av", reason="needs ganlab[video], which `make test-all` adds")
    path = save_video(iter(frames), tmp_path / "a" / "b.mp4", fps=24, factor=2)
    assert film(path) == Film(frames=20, fps=24, width=18, height=12)
    again = save_video(frames, tmp_path / "again.mp4", fps=24, factor=2)
    assert again.read_bytes() == path.read_bytes()


def test_an_enlarged_pixel_is_a_square_of_its_own_colour(tmp_path, frames):
    av = pytest.importorskip("av", reason="needs ganlab[video], which `make test-all` adds")
    path = save_video(frames, tmp_path / "a.mp4", fps=24, factor=8)
    with av.open(str(path)) as file:
        decoded = [
            each.reformat(format="rgb24", src_colorspace="ITU709", interpolation="POINT")
            for each in file.decode(video=0)
        ]
    for frame, picture in zip(frames, decoded, strict=True):
        squares = picture.to_ndarray().reshape(6, 8, 9, 8, 3).astype(int)
        assert np.abs(squares - frame[:, None, :, None]).max() <= 8, "to its edges"


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ([], "needs a frame, and even sides"),
        ([np.zeros((4, 5, 3), np.uint8)], "even sides"),
        ([np.zeros((4, 4, 3), np.uint8), np.zeros((4, 6, 3), np.uint8)], "frames of one size"),
    ],
)
def test_what_is_no_film_is_refused_and_leaves_nothing(tmp_path, given, message):
    pytest.importorskip("av", reason="needs ganlab[video], which `make test-all` adds")
    with pytest.raises(ValueError, match=message):
        save_video(given, tmp_path / "a.mp4", fps=24)
    assert not list(tmp_path.iterdir())
