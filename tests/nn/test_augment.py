"""Images moved, warped, recoloured and cut: beside plain loops, NumPy's moves and closed forms."""

import math

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation
from torch.autograd import gradcheck, gradgradcheck

from ganlab.nn import augment


def images(*shape, seed=0):
    rng = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=rng, dtype=torch.float64)


def numbers(*values):
    return torch.tensor(values, dtype=torch.float64)


def test_the_filter_is_orthogonal_and_has_six_vanishing_moments():
    taps = np.array(augment.SYMLET)
    for shift in range(1, 6):
        assert taps[2 * shift :] @ taps[: -2 * shift] == pytest.approx(0, abs=1e-12)
    assert taps @ taps == pytest.approx(1)
    assert taps.sum() == pytest.approx(math.sqrt(2))
    for moment in range(6):
        signs = (-1.0) ** np.arange(12)
        assert (signs * taps) @ (np.arange(12) - 5.5) ** moment == pytest.approx(0, abs=1e-6)


def explicit_blit(image, flip, turns, right, down):
    image = image[:, ::-1] if flip else image
    image = np.rot90(image, turns)
    (height, width), far = image.shape, max(image.shape)
    wide = np.pad(image, far, mode="symmetric")
    return wide[far - down : far - down + height, far - right : far - right + width]


@pytest.mark.parametrize("turns", [0, 1, 2, 3])
@pytest.mark.parametrize("flip", [False, True])
@pytest.mark.parametrize("size", [(6, 6), (7, 7), (4, 8)])
def test_pixels_are_flipped_turned_and_moved_as_numpy_does(size, flip, turns):
    if size[0] != size[1] and turns % 2:
        return  # a rectangle is not turned onto itself
    x, (height, width) = images(1, 2, *size), size
    shift = numbers(2 / width, -1 / height)[None]
    found = augment.blit(x, torch.tensor([flip]), torch.tensor([turns]), shift)
    for channel in range(2):
        wanted = explicit_blit(x[0, channel].numpy(), flip, turns, 2, -1)
        assert np.array_equal(found[0, channel].numpy(), wanted)


def test_a_rectangle_that_is_turned_shows_its_middle():
    x = images(1, 1, 4, 8)
    found = augment.blit(x, torch.tensor([False]), torch.tensor([1]), torch.zeros(1, 2))
    assert np.array_equal(found[0, 0, :, 2:6].numpy(), np.rot90(x[0, 0, :, 2:6].numpy()))


def explicit_warp(image, inverse):
    """Doubled, read between pixels, halved: position by position."""
    taps, (height, width) = np.array(augment.SYMLET) / math.sqrt(2), image.shape

    def doubled(line):
        far = 12
        spread = np.zeros(2 * (len(line) + 2 * far))
        spread[::2] = np.pad(line, far, mode="symmetric")
        return np.convolve(spread, 2 * taps)[2 * far + 5 :][: 2 * len(line)]

    fine = np.apply_along_axis(doubled, 1, np.apply_along_axis(doubled, 0, image))

    def at(row, column):
        """Of the doubled image, bilinear, mirrored at its edges."""
        place = []
        for value, size in ((row, 2 * height), (column, 2 * width)):
            value = (value + 0.5) % (2 * size)
            value = (2 * size - value if value > size else value) - 0.5
            place.append(min(max(value, 0), size - 1))
        (top, left), (down, right) = np.floor(place).astype(int), np.modf(place)[0]
        bottom, end = min(top + 1, 2 * height - 1), min(left + 1, 2 * width - 1)
        upper = (1 - right) * fine[top, left] + right * fine[top, end]
        lower = (1 - right) * fine[bottom, left] + right * fine[bottom, end]
        return (1 - down) * upper + down * lower

    found = np.zeros_like(image)
    middle = (width - 1) / 2, (height - 1) / 2
    for i in range(height):
        for j in range(width):
            for k, weight in enumerate(taps):
                for m, other in enumerate(taps):
                    x = (j + (m - 5.5) / 2 - middle[0]) / width
                    y = (i + (k - 5.5) / 2 - middle[1]) / width
                    x, y, _ = inverse @ [x, y, 1]
                    column, row = x * width + middle[0], y * width + middle[1]
                    found[i, j] += weight * other * at(2 * row + 0.5, 2 * column + 0.5)
    return found


MAPS = {
    "scale": (augment.scaling(numbers(0.7), numbers(0.7)), np.diag([0.7, 0.7, 1])),
    "stretch": (augment.scaling(numbers(0.8), numbers(1.25)), np.diag([0.8, 1.25, 1])),
    "turn": (
        augment.rotation(numbers(0.4)),
        np.array(
            [[math.cos(0.4), -math.sin(0.4), 0], [math.sin(0.4), math.cos(0.4), 0], [0, 0, 1]]
        ),
    ),
    "move": (
        augment.translation(numbers(0.13), numbers(-0.21)),
        np.array([[1, 0, 0.13], [0, 1, -0.21], [0, 0, 1]]),
    ),
}


@pytest.mark.parametrize("name", MAPS)
@pytest.mark.parametrize("size", [(5, 5), (4, 6)])
def test_each_map_warps_as_an_explicit_resampling_does(name, size):
    matrix, explicit = MAPS[name]
    x = images(1, 1, *size)
    found = augment.warp(x, matrix)[0, 0].numpy()
    assert np.allclose(matrix[0], explicit)
    np.testing.assert_allclose(found, explicit_warp(x[0, 0].numpy(), explicit), atol=1e-9)


def test_maps_in_a_row_and_a_batch_of_them_warp_as_an_explicit_resampling_does():
    both = [MAPS["turn"][0] @ MAPS["stretch"][0], MAPS["move"][0] @ MAPS["scale"][0]]
    x = images(2, 1, 5, 5)
    found = augment.warp(x, torch.cat(both))
    for sample in range(2):
        wanted = explicit_warp(x[sample, 0].numpy(), both[sample][0].numpy())
        np.testing.assert_allclose(found[sample, 0].numpy(), wanted, atol=1e-9)


@pytest.mark.parametrize(("names", "most"), [
    (["move"], 5e-3),
    (["turn", "stretch", "move"], 0.03),  # a turned filter is late the other way
])  # fmt: skip
def test_a_smooth_picture_is_the_picture_at_the_places_it_is_read(names, most):
    """Whatever the filter, cos(a x + b y) is itself at x' = M x; no loops are shared with it."""
    size = 48
    line = (torch.arange(size).double() - (size - 1) / 2) / size
    y, x = torch.meshgrid(line, line, indexing="ij")
    wave = lambda x, y: torch.cos(9 * x + 4 * y + 0.3)  # noqa: E731
    matrix = torch.linalg.multi_dot([*(MAPS[n][0][0] for n in names), torch.eye(3).double()])
    (a, b, c), (d, e, f) = matrix[:2]
    there = a * x + b * y + c, d * x + e * y + f
    found = augment.warp(wave(x, y)[None, None], matrix[None])[0, 0]
    inside = (there[0].abs() < 0.36) & (there[1].abs() < 0.36) & (x.abs() < 0.36) & (y.abs() < 0.36)
    assert inside.float().mean() > 0.25
    assert (found - wave(*there)).abs()[inside].max() < most


def test_no_warp_leaves_the_pixels_away_from_the_edges():
    x = images(1, 2, 20, 24)
    found = augment.warp(x, torch.eye(3, dtype=torch.float64)[None])
    torch.testing.assert_close(found[..., 6:-6, 6:-6], x[..., 6:-6, 6:-6], atol=1e-6, rtol=0)


def test_gradients_of_a_warp_are_those_of_finite_differences_twice():
    matrix = torch.cat([MAPS["turn"][0] @ MAPS["scale"][0], MAPS["move"][0]])
    x = images(2, 1, 3, 4).requires_grad_()
    assert gradcheck(lambda x: augment.warp(x, matrix), (x,))
    assert gradgradcheck(lambda x: augment.warp(x, matrix) ** 2, (x,))


GREY = np.ones(3) / math.sqrt(3)
COLOURS = {
    "brightness": lambda rgb, number: rgb + number,
    "contrast": lambda rgb, number: rgb * number,
    "luma_flip": lambda rgb, number: rgb - 2 * number * (rgb @ GREY) * GREY,
    "hue": lambda rgb, number: Rotation.from_rotvec(number * GREY).apply(rgb),
    "saturation": lambda rgb, number: (rgb @ GREY) * GREY + number * (rgb - (rgb @ GREY) * GREY),
}


@pytest.mark.parametrize("name", COLOURS)
def test_each_change_of_colour_is_its_formula_at_every_pixel(name):
    x, values = images(3, 3, 2, 4), (0.0, 1.0, 1.0) if name == "luma_flip" else (-0.8, 0.5, 2.0)
    found = augment.recolour(x, getattr(augment, name)(numbers(*values)))
    for sample, value in enumerate(values):
        for row in range(2):
            for column in range(4):
                wanted = COLOURS[name](x[sample, :, row, column].numpy(), value)
                np.testing.assert_allclose(found[sample, :, row, column], wanted, atol=1e-12)


def test_changes_of_colour_follow_each_other():
    x, factor, change = images(1, 3, 2, 2), numbers(1.7), numbers(0.3)
    both = augment.contrast(factor) @ augment.brightness(change)
    torch.testing.assert_close(augment.recolour(x, both), 1.7 * (x + 0.3))


@pytest.mark.parametrize("channels", [1, 5])
def test_other_numbers_of_channels_change_alike(channels):
    x = images(1, channels, 2, 2)
    both = augment.contrast(numbers(1.7)) @ augment.brightness(numbers(0.3))
    torch.testing.assert_close(augment.recolour(x, both), 1.7 * (x + 0.3))
    torch.testing.assert_close(augment.recolour(x, augment.luma_flip(numbers(1.0))), -x)


def test_values_spread_about_their_mean():
    x = images(2, 3, 4, 4)
    found = augment.spread(x, numbers(0.0, 2.0), (1,))
    torch.testing.assert_close(found[0], x[0].mean(dim=0).expand(3, 4, 4))
    grey = x[1].mean(dim=0)
    torch.testing.assert_close(found[1], grey + 2 * (x[1] - grey))
    found = augment.spread(x, numbers(0.5, 1.5), (1, 2, 3))
    torch.testing.assert_close(found.mean(dim=(1, 2, 3)), x.mean(dim=(1, 2, 3)))
    torch.testing.assert_close(found.var(dim=(1, 2, 3)), numbers(0.25, 2.25) * x.var(dim=(1, 2, 3)))


def test_what_is_shifted_leaves_zeros():
    x = images(2, 1, 4, 8)
    found = augment.shift_pixels(x, numbers(3 / 8, -1 / 4, -1 / 8, 0).view(2, 2))
    wanted = torch.zeros_like(x)
    wanted[0, :, :3, 3:] = x[0, :, 1:, :5]
    wanted[1, :, :, :7] = x[1, :, :, 1:]
    assert torch.equal(found, wanted)


@pytest.mark.parametrize(("place", "rows", "columns"), [
    ((0.0, 0.0), range(2), range(4)),  # half of the hole lies outside
    ((0.5, 0.5), range(4), range(8)),
    ((0.999, 0.999), range(2, 4), range(4, 8)),
])  # fmt: skip
def test_a_hole_is_where_it_is_told(place, rows, columns):
    x = torch.ones(1, 2, 4, 8, dtype=torch.float64)
    wide = augment.cut(x, numbers(*place)[None], 1.0)
    wanted = x.clone()
    wanted[:, :, rows.start : rows.stop, columns.start : columns.stop] = 0
    assert torch.equal(wide, wanted)


def test_a_hole_of_half_the_sides_covers_a_quarter_where_it_is_whole():
    x = images(1, 1, 8, 8)
    found = augment.cut(x, numbers(0.5, 0.5)[None], 0.5)
    wanted = x.clone()
    wanted[..., 2:6, 2:6] = 0
    assert torch.equal(found, wanted)
