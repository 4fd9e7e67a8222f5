"""Videos of studies: what their frames show, and that options which make none are named."""

import numpy as np
import pytest
import torch
from mp4_boxes import Film, film
from PIL import Image
from study_toys import ConvGenerator
from styled_toys import run, small_stylegan2

from ganlab.nn.randomness import latents_at
from ganlab.report.images import grid, save_grid, to_uint8
from ganlab.sampling import Sampler
from ganlab.studies import Interpolation, Timeline
from ganlab.studies.latents import film as films
from ganlab.systems.conditioning import Labels

STOPS = [4, 11, 3]


@pytest.fixture
def kept(monkeypatch):
    """Name -> frames, size and speed of each video, instead of a file."""
    found = {}

    def keep(frames, path, fps, factor):
        found[path.name] = (list(frames), fps, factor)

    monkeypatch.setattr(films, "save_video", keep)
    monkeypatch.setattr(films, "require_video", lambda: None)
    return found


def as_pixels(image):
    return to_uint8(image).expand(3, -1, -1).permute(1, 2, 0).numpy()


def near(frames, images):
    """Whether frames are images (N, C, H, W), but for the rounding of one pass and another."""
    return all(
        np.abs(frame.astype(int) - as_pixels(image)).max() <= 1
        for frame, image in zip(frames, images, strict=True)
    )


def test_the_loop_goes_through_all_latents_and_closes(tmp_path, kept):
    generator = ConvGenerator()
    options = {"latents": "0:2", "loop": STOPS, "walks": ["linear"], "batch_size": 5}
    video = {"video": True, "fps": 10, "seconds": 1.2, "size": 30, "num_steps": 3}
    run(Interpolation(directory=tmp_path, seed=5, **options, **video), generator)
    frames, fps, factor = kept["interpolation_z_linear.mp4"]
    assert (len(frames), fps, factor) == (12, 10, 4), "8 px shown at 32"
    stops = latents_at(generator, STOPS, 5)
    sampler = Sampler(generator, seed=5)
    assert near(frames[::4], sampler.images(STOPS))
    last = 0.25 * stops[2] + 0.75 * stops[0]  # one step before the first
    assert near(frames[-1:], sampler.paint(last[None], STOPS[:1]))


def test_in_w_the_loop_is_of_styles_with_their_own_classes(tmp_path, kept):
    generator = small_stylegan2(num_labels=3)
    question = Interpolation(latents=STOPS[:2], loop=STOPS, seed=5, seconds=0.2, video=True)
    sampler = Sampler(generator, seed=5, condition_at=Labels(3).at)
    in_w = list(question.turn(sampler, "w", "linear"))
    assert len(in_w) == 6
    assert near(in_w[::2], sampler.images(STOPS))
    in_z = list(question.turn(sampler, "z", "linear"))
    first = sampler.paint(sampler.latents(STOPS), STOPS[:1] * 3)
    assert near(in_z[::2], first), "in z the class of the first all along"


def grids(folder, seen):
    for i in seen:
        images = torch.full((4, 1, 8, 8), i / 50 - 1)
        save_grid(images, folder / f"{i:09d}.png", 2, metadata={"images_seen": str(i)})


def test_a_timeline_shows_every_saved_step_equally_long(tmp_path, kept):
    grids(tmp_path / "samples", range(1, 6))
    study = Timeline(
        directory=tmp_path,
        grids=str(tmp_path / "samples"),
        latents="0:2",
        moments=2,
        video=True,
        fps=5,
        seconds=2,
        size=16,
    )
    run(study, ConvGenerator())
    frames, fps, factor = kept["timeline.mp4"]
    assert (len(frames), fps, factor) == (10, 5, 2)
    shown = torch.tensor([i / 50 - 1 for i in range(1, 6)]).repeat_interleave(2)
    for frame, value in zip(frames, shown, strict=True):
        assert np.array_equal(frame, grid(torch.full((2, 1, 8, 8), float(value))))
    with Image.open(tmp_path / "figures" / "timeline.webp") as animation:
        assert animation.n_frames == 2, "the rows of the figure"
        animation.seek(1)
        animation.load()
        assert animation.info["duration"] == 1000


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"size": 0}, r"study\.size must be at least 1"),
        ({"fps": 0}, r"study\.fps must be at least 1"),
        ({"seconds": 0.0}, r"study\.seconds=0\.0 must be above 0"),
        ({"seconds": float("nan")}, r"study\.seconds=nan must be above 0"),
    ],
)
@pytest.mark.parametrize("kind", [Interpolation, Timeline])
def test_options_of_a_video_are_named(tmp_path, kind, options, message):
    grids(tmp_path, [1])
    where = {"grids": str(tmp_path)} if kind is Timeline else {}
    with pytest.raises(ValueError, match=message):
        kind(**where, **options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"seconds": 0.1}, r"study\.seconds=0\.1 at study\.fps=30 are 3 frames for 4 latents"),
        ({"loop": "0:40", "fps": 3}, "24 frames for 40 latents of study.loop"),
        ({"size": 9000}, r"study\.size=9000: frames of 9008x9008"),
    ],
)
def test_a_film_that_cannot_be_is_refused_before_any_work(tmp_path, kept, options, message):
    study = Interpolation(directory=tmp_path, latents="0:4", video=True, **options)
    with pytest.raises(ValueError, match=message):
        run(study, ConvGenerator())
    assert not list(tmp_path.iterdir())


def test_a_loop_of_styles_has_no_place_in_z(tmp_path, kept):
    generator = small_stylegan2()
    np.save(tmp_path / "w.npy", Sampler(generator).styles(range(3)).numpy())
    options = {"loop": str(tmp_path / "w.npy"), "video": True, "seconds": 0.1}
    with pytest.raises(ValueError, match=r"study\.loop=.*holds styles"):
        run(Interpolation(**options), generator)
    run(Interpolation(directory=tmp_path, spaces=["w"], num_steps=2, **options), generator)
    assert set(kept) == {f"interpolation_w_{walk}.mp4" for walk in ("linear", "spherical")}


@pytest.mark.parametrize("kind", [Interpolation, Timeline])
def test_without_the_extra_nothing_begins(tmp_path, monkeypatch, kind):
    monkeypatch.setitem(__import__("sys").modules, "av", None)
    grids(tmp_path, [1])
    where = {"grids": str(tmp_path)} if kind is Timeline else {}
    with pytest.raises(ModuleNotFoundError, match=r"pip install 'ganlab\[video\]'"):
        kind(video=True, **where)
    kind(**where)


def test_with_the_extra_the_file_is_there(tmp_path):
    pytest.importorskip("av", reason="needs ganlab[video], which `make test-all` adds")
    options = {"walks": ["linear"], "num_steps": 2, "video": True, "seconds": 0.4, "size": 16}
    run(Interpolation(directory=tmp_path, **options), ConvGenerator())
    found = film(tmp_path / "figures" / "interpolation_z_linear.mp4")
    assert found == Film(frames=12, fps=30, width=16, height=16)
