"""Nearest training images, and who is called a copier."""

import csv

import numpy as np
import pytest
import torch
from copy_toys import Copying, Honest, Stored, smooth
from scipy.spatial.distance import cdist
from scipy.stats import mannwhitneyu
from study_toys import Projection, System, trainer

from ganlab.data import NoImages, synthetic
from ganlab.metrics.copies import (
    Neighbours,
    copies_among,
    neighbours_of,
    neighbours_of_held_out,
    probability_nearer,
    verdict,
)
from ganlab.nn.randomness import keyed_generator
from ganlab.studies import NearestNeighbours, Study

NUM = 500


def points(num, name="points", d=4):
    return torch.rand(num, d, generator=keyed_generator(name))


def run(folder, generator, data=None, **options):
    given = {"num": NUM, "num_held_out": NUM, "batch_size": 64, "seed": 1, "num_shown": 1} | options
    study = Study(NearestNeighbours(extractor=Projection(), directory=folder, **given))
    trainer(study).test(System(generator), data or Stored(), verbose=False)
    return study


def rows_of(folder):
    with (folder / "table.csv").open() as file:
        return {row["space"]: row for row in csv.DictReader(file)}


def test_training_images_themselves_are_at_distance_zero():
    training = points(50)
    found = neighbours_of(training[10:20], training)
    assert found.nearest.tolist() == [0.0] * 10
    assert found.indices[:, 0].tolist() == list(range(10, 20))
    assert found.relative.tolist() == [0.0] * 10


def test_held_out_in_turn_is_the_nearest_of_all_others():
    training = points(40)
    training[7] = training[3]  # duplicates stay each other's neighbours
    found = neighbours_of_held_out(torch.arange(40), training, 3)
    distances = cdist(training.double(), training.double())
    np.fill_diagonal(distances, np.inf)
    expected = np.sort(distances, axis=1)[:, :3]
    np.testing.assert_allclose(found.distances.numpy(), expected, atol=1e-7)
    assert (found.indices != torch.arange(40)[:, None]).all()
    assert found.distances[3, 0] == found.distances[7, 0] == 0


def test_ones_own_mirror_image_is_held_out_too():
    training = points(30)
    with_mirrors = torch.cat([training, training + 1e-3])  # near enough to be every nearest
    found = neighbours_of_held_out(torch.arange(30), with_mirrors, 2, num_stored=30)
    assert (found.indices % 30 != torch.arange(30)[:, None]).all()


def test_more_duplicates_than_neighbours_are_all_at_zero():
    training = torch.zeros(9, 4)
    found = neighbours_of_held_out(torch.arange(9), training, 2)
    assert found.distances.tolist() == [[0.0, 0.0]] * 9


def test_probability_nearer_is_mann_and_whitneys():
    first = torch.tensor([0.0, 1, 1, 2, 5, 7], dtype=torch.float64)
    second = torch.tensor([1.0, 1, 3, 4], dtype=torch.float64)
    statistic = mannwhitneyu(second, first).statistic  # pairs in which the second is larger
    assert probability_nearer(first, second) == pytest.approx(statistic / 24)


def test_a_copy_is_near_and_near_to_one_alone():
    distances = torch.tensor([[1.0, 9.0], [1.0, 1.1], [5.0, 50.0], [0.0, 0.0]], dtype=torch.float64)
    found = Neighbours(distances, torch.zeros(4, 2, dtype=torch.int64))
    assert copies_among(found, 2.0, 0.5).tolist() == [True, False, False, True]


@pytest.mark.parametrize("noise", [0.0, 0.01])
@pytest.mark.parametrize("share", [1.0, 0.1])
def test_a_copying_generator_is_called_so(noise, share):
    training = points(NUM)
    made = torch.where(
        torch.arange(NUM)[:, None] < share * NUM,
        training + noise * (points(NUM, "noise") - 0.5),
        points(NUM, "fresh"),
    )
    held_out = neighbours_of(points(NUM, "held out"), training)
    found = verdict(neighbours_of(made, training), held_out)
    assert found.copies
    assert found.share >= share * 0.9
    assert found.exact == pytest.approx(share if noise == 0 else 0, abs=1e-12)


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("spread", [1.0, 0.5])
def test_an_honest_generator_is_not_even_where_it_keeps_to_the_middle(seed, spread):
    rng = keyed_generator("normal", seed)
    training, held_out, fresh = torch.randn(3, NUM, 4, generator=rng)
    reference = neighbours_of(held_out, training)
    found = verdict(neighbours_of(spread * fresh, training), reference)
    assert not found.copies
    if spread < 1:
        assert found.nearer > 0.6  # nearer than held-out reals, and no copy for that


def test_the_study_tells_copying_from_honest_generators(tmp_path):
    data = Stored()
    honest = run(tmp_path / "honest", Honest(), data)
    copying = run(tmp_path / "copying", Copying(data, share=0.2), data)
    for space in ("pixels", "features"):
        assert not honest.findings.result[space].verdict.copies
        assert copying.findings.result[space].verdict.copies
        assert rows_of(tmp_path / "honest")[space]["verdict"] == "no sign of copying"
        row = rows_of(tmp_path / "copying")[space]
        assert row["verdict"] == "copies"
        assert float(row["exact copies"]) == pytest.approx(0.2, abs=0.06)
    values = {record["metric"]: record["value"] for record in copying.records}
    assert set(values) == {f"copies{NUM}_full_pixels", f"copies{NUM}_full_classifier"}
    assert values[f"copies{NUM}_full_pixels"] > 0.15
    assert "COPIES" in (tmp_path / "copying" / "table.md").read_text()


def test_the_figures_numbers_are_the_neighbours(tmp_path):
    data = Stored(60)
    study = run(tmp_path, Copying(data), data, num=40, num_held_out=30, num_shown=5)
    images = data.dataset.flatten(1).double() / 255
    with np.load(tmp_path / "figures" / "neighbours.npz") as numbers:
        assert numbers["indices"].tolist() == [0, 1, 2, 3, 4]
        for sample, rows in zip(numbers["samples"], numbers["pixels/neighbours"], strict=True):
            assert (sample == data.dataset[rows[0]].numpy()).all()  # it is a copy
        expected = np.sort(cdist(numbers["samples"].reshape(5, -1) / 255, images), axis=1)[:, :3]
        np.testing.assert_allclose(numbers["pixels/distances"], expected, atol=1e-9)
    with np.load(tmp_path / "figures" / "distances.npz") as numbers:
        assert numbers["pixels/generated/distances"].shape == (40, 3)
        assert numbers["features/held-out reals/distances"].shape == (30, 3)
    with np.load(tmp_path / "figures" / "suspects.npz") as numbers:
        relative = study.findings.result["pixels"].generated.relative
        assert relative[numbers["indices"]].max() <= relative.sort().values[4]


def test_a_mirrored_set_has_its_mirror_images(tmp_path):
    data = Stored(60)
    data.flip = True
    flipped = Stored(60)
    flipped.dataset = data.dataset.flip(-1)
    study = run(tmp_path, Copying(flipped), data, num=20, num_held_out=20)
    found = study.findings.result["pixels"].generated
    assert found.nearest.tolist() == [0.0] * 20
    assert (found.indices[:, 0] >= 60).all()


def test_images_of_a_file_are_held_out(tmp_path):
    fresh = ((smooth(points(80, "file")) + 1) * 127.5).round().to(torch.uint8)
    np.savez(tmp_path / "others.npz", images=fresh[:, 0].numpy())
    study = run(tmp_path, Honest(), Stored(), held_out=tmp_path / "others.npz", num_held_out=80)
    assert not study.findings.result["pixels"].verdict.copies
    held_out = study.findings.result["pixels"].held_out.nearest.sort().values
    distances = cdist(fresh.flatten(1) / 255.0, Stored().dataset.flatten(1) / 255.0).min(1)
    np.testing.assert_allclose(held_out.numpy(), np.sort(distances), atol=1e-5)
    with pytest.raises(FileNotFoundError, match=r"study\.held_out="):
        run(tmp_path, Honest(), held_out=tmp_path / "none.npz")


def test_what_cannot_be_is_refused(tmp_path):
    with pytest.raises(ValueError, match="data=folder"):
        run(tmp_path, Honest(), NoImages(8, 1))
    with pytest.raises(ValueError, match="num_neighbours"):
        run(tmp_path, Honest(), num_neighbours=1)
    with pytest.raises(ValueError, match="quantile"):
        run(tmp_path, Honest(), quantile=1.5)
    with pytest.raises(ValueError, match="too few"):
        run(tmp_path, Honest(), Stored(3), num=2)
    with pytest.raises(ValueError, match=r"study\.num_neighbours=40: 40 .* each has 39 others"):
        run(tmp_path, Honest(), Stored(40), num=2, num_neighbours=40)


def test_the_side_that_is_not_trained_on_is_held_out(tmp_path):
    data = synthetic(num=120, resolution=8, channels=1, enlarge=True, held_out=0.4)
    study = run(tmp_path, Honest(), data, unseen=True, num=40)
    other = data.held_out().dataset
    apart, training = (
        np.reshape(each.pixels, (len(each), -1)) / 255.0 for each in (other, data.dataset)
    )
    held_out = study.findings.result["pixels"].held_out.nearest.sort().values
    np.testing.assert_allclose(held_out, np.sort(cdist(apart, training).min(1)), atol=1e-5)
    assert "the side that is not trained on" in (tmp_path / "table.md").read_text()
    with pytest.raises(ValueError, match=r"Stored does not say which those are"):
        run(tmp_path, Honest(), unseen=True)
    with pytest.raises(ValueError, match=r"study\.unseen=true or study\.held_out=x\.npz, not both"):
        NearestNeighbours(extractor=Projection(), unseen=True, held_out="x.npz")
