import numpy as np
import pytest
import torch
from PIL import Image

from ganlab.report.figures import curves, save
from ganlab.report.images import grid, labelled_grid, save_grid, save_png, to_uint8
from ganlab.report.panels import heat_over
from ganlab.report.timeline import evenly_spaced, images_seen, kimg_text, strip


def batch(n, channels=3, size=(4, 6), seed=0):
    shape = (n, channels, *size)
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed)) * 2 - 1


def test_every_stored_value_comes_back_from_its_float():
    stored = torch.arange(256, dtype=torch.uint8)
    assert torch.equal(to_uint8(stored.float() / 127.5 - 1), stored)
    assert to_uint8(stored) is stored


def test_rounding_is_to_the_nearest_level_and_range_is_clamped():
    levels = torch.arange(255.0)
    assert torch.equal(to_uint8((levels + 0.49) / 127.5 - 1), levels.to(torch.uint8))
    outside = torch.tensor([-9.0, 9.0, float("nan"), float("inf"), -float("inf")])
    assert to_uint8(outside).tolist() == [0, 255, 0, 255, 0]


def test_half_precision_is_stored_as_its_float_value():
    half = batch(2).bfloat16()
    assert torch.equal(to_uint8(half), to_uint8(half.float()))


def test_integers_of_unknown_range_are_refused():
    with pytest.raises(ValueError, match=r"torch\.int64.*\[-1, 1\]"):
        to_uint8(torch.zeros(2, dtype=torch.int64))


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(
    ("n", "columns", "padding"), [(5, 2, 2), (6, 3, 0), (1, None, 1), (7, 9, 3)]
)
def test_grid_places_each_image_where_it_says(n, columns, padding, channels):
    images = batch(n, channels)
    made = grid(images, columns, padding)
    per_row = columns or 1
    rows, used = -(-n // per_row), min(n, per_row)
    expected = np.full((rows * (4 + padding) + padding, used * (6 + padding) + padding, 3), 255)
    for i in range(n):
        for c in range(3):
            for y in range(4):
                for x in range(6):
                    top, left = (i // per_row) * (4 + padding), (i % per_row) * (6 + padding)
                    value = images[i, c % channels, y, x]
                    expected[padding + top + y, padding + left + x, c] = round(
                        (value.item() + 1) * 127.5
                    )
    assert made.dtype == np.uint8
    assert np.array_equal(made, expected)


def test_grid_is_near_square_by_default():
    assert grid(batch(9), padding=0).shape == (12, 18, 3)
    assert grid(batch(10), padding=0).shape == (12, 24, 3)


@pytest.mark.parametrize("images", [batch(0), batch(2)[0]])
def test_grid_names_the_shape_it_cannot_lay_out(images):
    with pytest.raises(ValueError, match="expected \\(N, C, H, W\\)"):
        grid(images, columns=1)


def test_grid_needs_a_column():
    with pytest.raises(ValueError, match="columns is 0"):
        grid(batch(2), columns=0)


def test_labelled_rows_hold_the_images_to_the_right_of_their_captions():
    before, after = batch(3), batch(2, channels=1, seed=1)
    made = labelled_grid([("before", before), ("after <b>", after)], padding=2, scale=3)
    width = 3 * (18 + 2) + 2
    body, margin = made[:, -width:], made[:, :-width]
    first = to_uint8(before)[0].permute(1, 2, 0).numpy().repeat(3, 0).repeat(3, 1)
    assert np.array_equal(body[2:14, 2:20], first)
    second = to_uint8(after)[1].expand(3, -1, -1).permute(1, 2, 0).numpy()
    assert np.array_equal(body[16:28, 22:40], second.repeat(3, 0).repeat(3, 1))
    assert (body[16:28, 42:60] == 255).all()  # the shorter row ends in paper
    assert (margin[:14] < 128).any()
    assert (margin[14:] < 128).any()


def test_labelled_rows_of_two_sizes_are_refused():
    with pytest.raises(ValueError, match="one size"):
        labelled_grid([("a", batch(1)), ("b", batch(1, size=(8, 8)))])


def test_small_images_are_enlarged_by_a_whole_factor_until_legible():
    made = labelled_grid([("a", batch(1, size=(28, 28)))], padding=0)
    assert made.shape[0] == 84  # 3 x 28 is the first height of at least 64


def test_a_map_lies_over_its_part_of_a_picture_in_grey():
    colours = np.random.default_rng(0).integers(0, 256, (8, 4, 3), np.uint8)
    shares = torch.tensor([[0.0, 0.0], [0.0, 0.5]])
    over = heat_over(colours, shares, "low", top=0.5).astype(int)
    grey = np.rint(colours.mean(-1)).astype(int)
    plain = np.ones((8, 4), bool)
    plain[4:, 2:] = False
    assert all((over[plain] == grey[plain][:, None]).ravel())
    assert (np.ptp(over[~plain], axis=-1) > 50).all(), "the darkest colour of the scale is no grey"
    fifth = np.rint(0.2 * colours.mean(-1)).astype(int)[~plain]
    through = over[~plain] - fifth[:, None]  # of the picture a fifth shows, the rest is one colour
    assert (np.ptp(through, axis=0) <= 2).all()


def test_png_holds_the_pixels_and_the_text(tmp_path):
    picture = grid(batch(4))
    path = save_png(picture, tmp_path / "new" / "x.png", {"images_seen": "5", "Note": "ψé"})
    with Image.open(path) as image:
        assert np.array_equal(np.asarray(image), picture)
        assert image.info == {"images_seen": "5", "Note": "ψé"}
    assert [p.name for p in path.parent.iterdir()] == ["x.png"]


@pytest.mark.parametrize("channels", [1, 3])
def test_png_of_one_tensor(tmp_path, channels):
    image = batch(1, channels)[0]
    with Image.open(save_png(image, tmp_path / "x.png")) as read:
        assert read.mode == {1: "L", 3: "RGB"}[channels]
        assert np.array_equal(
            np.asarray(read).reshape(4, 6, channels), to_uint8(image).permute(1, 2, 0)
        )


def test_png_bytes_depend_on_content_alone(tmp_path):
    picture = grid(batch(4))
    one = save_png(picture, tmp_path / "a.png", {"a": "1", "b": "2"}).read_bytes()
    two = save_png(picture.copy(), tmp_path / "b.png", {"b": "2", "a": "1"}).read_bytes()
    other = save_png(picture, tmp_path / "c.png", {"a": "1", "b": "3"}).read_bytes()
    assert one == two != other


@pytest.mark.parametrize("wrong", [np.zeros((4, 4, 5), np.uint8), np.zeros((4, 4)), batch(2)])
def test_what_is_no_picture_is_refused_with_the_file_named(tmp_path, wrong):
    with pytest.raises(ValueError, match=r"x\.png: cannot write"):
        save_png(wrong, tmp_path / "x.png")


@pytest.mark.parametrize(
    ("name", "metadata", "seen"),
    [
        ("000012500.png", {}, 12500),
        ("fakes_12500.png", {}, 12500),
        ("kimg_12.5.png", {}, 12500),
        ("fakes-12.5kimg.png", {}, 12500),
        ("000000001.png", {"images_seen": "777"}, 777),
        ("timeline.png", {}, None),
        ("000012.png", {"index": "12"}, None),  # of one latent
        ("000012.png", {"row": "12"}, None),
        ("timeline.png", {"images_seen": "9" * 400}, None),  # no number of images
        ("timeline.png", {"images_seen": "9" * 5000}, None),
    ],
)
def test_the_moment_of_a_grid(tmp_path, name, metadata, seen):
    assert images_seen(save_png(grid(batch(1)), tmp_path / name, metadata)) == seen


def test_kimg_in_words():
    said = [kimg_text(seen) for seen in (0, 512, 12_500, 142_857, 25_000_000)]
    assert said == ["0 kimg", "0.512 kimg", "12.5 kimg", "143 kimg", "25,000 kimg"]


@pytest.mark.parametrize(("length", "count"), [(1, 5), (5, 5), (9, 4), (100, 13), (7, 2)])
def test_evenly_spaced_keeps_both_ends_and_near_equal_steps(length, count):
    chosen = evenly_spaced(range(length), count)
    assert chosen[0] == 0
    assert chosen[-1] == length - 1
    assert len(chosen) == min(length, count)
    steps = np.diff(chosen)
    assert not len(steps) or steps.max() - steps.min() <= 1


def saved_moments(folder, moments, **options):
    for seen in moments:
        images = batch(6, seed=seen)
        save_grid(images, folder / f"{seen:09d}.png", columns=3, **options)
    return sorted(folder.glob("*.png"), reverse=True)


def test_strip_is_the_top_row_of_each_moment_in_order(tmp_path):
    paths = saved_moments(tmp_path, [0, 1000, 2000, 3000, 4000], padding=1)
    made = strip(paths, count=2, moments=3, scale=1)
    width = 2 * (6 + 2) + 2
    assert made.shape[0] == 3 * (4 + 2) + 2
    for row, seen in enumerate([0, 2000, 4000]):
        for column in range(2):
            expected = to_uint8(batch(6, seed=seen))[column].permute(1, 2, 0)
            top, left = 2 + row * 6, made.shape[1] - width + 2 + column * 8
            assert np.array_equal(made[top : top + 4, left : left + 6], expected)


def test_strip_cuts_plain_grids_when_told_the_cell(tmp_path):
    save_png(grid(batch(6), columns=3), tmp_path / "7.png")
    given = strip([tmp_path / "7.png"], cell=(6, 4), scale=1)
    noted = strip([save_grid(batch(6), tmp_path / "a" / "7.png", columns=3)], scale=1)
    assert np.array_equal(given, noted)
    with pytest.raises(ValueError, match=r"7\.png does not give its cell size"):
        strip([tmp_path / "7.png"])


def test_strip_names_what_is_missing(tmp_path):
    with pytest.raises(ValueError, match="at least one sample grid"):
        strip([])
    save_grid(batch(1), tmp_path / "final.png")
    with pytest.raises(ValueError, match=r"final\.png does not say when"):
        strip([tmp_path / "final.png"])


@pytest.mark.parametrize("cell", ["40x4", "6x40", "0x4", "6x0"])
@pytest.mark.parametrize("padding", ["2", "0", "-9"])
def test_a_file_that_tells_cells_it_has_not_is_named(tmp_path, cell, padding):
    told = {"cell": cell, "padding": padding}
    save_png(grid(batch(1)), tmp_path / "7.png", told)
    with pytest.raises(ValueError, match=rf"7\.png has no cell of {cell} pixels, {padding} from"):
        strip([tmp_path / "7.png"])


def test_a_files_name_that_is_no_text_costs_no_picture(tmp_path):
    """As Python keeps its bytes; nothing in UTF-8 holds them."""
    name = "caf\udce9.png"
    path = save_png(grid(batch(1)), tmp_path / "a.png", {"Description": name})
    assert Image.open(path).text["Description"] == "caf?.png"
    lines = {name: ([1, 2], [1, 2]), "other": ([1, 2], [2, 3])}
    figure, numbers = curves(lines)
    save(figure, tmp_path / "b.png", numbers, caption=name)
    assert "caf?.png/x" in np.load(tmp_path / "b.npz")
