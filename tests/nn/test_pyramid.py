"""Laplacian pyramids: exact, blurred going down, smooth going up, as explicit loops say."""

import pytest
import torch

from ganlab.nn.pyramid import expand, gaussian_pyramid, laplacian_pyramid, reconstruct, reduce

SIZES = [8, 16, 32]


def images(size=32, n=3, channels=2):
    rng = torch.Generator().manual_seed(size)
    return torch.rand(n, channels, size, size, generator=rng) * 2 - 1


@pytest.mark.parametrize("sizes", [SIZES, [8, 14, 28], [64, 96], [5, 7]])
def test_reconstruction_is_exact(sizes):
    originals = images(sizes[-1]).double()
    rebuilt = reconstruct(laplacian_pyramid(originals, sizes))
    torch.testing.assert_close(rebuilt, originals, rtol=0, atol=1e-14)


@pytest.mark.parametrize("sizes", [SIZES, [8, 14, 28]])
def test_levels_run_coarse_to_fine_and_end_at_the_images(sizes):
    originals = images(sizes[-1])
    levels = gaussian_pyramid(originals, sizes)
    assert [level.shape[-1] for level in levels] == sizes
    assert torch.equal(levels[-1], originals)
    bands = laplacian_pyramid(originals, sizes)
    assert [band.shape for band in bands] == [level.shape for level in levels]
    assert torch.equal(bands[0], levels[0])


def test_detail_is_what_the_enlarged_coarser_level_lacks():
    originals = images()
    levels, bands = gaussian_pyramid(originals, SIZES), laplacian_pyramid(originals, SIZES)
    for k in (1, 2):
        torch.testing.assert_close(bands[k] + expand(levels[k - 1], SIZES[k]), levels[k])


def test_a_flat_image_has_no_detail():
    flat = torch.full((1, 1, 32, 32), 0.7, dtype=torch.float64)
    coarsest, *details = laplacian_pyramid(flat, SIZES)
    torch.testing.assert_close(coarsest, torch.full_like(coarsest, 0.7))
    for detail in details:
        assert detail.abs().max() < 1e-12


def line_reduced(line):
    """Blur by (1, 3, 3, 1) and keep every other sample; weights that fall outside are left out."""
    taps, out = (1.0, 3.0, 3.0, 1.0), []
    for i in range(len(line) // 2):
        inside = [(w, 2 * i - 1 + j) for j, w in enumerate(taps) if 0 <= 2 * i - 1 + j < len(line)]
        out.append(sum(w * line[p] for w, p in inside) / sum(w for w, _ in inside))
    return torch.stack(out)


def line_expanded(line):
    """Each new sample: three quarters the nearest, a quarter the second nearest; edges repeat."""
    out = []
    for i in range(2 * len(line)):
        near, other = i // 2, i // 2 + (1 if i % 2 else -1)
        other = min(max(other, 0), len(line) - 1)
        out.append(0.75 * line[near] + 0.25 * line[other])
    return torch.stack(out)


@pytest.mark.parametrize(
    ("operation", "loop", "size"), [(reduce, line_reduced, 8), (expand, line_expanded, 32)]
)
def test_a_factor_of_two_is_the_loop_over_rows_and_columns(operation, loop, size):
    original = images(16, n=1, channels=1).double()
    rows = torch.stack([loop(row) for row in original[0, 0]])
    expected = torch.stack([loop(column) for column in rows.T]).T
    torch.testing.assert_close(operation(original, size)[0, 0], expected)


def test_nothing_aliases():
    """The finest stripes there are become grey, not a pattern of their own."""
    stripes = torch.ones(1, 1, 32, 32)
    stripes[..., ::2] = -1
    assert reduce(stripes, 16)[..., 1:-1].abs().max() < 1e-6
