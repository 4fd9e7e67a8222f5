"""`study=circular_artifacts` and the callback of training runs, on planted artifacts."""

import csv
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from circle_toys import SEED, made, planted
from scipy.stats import binomtest
from study_toys import Data, System, small_dcgan, suite, trainer
from styled_toys import run, small_stylegan2

from ganlab.metrics.spikes import local_peaks, peaking_share, pool_channels, spots
from ganlab.nn.growing import Stage
from ganlab.nn.norm import PixelNorm
from ganlab.nn.tracing import recorded
from ganlab.sampling import Sampler
from ganlab.studies import CircleIncidence, CircularArtifacts
from ganlab.studies.circles.depth import depths
from ganlab.studies.circles.incidence import Incidence, observe_by_ranks
from ganlab.studies.circles.levels import Levels
from ganlab.studies.circles.observation import observe, origins, reading_points
from ganlab.studies.ranks import Ranks

LAYER, UNIT, PLANTED, NUM = "8x8/1", 5, range(6), 12
OPTIONS = {"seed": SEED, "num_images": NUM, "batch_size": 5, "levels": 1.8}


@pytest.fixture(scope="module")
def generator():
    rng = torch.Generator().manual_seed(2)
    places = torch.randint(1, 7, (len(PLANTED), 2), generator=rng).tolist()
    return planted(made(), LAYER, UNIT, PLANTED, places, 20.0)


@pytest.fixture(scope="module")
def study(generator, tmp_path_factory):
    directory = tmp_path_factory.mktemp("circles")
    options = {"figures": False, "num_traced": 5, "num_worst": 7}
    return run(CircularArtifacts(directory=directory, **OPTIONS, **options), generator)


@pytest.fixture(scope="module")
def expected(generator):
    points = reading_points(generator)
    seen = observe(Sampler(generator, SEED), range(NUM), points)
    return seen, seen.detect(Levels(1.8))


def rows_of(directory):
    with (directory / "table.csv").open() as file:
        return list(csv.DictReader(file))


def test_the_incidence_has_a_wilson_interval(study, expected):
    affected = int(expected[1].affected.sum())
    assert 0 < affected < NUM
    oracle = binomtest(affected, NUM).proportion_ci(0.95, "wilson")
    values = {record["metric"]: record["value"] for record in study.records}
    assert values == {
        "artifact_incidence12": pytest.approx(affected / NUM),
        "artifact_incidence12_low": pytest.approx(oracle.low),
        "artifact_incidence12_high": pytest.approx(oracle.high),
    }
    record = study.records[0]
    assert (record["n_fake"], record["seed"], record["noise"]) == (NUM, SEED, "fixed")
    assert "after the style" in record["extractor"]
    assert "1.8" in record["extractor"]


@pytest.mark.parametrize("affected", [0, 2000])
def test_the_interval_ends_exactly_at_none_and_all(affected):
    score = torch.zeros(2000)
    score[:affected] = 2
    found = SimpleNamespace(score=score, affected=score > 1)
    incidence = Incidence.of(found)
    oracle = binomtest(affected, 2000).proportion_ci(0.95, "wilson")
    assert (incidence.low, incidence.high) == (
        pytest.approx(oracle.low),
        pytest.approx(oracle.high),
    )
    assert (incidence.high if affected else incidence.low) == affected / 2000


def test_every_image_is_listed_the_worst_first(study, expected):
    seen, found = expected
    with np.load(study.question.directory / "artifacts.npz") as listed:
        kept = dict(listed)
    assert (np.diff(kept["score"]) <= 0).all()
    order = kept["index"].tolist()
    assert sorted(order) == list(range(NUM))
    assert kept["score"] == pytest.approx(found.score[order].numpy(), rel=1e-4)
    assert kept["affected"].tolist() == found.affected[order].tolist()
    named = [origins(seen, found, Levels(1.8))[row] for row in order]
    assert kept["layer"].tolist() == [each.layer if each else "" for each in named]
    assert kept["unit"].tolist() == [each.unit if each else -1 for each in named]
    assert Levels.load(study.question.directory).levels == 1.8


def test_the_montage_rings_the_worst(study, generator):
    with np.load(study.question.directory / "figures" / "worst.npz") as worst:
        with np.load(study.question.directory / "artifacts.npz") as listed:
            order = listed["index"][:7].tolist()
            assert worst["place"] == pytest.approx(listed["place"][:7])
        assert worst["index"].tolist() == order
        pixels = Sampler(generator, SEED).batch(order).clamp(-1, 1).add(1).mul(127.5).round()
        assert np.abs(worst["images"].astype(int) - pixels.numpy()).max() <= 1
    assert (study.question.directory / "figures" / "worst.png").is_file()
    with np.load(study.question.directory / "figures" / "scores.npz") as scores:
        assert scores["threshold"] == 1
        assert scores["this generator/share"].sum() == pytest.approx(1)


def test_the_table_against_depth_is_that_of_the_maps(study, generator, expected):
    """Recomputed with plain hooks, one image at a time, of the 5 worst images."""
    found = expected[1]
    rows = found.worst(min(5, int(found.affected.sum())))
    place = found.place
    layers = list(generator.layers)
    heights = {(layer, kind): [] for layer in layers for kind in ("", "/norm", "/style")}
    shares, units, regions = ({layer: [] for layer in layers} for _ in range(3))
    for row in rows:
        with recorded({**generator.layers, **generator.points}) as maps:
            Sampler(generator, SEED).batch([row])
        for layer, kind in heights:
            magnitude = pool_channels(maps[layer + kind])
            y, x = local_peaks(magnitude, place[[row]])[0].tolist()
            ordered = magnitude.flatten().sort().values
            heights[layer, kind].append(float(magnitude[0, y, x] / ordered[len(ordered) // 2 - 1]))
            if kind == "/style":
                own = maps[layer + kind]
                units[layer].append(int(own[0, :, y, x].abs().argmax()))
                shares[layer].append(float(peaking_share(own, torch.tensor([[y, x]]))[0]))
                regions[layer].append(spots(magnitude)[0])
    for line in rows_of(study.question.directory):
        layer = line["layer"]
        for head, kind in (("before norm", ""), ("after norm", "/norm"), ("as read", "/style")):
            assert float(line[head]) == pytest.approx(np.median(heights[layer, kind]), rel=1e-3)
        assert float(line["channels over 10x"]) == pytest.approx(np.mean(shares[layer]), abs=1e-6)
        unit = int(line["top unit"])
        assert units[layer].count(unit) == max(units[layer].count(each) for each in units[layer])
        assert float(line["images with it"]) == units[layer].count(unit) / len(rows)
        assert float(line["spots"]) == pytest.approx(np.mean([len(r) for r in regions[layer]]))
        assert float(line["size"]) == pytest.approx(np.mean([r[0].share for r in regions[layer]]))
    planted_row = next(line for line in rows_of(study.question.directory) if line["layer"] == LAYER)
    assert int(planted_row["top unit"]) == UNIT
    notes = (study.question.directory / "table.md").read_text()
    assert f"of {NUM} images affected" in notes


def test_without_affected_images_the_table_says_whose_it_is(tmp_path):
    options = OPTIONS | {"levels": 50.0, "figures": False}
    run(CircularArtifacts(directory=tmp_path, **options), made())
    assert "no image is affected" in (tmp_path / "table.md").read_text()


def test_levels_come_from_a_generator_without_artifacts(tmp_path, generator):
    """Or from a run's file."""
    checkpoint, opened = tmp_path / "pn.ckpt", []
    checkpoint.touch()

    def opener(path):
        opened.append(path)
        return made(PixelNorm)

    options = OPTIONS | {"levels": 1.3, "figures": False, "num_traced": 2}
    first = CircularArtifacts(
        directory=tmp_path / "a", levels_from=checkpoint, opener=opener, **options
    )
    first = run(first, generator)
    assert opened == [str(checkpoint)]
    levels = Levels.load(tmp_path / "a")
    assert set(levels.levels) == {"4x4", "8x8", "16x16", "32x32"}
    assert "pn.ckpt" in levels.source
    assert "median contrasts 4x4" in (tmp_path / "a" / "table.md").read_text()
    second = run(CircularArtifacts(levels_from=tmp_path / "a", **options), generator)
    assert second.question.given == levels
    assert second.findings.result == first.findings.result
    with pytest.raises(FileNotFoundError, match=r"study\.levels_from=.*no such checkpoint"):
        CircularArtifacts(levels_from=tmp_path / "no.ckpt", **options)


def test_single_channels_count_where_they_are_asked_for(tmp_path):
    places = [[3, 2], [5, 4], [2, 6]]
    widths = {4: 32, 8: 128, 16: 32}
    alone = planted(made(resolution=16, widths=widths), LAYER, UNIT, range(3), places, None)
    options = OPTIONS | {"levels": 2.5, "channel_level": 2.2, "num_reference": 150}
    study = run(CircularArtifacts(directory=tmp_path, figures=False, **options), alone)
    assert study.records[0]["value"] == 3 / NUM
    assert "over 1 x 2.2 times what it reaches in 150 other" in study.records[0]["extractor"]
    with np.load(tmp_path / "artifacts.npz") as listed:
        assert set(listed["index"][:3]) == {0, 1, 2}
        assert listed["alone"].tolist() == [True] * 3 + [False] * (NUM - 3)
        assert listed["layer"][:3].tolist() == [LAYER] * 3
        assert listed["unit"].tolist() == [UNIT] * 3 + [-1] * (NUM - 3)
    trained = CircleIncidence(
        num_images=NUM, seed=SEED, channel_level=2.2, num_reference=150, batch_size=5
    )
    fitted(trained, alone)
    assert trained.records[0]["value"] == 3 / NUM


def test_stylegan2_is_read_after_its_activations(tmp_path):
    options = OPTIONS | {"num_traced": 3, "figures": False}
    study = run(CircularArtifacts(directory=tmp_path, **options), small_stylegan2())
    assert "after the activation" in study.records[0]["extractor"]
    assert "demodulation" in (tmp_path / "table.md").read_text()
    assert "after norm" not in rows_of(tmp_path)[0]


def test_a_generator_without_styles_is_refused_at_once():
    with pytest.raises(ValueError, match="circular artifacts are looked for in style layers"):
        run(CircularArtifacts(**OPTIONS), small_dcgan())


def test_scores_stand_beside_the_incidence():
    study = run(CircularArtifacts(suite=suite(), figures=False, **OPTIONS), made())
    names = [record["metric"] for record in study.records]
    assert any(name.startswith("fid") for name in names)
    assert "artifact_incidence12" in names


def test_ranks_together_see_what_one_sees(generator):
    """Each its share of the images, also where there are fewer images than ranks."""
    for num, world in ((5, 2), (1, 2)):
        tables = []

        def reduce(table, reduce_op, tables=tables):
            tables.append(table)
            return table

        for rank in range(world):
            strategy = SimpleNamespace(reduce=reduce, root_device="cpu")
            one = SimpleNamespace(
                global_rank=rank, world_size=world, strategy=strategy, is_global_zero=rank == 0
            )
            observe_by_ranks(Ranks(one), Sampler(generator, SEED, batch_size=2), num, "style")
        whole = observe(Sampler(generator, SEED), range(num), reading_points(generator))
        torch.testing.assert_close(sum(tables), whole.table, rtol=1e-3, atol=1e-3)


def test_depths_do_not_depend_on_the_batch(generator, expected):
    found, points = expected[1], reading_points(generator)
    whole, single = (
        depths(Sampler(generator, SEED, batch_size=size), list(range(4)), found.place[:4], points)
        for size in (4, 1)
    )
    for a, b in zip(whole, single, strict=True):
        assert (a.layer, a.unit, a.spots) == (b.layer, b.unit, b.spots)
        assert a.read == pytest.approx(b.read, rel=1e-4)


def fitted(callback, generator, kimg=0.02):
    trainer(callback).fit(System(generator, kimg), Data())
    return callback


def test_a_training_run_records_the_incidence_at_its_end(generator, expected):
    callback = CircleIncidence(num_images=NUM, seed=SEED, levels=1.8, batch_size=5)
    fitted(callback, generator)
    values = {record["metric"]: record["value"] for record in callback.records}
    assert values["artifact_incidence12"] == pytest.approx(
        float(expected[1].affected.double().mean())
    )
    assert {record["images_seen"] for record in callback.records} == {20}
    again = CircleIncidence()
    again.load_state_dict(callback.state_dict())
    assert again.records == callback.records


def test_the_callback_refuses_what_it_cannot_look_at():
    with pytest.raises(ValueError, match="circular artifacts are looked for in style layers"):
        fitted(CircleIncidence(num_images=2), small_dcgan())
    with pytest.raises(ValueError, match=r"callbacks\.circles\.num_images=0"):
        CircleIncidence(num_images=0)


def test_a_run_too_short_to_grow_ends_without_an_incidence(generator):
    callback = CircleIncidence(num_images=3, persistence=5, num_reference=10)
    with pytest.warns(UserWarning, match=r"no incidence of artifacts: study\.persistence=5"):
        fitted(callback, generator)
    assert callback.records == []


def test_a_growing_generator_is_looked_at_as_far_as_it_is():
    growing = made()
    growing.grow_to(Stage(1))  # 8 px
    seen = observe(Sampler(growing, SEED), range(3), reading_points(growing))
    assert seen.layers == ("4x4/0", "4x4/1", "8x8/0", "8x8/1")
    assert seen.detect(Levels()).score.shape == (3,)
