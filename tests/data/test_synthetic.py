import numpy as np
import pytest

from ganlab.data import synthetic
from ganlab.data.synthetic import Synthetic


def test_an_image_depends_on_its_number_alone():
    few, many = Synthetic(5, 32), Synthetic(50, 32)
    for index in range(5):
        assert np.array_equal(np.asarray(few.image(index)), np.asarray(many.image(index)))
    pictures = {np.asarray(many.image(index)).tobytes() for index in range(50)}
    assert len(pictures) == 50


@pytest.mark.parametrize("resolution", [4, 16, 128])
@pytest.mark.parametrize("channels", [1, 3])
def test_any_resolution_and_channels(resolution, channels):
    data = synthetic(7, resolution, channels=channels)
    data.prepare_data()
    data.setup()
    assert data.dataset.pixels.shape == (7, channels, resolution, resolution)
    assert data.dataset.labels.tolist() == [0, 1, 2, 0, 1, 2, 0]
    assert data.num_classes == 3


def test_scene_is_the_same_at_every_resolution():
    """The mean over 4x4 blocks of a large picture is close to the small picture."""
    for index in range(6):
        small = np.asarray(Synthetic(6, 32).image(index), float)
        large = np.asarray(Synthetic(6, 128).image(index), float)
        blocks = large.reshape(32, 4, 32, 4, 3).mean((1, 3))
        assert np.abs(small - blocks).mean() < 4


def test_disc_and_rectangle_have_two_colours_and_a_gradient_many():
    source = Synthetic(30, 64)
    for index in range(30):
        colours = np.unique(
            np.asarray(source.image(index)).reshape(-1, 3), axis=0, return_counts=True
        )
        share = np.sort(colours[1])[-2:].sum() / 64**2
        assert (share > 0.85) == (source.labels[index] != 2)


def test_no_images_are_refused():
    with pytest.raises(ValueError, match=r"data\.num=0"):
        synthetic(0)
