import json
import zipfile

import numpy as np
import pytest
import torch
from PIL import Image
from study_toys import ConvGenerator
from styled_toys import run, small_stylegan2

from ganlab.data import arrays, zipped
from ganlab.report.image_files import ImageArray
from ganlab.report.results import write_result
from ganlab.report.sections import read_section
from ganlab.sampling import Sampler
from ganlab.studies import Samples
from ganlab.systems.conditioning import Labels


def stored(images):
    """(N, H, W, C) uint8, as files hold them."""
    return ((images.clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8).permute(0, 2, 3, 1).numpy()


def close(found, expected):
    return np.abs(found.astype(int) - expected.astype(int)).max() <= 1


def test_a_zip_holds_the_files(tmp_path):
    generator = ConvGenerator()
    run(Samples(directory=tmp_path, indices="5:12:3", form="zip", batch_size=2), generator)
    with zipfile.ZipFile(tmp_path / "samples.zip") as archive:
        assert archive.namelist() == ["000005.png", "000008.png", "000011.png"]
        images = [Image.open(archive.open(name)) for name in archive.namelist()]
        found = np.stack([np.asarray(image) for image in images])
        assert images[1].text["index"] == "8"
        assert (images[1].text["truncation"], images[1].text["noise"]) == ("None", "fixed")
    assert close(found, stored(Sampler(generator, 0).batch([5, 8, 11]))[..., 0])
    assert not (tmp_path / "samples").exists()
    assert {path.name for path in tmp_path.iterdir()} == {"samples.zip", "figures", "samples.json"}


def test_an_array_holds_the_same_bytes_whatever_the_batch(tmp_path):
    generator = ConvGenerator()
    for size in (2, 7):
        study = Samples(directory=tmp_path / str(size), num=7, form="npz", batch_size=size)
        run(study, generator)
    found = [np.load(tmp_path / str(size) / "samples.npz") for size in (2, 7)]
    assert found[0].files == ["arr_0"]
    assert found[0]["arr_0"].dtype == np.uint8
    assert found[0]["arr_0"].shape == (7, 8, 8, 1)
    assert close(found[0]["arr_0"], stored(Sampler(generator, 0).batch(range(7))))
    assert close(found[0]["arr_0"], found[1]["arr_0"])


def test_a_stretch_is_undone_by_a_size(tmp_path):
    generator = ConvGenerator()
    run(Samples(directory=tmp_path, num=3, form="npz", size=[8, 16]), generator)
    found = np.load(tmp_path / "samples.npz")["arr_0"]
    assert found.shape == (3, 8, 16, 1)
    narrow = found.reshape(3, 8, 8, 2, 1).mean(3)  # each pixel became two
    assert np.abs(narrow - stored(Sampler(generator, 0).batch(range(3)))).mean() < 12
    assert json.loads((tmp_path / "samples.json").read_text())["size"] == [8, 16]


def test_more_channels_than_a_png_holds_are_named(tmp_path):
    generator = ConvGenerator()
    generator.channels = 5
    with pytest.raises(ValueError, match=r"study\.form=png: a PNG holds at most 4 "):
        run(Samples(directory=tmp_path, num=3), generator)


def test_the_report_shows_the_grid_and_calls_no_index_a_moment(tmp_path):
    run(Samples(directory=tmp_path, indices=[12, 500]), ConvGenerator())
    write_result(tmp_path, {"status": "done", "kind": "evaluate", "study": "samples"})
    section = read_section(tmp_path)
    assert section.samples == []
    assert [picture.name for picture in section.figures] == ["figures/samples.png"]


@pytest.mark.parametrize("form", ["zip", "npz"])
def test_classes_go_along_and_our_own_readers_take_them(tmp_path, form):
    generator, labels = small_stylegan2(num_labels=3), Labels(3)
    run(Samples(directory=tmp_path, indices=[7, 2, 3], form=form), generator, labels)
    read = {"zip": zipped, "npz": arrays}[form]
    data = read(path=str(tmp_path / f"samples.{form}"), resolution=8, channels=1)
    data.prepare_data()
    data.setup("test")
    batches = list(data.test_dataloader())
    batch = data.on_after_batch_transfer(batches[0], 0)
    order = [7, 2, 3] if form == "npz" else [3, 7, 2]  # by folder, which is the class
    assert batch.label.tolist() == [i % 3 for i in order]
    expected = Sampler(generator, 0, condition_at=labels.at).batch(order).clamp(-1, 1)
    assert (batch.image - expected).abs().max() < 1.01 / 127.5


def test_latents_from_a_file_with_truncation_and_noise_stated(tmp_path):
    generator, path = small_stylegan2(), tmp_path / "mine.npy"
    rows = np.random.default_rng(1).normal(size=(3, 8)).astype(np.float32)
    np.save(path, rows)
    folder = tmp_path / "out"
    run(Samples(directory=folder, latents=str(path), truncation=0.5, seed=4), generator)
    made = json.loads((folder / "samples.json").read_text())
    assert (made["rows"], made["truncation"], made["noise"]) == ([0, 1, 2], 0.5, "fixed")
    assert made["source"] == "rows of mine.npy"
    assert np.array_equal(np.load(folder / "latents" / "samples.npy"), rows)
    styles = generator.map(torch.from_numpy(rows))
    mean = generator.mean_style
    expected = generator.synthesize(mean + 0.5 * (styles - mean), noise="const").detach()
    for row in range(3):
        file = Image.open(folder / "samples" / f"{row:06d}.png")
        assert close(np.asarray(file), stored(expected)[row, ..., 0])
        assert file.text["row"] == str(row)
        assert file.text["truncation"] == "0.5"


def test_styles_from_a_file_redraw_their_images(tmp_path):
    generator = small_stylegan2()
    styles = generator.map(torch.randn(2, 8, generator=torch.Generator().manual_seed(0))).detach()
    np.save(tmp_path / "styles.npy", styles.numpy())
    study = Samples(directory=tmp_path, latents=str(tmp_path / "styles.npy"), form="npz")
    run(study, generator)
    expected = stored(generator.synthesize(styles, noise="const").detach())
    assert close(np.load(tmp_path / "samples.npz")["arr_0"], expected)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"form": "tar"}, "study.form one of png, zip, npz"),
        ({"indices": [1], "latents": "a.npy"}, "two answers"),
        ({"indices": [3, 3]}, "names a latent twice"),
        ({"indices": "5:5"}, "empty range"),
        ({"size": [8]}, r"study\.size=\[8\] must be a height and a width"),
        ({"size": [8, 0]}, r"study\.size=\[8, 0\] must be"),
    ],
)
def test_bad_options_are_named(tmp_path, options, message):
    with pytest.raises(ValueError, match=message):
        Samples(directory=tmp_path, **options)


def test_an_archive_that_breaks_off_leaves_no_file(tmp_path):
    path = tmp_path / "x.npz"
    with pytest.raises(ValueError, match="2 images came, 3 were announced"):  # noqa: SIM117
        with ImageArray(path, 3) as file:
            file.add(torch.zeros(2, 1, 4, 4), [{"name": "a"}, {"name": "b"}])
    assert not list(tmp_path.iterdir())


class Counted(ConvGenerator):
    """Notes how many images it paints."""

    painted = 0

    def forward(self, latents, condition=None):
        self.painted += len(latents)
        return super().forward(latents, condition)


def test_a_stopped_run_paints_what_is_not_there(tmp_path):
    generator, options = Counted(), {"directory": tmp_path, "num": 9, "batch_size": 4}
    run(Samples(num_shown=1, **options), generator)
    assert generator.painted == 9 + 1  # the grid
    folder = tmp_path / "samples"
    before = {path.name: path.stat().st_mtime_ns for path in folder.iterdir()}
    (folder / "000003.png").unlink()
    (folder / "000007.png").write_bytes(b"half of one")
    generator.painted = 0
    run(Samples(num_shown=1, **options), generator)
    assert generator.painted == 2 + 1
    after = {path.name: path.stat().st_mtime_ns for path in folder.iterdir()}
    assert {name for name in before if before[name] != after[name]} == {"000003.png", "000007.png"}
    expected = stored(Sampler(generator, 0).batch(range(9)))[..., 0]
    found = [np.asarray(Image.open(path)) for path in sorted(folder.iterdir())]
    assert close(np.stack(found), expected)


@pytest.mark.parametrize("change", ["seed", "weights"])
def test_images_of_another_run_are_painted_anew(tmp_path, change):
    generator, options = Counted(), {"directory": tmp_path, "num": 5, "num_shown": 1}
    run(Samples(**options), generator)
    if change == "weights":
        with torch.no_grad():
            next(generator.parameters()).add_(1)
    generator.painted = 0
    run(Samples(seed=int(change == "seed"), **options), generator)
    assert generator.painted == 5 + 1
