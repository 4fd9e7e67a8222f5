"""A share of any images that is held out of training."""

import pytest
from PIL import Image

from ganlab.data import folder, synthetic
from ganlab.data.held_out import Shares, side_of
from ganlab.data.synthetic import Synthetic

SHARE = 0.3


@pytest.fixture
def photos(tmp_path):
    """Forty grey pictures in two classes, each of its own brightness."""
    for k in range(40):
        place = tmp_path / "photos" / "ab"[k % 2]
        place.mkdir(parents=True, exist_ok=True)
        Image.new("L", (8, 8), 5 * k).save(place / f"{k}.png")
    return tmp_path / "photos"


def opened(path, **options):
    data = folder(str(path), resolution=8, channels=1, **options)
    data.prepare_data()
    data.setup("fit")
    return data


def seen(data):
    """Number of a picture, from its brightness -> its class."""
    labels = data.dataset.labels
    pixels = data.dataset.pixels.reshape(len(data.dataset), -1)[:, 0]
    return {int(value) // 5: int(label) for value, label in zip(pixels, labels, strict=True)}


def test_the_sides_share_no_image_and_are_all_of_them_with_their_classes(photos):
    training, test = (seen(opened(photos, held_out=SHARE, side=side)) for side in ("train", "test"))
    assert not training.keys() & test.keys()
    assert training | test == {k: k % 2 for k in range(40)}
    assert 4 <= len(test) <= 20  # 12 expected; 2.8 is a deviation


def test_what_is_held_out_of_training_is_the_other_side(photos):
    data = opened(photos, held_out=SHARE)
    other = opened(photos, held_out=SHARE, side="test")
    assert seen(data.held_out()) == seen(other)
    assert data.held_out().content_key == other.content_key != data.content_key
    assert data.held_out().held_out().content_key == data.content_key
    assert opened(photos).content_key != data.content_key


def test_no_image_changes_sides_where_others_join_or_the_folder_moves(photos, tmp_path):
    before = seen(opened(photos, held_out=SHARE, side="test"))
    for k in range(40, 50):
        Image.new("L", (8, 8), 5 * k).save(photos / "a" / f"0{k}.png")
    moved = photos.rename(tmp_path / "elsewhere")
    after = seen(opened(moved, held_out=SHARE, side="test"))
    assert {k for k in after if k < 40} == before.keys()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"held_out": 1.0}, "data.held_out=1.0 must be from 0 to below 1"),
        ({"held_out": -0.1}, "data.held_out=-0.1 must be from 0 to below 1"),
        ({"held_out": float("nan")}, "data.held_out=nan must be"),
        ({"held_out": 0.1, "side": "all"}, "data.side=all must be one of train, test"),
        ({"side": "valid"}, "data.side=valid must be one of train, test"),
        ({"side": "test"}, "data.side=test needs a share that is held out, as in data.held_out"),
    ],
)
def test_sides_that_cannot_be_are_refused_by_name(options, message):
    with pytest.raises(ValueError, match=message):
        synthetic(num=8, **options)


def test_a_side_without_images_is_refused_by_name():
    message = "data.held_out=1e-09 leaves none of 8 images for data.side=test"
    with pytest.raises(ValueError, match=message):
        Shares(Synthetic(8, 8), 1e-9, "test").open()


def test_without_a_share_the_source_stays_what_it_is():
    source = Synthetic(8, 8)
    assert side_of(source, 0.0, "train") is source
    with pytest.raises(ValueError, match=r"has no side that is held out .*data\.held_out"):
        synthetic(num=8).held_out()
