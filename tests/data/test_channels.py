"""Images of any number of channels: arrays, RGBA files, what is refused, what is shown."""

import numpy as np
import pytest
import torch
from PIL import Image

from ganlab.data import BrokenData, arrays, folder
from ganlab.data.decode import Fitting, checked_show
from ganlab.report.images import cells, png, showing

BANDS = np.random.default_rng(1).integers(0, 256, (3, 16, 16, 5), dtype=np.uint8)  # (N, H, W, C)


def ready(data):
    data.prepare_data()
    data.setup()
    return data


@pytest.mark.parametrize("layout", ["NHWC", "NCHW"])
@pytest.mark.parametrize("channels", [2, 4, 5])
def test_arrays_of_many_channels_in_both_layouts(tmp_path, layout, channels):
    bands = BANDS[..., :channels].transpose(0, 3, 1, 2)
    np.save(tmp_path / "a.npy", bands if layout == "NCHW" else bands.transpose(0, 2, 3, 1))
    data = ready(arrays(str(tmp_path / "a.npy"), resolution=16, channels=channels))
    assert np.array_equal(data.dataset.pixels, bands)


def test_each_channel_is_resized_as_a_grey_image_is(tmp_path):
    np.save(tmp_path / "a.npy", BANDS)
    options = {"resolution": 8, "filter": "box", "fit": "stretch"}
    data = ready(arrays(str(tmp_path / "a.npy"), channels=5, **options))
    for band in range(5):
        np.save(tmp_path / "b.npy", BANDS[..., band])
        alone = ready(arrays(str(tmp_path / "b.npy"), channels=1, **options))
        assert np.array_equal(data.dataset.pixels[:, [band]], alone.dataset.pixels)


@pytest.mark.parametrize(("mode", "channels"), [("RGBA", 4), ("LA", 2)])
def test_transparency_is_a_channel_where_it_is_asked_for(tmp_path, mode, channels):
    pixels = BANDS[0, ..., :channels]
    Image.fromarray(pixels).save(tmp_path / "a.png")
    data = ready(folder(str(tmp_path), resolution=16, channels=channels))
    assert np.array_equal(data.dataset.pixels[0], pixels.transpose(2, 0, 1))


def test_files_without_the_channel_are_named(tmp_path):
    Image.fromarray(BANDS[0, ..., :4]).save(tmp_path / "a.png")
    Image.fromarray(BANDS[0, ..., :3]).save(tmp_path / "b.png")
    with pytest.raises(BrokenData, match=r"1 of 2(?s:.*)b\.png: has 3 channels, not 4"):
        ready(folder(str(tmp_path), resolution=16, channels=4))


def test_an_array_of_other_channels_is_one_problem(tmp_path):
    np.save(tmp_path / "a.npy", BANDS)
    with pytest.raises(BrokenData, match=r"a\.npy: has 5 channels, not data\.channels=3") as caught:
        ready(arrays(str(tmp_path / "a.npy"), resolution=16))
    assert caught.value.problems[0].fix == "set data.channels=5"


def test_depth_beside_colour_has_one_range_with_it(tmp_path):
    """RGB-D in 16 bits: every plane by the same range."""
    values = BANDS[..., :4].astype(np.uint16) * 257
    np.save(tmp_path / "a.npy", values)
    data = ready(arrays(str(tmp_path / "a.npy"), resolution=16, channels=4))
    assert np.array_equal(data.dataset.pixels, BANDS[..., :4].transpose(0, 3, 1, 2))


def test_pictures_show_the_first_channels_or_the_chosen_ones():
    images = torch.from_numpy(BANDS.transpose(0, 3, 1, 2))  # (N, C, H, W)
    assert np.array_equal(cells(images)[0], BANDS[0, ..., :3])
    assert np.array_equal(cells(images[:, :2])[0], BANDS[0, ..., [0, 0, 0]].transpose(1, 2, 0))
    with showing([4, 2, 0]):
        assert np.array_equal(cells(images)[0], BANDS[0][..., [4, 2, 0]])
        assert np.array_equal(cells(images[:, :3])[0], BANDS[0, ..., :3])  # has no channel 4
    with showing([3]):
        assert np.array_equal(cells(images)[0], BANDS[0][..., [3, 3, 3]])
    assert np.array_equal(cells(images)[0], BANDS[0, ..., :3])


@pytest.mark.parametrize(
    ("show", "channels"), [([0, 1], 5), ([0, 1, 5], 5), ([], 5), ([-1], 5), ([1], 1)]
)
def test_channels_that_cannot_be_shown_are_named(show, channels):
    with pytest.raises(ValueError, match=r"data\.show=.*one or three of the channels 0 to"):
        checked_show(show, channels)


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_a_png_holds_up_to_four_channels(tmp_path, channels):
    images = torch.from_numpy(BANDS.transpose(0, 3, 1, 2))[0, :channels]
    (tmp_path / "a.png").write_bytes(png(images))
    data = ready(folder(str(tmp_path), resolution=16, channels=channels))
    assert torch.equal(data.dataset.images([0])[0], images)


def test_a_picture_of_planes_becomes_what_each_plane_becomes():
    fitting = Fitting(8, 5, fit="pad", enlarge=True)
    planes = fitting.fitted(BANDS[0])
    for band in range(5):
        alone = Fitting(8, 1, fit="pad", enlarge=True).fitted(BANDS[0, ..., band])
        assert np.array_equal(planes[[band]], alone)
