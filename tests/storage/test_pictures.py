"""Formats that pictures of strangers may have: what is a program is none of them."""

import io

import pytest
from PIL import EpsImagePlugin, Image, UnidentifiedImageError

from ganlab.data import check
from ganlab.report.html import write_report
from ganlab.storage.pictures import FORMATS, formats, open_picture

POSTSCRIPT = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n%%EndComments\nshowpage\n"


@pytest.fixture
def interpreted(monkeypatch):
    """Whether an interpreter of PostScript was asked for."""
    asked = []
    monkeypatch.setattr(EpsImagePlugin, "Ghostscript", lambda *_, **__: asked.append(1))
    yield asked
    assert not asked


def test_postscript_in_a_file_called_a_png_is_run_by_nobody(tmp_path, interpreted):
    for folder in ("images", "run/figures"):
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder / "a.png").write_bytes(POSTSCRIPT)
    (problem,) = check.check(tmp_path / "images")
    assert problem.reason == "is not an image, or not in a format that is read here"
    assert "figures/a.png is not a whole picture" in write_report(tmp_path / "run").read_text()
    with pytest.raises(UnidentifiedImageError):
        open_picture(tmp_path / "images" / "a.png")


@pytest.mark.parametrize("form", [each for each in FORMATS if each in formats()])
def test_every_format_of_the_list_is_read(form):
    file = io.BytesIO()
    Image.new("RGB", (16, 16), "white").save(file, form)
    assert open_picture(file).convert("RGB").getpixel((8, 8)) == (255, 255, 255)
