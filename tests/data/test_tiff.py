"""TIFFs of any type and number of channels: what Pillow reads in part, or not at all."""

import itertools
import sys

import numpy as np
import pytest

from ganlab.data import BrokenData, check, folder
from ganlab.data.stored import kept_open, open_stored, values_of

BANDS = {"photometric": "minisblack", "planarconfig": "contig"}  # as several in one image
KINDS = ("uint8", "uint16", "int16", "float32")
CASES = itertools.product(
    KINDS, (1, 2, 3, 4, 5), ("contig", "separate"), ("<", ">"), (None, "zlib", "lzw")
)


@pytest.fixture
def tifffile():
    return pytest.importorskip("tifffile", reason="needs ganlab[tiff], which `make test-all` adds")


def test_every_layout_gives_the_numbers_that_were_written(tmp_path, tifffile):
    pytest.importorskip("imagecodecs", reason="needs ganlab[tiff], which `make test-all` adds")
    rng = np.random.default_rng(0)
    for kind, channels, planes, order, compression in CASES:
        values = (rng.random((9, 12, channels)) * 200).astype(kind)
        stored = np.moveaxis(values, -1, 0) if planes == "separate" and channels > 1 else values
        options = {"photometric": "rgb" if channels in (3, 4) else "minisblack"}
        options |= {"planarconfig": planes} if channels > 1 else {}
        if channels == 1:
            values = stored = values[..., 0]
        file = tmp_path / "a.tif"
        tifffile.imwrite(file, stored, byteorder=order, compression=compression, **options)
        with kept_open(open_stored(file)) as image:
            found = values_of(image)
        assert np.array_equal(found, values), (kind, channels, planes, order, compression)


def test_bands_on_pages_are_channels(tmp_path, tifffile):
    bands = np.random.default_rng(0).integers(0, 65536, (5, 16, 16), dtype=np.uint16)
    tifffile.imwrite(tmp_path / "a.tif", bands, imagej=True, metadata={"axes": "CYX"})
    data = folder(str(tmp_path), resolution=16, channels=5)
    data.prepare_data()
    data.setup()
    assert np.array_equal(data.dataset.pixels[0], np.rint(bands / 257))


def test_heights_in_metres_are_found_by_data_check(tmp_path, tifffile):
    heights = np.linspace(-50, 950, 256, dtype=np.float32).reshape(16, 16)
    tifffile.imwrite(tmp_path / "a.tif", heights)
    found = check.survey(tmp_path)
    (problem,) = found.problems
    assert "floating-point pixels have no fixed range" in problem.reason
    assert found.values == (
        "values from -50 to 950 (float32); float32 has no white of its own: say "
        "data.range=[-50,950] (the least and the largest value), or data.range=auto"
    )
    assert check.survey(tmp_path, range=[-50, 950], channels=1).problems == []


def test_one_that_would_unpack_to_too_much_is_refused_by_its_size(tmp_path, tifffile, monkeypatch):
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((16, 16, 5), np.float32), **BANDS)
    monkeypatch.setattr("ganlab.data.stored.LARGEST", 16 * 16 * 5 * 4 - 1)
    with pytest.raises(BrokenData, match=r"a\.tif: unpacks to 0 MB, more than any image"):
        folder(str(tmp_path), resolution=16, channels=5).setup()


def test_without_the_library_the_way_out_is_named(tmp_path, tifffile, monkeypatch):
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((16, 16, 5), np.uint8), **BANDS)
    monkeypatch.setitem(sys.modules, "tifffile", None)
    with pytest.raises(BrokenData, match=r"Pillow reads in part .*pip install 'ganlab\[tiff\]'"):
        folder(str(tmp_path), resolution=16, channels=5).setup()


PARTS = """<?xml version="1.0" encoding="UTF-8"?>
<OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06" UUID="urn:uuid:1"><Image ID="Image:0"
><Pixels ID="Pixels:0" DimensionOrder="XYCZT" Type="double" SizeX="8" SizeY="8" SizeC="2" SizeZ="1"
 SizeT="1"><TiffData IFD="0" FirstC="0" FirstZ="0" FirstT="0" PlaneCount="1"><UUID
 FileName="a.tif">urn:uuid:1</UUID></TiffData><TiffData IFD="0" FirstC="1" FirstZ="0" FirstT="0"
 PlaneCount="1"><UUID FileName="{}">urn:uuid:2</UUID></TiffData></Pixels></Image></OME>"""


def test_no_other_file_is_opened_that_one_names_as_a_part_of_itself(tmp_path, tifffile):
    private = tmp_path / "private.tif"
    tifffile.imwrite(private, np.full((8, 8), 77.0))
    (tmp_path / "set").mkdir()
    told = {"description": PARTS.format(private), "metadata": None}
    tifffile.imwrite(tmp_path / "set" / "a.tif", np.full((8, 8), 5.0), **told)
    found = values_of(open_stored(tmp_path / "set" / "a.tif"))
    assert np.array_equal(found, np.full((8, 8), 5.0))
