import numpy as np
import pytest
import torch
from PIL import Image
from study_toys import ConvGenerator, Projection, suite
from styled_toys import run, small_stylegan2

from ganlab.metrics import Suite
from ganlab.networks import stylegan
from ganlab.report.tables import read_csv
from ganlab.sampling import Sampler
from ganlab.studies import Truncation


def scored_by_hand(generator, psi, **options):
    """The suite fed with images that were truncated outside."""
    scores = suite()
    from study_toys import Data

    images = torch.stack([x.float() / 127.5 - 1 for x in Data().dataset])
    scores.update(images, real=True, index=torch.arange(len(images)))
    scores.update(Sampler(generator, 3, truncation=psi, **options).batch(range(20)), real=False)
    return scores.compute()


def test_every_psi_scores_the_same_latents(tmp_path):
    generator = small_stylegan2()
    options = {"suite": suite(), "directory": tmp_path, "seed": 3, "latents": [4, 0]}
    study = run(Truncation(psis=[1.0, 0.5], **options), generator)
    rows = read_csv((tmp_path / "table.csv").read_text()).rows
    assert [row["psi"] for row in rows] == [0.5, 1.0]
    for row, psi in zip(rows, (0.5, None), strict=True):
        for name, value in scored_by_hand(generator, psi).items():
            assert row[name] == pytest.approx(value, rel=1e-3, abs=1e-4)
    assert rows[0] != rows[1]
    plain = [record for record in study.records if not record.get("intervention")]
    pulled = [record for record in study.records if record.get("intervention")]
    assert {record["truncation"] for record in plain} == {None}
    assert {record["truncation"] for record in pulled} == {0.5}
    assert {record["intervention"] for record in pulled} == {"truncation 0.5"}
    numbers = np.load(tmp_path / "figures" / "truncation.npz")
    assert numbers["psi"].tolist() == [0.5, 1.0]
    name = next(name for name in numbers.files if name.startswith("recall"))
    assert numbers[name].tolist() == [row[name] for row in rows]


def test_the_grid_shows_the_same_latents_under_each_psi(tmp_path):
    generator = small_stylegan2()
    run(Truncation(directory=tmp_path, seed=3, psis=[0.5, 1.0], latents=[4, 0]), generator)
    with Image.open(tmp_path / "figures" / "truncation_images.png") as picture:
        pixels = np.asarray(picture.convert("L")).astype(int)
    left = pixels.shape[1] - 2 * 66 - 2
    for row, psi in enumerate((0.5, None)):
        expected = Sampler(generator, 3, truncation=psi).batch([4, 0]).clamp(-1, 1)
        for column in range(2):
            cell = pixels[2 + 66 * row :: 8, left + 2 + 66 * column :: 8][:8, :8]
            assert np.abs(cell - ((expected[column, 0] + 1) * 127.5).numpy()).max() <= 1
    assert not (tmp_path / "table.csv").exists()
    assert not (tmp_path / "figures" / "truncation.png").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"psis": []}, r"study\.psis=\[\]"),
        ({"psis": [0.5, 0.5]}, "each once"),
        ({"psis": [0.5, 0.5 + 1e-12]}, "each once"),
        ({"psis": [float("nan")]}, "finite numbers"),
        ({"psis": [1, float("inf")]}, "finite numbers"),
        ({"truncation": 0.5}, r"name the psis in study\.psis"),
    ],
)
def test_bad_options_are_named(tmp_path, options, message):
    with pytest.raises(ValueError, match=message):
        Truncation(directory=tmp_path, **options)


def test_a_generator_without_styles_is_told_so_politely(tmp_path):
    with pytest.raises(ValueError, match="study=truncation needs a generator with styles"):
        run(Truncation(directory=tmp_path, suite=suite()), ConvGenerator())


def test_a_suite_without_scores_is_refused():
    with pytest.raises(ValueError, match=r"metrics\.metrics=\{\} names no score"):
        Suite(Projection(), {}, 20, 20)


def test_a_stylegan_that_sees_only_the_direction_of_its_latent_is_refused(tmp_path):
    """Row B of the ladder: every psi would score alike."""
    sizes = {"resolution": 32, "channels": 1, "latent_dim": 8, "style_dim": 8, "width": 4}
    plain = stylegan.Generator(**sizes, mapping_layers=0, input="latent", style=False)
    with pytest.raises(ValueError, match="study=truncation needs a generator with styles"):
        run(Truncation(directory=tmp_path, suite=suite()), plain)
    with pytest.raises(ValueError, match=r"study\.truncation=0\.5 needs a generator with styles"):
        Sampler(plain, truncation=0.5)
    styled = stylegan.Generator(**sizes, mapping_layers=2, input="style", style=False)
    assert Sampler(styled, truncation=0.5).truncation == 0.5
