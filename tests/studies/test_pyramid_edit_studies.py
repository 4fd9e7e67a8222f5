"""Re-painting, composition, re-labelling and unnatural references, from image files."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image
from pyramid_toys import Blocks, Pyramid, run
from study_toys import ConvGenerator, Data, System, trainer

from ganlab.data import NoImages
from ganlab.nn.randomness import latents_at
from ganlab.report.tables import parse_markdown, read_csv
from ganlab.studies import Compose, Relabel, Repaint, Study, Unnatural


def file(folder, pixels, name):
    Image.fromarray(np.asarray(pixels, np.uint8)).save(folder / name)
    return str(folder / name)


def blocks(seed, low=0, high=256):
    small = np.random.default_rng(seed).integers(low, high, (4, 4))
    return small.repeat(2, 0).repeat(2, 1)


def corner(side=8):
    mask = np.zeros((side, side))
    mask[: side // 2, : side // 2] = 255
    return mask


def rows_of(folder):
    return read_csv((folder / "table.csv").read_text()).rows


def notes_of(folder):
    return " ".join(parse_markdown((folder / "table.md").read_text()).notes)


def pixels_of(path):
    with Image.open(path) as image:
        return np.asarray(image.convert("L")).astype(int)


def test_repaint_keeps_the_outside_and_measures_it(tmp_path):
    image = file(tmp_path, blocks(0), "image.png")
    mask = file(tmp_path, corner(), "mask.png")
    run(Repaint(directory=tmp_path, image=image, mask=mask, level="fc7", num_variants=3, seed=2))
    rows = {row["image"]: row for row in rows_of(tmp_path)}
    assert list(rows) == [
        *("image", "nothing masked", "variant 0", "variant 1", "variant 2", "mean of variants")
    ]
    original = blocks(0)
    for i in range(3):
        painted = pixels_of(tmp_path / "repaint" / f"{i:03d}.png")
        assert np.abs(painted - original)[4:].max() <= 1, "below the region"
        assert np.abs(painted - original)[:, 4:].max() <= 1, "right of it"
        inside = np.sqrt(np.mean((painted - original)[:4, :4] ** 2.0)) / 255
        assert rows[f"variant {i}"]["change inside"] == pytest.approx(inside, abs=0.003)
        assert rows[f"variant {i}"]["change outside"] == pytest.approx(0, abs=1e-6)
        assert rows[f"variant {i}"]["PSNR outside"] > 100
    assert inside > 0.05
    assert rows["nothing masked"]["change inside"] == pytest.approx(0, abs=1e-6)
    assert "level fc7" in notes_of(tmp_path)
    assert "the region is 25.0% of the image" in notes_of(tmp_path)
    numbers = np.load(tmp_path / "figures" / "repaint.npz")
    assert numbers["region"].sum() == 16
    assert numbers["change_inside"][0] == pytest.approx(rows["variant 0"]["change inside"])
    latents = np.load(tmp_path / "latents" / "repaint.npy")
    assert np.array_equal(latents, latents_at(Pyramid().generator_ema, range(3), 2).numpy())


def test_variants_differ_inside_alone_and_cells_that_touch_the_region_count_as_inside(tmp_path):
    """A region of one pixel opens the whole cell of pool1 that it lies in."""
    mask = np.zeros((8, 8))
    mask[3, 3] = 255
    options = {"image": file(tmp_path, blocks(0), "i.png"), "mask": file(tmp_path, mask, "m.png")}
    run(Repaint(directory=tmp_path, level="fc7", num_variants=2, **options))
    first, second = (pixels_of(tmp_path / "repaint" / f"00{i}.png") for i in (0, 1))
    changed = np.argwhere(first != second)
    assert (changed.min(0).tolist(), changed.max(0).tolist()) == ([2, 2], [3, 3])
    assert rows_of(tmp_path)[2]["change outside"] > 0


def test_paste_puts_the_images_own_pixels_back(tmp_path):
    mask = np.zeros((8, 8))
    mask[3, 3] = 255
    options = {"image": file(tmp_path, blocks(0), "i.png"), "mask": file(tmp_path, mask, "m.png")}
    run(Repaint(directory=tmp_path, level="fc7", num_variants=2, paste=True, **options))
    painted = pixels_of(tmp_path / "repaint" / "000.png")
    different = painted != blocks(0)
    different[3, 3] = False
    assert not different.any()
    assert rows_of(tmp_path)[2]["change outside"] > 0, "what is measured is the network's"
    assert "original's pixels" in notes_of(tmp_path)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"level": "conv1"}, r"study\.level=pool1 is the level closest .* pool2, fc7, fc8"),
        ({"level": "pool9"}, r"study\.level=pool9 is no level"),
        ({"image": "none.png"}, r"study\.image=none\.png: no such file"),
        ({"mask": "none.png"}, r"study\.mask=none\.png: no such file"),
    ],
)
def test_what_cannot_be_repainted_is_refused_before_any_work(tmp_path, options, message):
    given = {
        "image": file(tmp_path, blocks(0), "i.png"),
        "mask": file(tmp_path, corner(), "m.png"),
    }
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        run(Repaint(directory=tmp_path / "out", **(given | options)))
    assert not (tmp_path / "out").exists()


def test_bad_options_are_named(tmp_path):
    for kind in (Repaint, Compose, Relabel):
        with pytest.raises(ValueError, match=r"study\.image is not set; it takes an image file"):
            kind(directory=tmp_path)
    with pytest.raises(ValueError, match=r"study\.mask is not set"):
        Repaint(directory=tmp_path, image="i")
    with pytest.raises(ValueError, match=r"study\.object is not set"):
        Compose(directory=tmp_path, image="i", mask="m")
    with pytest.raises(ValueError, match=r"study\.images is not set"):
        Unnatural(directory=tmp_path)
    with pytest.raises(ValueError, match=r"study\.num_variants must be at least 1"):
        Repaint(directory=tmp_path, image="i", mask="m", num_variants=0)
    with pytest.raises(ValueError, match=r"study\.truncation=0 must be above 0"):
        Repaint(directory=tmp_path, image="i", mask="m", truncation=0)
    with pytest.raises(ValueError, match=r"study\.mask=<file> or by study\.box"):
        Compose(directory=tmp_path, image="i", object="o")
    with pytest.raises(ValueError, match=r"study\.at=\[1\] be \[y,x\]"):
        Compose(directory=tmp_path, image="i", object="o", mask="m", at=[1])
    with pytest.raises(ValueError, match=r"study\.num_labels=0"):
        Relabel(directory=tmp_path, image="i", num_labels=0)
    with pytest.raises(ValueError, match=r"study\.num_variants"):
        Unnatural(directory=tmp_path, images="i", num_variants=0)


def test_another_generator_is_refused(tmp_path):
    image = file(tmp_path, blocks(0), "i.png")
    with pytest.raises(ValueError, match="model=semantic_pyramid, and this one is of study_toys"):
        trainer(Study(Relabel(directory=tmp_path, image=image))).test(
            System(ConvGenerator()), Data(), verbose=False
        )


def test_compose_implants_the_object_and_keeps_the_background(tmp_path):
    background, holder = blocks(1), blocks(2)
    options = {
        "image": file(tmp_path, background, "back.png"),
        "object": file(tmp_path, holder, "object.png"),
        "mask": file(tmp_path, corner(), "mask.png"),
    }
    run(Compose(directory=tmp_path, level="pool2", num_variants=2, **options))
    expected = background.copy().astype(float)
    expected[:4, :4] = holder[:4, :4].mean()
    painted = pixels_of(tmp_path / "compose" / "000.png")
    assert np.abs(painted - expected).max() <= 1
    rows = {row["image"]: row for row in rows_of(tmp_path)}
    assert rows["naive paste"]["change outside"] == 0
    assert rows["variant 0"]["change outside"] == pytest.approx(0, abs=1e-6)
    inside = np.sqrt(np.mean((expected - holder)[:4, :4] ** 2)) / 255
    assert rows["variant 0"]["change inside"] == pytest.approx(inside, abs=1e-3)
    assert (tmp_path / "figures" / "compose.png").exists()


def test_a_box_is_moved_into_the_background(tmp_path):
    background, holder = blocks(1), blocks(2)
    options = {
        "image": file(tmp_path, background, "back.png"),
        "object": file(tmp_path, holder, "object.png"),
    }
    study = Compose(directory=tmp_path, box=[0, 0, 0.5, 0.5], at=[0.75, 0.75], **options)
    run(study)
    region = np.load(tmp_path / "figures" / "compose.npz")["region"]
    assert np.argwhere(region).min(0).tolist() == [4, 4]
    assert region.sum() == 16
    assert "level pool2" in notes_of(tmp_path), "the coarsest that is a map"
    with pytest.raises(FileNotFoundError, match=r"study\.object=none\.png: no such file"):
        run(Compose(directory=tmp_path, box=[0, 0, 1, 0.5], **{**options, "object": "none.png"}))


def test_relabel_keeps_the_level_and_changes_the_class(tmp_path):
    """The toy's class is brightness; its own guess of a dark image is class 0."""
    image = file(tmp_path, np.full((8, 8), 40), "dark.png")
    study = Relabel(directory=tmp_path, image=image, level="pool2", num_variants=2, num_labels=2)
    system = run(study)
    rows = rows_of(tmp_path)
    assert [row["label"] for row in rows] == [0, 1, 2], "its own first, then the next likely"
    assert [row["recognized"] for row in rows] == [1, 0, 0], "pool2 says all of the image"
    assert [row["change of features"] for row in rows] == pytest.approx([0, 0, 0], abs=1e-6)
    assert "guess is 0 (" in notes_of(tmp_path)
    assert {level for level, _ in system.conditioner.asked} == {"pool2"}
    assert sorted(p.parent.name for p in (tmp_path / "relabel").glob("*/000.png")) == [
        "0",
        "1",
        "2",
    ]
    assert np.load(tmp_path / "figures" / "relabel.npz")["label"].tolist() == [0, 1, 2]


def test_relabel_tells_the_class_to_the_generator(tmp_path):
    """From fc8 the toy paints nothing but its class and latent: brighter for brighter classes."""
    image = file(tmp_path, np.full((8, 8), 40), "dark.png")
    data = Blocks()
    run(
        Relabel(directory=tmp_path, image=image, level="fc8", labels=[2, "1"], num_variants=3), data
    )
    assert [row["label"] for row in rows_of(tmp_path)] == [0, 2, 1]
    means = [
        np.mean([pixels_of(p).mean() for p in (tmp_path / "relabel" / str(k)).glob("*.png")])
        for k in (0, 1, 2)
    ]
    assert means[1] - means[0] == pytest.approx(127.5 / 10, abs=0.6)
    assert means[2] - means[1] == pytest.approx(127.5 / 10, abs=0.6)
    with pytest.raises(ValueError, match=r"study\.labels=9 is no class; there are 3: 0, 1, 2"):
        run(Relabel(directory=tmp_path, image=image, labels=[9]))


def test_classes_go_by_name(tmp_path):
    """Of a file, else the classifier's, else the data's; never by those of another number."""
    image = file(tmp_path, np.full((8, 8), 40), "dark.png")
    system, data = Pyramid(), Blocks()

    class Named(torch.Tensor):
        class_names = ("night", "dusk", "day/noon")

    data.dataset, data.content_key = data.dataset.as_subclass(Named), "blocks"
    run(Relabel(directory=tmp_path, image=image, labels="day/noon"), data)
    assert [row["label"] for row in rows_of(tmp_path)] == ["night", "day/noon"]
    assert (tmp_path / "relabel" / "day_noon" / "000.png").exists()
    Named.class_names = ("a b", "a/b", "../c")
    run(Relabel(directory=tmp_path, image=image, labels=[0, 1, 2]), data)
    assert {"a_b_0", "a_b_1", "___c"} <= {path.name for path in (tmp_path / "relabel").iterdir()}
    system.conditioner.extractor = SimpleNamespace(class_names=("dark", "grey", "light"))
    run(Relabel(directory=tmp_path, image=image, labels="light"), data, system)
    assert [row["label"] for row in rows_of(tmp_path)] == ["dark", "light"]
    names = tmp_path / "names.txt"
    names.write_text("nox\n\ncrepusculum\ndies\n")
    run(Relabel(directory=tmp_path, image=image, labels="dies", class_names=names), data, system)
    assert [row["label"] for row in rows_of(tmp_path)] == ["nox", "dies"]
    names.write_text("nox\ndies\n")
    with pytest.raises(ValueError, match="names 2 classes, the classifier has 3"):
        run(Relabel(directory=tmp_path, image=image, class_names=names))
    with pytest.raises(FileNotFoundError, match=r"study\.class_names=none\.txt: no such file"):
        run(Relabel(directory=tmp_path, image=image, class_names="none.txt"))


def test_unnatural_references_of_several_files(tmp_path):
    places = tmp_path / "references"
    places.mkdir()
    file(places, np.full((20, 30, 3), (250, 0, 0)), "painting.png")
    Image.fromarray(np.full((9, 9), 250, np.uint8)).convert("1").save(places / "drawing.gif")
    run(Unnatural(directory=tmp_path, images=str(places), num_variants=2), NoImages(8, 1))
    rows = {row["reference"]: row for row in rows_of(tmp_path)}
    assert list(rows) == ["drawing", "painting"]
    assert rows["drawing"]["class"] == 2
    assert rows["drawing"]["same class"] == 1
    assert rows["drawing"]["change of features"] == pytest.approx(0, abs=1e-6)
    assert rows["drawing"]["spread"] == pytest.approx(0, abs=1e-6), "pool2 says all of it"
    assert (tmp_path / "unnatural" / "01_painting" / "001.png").exists()
    assert np.load(tmp_path / "figures" / "unnatural.npz")["spread"].shape == (2,)
