"""What is black and what is white: by formula, by bits, by percentiles, in every kind of number."""

import numpy as np
import pytest
from PIL import Image

from ganlab.data import BrokenData, arrays, folder
from ganlab.data.problems import UnusableImage
from ganlab.data.stored import values_of
from ganlab.data.values import FULL, Scale, Seen, Values, find_scale, narrow, stated_scale, to_find

TWELVE = np.random.default_rng(0).integers(0, 4096, (4, 16, 16), dtype=np.uint16)
TWELVE[0, 0, :2] = 0, 4095


def ready(data):
    data.prepare_data()
    data.setup()
    return data


def seen(*images):
    return Seen.of(Values.of(np.asarray(image), len(images)) for image in images)


def eighths(values, low, high):
    """255 (v - low) / (high - low), rounded and cut off, by Python's own numbers."""
    scaled = [255 * (float(v) - low) / (high - low) for v in values.flatten()]
    return np.array([round(min(255.0, max(0.0, v))) for v in scaled]).reshape(values.shape)


@pytest.fixture
def scans(tmp_path):
    """Four PNGs with 12 bits of grey in 16."""
    (tmp_path / "scans").mkdir()
    for k, image in enumerate(TWELVE):
        Image.fromarray(image).save(tmp_path / "scans" / f"{k}.png")
    return tmp_path / "scans"


@pytest.mark.parametrize("kind", ["int16", "uint16", "int32", "uint32", "float32", "float64"])
def test_a_stated_range_is_the_same_for_every_kind_of_number(tmp_path, kind):
    np.save(tmp_path / "a.npy", TWELVE.astype(kind))
    data = arrays(str(tmp_path / "a.npy"), resolution=16, channels=1, range=[0, 4095])
    assert np.array_equal(ready(data).dataset.pixels[:, 0], eighths(TWELVE, 0, 4095))


@pytest.mark.parametrize("order", ["<", ">"])
def test_values_below_zero_and_the_other_byte_order(tmp_path, order):
    hounsfield = (TWELVE.astype(np.int32) - 1024).astype(f"{order}i2")
    np.savez(tmp_path / "a.npz", ct=hounsfield)
    data = arrays(str(tmp_path / "a.npz"), resolution=16, channels=1, range=[-160, 240])
    assert np.array_equal(ready(data).dataset.pixels[:, 0], eighths(hounsfield, -160, 240))


@pytest.mark.parametrize("asked", [[0, 4095], "auto"])
@pytest.mark.parametrize("budget", [0, 64])
def test_twelve_bits_in_files_of_sixteen(scans, asked, budget, capsys):
    options = {"resolution": 16, "channels": 1, "range": asked, "memory_budget_mb": budget}
    data = ready(folder(str(scans), **options))
    assert np.array_equal(data.dataset.pixels[:, 0], eighths(TWELVE, 0, 4095))
    assert data.fitting.scale == Scale(0, 4095)
    told = "images: data.range=[0,4095]: the largest value, 4,095, takes 12 bits"
    assert (told in capsys.readouterr().err) == (asked == "auto")
    again = ready(folder(str(scans), **options))  # a mapped file remembers what was found
    assert again.fitting.scale == Scale(0, 4095)
    assert again.content_key == data.content_key


def test_without_a_range_a_warning_says_what_is_lost(scans):
    with pytest.warns(UserWarning, match=r"values 0 to 16 of 255 .*data\.range=\[0,4095\]"):
        ready(folder(str(scans), resolution=16, channels=1))


def test_percentiles_cut_off_outliers(tmp_path):
    values = np.linspace(0, 1, 4096, dtype=np.float32).reshape(1, 64, 64)
    values[0, 0, 0], values[0, -1, -1] = -1e6, 1e6
    np.save(tmp_path / "a.npy", values)
    data = arrays(str(tmp_path / "a.npy"), resolution=64, channels=1, range=["1%", "99%"])
    low, high = np.quantile(values.astype(float), [0.01, 0.99])
    assert np.array_equal(ready(data).dataset.pixels[0], eighths(values, low, high))
    assert 0.009 < low < 0.011
    assert 0.989 < high < 0.991


def test_colours_of_sixteen_bits_keep_both_bytes(tmp_path):
    """Pillow keeps the upper byte alone: 12 bits would be 0 to 15."""
    colours = TWELVE.reshape(1, 16, 16, 4)[0]
    write_png(tmp_path / "rgb.png", colours[..., :3])
    write_png(tmp_path / "rgba.png", colours)
    for name, channels in (("rgb.png", 3), ("rgba.png", 4)):
        (tmp_path / name[:-4]).mkdir()
        (tmp_path / name).rename(tmp_path / name[:-4] / name)
        data = folder(str(tmp_path / name[:-4]), resolution=16, channels=channels, range=[0, 4095])
        expected = eighths(colours[..., :channels], 0, 4095).transpose(2, 0, 1)
        assert np.array_equal(ready(data).dataset.pixels[0], expected)


def write_png(path, values):
    """A PNG of 16-bit colours, which Pillow does not write, by the book (PNG 1.2, section 6)."""
    import struct
    import zlib

    def chunk(kind, data):
        checksum = zlib.crc32(kind + data)
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", checksum)

    height, width, channels = values.shape
    kind = {3: 2, 4: 6}[channels]
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 16, kind, 0, 0, 0))
    body = chunk(b"IDAT", zlib.compress(rows))
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + head + body + chunk(b"IEND", b""))


def test_grey_with_transparency_has_a_range_for_its_greys_alone():
    from ganlab.data.decode import normalise

    image = Image.new("LA", (4, 4), (15, 255))
    assert normalise(image, Scale(0, 15)).getpixel((0, 0)) == 255
    assert normalise(Image.new("LA", (4, 4), (0, 0)), Scale(0, 15)).getpixel((0, 0)) == 255


@pytest.mark.parametrize(
    ("values", "expected", "why"),
    [
        (np.uint16([3, 1000]), Scale(0, 1023), "the largest value, 1,000, takes 10 bits"),
        (np.uint16([3, 200]), Scale(0, 255), "takes 8 bits"),
        (np.uint8([3, 200]), Scale(0, 255), "takes 8 bits"),
        (np.int16([0, 16000]), Scale(0, 16383), "takes 14 bits"),
        (np.int16([-1000, 2000]), Scale(-1000, 2000), "the least and the largest value"),
        (np.float32([0.1, 0.9]), Scale(0, 1), "all values lie in 0 to 1"),
        (np.float32([-0.1, 0.9]), Scale(-1, 1), "all values lie in -1 to 1"),
        (np.float64([0, 254.5]), Scale(0, 255), "all values lie in 0 to 255"),
        (np.float64([-3, 254.5]), Scale(-3, 254.5), "the least and the largest value"),
        (np.array([True, False]), Scale(0, 1), "true or false"),
    ],
)
def test_an_automatic_range_says_why(values, expected, why):
    scale, told = find_scale("auto", seen(values))
    assert scale == expected
    assert why in told


def test_what_has_no_range_to_be_found_is_refused():
    with pytest.raises(ValueError, match="nearly all values are 700"):
        find_scale("auto", seen(np.float32([700, 700])))
    with pytest.raises(ValueError, match=r"\[1%,99%\]: nearly all values are 7"):
        find_scale(["1%", "99%"], seen(np.float32([7, 7])))
    with pytest.raises(ValueError, match="the images are of uint16 and uint8; say two numbers"):
        find_scale("auto", seen(np.uint16([0, 9]), np.uint8([0, 9])))


@pytest.mark.parametrize(
    "given",
    ["full", [1], [2, 1], [1, 1], ["1%"], ["99%", "1%"], ["1%", 3], ["a%", "b%"], [0, 1, 2]],
)
def test_a_range_of_no_known_form_is_named(given):
    with pytest.raises(ValueError, match=r"data\.range=.* must be two numbers as \[0,4095\]"):
        stated_scale(given)


def test_what_is_to_be_found_and_what_is_stated():
    assert [to_find(given) for given in (None, [0, 1], "auto", ["0%", "100%"])] == [
        *(False, False, True, True)
    ]
    assert stated_scale([0, 4095]) == Scale(0, 4095)


def test_values_that_are_no_numbers_are_named(tmp_path):
    values = np.zeros((2, 8, 8), np.float32)
    values[1, 3, 3] = np.nan
    np.save(tmp_path / "a.npy", values)
    with pytest.raises(BrokenData, match=r"1 of 2(?s:.*)\[1\]: has values that are no finite"):
        ready(arrays(str(tmp_path / "a.npy"), resolution=8, channels=1, range=[0, 1]))


@pytest.mark.parametrize(("ends", "says"), [((0, 16), True), ((0, 17), False), ((3, 19), True)])
def test_a_sixteenth_is_narrow(ends, says):
    assert bool(narrow(*ends)) == says


def test_the_types_that_need_no_word():
    assert {str(dtype): scale for dtype, scale in FULL.items()} == {
        "bool": Scale(0, 1),
        "uint8": Scale(0, 255),
        "uint16": Scale(0, 65535),
    }


def test_two_ranks_find_the_same_range(scans):
    from types import SimpleNamespace

    found_by = []
    for rank in range(2):
        data = folder(str(scans), resolution=16, channels=1, range="auto", batch_size=2)
        data.trainer = SimpleNamespace(global_rank=rank, world_size=2)
        found_by.append(ready(data))
    assert found_by[0].content_key == found_by[1].content_key
    assert [data.fitting.scale for data in found_by] == [Scale(0, 4095)] * 2


@pytest.mark.parametrize("num_images", [1, 2**14])
def test_what_is_kept_of_an_image_does_not_keep_the_image(num_images):
    image = np.zeros((64, 64), np.uint16)
    kept = Values.of(image, num_images).sample
    assert kept.base is None
    assert not np.shares_memory(kept, image)


@pytest.mark.parametrize(
    ("values", "given", "warned"),
    [
        (TWELVE, [0, 1], True),  # a range of floats, given for whole numbers
        (TWELVE, [0, 1000], True),
        (TWELVE, [0, 2500], False),
        (TWELVE // 2048, [0, 1], False),  # a mask: all of it at the ends, none beyond
        (TWELVE, ["10%", "90%"], False),
    ],
)
def test_a_range_that_cuts_off_most_values_is_said(tmp_path, recwarn, values, given, warned):
    np.save(tmp_path / "a.npy", values)
    ready(arrays(str(tmp_path / "a.npy"), resolution=16, channels=1, range=given))
    told = [str(each.message) for each in recwarn if "most values of" in str(each.message)]
    assert bool(told) == warned
    if warned:
        assert f"a.npy[0] lie outside of data.range=[0,{given[1]}]" in told[0]
        assert "uint16 from 0 to 4095" in told[0]


def test_an_image_without_pixels_is_none():
    """As a damaged TIFF may say that it is."""
    with pytest.raises(UnusableImage, match="has no pixels"):
        values_of(np.zeros((0, 8), np.float32))
