"""Generators of several norms beside each other: their names, their images, their scores."""

import csv
from dataclasses import dataclass

import numpy as np
import pytest
from circle_oracles import as_stored, planted, planted_pin, walk
from study_toys import Data, System, suite, trainer
from styled_toys import small_stylegan2

from ganlab.nn.norm import NoNorm, PixelNorm
from ganlab.nn.randomness import latents_at
from ganlab.studies import Findings, Question, Study
from ganlab.studies.circles.grids import comparison, named_checkpoints, norm_name, unused_name

SEED = 2
MADE = {"pn.ckpt": lambda: planted(PixelNorm), "pin.ckpt": planted_pin, "own.ckpt": planted}


@dataclass(frozen=True, kw_only=True)
class Comparing(Question):
    """The part of a study that compares."""

    compare: object = None

    def run(self, bench):
        def opener(path):
            return MADE[path.rpartition("/")[2]]()

        table, grid = comparison(bench, named_checkpoints(self.compare), opener, num_shown=3)
        return Findings(tables={"compared": table}, figures={"figure13_14_grids": grid})


def run(folder, compare, scores=None, generator=None):
    study = Study(Comparing(compare=compare, directory=folder, suite=scores, seed=SEED))
    trainer(study).test(System(generator or planted()), Data(), verbose=False)
    return study


@pytest.fixture
def files(tmp_path):
    for name in MADE:
        (tmp_path / name).write_bytes(b"")
    return {name.partition(".")[0]: str(tmp_path / name) for name in MADE}


def fid_of(generator, reals):
    """The Frechet distance by its formula, over the images of a walk."""
    import scipy.linalg

    images = walk(generator, latents_at(generator, range(20), SEED))[1]
    extractor = suite().extractor
    a, b = (extractor(x)["features"].double().numpy() for x in (reals, images))
    means = ((a.mean(0) - b.mean(0)) ** 2).sum()
    covariances = np.cov(a.T), np.cov(b.T)
    root = scipy.linalg.sqrtm(covariances[0] @ covariances[1]).real
    return means + np.trace(covariances[0] + covariances[1] - 2 * root)


def test_equal_latents_are_drawn_and_scored(files, tmp_path):
    study = run(tmp_path, {"pixel": files["pn"], "mixed": files["pin"]}, suite())
    with np.load(tmp_path / "figures" / "figure13_14_grids.npz") as file:
        numbers = dict(file)
    assert numbers["indices"].tolist() == [0, 1, 2]
    reals = Data().dataset.float() / 127.5 - 1
    made = {"IN": planted, "pixel": MADE["pn.ckpt"], "mixed": planted_pin}
    with (tmp_path / "compared.csv").open(newline="") as file:
        rows = {row["generator"]: row for row in csv.DictReader(file)}
    assert list(rows) == list(made)
    for name, make in made.items():
        generator = make()
        images = walk(generator, latents_at(generator, range(3), SEED))[1]
        gap = numbers[f"{name}/images"].astype(int) - as_stored(images)
        assert np.abs(gap).max() <= 1
        (metric,) = (key for key in numbers if key.startswith(f"{name}/fid"))
        expected = fid_of(generator, reals)
        assert float(numbers[metric]) == pytest.approx(expected, rel=1e-3)
        assert float(rows[name][metric.partition("/")[2]]) == pytest.approx(expected, rel=1e-3)
    marked = [each.get("intervention") for each in study.records]
    assert set(marked) == {None, "generator pixel", "generator mixed"}


def test_without_a_suite_only_images_are_compared(files, tmp_path):
    run(tmp_path, [files["pin"], files["own"]])
    with np.load(tmp_path / "figures" / "figure13_14_grids.npz") as numbers:
        assert set(numbers) == {"indices", "IN/images", "PIN/images", "IN 2/images"}
        assert np.array_equal(numbers["IN/images"], numbers["IN 2/images"])
        assert not np.array_equal(numbers["IN/images"], numbers["PIN/images"])


def test_what_cannot_be_compared_is_named(files, tmp_path):
    with pytest.raises(
        ValueError, match=r"study.compare: .*pn.ckpt has 1 channels of 32x32 px, ckpt 1"
    ):
        run(tmp_path, files["pn"], generator=small_stylegan2())
    with pytest.raises(FileNotFoundError, match=r"study.compare: .*nowhere.ckpt"):
        named_checkpoints({"PN": str(tmp_path / "nowhere.ckpt")})
    assert named_checkpoints(None) == []


def test_a_generator_is_named_after_its_norm():
    assert norm_name(planted(PixelNorm)) == "PN"
    assert norm_name(planted(NoNorm)) == "none"
    assert norm_name(small_stylegan2()) == "stylegan2"
    assert unused_name("PN", ["PN", "PN 2"]) == "PN 3"
