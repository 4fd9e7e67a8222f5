"""Labels of image files as people have them: a file beside the images, or the images' folders."""

import json
import os
import shutil

import numpy as np
import pytest
from PIL import Image

from ganlab.data import BrokenData, folder, zipped
from ganlab.data.check import check, survey
from ganlab.data.labels import labels_of

NAMES = ["00000/a.png", "00000/b.png", "00001/c.png", "00001/d.png"]


def found(file, text, names=NAMES, top=""):
    data = text if isinstance(text, bytes) else text.encode()
    names = [f"{top}{name}" for name in names]
    return labels_of(names, {f"{top}{file}"}, {f"{top}{file}": data}.__getitem__)


def stylegan(*labels):
    return json.dumps({"labels": [list(pair) for pair in zip(NAMES, labels, strict=True)]})


TABLE = "file_name,label\n" + "\n".join(map(",".join, zip(NAMES, "5050", strict=True)))
ROWS = [{"file_name": n, "label": k} for n, k in zip(NAMES, [5, 0, 5, 0], strict=True)]
LINES = "\n".join(map(json.dumps, ROWS))
BODY = TABLE.partition("\n")[2]
HOT = stylegan([0, 1], [1, 0], [0, 1], [1, 0])


@pytest.mark.parametrize(
    ("file", "text", "numbers", "num_classes"),
    [
        ("dataset.json", stylegan(5, 0, 5, 0), [5, 0, 5, 0], 6),
        ("dataset.json", HOT, [1, 0, 1, 0], 2),
        ("dataset.json", "\ufeff" + stylegan("b", "a", "b", "a"), [1, 0, 1, 0], 2),
        ("labels.csv", TABLE, [5, 0, 5, 0], 6),
        ("labels.csv", BODY, [5, 0, 5, 0], 6),
        ("labels.csv", TABLE.replace("\n", "\r\n").replace("/", "\\"), [5, 0, 5, 0], 6),
        (
            "labels.csv",
            "image,class\n" + BODY.replace("5", "cat"),
            [1, 0, 1, 0],
            2,
        ),
        ("labels.csv", TABLE.replace(",5", ",5.0"), [5, 0, 5, 0], 6),
        ("dataset.json", stylegan(5.0, 0.0, 5, 0), [5, 0, 5, 0], 6),
        ("metadata.csv", TABLE, [5, 0, 5, 0], 6),
        ("metadata.jsonl", LINES, [5, 0, 5, 0], 6),
    ],
)
@pytest.mark.parametrize("top", ["", "set/"])
def test_the_files_label_wins_over_the_bucket(file, text, numbers, num_classes, top):
    labels = found(file, text, top=top)
    assert labels.numbers.tolist() == numbers
    assert len(labels.class_names) == num_classes
    assert labels.origin == labels.file == f"{top}{file}"


def test_names_are_numbered_in_sorted_order():
    rows = map(",".join, zip(NAMES, "bacb", strict=True))
    labels = found("labels.csv", "\n".join(["file,label", *rows]))
    assert labels.class_names == ("a", "b", "c")
    assert labels.numbers.tolist() == [1, 0, 2, 1]


def test_the_first_of_the_files_counts():
    files = {"dataset.json": stylegan(1, 1, 0, 0).encode(), "labels.csv": TABLE.encode()}
    assert labels_of(NAMES, files, files.__getitem__).numbers.tolist() == [1, 1, 0, 0]


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("metadata.csv", "file_name,caption\n00000/a.png,a cat\n"),
        ("metadata.jsonl", '{"file_name": "00000/a.png", "text": "a cat"}\n'),
        ("dataset.json", '{"title": "pictures of cats"}'),
    ],
)
def test_a_file_without_labels_leaves_them_to_the_folders(file, text):
    labels = found(file, text)
    assert labels.numbers.tolist() == [0, 0, 1, 1]
    assert labels.origin == "the folders that images lie in"


def test_a_data_set_that_says_it_has_no_labels_has_none():
    assert found("dataset.json", '{"labels": null}').numbers is None


@pytest.mark.parametrize(
    ("file", "text", "told"),
    [
        ("dataset.json", "{", "Expecting"),
        ("dataset.json", '{"labels": 5}', "not of the form"),
        (
            "dataset.json",
            stylegan([0.5, 0.5], 1, 1, 1),
            "label of 00000/a.png that is neither a name nor a whole number from 0 to 99,999: [0.5",
        ),
        (
            "dataset.json",
            stylegan(1, None, 1, 1),
            "label of 00000/b.png that is neither a name nor a whole number from 0 to 99,999: None",
        ),
        ("dataset.json", stylegan(-1, 1, 1, 1), "from 0 to 99,999: -1"),
        ("dataset.json", stylegan(10**9, 1, 1, 1), "from 0 to 99,999: 1000000000"),
        ("labels.csv", TABLE.replace("5", "-1"), "of 00000/a.png that is neither"),
        ("labels.csv", TABLE.replace(",5", ","), "of 00000/a.png that is neither"),
        ("labels.csv", TABLE.replace("5", "a\1"), "of 00000/a.png that is neither"),
        ("labels.csv", TABLE.encode("utf-16"), "is no text in UTF-8 from byte 0 on"),
        (
            "labels.csv",
            TABLE.replace(",", ";"),
            "but 'file_name;label'; cells are parted by commas",
        ),
        ("metadata.jsonl", LINES + '\n{"label"', "line 5 is no JSON (Expecting"),
        ("dataset.json", "[" * 100_000, "recursion"),
        ("labels.csv", TABLE.rpartition("\n")[0], "has no label for 00001/d.png"),
        ("labels.csv", TABLE + "\n00001/d.png,0", "more than one label for 00001/d.png"),
        ("labels.csv", TABLE + "\n00001/e.png,0", "what is no image here: 00001/e.png"),
        ("labels.csv", TABLE + ",7", "line 5 has another number of cells than line 1"),
        ("labels.csv", "picture,label\n", "or name, but 'picture', 'label'"),
        ("labels.csv", "file,label\n", "has no line below its header"),
        ("labels.csv", b"\xff\xfe\x00", "is no text in UTF-8 from byte 0 on"),
        ("labels.csv", "file,label\na.png," + "x" * 200_000, "field larger than field limit"),
        ("metadata.jsonl", LINES + "\n[]", "line 5 is no JSON object"),
        ("metadata.jsonl", LINES + '\n{"label": 3}', 'has {"label": 3} without file_name or label'),
    ],
)
def test_a_file_that_does_not_fit_is_one_line_with_the_way_out(file, text, told):
    with pytest.raises(BrokenData, match=r"set data\.labels=false") as error:
        found(file, text)
    assert told in str(error.value)
    assert str(error.value).startswith(f"{file}: ")


def test_a_file_that_does_not_fit_is_named_with_its_place(tmp_path):
    Image.new("L", (8, 8)).save(tmp_path / "a.png")
    (tmp_path / "labels.csv").write_text("b.png,1\n")
    with pytest.raises(BrokenData) as error:
        folder(str(tmp_path)).source.open()
    assert str(error.value).startswith(f"{tmp_path}/labels.csv: has no label for a.png; ")
    (tmp_path / "labels.csv").unlink()
    os.mkfifo(tmp_path / "labels.csv")
    assert "it is no file but a pipe" in check(tmp_path)[0].reason


def test_many_offenders_are_counted():
    with pytest.raises(BrokenData, match=r"0019\.png and 80 more"):
        found("labels.csv", "file,label\nx.png,1", names=[f"{n:04}.png" for n in range(100)])


@pytest.mark.parametrize("kind", ["folder", "zip"])
def test_sixty_labels_of_the_stylegan_tools_are_all_right(tmp_path, kind, capfd):
    """Buckets of 30 images have nothing to do with the three classes."""
    root, labels = tmp_path / "set", np.random.default_rng(0).integers(0, 3, 60)
    names = [f"{n // 30:05}/img{n:08}.png" for n in range(60)]
    for n, name in enumerate(names):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (8, 8), (n, 0, 0)).save(root / name)
    pairs = [[name, int(label)] for name, label in zip(names, labels, strict=True)]
    (root / "dataset.json").write_text(json.dumps({"labels": pairs[::-1]}))
    made = {"folder": lambda: root, "zip": lambda: archived(root)}[kind]()
    source = {"folder": folder, "zip": zipped}[kind]
    data = source(str(made), resolution=8, cache_dir=str(tmp_path / "cache"), name="set")
    data.prepare_data()
    data.setup()
    assert data.dataset.labels.tolist() == labels.tolist()
    assert data.num_classes == 3
    assert capfd.readouterr().err == "set: 3 classes from dataset.json\n"
    assert check(made) == []
    assert survey(made).labelled == "3 classes from dataset.json"
    before = source(str(made)).source.open().fingerprint()
    (root / "dataset.json").write_text(json.dumps({"labels": [[name, 0] for name in names]}))
    made = {"folder": lambda: root, "zip": lambda: archived(root)}[kind]()
    assert source(str(made)).source.open().fingerprint() != before


def archived(root):
    return shutil.make_archive(str(root), "zip", root)


def test_other_labels_files_are_not_counted_as_passed_over(tmp_path):
    Image.new("L", (8, 8)).save(tmp_path / "a.png")
    (tmp_path / "labels.csv").write_text("a.png,3\n")
    (tmp_path / "notes.txt").write_text("")
    opened = folder(str(tmp_path)).source.open()
    assert dict(opened.passed_over) == {".txt": 1}
    assert opened.labels.tolist() == [3]
    off = folder(str(tmp_path), labels=False).source.open()
    assert off.labels is None
    assert dict(off.passed_over) == {".txt": 1, ".csv": 1}


@pytest.mark.parametrize(
    "text",
    [
        "id,label\n00000/a,5\n00000/b,0\n00001/c,5\n00001/d,0",  # without suffixes
        TABLE.replace(".png", ".PNG"),
        TABLE.replace(".png", ".jpg"),  # of before the images were converted
        TABLE.replace("file_name,label", "file_name, label"),
        BODY.replace(".png", ""),
        "image_id,label\n" + BODY,
    ],
)
def test_a_table_may_name_images_without_their_suffixes_or_with_others(text):
    assert found("labels.csv", text).numbers.tolist() == [5, 0, 5, 0]


def test_a_header_with_a_space_is_no_row():
    text = TABLE.replace("file_name,label", "file, label").replace(",5", ", 5")
    assert found("labels.csv", text).numbers.tolist() == [5, 0, 5, 0]


def test_a_name_that_two_images_could_have_is_not_guessed():
    names = ["a.png", "a.jpg", "b.png"]
    with pytest.raises(BrokenData, match=r"has no label for a\.jpg, a\.png; .*no image here: a "):
        found("labels.csv", "file,label\na,1\nb.png,0", names)
    given = found("labels.csv", "file,label\na.png,1\na.jpg,2\nb,0", names)
    assert given.numbers.tolist() == [1, 2, 0]


def test_whole_paths_below_the_folder_are_its_images(tmp_path):
    """As tables of other tools hold them; those of another folder are not."""
    for k in range(4):
        Image.new("L", (8, 8), 60 * k).save(tmp_path / f"{k}.png")
    rows = [f"{tmp_path}/{k}.png,{k % 2}" for k in range(4)]
    (tmp_path / "labels.csv").write_text("file,label\n" + "\n".join(rows))
    assert survey(tmp_path).labelled == "2 classes from labels.csv"
    elsewhere = "\n".join(rows).replace(str(tmp_path), "/elsewhere")
    (tmp_path / "labels.csv").write_text("file,label\n" + elsewhere)
    (problem,) = check(tmp_path)
    assert "names what is no image here: /elsewhere/0.png" in problem.reason


@pytest.mark.parametrize(
    ("folders", "told"),
    [
        (("train/cat", "train/dog", "val/cat"), "train and val look like parts of a set"),
        (("Train", "Test", "Valid"), "Test, Train and Valid look like parts of a set"),
        (("images", "masks"), "images and masks look like parts of a set"),
        (("train/cat", "train/dog"), None),
        (("train", "bus"), None),
        (("test",), None),
    ],
)
def test_folders_that_look_like_parts_of_a_set_are_said(folders, told):
    """They are classes all the same: nothing is left out unasked."""
    given = labels_of([f"{folder}/a.png" for folder in folders], set(), {}.__getitem__)
    assert len(given.class_names) == len(folders)
    if told is None:
        assert given.origin == "the folders that images lie in"
    else:
        assert told in given.origin
        assert "name one of them in data.path, or set data.labels=false" in given.origin
