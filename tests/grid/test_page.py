"""`index.html`: every cell with its link and picture, nothing fetched, nothing run but its own."""

import re

import numpy as np
import pytest
from grids import cell, ended, grid_of
from headless import NEEDS_CHROMIUM, rendered
from PIL import Image

from ganlab.grid.page import publish

HOSTILE = "<img src=x onerror=alert(1)>"


@pytest.fixture(scope="module")
def grid(tmp_path_factory):
    """Three finished cells with curves and pictures, one that failed with a hostile message."""
    path = tmp_path_factory.mktemp("page") / "a grid"
    every = [{"loss": name} for name in ("hinge", "minimax", "wasserstein", "relativistic")]
    grid_of(path, ["loss"], every)
    for number, values in enumerate(every[:3]):
        made = ended(cell(path, values), scores={"fid1k": [9.5, 100.0, 12.0][number]})
        rows = "".join(f"{1000 * i},{i + number},{5 - i}\n" for i in range(1, 4))
        text = "images_seen,loss/generator,images_per_second\n" + rows
        (made.directory / "metrics.csv").write_text(text)
        (made.directory / "report.html").write_text("<!doctype html>")
        (made.directory / "samples").mkdir()
        pixels = np.full((320, 320, 3), 40 * number, np.uint8)
        Image.fromarray(pixels).save(made.directory / "samples" / "kimg_000001.png")
    ended(cell(path, every[3]), "failed", error=HOSTILE)
    publish([path])
    return path


def text_of(grid):
    return (grid / "index.html").read_text(encoding="utf-8")


def test_every_cell_is_there_with_a_relative_link_to_its_own_report(grid):
    text = text_of(grid)
    for name in ("loss-hinge", "loss-minimax", "loss-wasserstein"):
        assert text.count(f'href="{name}/report.html"') == 2  # picture and name
        assert (grid / name / "report.html").exists()
    assert "loss-relativistic" in text
    assert 'href="loss-relativistic' not in text
    assert "3 done" in text
    assert "1 failed" in text


def test_thumbnails_are_small_pictures_inside_the_page(grid):
    sources = re.findall(r'<img class="pixels" src="data:image/png;base64,([^"]+)"', text_of(grid))
    assert len(sources) == 3


def test_a_broken_picture_costs_neither_the_page_nor_the_thumbnail(grid):
    broken = grid / "loss-hinge" / "samples" / "000000500.png"
    broken.write_bytes(b"cut short")
    publish([grid])
    broken.unlink()
    assert text_of(grid).count('<img class="pixels" src="data:image/png;base64,') == 3


def test_curves_of_all_cells_lie_over_each_other(grid):
    (chart,) = re.findall(r'<svg class="chart".*?</svg>', text_of(grid), re.DOTALL)
    for name in ("loss-hinge", "loss-minimax", "loss-wasserstein"):
        assert name in chart
    assert "images_per_second" not in text_of(grid)


def test_hostile_words_are_text_and_no_address_is_named(grid):
    text = text_of(grid)
    assert HOSTILE not in text
    assert "&lt;img src=x" in text
    assert not re.findall(r"""(?:src|href)=["'](?:https?:)?//""", text)
    assert "default-src 'none'" in text


def test_a_page_without_curves_or_scores_is_a_page(tmp_path):
    ended(cell(tmp_path, {"seed": 0}), "failed")
    publish([tmp_path])
    assert "seed-0" in text_of(tmp_path)


@pytest.mark.browser
@NEEDS_CHROMIUM
def test_a_heading_sorts_numbers_as_numbers_with_the_missing_ones_last(grid, tmp_path):
    seen = rendered(
        grid / "index.html",
        tmp_path,
        """const heads = [...document.querySelectorAll("#cells th")];
        const names = () => [...document.querySelectorAll("#cells tbody tr")]
          .map((row) => row.cells[1].textContent.trim());
        const fid = heads.find((head) => head.textContent.includes("fid1k"));
        const before = names();
        fid.querySelector("button").click();
        const up = [fid.getAttribute("aria-sort"), ...names()];
        fid.querySelector("button").click();
        const down = names();
        return {before, up, down, drawn: [...document.images].every((i) => i.naturalWidth === 160),
          loaded: performance.getEntriesByType("resource")
            .map((entry) => entry.name).filter((name) => !name.startsWith("data:"))};""",
    )
    hinge, minimax, wasserstein, failed = (
        f"loss-{name}" for name in ("hinge", "minimax", "wasserstein", "relativistic")
    )
    assert seen["before"] == [hinge, minimax, wasserstein, failed]
    assert seen["up"] == ["ascending", hinge, wasserstein, minimax, failed]
    assert seen["down"] == [minimax, wasserstein, hinge, failed]
    assert seen["drawn"]
    assert seen["loaded"] == []
