import numpy as np
import pytest
import torch
from PIL import Image
from study_toys import ConvGenerator
from styled_toys import run, small_stylegan, small_stylegan2

from ganlab.nn.growing import Stage
from ganlab.report.images import save_grid
from ganlab.report.tables import read_csv
from ganlab.sampling import Sampler
from ganlab.studies import Timeline

SEEN = (3000, 500, 12_000)


def saved(folder, generators):
    """Checkpoints as a run writes them, as far as a timeline reads them."""
    folder.mkdir(parents=True)
    for name, (seen, generator) in zip("abcdefgh", generators, strict=False):
        state = {f"generator_ema.{key}": value for key, value in generator.state_dict().items()}
        state["discriminator.weight"] = torch.zeros(1)
        content = {"recipe": {}, "images_seen": seen, "state_dict": state}
        torch.save(content, folder / f"{name}.ckpt")
    return folder


def test_checkpoints_are_rows_in_the_order_of_training(tmp_path):
    stages = {seen: ConvGenerator(seed=i) for i, seen in enumerate(SEEN)}
    folder = saved(tmp_path / "kept", stages.items())
    now = ConvGenerator(seed=9)
    for name in (str(folder), str(folder / "*.ckpt"), [str(folder / f"{x}.ckpt") for x in "abc"]):
        study = Timeline(directory=tmp_path / "out", checkpoints=name, latents=[7, 2], seed=4)
        run(study, now)
        numbers = np.load(tmp_path / "out" / "figures" / "timeline.npz")
        assert numbers["images_seen"].tolist() == sorted(SEEN)
        expected = torch.stack([Sampler(stages[seen], 4).batch([7, 2]) for seen in sorted(SEEN)])
        stored = (expected.clamp(-1, 1) + 1) * 127.5
        assert np.abs(numbers["images"] - stored.numpy()).max() <= 0.51
        steps = (expected[1:] - expected[:-1]).double().square().mean((1, 2, 3, 4)).sqrt()
        assert numbers["change"][1:] == pytest.approx(steps.numpy(), abs=1e-6)
    rows = read_csv((tmp_path / "out" / "table.csv").read_text()).rows
    assert [row["images_seen"] for row in rows] == sorted(SEEN)
    assert rows[0]["change"] is None
    untouched = ConvGenerator(seed=9).state_dict()
    assert all(torch.equal(value, now.state_dict()[key]) for key, value in untouched.items())
    assert len(np.load(tmp_path / "out" / "latents" / "timeline.npy")) == 2


def test_a_growing_generator_is_shown_at_its_level_then(tmp_path):
    early = small_stylegan()
    early.grow_to(Stage(1))
    folder = saved(tmp_path / "kept", [(1000, early), (2000, small_stylegan())])
    run(Timeline(directory=tmp_path, checkpoints=str(folder), latents="0:2"), small_stylegan())
    images = np.load(tmp_path / "figures" / "timeline.npz")["images"]
    assert images.shape == (2, 2, 1, 64, 64)
    blocks = images[0].reshape(2, 1, 8, 8, 8, 8)
    assert (blocks == blocks[:, :, :, :1, :, :1]).all(), "8 px, enlarged"


def grids(folder):
    for seen in SEEN:
        images = torch.full((6, 1, 8, 8), seen / 6000 - 1) + torch.arange(6).view(6, 1, 1, 1) / 100
        save_grid(images, folder / f"{seen:09d}.png", 3, metadata={"images_seen": str(seen)})
    save_grid(torch.zeros(1, 1, 8, 8), folder / "timeline.png")


@pytest.mark.parametrize("named", [None, "last.ckpt", "kept/000012000.ckpt"])
def test_saved_grids_are_rows_too(tmp_path, named):
    run_folder = tmp_path / "run"
    grids(run_folder / "samples")
    source = {"grids": str(run_folder / "samples")}
    if named is not None:
        ckpt = run_folder / "checkpoints" / named
        ckpt.parent.mkdir(parents=True)
        ckpt.touch()
        source = {"ckpt": str(ckpt)}
    study = Timeline(directory=tmp_path, latents="0:3", moments=2, **source)
    run(study, ConvGenerator())
    numbers = np.load(tmp_path / "figures" / "timeline.npz")
    assert numbers["images_seen"].tolist() == [500, 12_000]
    expected = [[round((s / 6000 + i / 100) * 127.5) for i in range(3)] for s in (500, 12_000)]
    expected = np.minimum(expected, 255)
    assert np.abs(numbers["images"][:, :, 0, 3, 3].astype(int) - expected).max() <= 1
    with Image.open(tmp_path / "figures" / "timeline.png") as picture:
        assert picture.height == 2 * 66 + 2
        assert "saved grids" in picture.text["Description"]


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"grids": "none"}, FileNotFoundError, "holds no saved sample grids"),
        ({"ckpt": "faces"}, FileNotFoundError, "ckpt=faces lies in no run"),
        ({"checkpoints": "none/*.ckpt"}, FileNotFoundError, "there is no checkpoint"),
        ({"checkpoints": ["no.ckpt"]}, FileNotFoundError, r"study\.checkpoints=no\.ckpt: no such"),
        ({"checkpoints": "a", "grids": "b"}, ValueError, "two answers"),
        ({"moments": 0}, ValueError, r"study\.moments must be at least 1"),
    ],
)
def test_what_is_not_there_is_named(tmp_path, options, error, message):
    with pytest.raises(error, match=message):
        Timeline(directory=tmp_path, **options)


def test_grids_cannot_show_what_they_do_not_hold(tmp_path):
    grids(tmp_path / "samples")
    source = {"directory": tmp_path, "grids": str(tmp_path / "samples")}
    for options in ({"latents": [3, 17]}, {"truncation": 0.5}, {"noise": "random"}):
        with pytest.raises(ValueError, match="saved grids hold latents 0, 1"):
            Timeline(**source, **options)
    for options in ({"label": 1}, {"labels": ["blue"]}):
        with pytest.raises(
            ValueError, match=rf"study\.{next(iter(options))}: saved grids hold the classes"
        ):
            Timeline(**source, **options)
    with pytest.raises(ValueError, match=r"first row of .* has 3 images"):
        run(Timeline(**source, latents="0:8"), ConvGenerator())


def test_checkpoints_of_another_model_are_refused(tmp_path):
    folder = saved(tmp_path / "kept", [(1000, small_stylegan2())])
    with pytest.raises(ValueError, match=r"a\.ckpt is of another model than ckpt"):
        run(Timeline(directory=tmp_path, checkpoints=str(folder)), ConvGenerator())
