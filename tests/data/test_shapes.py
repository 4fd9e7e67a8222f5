"""Images fitted to a height and a width, and a training of them from the command line down."""

import numpy as np
import pytest
import torch
from PIL import Image

from ganlab.config import ConfigError
from ganlab.data import folder, synthetic
from ganlab.data.decode import Fitting, UnusableImage
from ganlab.run import recipe


def test_crop_takes_the_centred_part_of_the_shape(photo):
    image = photo(16, 48)
    expected = np.asarray(image)[:, 8:40].transpose(2, 0, 1)
    assert np.array_equal(Fitting([16, 32])(image), expected)
    tall = photo(24, 32)
    assert np.array_equal(Fitting([16, 32])(tall), np.asarray(tall)[4:20].transpose(2, 0, 1))


def test_pad_adds_what_is_missing_on_either_side(photo):
    image = photo(16, 20)
    fitted = Fitting([16, 32], fit="pad")(image)
    assert np.array_equal(fitted[:, :, 6:26], np.asarray(image).transpose(2, 0, 1))
    fitted[:, :, 6:26] = 0
    assert not fitted.any()


def test_stretch_resizes_both_sides_alone(photo):
    image = photo(40, 40)
    expected = image.resize((32, 16), Image.Resampling.BOX)
    fitted = Fitting([16, 32], fit="stretch", filter="box")(image)
    assert np.array_equal(fitted.transpose(1, 2, 0), np.asarray(expected))


@pytest.mark.parametrize("fit", ["crop", "pad", "stretch"])
def test_too_small_is_told_by_the_shape(photo, fit):
    with pytest.raises(UnusableImage, match=r"15x8 px is too small for data\.resolution=\[16,32\]"):
        Fitting([16, 32], fit=fit)(photo(8, 15))
    assert Fitting([16, 32], fit=fit, enlarge=True)(photo(8, 15)).shape == (3, 16, 32)


@pytest.mark.parametrize("budget", [0, 64])
def test_a_data_module_of_a_shape(pets, photo, budget):
    photo(40, 80).save(pets / "cat" / "a.png")
    data = folder(str(pets), resolution=[16, 32], enlarge=True, memory_budget_mb=budget)
    data.prepare_data()
    data.setup()
    assert data.dataset.pixels.shape == (7, 3, 16, 32)
    assert next(iter(data.test_dataloader())).image.shape == (7, 3, 16, 32)


def test_drawn_images_have_a_shape_too():
    data = synthetic(3, [8, 16])
    data.setup()
    assert data.dataset.pixels.shape == (3, 3, 8, 16)


@pytest.mark.parametrize("model", ["dcgan", "stylegan2", "r3gan", "progan"])
def test_a_model_by_its_config_takes_a_height_and_a_width(model):
    shape = "data.resolution=[32,64]"
    system = recipe(model, shape, "data=synthetic", "data.channels=3")
    assert system.generator_ema.image_size == (32, 64)


@pytest.mark.parametrize("model", ["stylegan", "msg_gan", "vanilla", "vae", "lapgan"])
def test_another_model_is_refused_by_name(model):
    told = r"data\.resolution=\[32, 64\]: model\.\w+ .*model=dcgan, stylegan2, r3gan and progan"
    with pytest.raises(ConfigError, match=told):
        recipe(model, "data.resolution=[32,64]", "data=synthetic")


def test_strength_by_the_number_of_pixels():
    from ganlab.systems.penalties import R1

    square, oblong = R1("auto", 64, 8), R1("auto", [32, 128], 8)
    assert square.gamma == oblong.gamma == pytest.approx(0.0002 * 64 * 64 / 8)
    assert oblong.derivation == (
        "R1 gamma=auto: 0.0002 * pixels / batch = 0.0002 * 32 * 128 / 8 = 0.1024"
    )
    assert torch.tensor(square.gamma).isfinite()
