import json

import numpy as np
import pytest
import torch
from study_toys import ConvGenerator

from ganlab.metrics.activation_rate import low_rate
from ganlab.nn.randomness import keyed_generator, latents_at
from ganlab.sampling import Sampler
from ganlab.studies.neurons.artifact_detection import Group, detection_table, histogram
from ganlab.studies.neurons.detection import Ranking, activated_neurons, read_ranking
from ganlab.studies.neurons.rates import activation_rates

COUNTS = torch.tensor([3, 9, 3, 0, 9, 3, 1])


def test_a_ranking_is_by_count_and_then_by_index():
    ranking = Ranking.of(COUNTS, 4)
    expected = sorted(range(7), key=lambda i: (-COUNTS[i], i))
    assert ranking.index.tolist() == expected == [1, 4, 0, 2, 5, 6, 3]
    assert ranking.count.tolist() == [9, 9, 3, 3, 3, 1, 0]
    assert ranking.top(3) == [1, 4, 0]
    assert ranking.bottom(3) == [3, 6, 5]
    for num in (0, 8):
        with pytest.raises(ValueError, match=f"a ranking of 7 latents has no {num}"):
            ranking.top(num)


@pytest.mark.parametrize("num", [6, 7])
def test_ends_of_equal_counts_do_not_overlap(num):
    ranking = Ranking.of(torch.zeros(num, dtype=torch.int64), 0)
    half = num // 2
    assert ranking.index.tolist() == list(range(num))
    assert not set(ranking.top(half)) & set(ranking.bottom(half))


def test_a_file_gives_back_the_ranking(tmp_path):
    ranking = Ranking.of(COUNTS, 4, "ab", "random")
    path = ranking.save(tmp_path / "ranking.npz")
    for place in (path, str(path), tmp_path):
        found = Ranking.load(place)
        assert (found.seed, found.generator, found.noise) == (4, "ab", "random")
        assert torch.equal(found.index, ranking.index)
        assert torch.equal(found.count, ranking.count)
    with np.load(path) as file:  # opens without this code too
        assert file["index"].tolist() == ranking.index.tolist()
        assert file["count"].tolist() == sorted(COUNTS.tolist(), reverse=True)
    assert read_ranking(tmp_path) == ranking.index.tolist()
    assert read_ranking(tmp_path, "bottom", 2, seed=4) == [3, 6]


def test_a_ranking_that_does_not_fit_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"study.indices=.*run study=artifact_detection"):
        read_ranking(tmp_path, key="study.indices")
    path = Ranking.of(COUNTS, 4).save(tmp_path / "ranking.npz")
    with pytest.raises(ValueError, match=r"ranks latents of seed 4, these are of seed 5: add seed"):
        read_ranking(path, seed=5)
    for num in (0, 8):
        with pytest.raises(ValueError, match=f"ranks 7 latents, {num} were asked for"):
            read_ranking(path, num=num)
    with pytest.raises(ValueError, match="top or bottom, got 'middle'"):
        read_ranking(path, "middle")
    index = np.arange(3)
    labels = {"seed": 0, "generator": "", "noise": ""}
    foreign = {
        "other": {"x": index},
        "uneven": {"index": index, "count": index[:2], **labels},
        "real": {"index": index / 2, "count": index, **labels},
        "objects": {"index": np.array([{}, {}]), "count": index, **labels},
        **{
            f"seed {seed}": {"index": index, "count": 0 * index, **labels, "seed": seed}
            for seed in (np.inf, -1, 0.5)
        },
    }
    for name, arrays in foreign.items():
        np.savez(tmp_path / f"{name}.npz", **arrays)
        with pytest.raises(ValueError, match=f"{name}.npz is no ranking"):
            Ranking.load(tmp_path / f"{name}.npz")
    (tmp_path / "text").write_text(json.dumps([1, 2]))
    with pytest.raises(ValueError, match="text is no ranking"):
        Ranking.load(tmp_path / "text")


def test_ten_lines_in_a_notebook():
    generator = ConvGenerator()
    rates = activation_rates(Sampler(generator, 1), range(40), [0, 2])
    masks = {name: low_rate(rate, 0.3) for name, rate in rates.items()}
    counts = activated_neurons(Sampler(generator, 0, batch_size=7), range(30), masks)
    worst = Ranking.of(counts, seed=0).top(2)
    assert counts[worst[0]] == counts.max()
    assert Sampler(generator, 0).batch(worst).shape == (2, 1, 8, 8)
    first = generator.activations[0](generator.first(latents_at(generator, range(30), 0)))
    maps = first.view(30, 5, 4, 4) > 0
    alone = activated_neurons(Sampler(generator, 0), range(30), {"4x4/0": masks["4x4/0"]})
    assert alone.tolist() == [int(image[masks["4x4/0"]].sum()) for image in maps]
    with pytest.raises(ValueError, match="no latents to count on"):
        activated_neurons(Sampler(generator, 0), [], masks)


def test_the_histogram_shows_every_image_once():
    counts = torch.randint(0, 90, (400,), generator=keyed_generator("histogram"))
    numbers = histogram(Ranking.of(counts, 0), 50)
    parts = {name: numbers[name] for name in ("bottom", "between", "top")}
    assert [part.sum() for part in parts.values()] == [50, 300, 50]
    together, _ = np.histogram(counts.numpy(), numbers["edges"])
    assert (sum(parts.values()) == together).all()
    assert parts["bottom"].nonzero()[0].max() <= parts["between"].nonzero()[0].min()
    assert parts["between"].nonzero()[0].max() <= parts["top"].nonzero()[0].min()


def test_a_histogram_of_equal_counts_has_a_width():
    numbers = histogram(Ranking.of(torch.full((6,), 7), 0), 3)
    assert numbers["between"].sum() == 0
    assert numbers["edges"][0] == 7 < numbers["edges"][-1]


def test_the_table_marks_the_best_of_each_score_but_not_of_spreads():
    names = ("fid3_of9", "precision3_of9_k3", "realism3_of9_k3", "realism_std3_of9_k3", "odd3_of9")
    groups = [
        Group("bottom 3", torch.tensor([1, 2, 6]), dict.fromkeys(names, 1.0)),
        Group("top 3", torch.tensor([7, 8, 9]), dict.fromkeys(names, 2.0)),
    ]
    table = detection_table(groups, ["a note"])
    assert table.best == {"fid3_of9": "min", "precision3_of9_k3": "max", "realism3_of9_k3": "max"}
    assert table.rows[0]["LR neurons"] == 3
    assert (table.rows[1]["fewest"], table.rows[1]["most"]) == (7, 9)
    unscored = detection_table([Group("all", COUNTS)])
    assert unscored.columns == ["images", "LR neurons", "fewest", "most"]
