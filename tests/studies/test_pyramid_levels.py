"""Scores and diversity by level, on a pyramid whose images are known."""

import numpy as np
import pytest
import torch
from pyramid_toys import STAGES, Blocks, Linear, run
from study_toys import ConvGenerator, Data, System, trainer

from ganlab.data import NoImages
from ganlab.metrics import FrechetDistance, Suite
from ganlab.report.tables import parse_markdown, read_csv
from ganlab.studies import PyramidLevels, Study
from ganlab.studies.pyramid.levels import PAPER, PAPER_FID, Diversity, draw_levels


def suite(num):
    return Suite(Linear(), {"fid": FrechetDistance()}, num, num)


def study(folder, num=20, **options):
    given = {"suite": suite(num), "extractor": Linear(), "num_pairs": 6, "num_shown": 3}
    shared = {"directory": folder, "num": num, "seed": 4, "batch_size": 7}
    return Study(PyramidLevels(**(shared | given | options)))


def references(made, system):
    return made.question.references(made.bench(system.trainer, system))


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    folder = tmp_path_factory.mktemp("levels")
    made = study(folder)
    system = run(made)
    return made, system, folder


def test_every_reference_is_painted_once_from_every_level(done):
    made, system, _ = done
    data = Blocks()
    chosen = suite(20).real_indices(len(data.dataset)).tolist()
    of = references(made, system)
    assert of.positions == chosen
    reals = data.dataset[chosen].float() / 127.5 - 1
    sampler = of.sampler("pool1")
    found = torch.cat([sampler.images(range(i, i + 5)) for i in range(0, 20, 5)])
    assert torch.allclose(found, reals, atol=1e-6), "pool1 says all, in the order of the reals"
    second = sampler.images(range(20, 25))
    assert torch.allclose(second, reals[:5], atol=1e-6), "image num + i has reference i"


def test_the_finest_level_copies_and_coarser_ones_are_further_and_more_diverse(done):
    _, _, folder = done
    rows = read_csv((folder / "table.csv").read_text()).rows
    assert [row["level"] for row in rows] == list(STAGES)
    scores = [row["fid20_pixels8"] for row in rows]
    assert scores[0] == pytest.approx(0, abs=1e-6)
    assert scores[0] < scores[1] < scores[2]
    assert [row["diversity"] for row in rows][:2] == pytest.approx([0, 0], abs=1e-6)
    assert rows[2]["diversity"] > 0
    assert rows[0]["to reference"] == pytest.approx(0, abs=1e-5)
    assert rows[0]["to reference"] < rows[1]["to reference"]
    assert [row["same class"] for row in rows][:2] == [1, 1], "means are kept"


def test_the_papers_numbers_stand_beside_levels_of_their_name(done):
    _, _, folder = done
    rows = read_csv((folder / "table.csv").read_text()).rows
    assert [row[PAPER_FID] for row in rows] == [2.89, 8.67, 22.67, 29.34]
    notes = " ".join(parse_markdown((folder / "table.md").read_text()).notes)
    assert "20 generated against 20 real images" in notes
    assert "Shocher et al. 2020, table 1" in notes
    assert "references: images of blocks" in notes
    assert [PAPER[level][1] for level in ("pool3", "pool4", "pool5")] == [11.08, 17.64, 19.59]


def test_diversity_is_of_pairs_of_one_reference(done):
    """As computed from the images by an explicit loop."""
    made, system, folder = done
    of = references(made, system)
    sampler = of.sampler("fc7")
    total, apart = [], []
    for i in range(6):
        one, other = (sampler.images([i + k * 20])[0].double() for k in (0, 1))
        total.append((one - other).square().sum().sqrt().item())
        first, before = (of.images([j])[0].double() for j in (i, i - 1 if i else 5))
        apart.append((first - before).square().sum().sqrt().item())
    rows = read_csv((folder / "table.csv").read_text()).rows
    assert rows[2]["diversity"] == pytest.approx(np.mean(total), rel=1e-5)
    notes = " ".join(parse_markdown((folder / "table.md").read_text()).notes)
    assert f"two references are {np.mean(apart):.4g} apart" in notes


def test_records_name_level_counts_and_features(done):
    made, _, _ = done
    fids = [r for r in made.records if r["metric"] == "fid20_pixels8"]
    assert [r["intervention"] for r in fids] == list(STAGES)
    assert {(r["n_real"], r["n_fake"]) for r in fids} == {(20, 20)}
    pairs = [r for r in made.records if r["metric"] == "diversity6_pixels8"]
    assert [r["intervention"] for r in pairs] == list(STAGES)
    assert {r["n_fake"] for r in pairs} == {12}


def test_figures_stand_with_their_numbers(done):
    made, system, folder = done
    numbers = np.load(folder / "figures" / "levels.npz")
    assert numbers["positions"].tolist() == references(made, system).positions[:3]
    assert numbers["latents"].tolist() == [[0, 20], [1, 21], [2, 22]]
    assert numbers["levels"].tolist() == list(STAGES)
    curves = np.load(folder / "figures" / "pyramid_levels.npz")
    rows = read_csv((folder / "table.csv").read_text()).rows
    assert curves["fid20_pixels8"] == pytest.approx([row["fid20_pixels8"] for row in rows])
    assert curves["fid_paper"].tolist() == [2.89, 8.67, 22.67, 29.34]
    assert all(
        (folder / "figures" / f"{name}.png").exists() for name in ("levels", "pyramid_levels")
    )


def test_the_papers_numbers_have_axes_of_their_own():
    levels = ["pool1", "fc7"]
    unlike = {level: Diversity(1.0, 2.0, 0.5, 3.0) for level in levels}
    drawn = draw_levels(levels, {level: {"fid": 1.0} for level in levels}, unlike)
    shown = [[line.get_label() for line in axes.get_lines()] for axes in drawn.figure.axes]
    assert shown == [["fid"], [PAPER_FID], ["diversity (features)", "to reference (features)"]]


def test_chosen_levels_without_scores(tmp_path):
    made = study(tmp_path, suite=None, levels=["conv2", "fc7"])
    system = run(made)
    table = read_csv((tmp_path / "table.csv").read_text())
    assert [row["level"] for row in table.rows] == ["pool2", "fc7"]
    assert table.columns == ["level", "diversity", "to reference", "same class"]
    assert len(set(references(made, system).positions)) == 20


def test_truncation_is_recorded_and_lowers_diversity(tmp_path, done):
    made = study(tmp_path, truncation=0.2, levels="fc7")
    run(made)
    assert {record["truncation"] for record in made.records} == {0.2}
    whole = [r["value"] for r in done[0].records if r["metric"].startswith("diversity")][2]
    assert made.records[-1]["value"] < whole


def test_mirrored_data_has_mirrored_references(tmp_path):
    data = Blocks(12)
    data.flip = True
    made = study(tmp_path, num=24, levels="pool1")
    system = run(made, data)
    assert references(made, system).positions == list(range(24))
    found = references(made, system).images([3, 15])
    assert torch.equal(found[1], found[0].flip(-1))


def test_what_it_cannot_do_is_refused_before_any_work(tmp_path):
    with pytest.raises(ValueError, match=r"study\.num=41 .* the data has 40: study\.num=40 takes"):
        run(study(tmp_path, num=41))
    with pytest.raises(ValueError, match="data=folder"):
        run(study(tmp_path), NoImages(8, 1))
    with pytest.raises(ValueError, match=r"study\.levels=fc6 is no level"):
        run(study(tmp_path, levels="fc6"))
    with pytest.raises(ValueError, match=r"study\.num=20, but study\.suite compares 10 with 10"):
        study(tmp_path, suite=suite(10))
    with pytest.raises(ValueError, match=r"study\.num_pairs=0"):
        study(tmp_path, num_pairs=0)
    with pytest.raises(ValueError, match="model=semantic_pyramid, and this one is of study_toys"):
        trainer(study(tmp_path)).test(System(ConvGenerator()), Data(40), verbose=False)
    assert not list(tmp_path.iterdir())


def test_diversity_of_equal_and_of_unlike_images():
    point, other = torch.tensor([[3.0, 4.0], [0.0, 0.0]]), torch.zeros(2, 2)
    logits = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    references = {"features": point, "logits": logits}
    same = Diversity.of(references, references, references)
    assert same.values == (0, 0, 1)
    assert same.apart == 5
    found = Diversity.of(references, references, {"features": other, "logits": logits.flip(1)})
    assert found.values == (2.5, 1.25, 0.5)


def test_two_ranks_share_the_references(tmp_path):
    """Rank r of 2 paints references r, r + 2, ...: together each once."""
    made = study(tmp_path, suite=None, levels="pool1")
    system = run(made)
    shares, sampler = [], references(made, system).sampler("pool1")
    for rank in (0, 1):
        fake = type("Ranked", (), {"global_rank": rank, "world_size": 2, "is_global_zero": True})
        shares.append(torch.cat([*made.bench(fake, system).images("", range(20), sampler=sampler)]))
    whole = made.bench(system.trainer, system)
    everything = torch.cat([*whole.images("", range(20), sampler=sampler)])
    assert torch.allclose(everything[0::2], shares[0])
    assert torch.allclose(everything[1::2], shares[1])
