"""Image and mask files of any size and mode; what cannot be used is one line that names the key."""

import numpy as np
import pytest
import torch
from PIL import Image
from study_toys import Data

from ganlab.data import NoImages, arrays
from ganlab.data.decode import Fitting
from ganlab.data.image_input import (
    binarize,
    fitting_of,
    read_image,
    read_images,
    read_mask,
)
from ganlab.studies.human_eval.trials import pixels_of

SQUARE = Fitting(8, 1, enlarge=True)
COLOUR = Fitting(8, 3, enlarge=True)
ORIENTATION = 0x0112  # EXIF


def saved(folder, image, name="image.png", **options):
    image.save(folder / name, **options)
    return folder / name


def gradient(width=24, height=16):
    """Brighter to the right, in the red channel alone."""
    red = np.linspace(0, 255, width).astype(np.uint8)[None].repeat(height, 0)
    return Image.fromarray(np.stack([red, red * 0, red * 0], axis=2))


def box(width, height, left, top, right, bottom, value=255):
    mask = np.zeros((height, width), np.uint8)
    mask[top:bottom, left:right] = value
    return Image.fromarray(mask)


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L", "LA", "P", "1", "CMYK", "I;16"])
@pytest.mark.parametrize("size", [(3, 5), (8, 8), (40, 30)])
def test_every_mode_and_size_becomes_one_form(tmp_path, mode, size):
    image = Image.new("L", size, 255)
    if mode == "I;16":
        image = Image.fromarray(np.full(size[::-1], 65535, np.uint16))
    path = saved(
        tmp_path, image.convert(mode) if mode != "I;16" else image, f"{mode.strip(';')}.tif"
    )
    for fitting in (SQUARE, COLOUR):
        found = read_image(path, fitting)
        assert found.shape == (1, fitting.channels, 8, 8)
        assert (found == 1).all(), "white stays white"


def test_an_exif_rotation_is_applied_to_image_and_mask_alike(tmp_path):
    """6 means: rotate by 90 degrees clockwise to see it upright."""
    exif = Image.Exif()
    exif[ORIENTATION] = 6
    path = saved(tmp_path, gradient(16, 16), exif=exif)
    found = read_image(path, COLOUR)[0, 0]
    assert (found[1:] > found[:-1]).all(), "right has become down"
    mask = saved(tmp_path, box(16, 16, 8, 0, 16, 16), "mask.png", exif=exif)
    region = read_mask(mask, path, COLOUR)[0, 0]
    assert region[4:].all()
    assert not region[:4].any()


def test_a_mask_goes_where_its_image_goes(tmp_path):
    """Both lose their sides to the crop: the mask's left edge at x = 16 of 40 stands at 3 of 8."""
    image = saved(tmp_path, gradient(40, 32))
    mask = saved(tmp_path, box(40, 32, 16, 0, 40, 32), "mask.png")
    region = read_mask(mask, image, COLOUR)
    assert region.shape == (1, 1, 8, 8)
    expected = torch.zeros(8, 8)
    expected[:, 3:] = 1  # (16 - 4) / 32 * 8
    assert torch.equal(region[0, 0], expected)
    padded = read_mask(mask, image, Fitting(8, 3, "pad", enlarge=True))[0, 0]
    assert not padded[0].any(), "the padding is not marked"


@pytest.mark.parametrize("size", [(20, 16), (80, 64), (8, 8)])
def test_a_mask_of_the_images_shape_or_the_generators_size_is_resized(tmp_path, size):
    image = saved(tmp_path, gradient(40, 32))
    mask = saved(tmp_path, box(*size, size[0] // 2, 0, *size), "mask.png")
    region = read_mask(mask, image, COLOUR)[0, 0]
    assert region[:, 4:].all()
    assert not region[:, :4].any()


@pytest.mark.parametrize(
    "mask",
    [
        box(8, 8, 0, 0, 4, 8, value=1),  # 0 and 1
        box(8, 8, 0, 0, 4, 8).convert("1"),
        box(8, 8, 0, 0, 4, 8).convert("P"),
        box(8, 8, 0, 0, 4, 8).convert("RGB"),
        Image.fromarray(np.asarray(box(8, 8, 0, 0, 4, 8)).astype(np.uint16) * 257),
        Image.merge("RGBA", [*[Image.new("L", (8, 8), 255)] * 3, box(8, 8, 0, 0, 4, 8)]),
    ],
    ids=["0-1", "1-bit", "palette", "RGB", "16-bit", "transparent"],
)
def test_masks_of_every_mode_say_the_same(tmp_path, mask):
    image = saved(tmp_path, gradient(8, 8))
    region = read_mask(saved(tmp_path, mask, "mask.png"), image, COLOUR)[0, 0]
    assert region[:, :4].all()
    assert not region[:, 4:].any()


def test_a_soft_edge_is_cut_in_the_middle():
    soft = np.array([[0, 0, 90, 160, 255, 255, 255, 255]], np.uint8)
    assert binarize(soft).tolist() == [[0, 0, 0, 255, 255, 255, 255, 255]]


@pytest.mark.parametrize(
    ("mask", "message"),
    [
        (box(8, 8, 0, 0, 0, 0), r"study\.mask=.*mask\.png marks nothing: paint"),
        (box(80, 80, 3, 3, 5, 5), r"marks nothing once it is fitted to 8 px"),
        (box(8, 8, 0, 0, 8, 8), r"study\.mask=.*mask\.png marks every pixel"),
        (gradient(8, 8).convert("L"), r"study\.mask=.*mask\.png is no mask: \d+% of its pixels"),
        (box(30, 40, 0, 0, 9, 9), r"study\.mask=.*mask\.png is 30x40 px and .*image\.png 8x8:"),
    ],
    ids=["empty", "lost", "all", "grey", "shape"],
)
def test_bad_masks_are_named_in_one_line(tmp_path, mask, message):
    image = saved(tmp_path, gradient(8, 8))
    with pytest.raises(ValueError, match=message) as caught:
        read_mask(saved(tmp_path, mask, "mask.png"), image, COLOUR)
    assert "\n" not in str(caught.value)


def test_a_full_mask_is_full_with_padding_around_it(tmp_path):
    image = saved(tmp_path, gradient(40, 32))
    mask = saved(tmp_path, box(40, 32, 0, 0, 40, 32), "mask.png")
    with pytest.raises(ValueError, match="marks every pixel"):
        read_mask(mask, image, Fitting(8, 3, "pad", enlarge=True))


def test_a_mask_of_sixteen_bits_is_read_in_either_format(tmp_path):
    """Pillow opens the second as 32-bit pixels."""
    image = saved(tmp_path, gradient(8, 8))
    mask = Image.fromarray(np.asarray(box(8, 8, 2, 2, 6, 6)).astype(np.uint16) * 257)
    regions = [read_mask(saved(tmp_path, mask, f"mask.{n}"), image, COLOUR) for n in ("png", "pgm")]
    assert torch.equal(*regions)
    assert regions[0].sum() == 16


def test_files_that_cannot_be_read_are_named(tmp_path):
    image = saved(tmp_path, gradient())
    with pytest.raises(FileNotFoundError, match=r"study\.image=.*none\.png: no such file"):
        read_image(tmp_path / "none.png", COLOUR)
    with pytest.raises(FileNotFoundError, match=r"study\.mask=.*none\.png: no such file"):
        read_mask(tmp_path / "none.png", image, COLOUR)
    with pytest.raises(ValueError, match=r"study\.object=.* is a folder"):
        read_image(tmp_path, COLOUR, "study.object")
    (tmp_path / "text.png").write_text("no picture")
    with pytest.raises(ValueError, match=r"study\.image=.*text\.png is no image"):
        read_image(tmp_path / "text.png", COLOUR)
    (tmp_path / "cut.png").write_bytes(image.read_bytes()[:45])
    with pytest.raises(ValueError, match=r"study\.image=.*cut\.png is no image"):
        read_image(tmp_path / "cut.png", COLOUR)
    floating = saved(tmp_path, Image.new("F", (8, 8), 0.5), "float.tif")
    with pytest.raises(ValueError, match=r"float\.tif: floating-point pixels have no fixed range"):
        read_image(floating, COLOUR)


def test_a_file_a_list_and_a_folder_of_images(tmp_path):
    first, second = (saved(tmp_path, gradient(), f"{name}.png") for name in "ab")
    (tmp_path / "notes.txt").write_text("not an image")
    one = read_images(str(first), COLOUR)
    assert (one[0], one[1].shape) == (["a"], (1, 3, 8, 8))
    assert read_images([str(second), str(first)], COLOUR)[0] == ["b", "a"]
    names, images = read_images(str(tmp_path), COLOUR)
    assert (names, len(images)) == (["a", "b"], 2)
    with pytest.raises(ValueError, match=r"study\.images=\[\] names no image"):
        read_images([], COLOUR)


def test_images_are_fitted_as_the_data_is_and_small_ones_enlarged():
    data = Data()
    data.fitting = Fitting(8, 1, "pad", "box")
    assert fitting_of(data) == Fitting(8, 1, "pad", "box", enlarge=True)
    assert fitting_of(NoImages(16, 3)) == Fitting(16, 3, enlarge=True)


BANDS = np.random.default_rng(0).integers(0, 256, (16, 16, 4), dtype=np.uint8)


def test_channels_of_their_own_are_all_taken(tmp_path):
    path = saved(tmp_path, Image.fromarray(BANDS, "RGBA"))
    expected = torch.from_numpy(BANDS).permute(2, 0, 1)[None].float() / 127.5 - 1
    assert torch.equal(read_image(path, Fitting(16, 4)), expected)
    with pytest.raises(ValueError, match=r"study\.image=.*image\.png: has 4 channels, not 5; .*=4"):
        read_image(path, Fitting(16, 5))


def test_a_rectangle_and_the_mask_of_one(tmp_path):
    wide = Fitting([8, 16], 3, enlarge=True)
    image = saved(tmp_path, gradient(32, 16))
    assert read_image(image, wide).shape == (1, 3, 8, 16)
    for size in ((16, 8), (32, 16)):
        mask = saved(tmp_path, box(*size, size[0] // 2, 0, *size), "mask.png")
        region = read_mask(mask, image, wide)[0, 0]
        assert region.shape == (8, 16)
        assert region[:, 8:].all()
        assert not region[:, :8].any()
    mask = saved(tmp_path, box(8, 8, 0, 0, 4, 8), "mask.png")
    with pytest.raises(ValueError, match=r"a mask has its image's size or shape, or 16x8 px"):
        read_mask(mask, image, wide)
    assert fitting_of(NoImages([8, 16], 3)).shape == (3, 8, 16)


@pytest.mark.parametrize("range", [[0, 4095], "auto"])
def test_the_range_of_the_training_images_holds_where_the_file_can_reach_it(tmp_path, range):
    """12 bits in 16 are read as in training; a photograph of 8 bits is no dark image."""
    np.save(tmp_path / "data.npy", np.array([[[0, 4095]] * 2] * 3, np.uint16).repeat(4, 1))
    data = arrays(str(tmp_path / "data.npy"), resolution=8, channels=1, range=range, enlarge=True)
    fitting = fitting_of(data)
    deep = saved(tmp_path, Image.fromarray(np.full((8, 8), 4095, np.uint16)))
    assert (read_image(deep, fitting) == 1).all()
    photograph = saved(tmp_path, Image.new("L", (8, 8), 255), "photograph.png")
    assert (read_image(photograph, fitting) == 1).all()


def test_files_of_one_stem_keep_names_of_their_own(tmp_path):
    for name in ("a.png", "a.bmp", "b.png"):
        saved(tmp_path, gradient(8, 8), name)
    assert read_images(str(tmp_path), COLOUR)[0] == ["a.bmp", "a.png", "b.png"]
    (tmp_path / "other").mkdir()
    places = [str(tmp_path / "a.png"), str(saved(tmp_path / "other", gradient(8, 8), "a.png"))]
    assert read_images(places, COLOUR)[0] == places


def test_sixteen_bits_in_a_test_for_people_are_not_cut_off(tmp_path):
    """Pillow's own conversion takes 256 and more for white."""
    path = saved(tmp_path, Image.fromarray(np.full((4, 4), 32896, np.uint16)))
    assert (pixels_of(path) == 128).all()


def test_a_large_image_is_admitted_as_in_training(tmp_path):
    path = saved(tmp_path, Image.new("L", (40, 30)))
    with pytest.raises(
        ValueError, match=r"study\.image=.* 40x30 px are more than data\.max_pixels"
    ):
        read_image(path, Fitting(8, 1, max_pixels=1000))
