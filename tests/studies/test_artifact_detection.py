import csv

import numpy as np
import pytest
from layer_oracles import labels_at, small
from PIL import Image
from study_toys import ConvGenerator, Data, Projection, System, suite, trainer

from ganlab.metrics import PrecisionRecall, Realism, Suite
from ganlab.metrics.activation_rate import low_rate
from ganlab.report import images
from ganlab.sampling import Sampler
from ganlab.studies import ActivationRates, ArtifactDetection, Samples, Study
from ganlab.studies.neurons.detection import Ranking, activated_neurons
from ganlab.studies.neurons.rate_count import rate_seed_of
from ganlab.studies.neurons.rates import activation_rates
from ganlab.systems.conditioning import Labels

SEED, NUM, K = 3, 30, 8
OPTIONS = {"seed": SEED, "num_latents": 25, "num_samples": NUM, "num": K, "batch_size": 7}


def run(question, generator=None):
    study = Study(question)
    trainer(study).test(System(generator or ConvGenerator()), Data(), verbose=False)
    return study


def table2(num_fake=K):
    metrics = {"precision_recall": PrecisionRecall(k=3), "realism": Realism(k=3)}
    return Suite(Projection(), metrics, 24, num_fake)


def rows_of(directory):
    with (directory / "table.csv").open() as file:
        return list(csv.DictReader(file))


def expected_counts(generator, layers, rate=0.3, include_dead=True, condition_at=None):
    rates = activation_rates(
        Sampler(generator, rate_seed_of(SEED, None), batch_size=7, condition_at=condition_at),
        range(25),
        layers,
    )
    masks = {name: low_rate(values, rate, include_dead) for name, values in rates.items()}
    return activated_neurons(
        Sampler(generator, SEED, batch_size=7, condition_at=condition_at), range(NUM), masks
    )


def test_the_study_writes_what_it_found(tmp_path):
    generator = ConvGenerator()
    study = run(ArtifactDetection(suite=table2(), directory=tmp_path, **OPTIONS), generator)
    counts = expected_counts(generator, ["4x4/0", "8x8/0"])  # the first of each size
    order = sorted(range(NUM), key=lambda i: (-int(counts[i]), i))
    found = Ranking.load(tmp_path)
    assert found.index.tolist() == order
    assert found.count.tolist() == counts[order].tolist()
    assert (found.seed, study.findings.result[0].seed) == (SEED, SEED)
    rows = rows_of(tmp_path)
    assert [row["images"] for row in rows] == ["bottom 8", "top 8", "random 8"]
    chosen = [order[::-1][:K], order[:K], list(range(K))]
    for row, indices in zip(rows, chosen, strict=True):
        reference = table2()
        for value, real in ((Sampler(generator, SEED).batch(indices), False), (reals(), True)):
            reference.update(value, real=real)
        for name, score in reference.compute().items():
            assert "8_of24_k3" in name
            assert float(row[name]) == pytest.approx(score, abs=1e-6)
        assert float(row["LR neurons"]) == float(counts[indices].double().mean())
    notes = (tmp_path / "table.md").read_text()
    assert f"25 latents of seed {rate_seed_of(SEED, None)}" in notes
    assert f"latents 0 to 29 of seed {SEED}, noise fixed" in notes


def reals():
    data = Data()
    return data.dataset.float() / 127.5 - 1


def test_every_score_is_recorded_with_what_it_is_of():
    study = run(ArtifactDetection(suite=table2(), **OPTIONS))
    by_group = {record.get("intervention") for record in study.records}
    assert by_group == {None, "bottom 8 of 30 by LR neurons", "top 8 of 30 by LR neurons"}
    assert {(record["n_fake"], record["noise"]) for record in study.records} == {(K, "fixed")}


def test_names_say_how_many_images_were_scored(tmp_path):
    """A suite made for 20 images scores ends of 8, and random ones of 8 for comparison."""
    given = suite(num_fake=20)
    study = run(ArtifactDetection(suite=given, directory=tmp_path, **OPTIONS))
    names = [set(group.values) for group in study.findings.result[1]]
    assert names[0] == names[1] == names[2]
    assert "fid8_of24_classifier" in names[0]
    assert given.num_fake == 20
    baseline = {r["metric"] for r in study.records if not r.get("intervention")}
    assert "fid20_of24_classifier" in baseline


def test_figures_show_the_ends(tmp_path):
    generator = ConvGenerator()
    study = run(ArtifactDetection(directory=tmp_path, num_shown=5, **OPTIONS), generator)
    counts = expected_counts(generator, ["4x4/0", "8x8/0"])
    for which, indices in (
        ("top", study.findings.result[0].top(5)),
        ("bottom", study.findings.result[0].bottom(5)),
    ):
        pixels = images.to_uint8(Sampler(generator, SEED).batch(indices))
        with np.load(tmp_path / "figures" / f"{which}.npz") as numbers:
            assert numbers["index"].tolist() == indices
            assert (numbers["images"] == pixels.numpy()).all()
            assert numbers["count"].tolist() == counts[indices].tolist()
        shown = np.asarray(Image.open(tmp_path / "figures" / f"{which}.png").convert("RGB"))
        assert (shown == images.grid(pixels)).all()
        with np.load(tmp_path / "figures" / "artifact_detection.npz") as numbers:
            assert numbers[f"{which}_index"].tolist() == indices
            assert (numbers[f"{which}_images"] == pixels.numpy()).all()
            assert numbers[which].sum() == K
    assert Image.open(tmp_path / "figures" / "artifact_detection.png").width > 900


def test_without_reals_it_ranks_and_says_so(tmp_path):
    study = run(ArtifactDetection(directory=tmp_path, **OPTIONS))
    assert study.records == []
    assert "no scores: there are no reals" in (tmp_path / "table.md").read_text()
    assert list(rows_of(tmp_path)[0]) == ["images", "LR neurons", "fewest", "most"]


@pytest.mark.parametrize("include_dead", [True, False])
def test_layers_rate_and_dead_neurons_are_options(include_dead):
    generator = ConvGenerator()
    options = {"layers": ["4x4/0", 1], "rate": 0.5, "include_dead": include_dead}
    study = run(ArtifactDetection(**options, **OPTIONS), generator)
    counts = expected_counts(generator, [0, 1], 0.5, include_dead)
    assert study.findings.result[0].count.tolist() == sorted(counts.tolist(), reverse=True)


def test_dead_neurons_that_wake_count_only_if_included():
    """Rates of one latent: many neurons are dead on it and active on the ranked ones."""
    few = OPTIONS | {"num_latents": 1, "rate": 0.0}
    assert run(ArtifactDetection(**few)).findings.result[0].count.min() > 0
    study = run(ArtifactDetection(include_dead=False, **few))
    assert study.findings.result[0].count.max() == 0  # nothing has 0 < rate <= 0
    assert study.findings.result[0].index.tolist() == list(range(NUM))


def test_a_rate_that_selects_nothing_or_everything_is_said(tmp_path):
    nothing, everything = tmp_path / "none", tmp_path / "all"
    run(ArtifactDetection(directory=nothing, rate=0.0, include_dead=False, **OPTIONS))
    run(ArtifactDetection(directory=everything, rate=1.0, **OPTIONS))
    assert "selects no neuron: the ranking is the order of the indices" in notes_of(nothing)
    assert "selects every neuron" in notes_of(everything)
    run(ArtifactDetection(directory=tmp_path, **OPTIONS))
    assert "selects" not in notes_of(tmp_path)


def notes_of(directory):
    return (directory / "table.md").read_text()


def test_conditions_and_random_noise_reach_every_image(tmp_path):
    generator = small("labels")
    system = System(generator)
    system.conditioner = Labels(3)
    study = ArtifactDetection(directory=tmp_path, noise="random", num_shown=3, **OPTIONS)
    study = Study(study)
    trainer(study).test(system, Data(), verbose=False)
    expected = Sampler(generator, SEED, condition_at=labels_at, noise="random").batch(
        study.findings.result[0].top(3)
    )
    with np.load(tmp_path / "figures" / "top.npz") as numbers:
        assert np.abs(numbers["images"] - images.to_uint8(expected).numpy().astype(int)).max() <= 1
    assert Ranking.load(tmp_path).noise == "random"


def test_rates_of_another_run_are_taken(tmp_path):
    generator = ConvGenerator()
    counted = run(ActivationRates(directory=tmp_path, seed=SEED, num_latents=25), generator)
    made = []
    generator.first.register_forward_hook(lambda m, i, o: made.append(len(o)))
    run(ArtifactDetection(rates_file=tmp_path, num_shown=1, **OPTIONS), generator)
    few = 2 * 4 + 2  # which layers see a latent, and what shapes a file of rates should have
    assert sum(made) <= NUM + few, "ranked latents and a few that tell which layers see them"
    assert counted.findings.result.near_zero, "more in the file than is needed does no harm"


def test_samples_draw_the_ranked_images(tmp_path):
    generator = ConvGenerator()
    study = run(ArtifactDetection(directory=tmp_path / "found", **OPTIONS), generator)
    for which in ("top", "bottom"):
        folder = tmp_path / which
        source = {"indices": str(tmp_path / "found"), "which": which, "num": 4}
        run(Samples(directory=folder, seed=SEED, **source), generator)
        names = {f"{index:06d}.png" for index in getattr(study.findings.result[0], which)(4)}
        assert {path.name for path in (folder / "samples").iterdir()} == names
    with pytest.raises(ValueError, match=r"study.indices=.* ranks latents of seed 3"):
        Samples(directory=tmp_path, indices=str(tmp_path / "found"), num=4)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num": 16}, r"study.num=16 .* fit into study.num_samples=30"),
        ({"num": 0}, "study.num=0"),
        ({"num_shown": 0}, "study.num_shown=0"),
        ({"rate": -0.1}, "study.rate must be in"),
    ],
)
def test_bad_options_are_named(options, message):
    with pytest.raises(ValueError, match=message):
        ArtifactDetection(**(OPTIONS | options))


def test_what_cannot_be_scored_is_refused_before_any_work():
    few = {"suite": table2(num_fake=20), "num": 3}
    with pytest.raises(ValueError, match="precision and recall with k=3 takes more than 3 images"):
        run(ArtifactDetection(**(OPTIONS | few)))
    with pytest.raises(ValueError, match=r"no layer 9x9/0; this network has 0 = 4x4/0, 1 = 4x4/1"):
        run(ArtifactDetection(layers=["9x9/0"], **OPTIONS))


def test_the_ranking_does_not_depend_on_the_suite():
    found = [
        run(ArtifactDetection(suite=given, **OPTIONS)).findings.result[0].index.tolist()
        for given in (None, suite(num_fake=K))
    ]
    assert found[0] == found[1]


@pytest.mark.parametrize("names", [(), ("amber", "blue", "brown")])
def test_several_classes_are_counted_one_by_one(tmp_path, names):
    generator = small("labels")
    system = System(generator)
    system.conditioner = Labels(3, names)
    study = Study(ArtifactDetection(suite=None, directory=tmp_path, **OPTIONS))
    trainer(study).test(system, Data(), verbose=False)
    index, count = Ranking.load(tmp_path).index.tolist(), Ranking.load(tmp_path).count.tolist()
    with (tmp_path / "classes.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["class"] for row in rows] == list(names or "012")
    for each, row in enumerate(rows):
        mine = [number for address, number in zip(index, count, strict=True) if address % 3 == each]
        assert float(row["LR neurons"]) == pytest.approx(sum(mine) / len(mine))
        assert [int(row[key]) for key in ("images", "fewest", "most")] == [10, min(mine), max(mine)]
        ends = [sum(address % 3 == each for address in end) for end in (index[-K:], index[:K])]
        assert [int(row[f"bottom {K}"]), int(row[f"top {K}"])] == ends


def test_one_class_has_no_table_of_classes(tmp_path):
    run(ArtifactDetection(suite=None, directory=tmp_path, **OPTIONS))
    assert not (tmp_path / "classes.csv").exists()
