"""The embedded emoji: what they are, which stay, and on which side of the split they lie."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ganlab.data import emoji
from ganlab.data.emoji import (
    CATEGORIES,
    TEST_SHARE,
    Emoji,
    EmojiSheet,
    distinct,
    read_embedded,
    sheet_of,
    tiles,
)

HOME = Path(emoji.__code__.co_filename).parent


@pytest.fixture(scope="module")
def published():
    return read_embedded()


@pytest.fixture(scope="module")
def opened():
    """Every choice of variants and split, opened once."""
    return {
        (v, s): EmojiSheet(v, s).open() for v in (True, False) for s in ("all", "train", "test")
    }


def pictures(collection):
    return {image.tobytes() for image in collection.images}


def test_of_3786_published_pictures_19_are_copies_and_3767_remain(published, opened):
    images, table = published
    different = {image.tobytes() for image in images}
    assert (len(images), len(images) - len(different)) == (3786, 19)
    assert len(opened[True, "all"]) == 3767
    assert pictures(opened[True, "all"]) == different
    assert len({row.file for row in table}) == 3786
    assert [row.file for row in table] == sorted(row.file for row in table)


def test_of_1911_names_1897_neutral_pictures_differ(published, opened):
    images, table = published
    neutral = [k for k, row in enumerate(table) if not row.variant]
    assert len(neutral) == 1911 == len({row.name for row in table})
    assert len(opened[False, "all"]) == 1897
    assert pictures(opened[False, "all"]) == {images[k].tobytes() for k in neutral}


def test_labels_are_the_published_categories(published, opened):
    images, table = published
    stated = {}  # of equal pictures all have one category
    for image, row in zip(images, table, strict=True):
        assert stated.setdefault(image.tobytes(), row.category) == row.category
    for collection in opened.values():
        assert tuple(collection.class_names) == CATEGORIES == tuple(sorted(CATEGORIES))
        found = [CATEGORIES[label] for label in collection.labels]
        assert found == [stated[image.tobytes()] for image in collection.images]
    counts = np.bincount(opened[False, "all"].labels)
    assert counts.tolist() == [85, 159, 5, 261, 131, 264, 381, 169, 224, 218]


def test_of_equal_pictures_the_neutral_one_stays_then_the_first():
    a, b = (np.full((64, 64, 3), value, np.uint8) for value in (1, 2))
    table = [
        Emoji(f"{k}.png", "x", "Flags", tone) for k, tone in enumerate(["T", "T", "", "", "U"])
    ]
    assert distinct(np.stack([a, b, a, a, b]), table) == [1, 2]
    assert distinct(np.stack([a, a, b, a, b]), table) == [2, 3]


def test_every_name_is_on_one_side_in_all_its_skin_tones(published, opened):
    images, table = published
    sides = {}
    for row in table:
        assert sides.setdefault(row.name, row.held_out) == row.held_out
    names = {}
    for image, row in zip(images, table, strict=True):
        names.setdefault(image.tobytes(), set()).add(row.name)
    for variants in (True, False):
        train, test = (pictures(opened[variants, side]) for side in ("train", "test"))
        assert train | test == pictures(opened[variants, "all"])
        assert not train & test
        assert all(any(sides[name] for name in names[image]) for image in test)
    assert pictures(opened[False, "test"]) <= pictures(opened[True, "test"])
    spread = (TEST_SHARE * (1 - TEST_SHARE) / len(sides)) ** 0.5
    assert abs(sum(sides.values()) / len(sides) - TEST_SHARE) < 4 * spread
    assert len(opened[False, "train"]) >= 1000  # what a study of few images needs


def test_a_smaller_number_is_part_of_a_larger_one_and_of_every_category(opened):
    chosen = {num: EmojiSheet(False, "train", num).open() for num in (100, 500, 1126)}
    for num, collection in chosen.items():
        assert len(collection) == num
    assert pictures(chosen[100]) < pictures(chosen[500]) < pictures(chosen[1126])
    assert pictures(chosen[1126]) == pictures(opened[False, "train"])
    assert np.count_nonzero(np.bincount(chosen[500].labels, minlength=10)) >= 9
    assert len({collection.fingerprint() for collection in chosen.values()}) == 3


def test_chosen_categories_are_the_classes_in_their_order(opened):
    chosen = ["Travel & Places", "Flags"]
    sheet = EmojiSheet(False, "test", categories=chosen)
    some, whole = sheet.open(), opened[False, "test"]
    assert list(some.class_names) == ["Flags", "Travel & Places"]
    for label, name in enumerate(some.class_names):
        kept = whole.images[whole.labels == CATEGORIES.index(name)]
        assert np.array_equal(some.images[some.labels == label], kept)
    assert list(sheet.side("train").open().class_names) == list(some.class_names)
    assert some.fingerprint() != whole.fingerprint()
    assert EmojiSheet(False, "test", categories=CATEGORIES).open().fingerprint() == (
        whole.fingerprint()
    )


def test_errors_name_their_option():
    with pytest.raises(ValueError, match=r"data\.categories=Flag: there are Activities, "):
        EmojiSheet(categories=["Flag"])
    with pytest.raises(ValueError, match=r"data\.split=val must be one of all, train, test"):
        EmojiSheet(split="val")
    with pytest.raises(ValueError, match=r"data\.num=0 must be at least 1"):
        EmojiSheet(num=0)
    told = r"data\.num=2,000, but data\.split=all with data\.variants=false has 1,897 pictures"
    with pytest.raises(ValueError, match=told):
        EmojiSheet(variants=False, num=2000).open()


def test_the_module_gives_them_at_their_size_and_at_half_of_it(opened):
    original = opened[False, "test"]
    for side in (64, 32):
        data = emoji(variants=False, split="test", resolution=side, name="emoji")
        data.prepare_data()
        data.setup()
        assert data.dataset.pixels.shape == (771, 3, side, side)
        assert (data.num_classes, data.dataset.class_names[3]) == (10, "Flags")
    half = Image.fromarray(original.images[0]).resize((32, 32), Image.Resampling.LANCZOS)
    assert np.array_equal(data.dataset.pixels[0].transpose(1, 2, 0), np.asarray(half))


def test_a_sheet_is_read_as_it_was_laid():
    images = np.random.default_rng(0).integers(0, 256, (65, 64, 64, 3), dtype=np.uint8)
    sheet = sheet_of(images)
    assert sheet.shape == (128, 62 * 64, 3)
    assert np.array_equal(sheet[64:128, 128:192], images[64])
    assert (sheet[64:, 3 * 64 :] == 255).all()
    assert np.array_equal(tiles(sheet, 65), images)


@pytest.mark.parametrize("name", ["emoji", "fashion_mnist"])
def test_what_is_embedded_has_its_licence_beside_it_and_in_the_wheel(name):
    text = (HOME / f"{name}.LICENSE").read_text()
    assert "Copyright" in text
    project = (HOME.parents[1] / "pyproject.toml").read_text()
    assert 'license-files = ["LICENSE", "ganlab/data/*.LICENSE"]' in project


def test_the_licence_of_the_emoji_is_whole_and_names_their_source():
    text = (HOME / "emoji.LICENSE").read_text()
    assert (HOME.parents[1] / "LICENSE").read_text() in text
    for words in ("Noto Emoji v2.048", "emoji-datasource-google 16.0.0", "Apache License"):
        assert words in text
