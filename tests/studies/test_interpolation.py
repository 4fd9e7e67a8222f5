import numpy as np
import pytest
import torch
from PIL import Image
from study_toys import ConvGenerator
from styled_toys import run, small_stylegan2

from ganlab.features import Classifier
from ganlab.report.tables import read_csv
from ganlab.sampling import Sampler
from ganlab.studies import Interpolation, Samples
from ganlab.studies.latents.interpolation import painted_paths, path_features, points_of
from ganlab.studies.latents.latent_set import latent_set
from ganlab.systems.conditioning import Labels

ENDS = [4, 11, 3, 3, 8, 0]


class Uniform(ConvGenerator):
    prior = "uniform"


@pytest.mark.parametrize("walk", ["linear", "spherical"])
@pytest.mark.parametrize(
    ("make", "space"), [(ConvGenerator, "z"), (small_stylegan2, "z"), (small_stylegan2, "w")]
)
def test_the_ends_of_a_path_are_the_images_of_its_latents_bit_for_bit(make, space, walk):
    generator = make()
    sampler, ends = Sampler(generator, seed=5), latent_set(generator, ENDS, 5)
    points = points_of(sampler, ends, space, walk, 7)
    images = painted_paths(sampler, points, ends.addresses[0::2])
    assert images.shape == (3, 7, 1, 8, 8)
    assert torch.equal(images[:, 0], Sampler(generator, 5).batch([4, 3, 8]))
    assert torch.equal(images[:, -1], Sampler(generator, 5).batch([11, 3, 0]))
    assert torch.allclose(images[1], images[1, :1].expand(7, -1, -1, -1), atol=1e-5), "3 to 3"


def test_in_w_each_end_has_its_own_class():
    generator, labels = small_stylegan2(num_labels=3), Labels(3)
    sampler = Sampler(generator, seed=5, condition_at=labels.at)
    ends = latent_set(generator, [4, 11], 5)
    images = painted_paths(sampler, points_of(sampler, ends, "w", "linear", 3), [4])
    expected = Sampler(generator, 5, condition_at=labels.at).batch([4, 11])
    assert torch.allclose(images[0, [0, 2]], expected, atol=1e-5)


def test_it_leaves_pictures_numbers_latents_and_animations(tmp_path):
    generator = small_stylegan2()
    options = {"num_steps": 9, "num_shown": 4, "seed": 5, "extractor": Classifier()}
    run(Interpolation(directory=tmp_path, latents=ENDS, **options), generator)
    kinds = [f"{space}_{walk}" for space in "zw" for walk in ("linear", "spherical")]
    rows = read_csv((tmp_path / "table.csv").read_text()).rows
    assert [f"{row['space']}_{row['walk']}" for row in rows[::2]] == kinds
    assert [row["measure"] for row in rows[:2]] == ["pixels", "classifier"]
    for i, kind in enumerate(kinds):
        numbers = np.load(tmp_path / "figures" / f"interpolation_{kind}.npz")
        assert numbers["ends"].tolist() == [[4, 11], [3, 3], [8, 0]]
        assert numbers["shown"].tolist() == [0, 3, 5, 8]
        sampler, ends = Sampler(generator, seed=5), latent_set(generator, ENDS, 5)
        points = points_of(sampler, ends, *kind.split("_"), 9)
        images = painted_paths(sampler, points, [4, 3, 8]).double()
        steps = (images[:, 1:] - images[:, :-1]).square().mean((2, 3, 4)).sqrt()
        assert numbers["step_length"] == pytest.approx(steps.numpy(), abs=1e-6)
        assert rows[2 * i]["mean step"] == pytest.approx(steps.mean().item(), rel=1e-4)
        kept = np.load(tmp_path / "latents" / f"interpolation_{kind}.npy")
        assert np.array_equal(kept, points[:, [0, 3, 5, 8]].flatten(0, 1).numpy())
        with Image.open(tmp_path / "figures" / f"interpolation_{kind}.webp") as film:
            assert film.n_frames == 2 * 9 - 2, "there and back"
    steps = np.load(tmp_path / "figures" / "interpolation_steps.npz")
    assert len(steps["z, linear/x"]) == 8


def test_the_kept_latents_redraw_the_picture(tmp_path):
    generator = small_stylegan2()
    study = Interpolation(
        directory=tmp_path, latents=ENDS, num_steps=5, num_shown=3, animation=None
    )
    run(study, generator)
    for space in "zw":
        name = f"interpolation_{space}_spherical"
        source = str(tmp_path / "latents" / f"{name}.npy")
        run(Samples(directory=tmp_path / space, latents=source, form="npz"), generator)
        again = np.load(tmp_path / space / "samples.npz")["arr_0"].reshape(3, 3, 8, 8)
        with Image.open(tmp_path / "figures" / f"{name}.png") as picture:
            pixels = np.asarray(picture.convert("L")).astype(int)
        cells = pixels[:, pixels.shape[1] - 3 * 66 - 2 :]  # 8 px enlarged to 64, 2 px between
        for row in range(3):
            for column in range(3):
                top, left = 2 + 66 * row, 2 + 66 * column
                cell = cells[top : top + 64 : 8, left : left + 64 : 8]
                assert np.abs(cell - again[row, column].astype(int)).max() <= 1


def test_without_styles_and_on_a_cube_there_is_one_kind(tmp_path):
    run(Interpolation(directory=tmp_path, num_steps=3, animation="gif"), Uniform())
    names = sorted(path.name for path in (tmp_path / "figures").glob("*_*_*.*"))
    assert names == [f"interpolation_z_linear.{end}" for end in ("gif", "npz", "png")]
    with Image.open(tmp_path / "figures" / "interpolation_z_linear.gif") as film:
        assert film.n_frames == 4
        assert film.info["loop"] == 0


@pytest.mark.parametrize(
    ("generator", "options", "message"),
    [
        (ConvGenerator(), {"latents": [1, 2, 3]}, "must be an even number of latents"),
        (ConvGenerator(), {"spaces": ["w"]}, r"study\.spaces: there is no space w .*; there is z"),
        (ConvGenerator(), {"walks": ["round"]}, "a walk is linear or spherical"),
        (Uniform(), {"walks": ["spherical"]}, "uniform in a cube"),
        (ConvGenerator(), {"truncation": 0.5}, r"study\.truncation=0\.5 needs"),
    ],
)
def test_what_makes_no_paths_is_refused_before_any_work(tmp_path, generator, options, message):
    with pytest.raises(ValueError, match=message):
        run(Interpolation(directory=tmp_path, **options), generator)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("options", "message"),
    [({"num_steps": 1}, r"study\.num_steps=1"), ({"animation": "mp4"}, "gif or webp")],
)
def test_bad_options_are_named(tmp_path, options, message):
    with pytest.raises(ValueError, match=message):
        Interpolation(directory=tmp_path, **options)


def test_features_of_paths_are_those_of_their_images():
    images = torch.rand(2, 3, 1, 8, 8) * 2 - 1
    found = path_features(images, Classifier())
    expected = Classifier()(images[1, 2:])["features"][0]
    assert torch.allclose(found[1, 2], expected, atol=1e-4)
