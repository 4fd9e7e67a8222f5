import io

import numpy as np
import pytest
from PIL import Image

from ganlab.data.decode import FILTERS, Fitting, UnusableImage, normalise


def reopened(image, format, **options):
    buffer = io.BytesIO()
    image.save(buffer, format, **options)
    return Image.open(io.BytesIO(buffer.getvalue()))


def pixel(image, place=(0, 0)):
    return normalise(image).convert("RGB").getpixel(place)


def test_a_large_jpeg_is_decoded_no_finer_than_it_takes(tmp_path, monkeypatch):
    """Nearly the same pixels, a sixteenth of the memory; a small one is read as it is."""
    across = np.tile(np.linspace(0, 255, 512).astype(np.uint8), (384, 1))
    Image.fromarray(across).save(tmp_path / "a.jpg", quality=95)
    fitting, found = Fitting(16, 1), []
    for large in (10**9, 100_000):
        monkeypatch.setattr("ganlab.data.decode.LARGE", large)
        with Image.open(tmp_path / "a.jpg") as image:
            fitting.admit(image)
            image.load()
            found.append((image.size, fitting(image).astype(float)))
    (whole, pixels), (reduced, like) = found
    assert whole == (512, 384)
    assert reduced == (128, 96)
    assert np.abs(pixels - like).max() <= 2


def test_greyscale_stays_grey_and_becomes_rgb_by_repetition():
    grey = np.arange(64, dtype=np.uint8).reshape(8, 8)
    image = normalise(reopened(Image.fromarray(grey), "PNG"))
    assert image.mode == "L"
    assert np.array_equal(Fitting(8, 1)(image), grey[None])
    assert np.array_equal(Fitting(8, 3)(image), np.stack([grey] * 3))


def test_bilevel_becomes_black_and_white():
    image = Image.fromarray(np.eye(8, dtype=np.uint8) * 255).convert("1")
    assert np.array_equal(np.asarray(normalise(reopened(image, "PNG"))), np.eye(8) * 255)


def test_colour_to_one_channel_is_luma():
    image = Image.new("RGB", (4, 4), (200, 100, 50))
    luma = 0.299 * 200 + 0.587 * 100 + 0.114 * 50
    assert abs(int(Fitting(4, 1)(image)[0, 0, 0]) - luma) <= 1


@pytest.mark.parametrize("alpha", [0, 64, 255])
def test_rgba_is_composited_on_white(alpha):
    image = reopened(Image.new("RGBA", (4, 4), (10, 20, 30, alpha)), "PNG")
    share = alpha / 255
    expected = [share * value + (1 - share) * 255 for value in (10, 20, 30)]
    assert np.allclose(pixel(image), expected, atol=1)


def test_grey_with_alpha_is_composited_on_white_and_stays_grey():
    image = normalise(reopened(Image.new("LA", (4, 4), (0, 51)), "PNG"))  # 20 % black
    assert (image.mode, image.getpixel((0, 0))) == ("L", 204)


def test_palette_is_looked_up():
    image = Image.new("P", (4, 4), 1)
    image.putpalette([0, 0, 0, 12, 34, 56])
    assert pixel(reopened(image, "PNG")) == (12, 34, 56)


def test_transparent_palette_entry_becomes_white():
    image = Image.new("P", (4, 4), 1)
    image.putpalette([0, 0, 0, 12, 34, 56])
    image.putpixel((1, 0), 0)
    image = reopened(image, "PNG", transparency=0)
    assert (pixel(image), pixel(image, (1, 0))) == ((12, 34, 56), (255, 255, 255))


@pytest.mark.parametrize("format", ["PNG", "TIFF", "PPM"])
def test_sixteen_bits_are_scaled_not_clipped(format):
    values = np.array([[0, 256, 257], [1000, 30000, 65535]], np.uint16)
    image = normalise(reopened(Image.fromarray(values), format))
    assert np.array_equal(np.asarray(image), np.rint(values / 65535 * 255))


def test_a_png_that_pillow_widens_is_still_of_sixteen_bits():
    """Pillow before 11.3 opens 16-bit grey PNGs as mode I."""
    values = np.array([[0, 257], [30000, 65535]], np.int32)
    image = Image.fromarray(values)
    image.format = "PNG"
    assert np.array_equal(np.asarray(normalise(image)), np.rint(values / 65535 * 255))


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        (np.zeros((4, 4), np.float32), "floating-point"),
        (np.full((4, 4), 200, np.int32), "32-bit or signed"),  # would be 1 of 255 as 16 bits
        (np.full((4, 4), 70000, np.int32), "32-bit or signed"),
    ],
)
def test_float_and_wide_integer_pixels_are_refused(values, kind):
    with pytest.raises(UnusableImage, match=f"{kind} pixels have no fixed range") as caught:
        normalise(reopened(Image.fromarray(values), "TIFF"))
    assert "data.range=[0,1], or data.range=auto" in caught.value.fix


@pytest.mark.parametrize("format", ["JPEG", "TIFF"])
def test_cmyk_becomes_rgb(format):
    image = reopened(Image.new("CMYK", (16, 16), (255, 0, 0, 0)), format)  # full cyan
    assert image.mode == "CMYK"
    assert np.allclose(pixel(image), (0, 255, 255), atol=6)


@pytest.mark.parametrize(
    ("orientation", "turned"),
    [
        (1, lambda a: a),
        (2, np.fliplr),
        (3, lambda a: np.rot90(a, 2)),
        (4, np.flipud),
        (5, lambda a: a.swapaxes(0, 1)),
        (6, lambda a: np.rot90(a, -1)),  # stored on its side, shown turned clockwise
        (7, lambda a: np.rot90(a, 2).swapaxes(0, 1)),
        (8, lambda a: np.rot90(a, 1)),
    ],
)
def test_exif_orientation_is_applied(orientation, turned, photo):
    stored = photo(4, 6)
    exif = Image.Exif()
    exif[0x0112] = orientation
    image = normalise(reopened(stored, "PNG", exif=exif))
    assert np.array_equal(np.asarray(image), turned(np.asarray(stored)))


def test_first_frame_of_an_animation():
    frames = [Image.new("RGB", (4, 4), colour) for colour in ("red", "blue")]
    image = reopened(frames[0], "GIF", save_all=True, append_images=frames[1:])
    assert pixel(image) == (255, 0, 0)


def test_crop_takes_the_centre_without_touching_pixels(photo):
    image = photo(8, 14)
    expected = np.asarray(image)[:, 3:11].transpose(2, 0, 1)
    assert np.array_equal(Fitting(8, fit="crop")(image), expected)


def test_padding_that_suffices_does_not_resample(photo):
    image = photo(28, 28)
    fitted = Fitting(32, fit="pad")(image)
    assert np.array_equal(fitted[:, 2:30, 2:30], np.asarray(image).transpose(2, 0, 1))
    fitted[:, 2:30, 2:30] = 0
    assert not fitted.any()


@pytest.mark.parametrize("resolution", [16, 64])
def test_padding_beyond_that_resamples_the_whole_image(resolution, photo):
    image = photo(28, 28)
    expected = image.resize((resolution, resolution), Image.Resampling.BOX)
    fitted = Fitting(resolution, fit="pad", filter="box", enlarge=True)(image)
    assert np.array_equal(fitted.transpose(1, 2, 0), np.asarray(expected))


def test_pad_keeps_everything_of_an_oblong_image():
    fitted = Fitting(8, 1, fit="pad", filter="box")(Image.new("L", (32, 16), 200))
    assert np.array_equal(fitted[0, :, 0], [0, 0, 200, 200, 200, 200, 0, 0])


def test_stretch_ignores_the_aspect_ratio():
    halves = np.repeat([[10, 20]], 16, axis=0).repeat(16, axis=1).astype(np.uint8)  # (16, 32)
    fitted = Fitting(8, 1, fit="stretch", filter="box")(Image.fromarray(halves))
    assert np.array_equal(fitted[0], np.repeat([[10, 20]], 8, axis=0).repeat(4, axis=1))


def test_box_filter_averages_blocks():
    values = np.random.default_rng(1).integers(0, 256, (32, 32)).astype(np.uint8)
    means = values.reshape(8, 4, 8, 4).mean((1, 3))
    fitted = Fitting(8, 1, filter="box")(Image.fromarray(values))[0]
    assert np.abs(fitted - means).max() <= 1  # two passes, each rounded


@pytest.mark.parametrize("name", FILTERS)
def test_filters_are_anti_aliased(name):
    stripes = np.zeros((64, 64), np.uint8)
    stripes[:, ::2] = 255  # above the Nyquist frequency of 16 px: must turn into even grey
    fitted = Fitting(16, 1, filter=name)(Image.fromarray(stripes))[0, 2:-2, 2:-2]
    assert np.abs(fitted - 127.5).max() < 10


def test_too_small_image_is_refused_unless_enlarging_is_allowed(photo):
    for fit in ("crop", "stretch", "pad"):
        with pytest.raises(UnusableImage, match=r"14x8 px is too small for data\.resolution=32"):
            Fitting(32, fit=fit)(photo(8, 14))
        assert Fitting(32, fit=fit, enlarge=True)(photo(8, 14)).shape == (3, 32, 32)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"resolution": 48}, r"data\.resolution=48 must be a power of two"),
        ({"resolution": 2}, r"data\.resolution=2 must be a power of two"),
        ({"resolution": 32.0}, r"data\.resolution=32\.0 must be a power of two"),
        ({"resolution": [48]}, r"data\.resolution=\[48\] must be .* a height and a width"),
        ({"resolution": [48, 2]}, r"data\.resolution=\[48, 2\] must be"),
        ({"resolution": "48"}, r"data\.resolution=48 must be"),
        ({"resolution": 32, "channels": 0}, r"data\.channels=0"),
        ({"resolution": 32, "fit": "squash"}, r"data\.fit=squash must be one of crop, pad"),
        ({"resolution": 32, "filter": "nearest"}, r"data\.filter=nearest must be one of box"),
    ],
)
def test_bad_options_are_named(options, message):
    with pytest.raises(ValueError, match=message):
        Fitting(**options)


@pytest.mark.parametrize("resolution", [(4, 100), (100, 4), (8, 1024)])
@pytest.mark.parametrize("size", [(1, 1), (3, 1), (1, 3), (10, 10)])
def test_a_crop_of_a_tiny_image_has_something_in_it(resolution, size):
    red = Image.new("RGB", size, (200, 0, 0))
    pixels = Fitting(resolution, 3, enlarge=True)(red)
    assert (pixels[0] == 200).all()


def test_a_long_strip_is_not_padded_to_more_than_is_read():
    """A file of 9,000 px that would become 81 million of them."""
    strip, fitting = Image.new("L", (9000, 1), 255), Fitting(8, 1, fit="pad", max_pixels=10**6)
    with pytest.raises(UnusableImage, match=r"9000x1 px would be padded to 9000x9000, more than"):
        fitting(strip)
    assert fitting(strip.crop((0, 0, 900, 1))).shape == (1, 8, 8)
