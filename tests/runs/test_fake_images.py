"""Images made elsewhere, scored against reals: `evaluate.py fake=<folder, zip or npz>`."""

import json
import zipfile

import composing
import numpy as np
import pytest
import torch
from PIL import Image

from ganlab.arguments import overlaid
from ganlab.config import ConfigError
from ganlab.features import Classifier
from ganlab.metrics import FrechetDistance, PrecisionRecall
from ganlab.places import data_choice
from ganlab.run import evaluate
from ganlab.runs.fake_images import stored_images

pytestmark = pytest.mark.usefixtures("own_cache")
NUM_REAL, NUM_FAKE, SIZE = 23, 17, 32


def pictures(num, seed):
    """(N, H, W) uint8, smooth."""
    rng = np.random.default_rng(seed)
    small = rng.integers(0, 256, (num, 4, 4), dtype=np.uint8)
    return np.stack([np.array(Image.fromarray(each).resize((SIZE, SIZE))) for each in small])


@pytest.fixture(scope="module")
def places(tmp_path_factory):
    """The same fakes as a folder, a zip and an npz, beside a folder of reals."""
    home = tmp_path_factory.mktemp("files")
    for name, images in (("reals", pictures(NUM_REAL, 0)), ("fakes", pictures(NUM_FAKE, 1))):
        (home / name).mkdir()
        for number, image in enumerate(images):
            Image.fromarray(image).save(home / name / f"{number:03d}.png")
    with zipfile.ZipFile(home / "fakes.zip", "w") as archive:
        for path in sorted((home / "fakes").iterdir()):
            archive.write(path, path.name)
    np.savez(home / "fakes.npz", arr_0=pictures(NUM_FAKE, 1))
    np.savez(home / "two.npz", dark=pictures(NUM_FAKE, 2) // 2, fake=pictures(NUM_FAKE, 1))
    return home


def composed(home, fake, directory, *words):
    data = ["data=folder", f"data.path={home / 'reals'}", f"data.resolution={SIZE}"]
    return read([f"fake={fake}", *data, "data.channels=1", *words], directory)


def read(words, directory):
    words = overlaid([*words, "features=classifier"])
    return composing.composed("evaluate", words, directory)


def scored(home, fake, directory, *words):
    result = evaluate(composed(home, fake, directory, *words))
    return result, {record["metric"]: record["value"] for record in result["scores"]}


def features(images):
    classifier = Classifier().eval()
    with torch.no_grad():
        return classifier(torch.from_numpy(images)[:, None].float() / 127.5 - 1)["features"]


@pytest.mark.parametrize("kind", ["fakes", "fakes.zip", "fakes.npz", "two.npz:fake"])
def test_all_of_either_side_are_compared(places, tmp_path, kind):
    result, values = scored(places, places / kind, tmp_path / "run")
    fid, precision = FrechetDistance(), PrecisionRecall(k=3)
    for metric in (fid, precision):
        metric.update(features(pictures(NUM_REAL, 0)), real=True)
        metric.update(features(pictures(NUM_FAKE, 1)), real=False)
    assert values["fid17_full_classifier"] == pytest.approx(fid.compute().item(), rel=1e-6)
    recall = precision.compute()["recall"].item()
    assert values["recall17_full_k3_classifier"] == recall
    assert not any(name.startswith("kid") for name in values)  # its subsets are of 100
    record = result["scores"][0]
    assert (record["n_real"], record["n_fake"]) == (NUM_REAL, NUM_FAKE)
    assert not {"seed", "images_seen", "ema"} & record.keys()
    assert result["status"] == "done"
    assert result["source"]["file"] == str(places / kind)
    assert json.loads((tmp_path / "run" / "result.json").read_text())["scores"] == result["scores"]
    assert "Scores of the given images" in (tmp_path / "run" / "table.md").read_text()
    assert (tmp_path / "run" / "report.html").is_file()


def test_a_set_is_at_no_distance_from_itself(places, tmp_path):
    _, values = scored(places, places / "reals", tmp_path / "run")
    assert values["fid23_full_classifier"] == pytest.approx(0, abs=1e-6)
    assert values["precision23_full_k3_classifier"] == 1
    assert values["coverage23_full_k5_classifier"] == 1


def test_a_protocol_that_is_asked_for_is_kept_to(places, tmp_path):
    counts = ("metrics.num_real=20", "metrics.num_fake=10", "~metrics.metrics.kid")
    _, values = scored(places, places / "fakes", tmp_path / "run", *counts)
    assert "fid10_of20_classifier" in values
    with pytest.raises(
        ConfigError, match=r"metrics\.num_fake=18 asks for more .*num_fake=17 would"
    ):
        scored(places, places / "fakes", tmp_path / "more", "metrics.num_fake=18")


def test_what_cannot_be_compared_is_one_line(places, tmp_path):
    for words, message in (
        ([f"fake={places / 'none'}"], r"fake=.*none does not exist"),
        ([f"fake={places / 'reals' / '000.png'}"], r"000\.png: is one image"),
        (["ckpt=faces"], r"ckpt=faces and fake=.* are two: give one"),
        ([f"fake={places / 'two.npz'}"], r"dark, fake \(say which, as fake=.*two\.npz:dark\)"),
        (["study=samples"], r"fake=.* is scored: leave out study="),
    ):
        with pytest.raises((ConfigError, ValueError), match=message):
            evaluate(composed(places, places / "fakes", tmp_path / "run", *words))


def test_there_have_to_be_reals(places, tmp_path):
    message = r"fake=.* is compared with real images: name them, as in data=folder"
    with pytest.raises(ConfigError, match=message):
        evaluate(read([f"fake={places / 'fakes'}"], tmp_path / "run"))


def test_without_a_checkpoint_none_is_asked_for():
    assert overlaid(["fake=x", "data=folder"]) == ["fake=x", "data=folder", "ckpt=null"]
    assert overlaid(["fake=x", "ckpt=y"]) == ["fake=x", "ckpt=y"]
    assert data_choice(None) == "files"


DEEP = np.random.default_rng(2).integers(0, 3000, (NUM_REAL, SIZE, SIZE), dtype=np.uint16)


@pytest.fixture(scope="module")
def deep(tmp_path_factory):
    """Reals of 12 bits, fakes that are half as bright, and 8-bit ones."""
    home = tmp_path_factory.mktemp("deep")
    np.save(home / "reals.npy", DEEP)
    np.save(home / "fakes.npy", DEEP[:NUM_FAKE] // 4)
    np.save(home / "bytes.npy", pictures(NUM_FAKE, 1))
    return home


@pytest.mark.parametrize("asked", ["auto", "[0,4095]"])
def test_one_range_is_of_both_sides(deep, tmp_path, asked, capsys):
    """Found again in each side, fakes of 10 bits would be as bright as reals of 12."""
    config = composed_deep(deep, "fakes.npy", tmp_path, f"data.range={asked}")
    system, config = stored_images(config)
    assert [*config.data.range] == [0, 4095]
    found = system.generator_ema.data.dataset.pixels[:, 0]
    expected = np.rint(255.0 * (DEEP[:NUM_FAKE] // 4) / 4095)
    assert np.array_equal(found, expected)
    assert "own range" not in capsys.readouterr().err


def test_bytes_are_no_dark_images_beside_reals_of_more_bits(deep, tmp_path, capsys):
    system, _ = stored_images(composed_deep(deep, "bytes.npy", tmp_path, "data.range=auto"))
    assert np.array_equal(system.generator_ema.data.dataset.pixels[:, 0], pictures(NUM_FAKE, 1))
    assert "uint8 does not reach data.range=[0,4095]: its own range is taken" in (
        capsys.readouterr().err
    )


def composed_deep(home, fake, directory, *words):
    data = ["data=arrays", f"data.path={home / 'reals.npy'}", f"data.resolution={SIZE}"]
    words = [f"fake={home / fake}", *data, "data.channels=1", *words]
    return read(words, directory)


def test_bytes_are_not_of_a_range_of_fractions(deep, tmp_path, capsys):
    """Beside floats of 0 to 1 they would all be white."""
    reals = tmp_path / "reals"
    reals.mkdir()
    np.save(reals / "reals.npy", (DEEP / 3000).astype(np.float32))
    np.save(reals / "bytes.npy", pictures(NUM_FAKE, 1))
    system, _ = stored_images(composed_deep(reals, "bytes.npy", tmp_path, "data.range=[0,1]"))
    assert np.array_equal(system.generator_ema.data.dataset.pixels[:, 0], pictures(NUM_FAKE, 1))
    told = "uint8 is not of data.range=[0,1]: its own range is taken"
    assert told in capsys.readouterr().err


def test_masks_of_0_and_1_are_of_a_range_of_fractions(deep, tmp_path, capsys):
    (tmp_path / "masks").mkdir()
    masks = pictures(NUM_FAKE, 1) // 128
    np.save(tmp_path / "masks" / "reals.npy", (DEEP / 3000).astype(np.float32))
    np.save(tmp_path / "masks" / "fakes.npy", masks)
    system, _ = stored_images(
        composed_deep(tmp_path / "masks", "fakes.npy", tmp_path, "data.range=[0,1]")
    )
    assert np.array_equal(system.generator_ema.data.dataset.pixels[:, 0], 255 * masks)
    assert "own range" not in capsys.readouterr().err
