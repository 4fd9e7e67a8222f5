"""`study=projection` and its optimisation: Karras et al. 2020, appendix D."""

import math

import numpy as np
import pytest
import torch
from copy_toys import Stored
from PIL import Image
from study_toys import ConvGenerator, System, small_dcgan, trainer
from study_toys import Projection as Features
from styled_toys import run, small_stylegan, small_stylegan2

from ganlab.data import NoImages
from ganlab.features import Classifier, FashionVGG
from ganlab.networks import progan
from ganlab.nn.growing import Stage
from ganlab.runs.export import Graph
from ganlab.sampling import Sampler
from ganlab.studies import Projection, Samples, Study
from ganlab.studies.latents import projector
from ganlab.studies.latents.projector import (
    Centre,
    Perceptual,
    Projector,
    Schedule,
    noise_penalty,
    normalize_noise,
)
from ganlab.systems.conditioning import Labels


def studied(question, generator, data=None):
    study = Study(question)
    data = Stored(24) if data is None else data
    trainer(study).test(System(generator), datamodule=data, verbose=False)
    return study


def test_the_schedule_is_that_of_the_paper():
    """1000 steps: up to 0.1 linearly in 50, down by a cosine in the last 250; noise for 750."""
    schedule = Schedule()
    rates = [schedule.rate(step) for step in (0, 25, 50, 400, 750, 875, 999)]
    last = 0.05 * (1 - math.cos(math.pi * 0.001 / 0.25))
    assert rates == pytest.approx([0, 0.05, 0.1, 0.1, 0.1, 0.05, last])
    deviations = [schedule.deviation(step) for step in (0, 375, 749, 750, 999)]
    assert deviations == pytest.approx([0.05, 0.05 / 4, 0.05 / 750**2, 0, 0])
    short = Schedule(num_steps=20)
    assert [short.rate(step) for step in (0, 1, 15)] == pytest.approx([0, 0.1, 0.1])


def test_the_centre_is_mean_and_root_mean_square_distance():
    codes = np.random.default_rng(0).normal(size=(50, 1, 7)) * 3 + 1
    found = Centre.of(torch.from_numpy(codes).float())
    mean = codes.mean(0)
    assert found.mean.numpy() == pytest.approx(mean, abs=1e-5)
    squares = [((code[0] - mean[0]) ** 2).sum() for code in codes]
    assert found.deviation == pytest.approx(math.sqrt(sum(squares) / 50), rel=1e-5)


def looped(plane):
    """The regulariser of one map, neighbour by neighbour."""
    total, plane = 0.0, np.asarray(plane, float)
    while True:
        size = len(plane)
        across = sum(plane[y, x] * plane[y, x - 1] for y in range(size) for x in range(size))
        down = sum(plane[y, x] * plane[y - 1, x] for y in range(size) for x in range(size))
        total += (across / size**2) ** 2 + (down / size**2) ** 2
        if size <= 8:
            return total
        halved = np.empty((size // 2, size // 2))
        for y in range(size // 2):
            for x in range(size // 2):
                halved[y, x] = plane[2 * y : 2 * y + 2, 2 * x : 2 * x + 2].mean() * 2
        plane = halved


def test_the_noise_penalty_is_that_of_a_loop():
    source = torch.Generator().manual_seed(0)
    planes = [torch.randn(2, 1, size, size, generator=source) for size in (4, 8, 32)]
    expected = [sum(looped(plane[i, 0]) for plane in planes) for i in (0, 1)]
    assert noise_penalty(planes).tolist() == pytest.approx(expected, rel=1e-4)


def test_signal_in_a_noise_map_costs_more_than_noise():
    rows = torch.linspace(-1, 1, 32).sign()[:, None].expand(1, 1, 32, 32)
    noise = torch.randn(1, 1, 32, 32, generator=torch.Generator().manual_seed(1))
    assert noise_penalty([rows]) > 20 * noise_penalty([noise])


def test_noise_is_brought_to_mean_0_and_variance_1_map_by_map():
    planes = [torch.rand(3, 1, size, size) * 5 for size in (4, 16)]
    normalize_noise(planes)
    for plane in planes:
        assert plane.mean((1, 2, 3)).tolist() == pytest.approx([0] * 3, abs=1e-5)
        assert plane.var((1, 2, 3), correction=0).tolist() == pytest.approx([1] * 3, rel=1e-4)


def test_the_distance_sums_stages_of_unit_features_and_pixels():
    extractor = FashionVGG()
    pair = [torch.rand(2, 3, 16, 16, generator=torch.Generator().manual_seed(i)) for i in (0, 1)]
    stages = [list(extractor.stages(images).values())[:-1] for images in pair]
    expected = torch.zeros(2, dtype=torch.float64)
    for one, other in zip(*stages, strict=True):
        a, b = (
            x.double() / x.double().norm(dim=1, keepdim=True).clamp_min(1e-12) for x in (one, other)
        )
        squared = (a - b).square().sum(1)
        expected += squared if squared.ndim == 1 else squared.mean((1, 2))
    expected += 0.5 * (pair[0] - pair[1]).double().square().mean((1, 2, 3))
    distance = Perceptual(extractor, pixels=0.5)
    found = distance.compare(*map(distance.describe, pair))
    assert found.tolist() == pytest.approx(expected.tolist(), rel=1e-4)


@pytest.fixture(autouse=True)
def few_latents(monkeypatch):
    """Where w begins matters little to these tests, and 10,000 latents take seconds."""
    monkeypatch.setattr(projector, "NUM_CENTRE", 300)


def lively_projector(generator, space="w", steps=60, **options):
    sampler = Sampler(generator, seed=2)
    distance = Perceptual(FashionVGG(), pixels=1.0)
    return Projector(sampler, distance, space, Schedule(steps), **options)


@pytest.mark.parametrize("space", ["w", "w+"])
def test_an_image_of_its_own_is_found_again(space):
    """Under the same noise; with maps that are optimised too it comes at least half the way."""
    generator = small_stylegan2()
    for maps, share in ((False, 0.1), (True, 0.5)):
        asked = lively_projector(generator, space, 100, noise_maps=maps)
        found = asked.project(asked.sampler.images([3, 5]), [0, 1])
        start, end = found.distances[:, 0].mean(), found.distances[:, -1].mean()
        assert end < share * start
        assert found.codes.shape == (2, generator.num_styles, 6)
        assert torch.equal(found.codes[:, :1].expand_as(found.codes), found.codes) == (space == "w")
        assert found.images.shape == (2, 7, 1, 8, 8)


@pytest.mark.parametrize("make", [ConvGenerator, small_dcgan])
def test_a_generator_without_styles_is_projected_into_z(make):
    asked = lively_projector(make(), "z")
    images = asked.sampler.images([3])
    found = asked.project(images, [0])
    assert found.distances[0, -1] < 0.2 * found.distances[0, 0]
    assert found.codes.shape == (1, make().latent_dim)
    again = asked.sampler.paint(found.codes, [0])
    torch.testing.assert_close(again, found.images[:, -2], atol=1e-5, rtol=0)


def test_latents_of_a_cube_stay_inside():
    class Uniform(ConvGenerator):
        prior = "uniform"

    asked = lively_projector(Uniform(), "z", 20)
    found = asked.project(asked.sampler.images([3]) * 3, [0])
    assert found.codes.abs().max() <= 1


def test_the_result_does_not_depend_on_the_batch():
    asked = lively_projector(small_stylegan2(), steps=20)
    images = asked.sampler.images([3, 5, 8])
    together = asked.project(images, [0, 1, 2])
    alone = asked.project(images[1:2], [1])
    torch.testing.assert_close(together.codes[1:2], alone.codes, atol=1e-3, rtol=1e-3)
    torch.testing.assert_close(together.distances[1:2], alone.distances, atol=1e-3, rtol=1e-2)


def test_the_generator_is_left_as_it_was():
    generator = small_stylegan2().train()
    before = {name: value.clone() for name, value in generator.state_dict().items()}
    state = torch.get_rng_state()
    asked = lively_projector(generator, steps=5)
    asked.project(asked.sampler.images([3]), [0])
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(value, before[name]) for name, value in generator.state_dict().items())
    assert all(parameter.grad is None for parameter in generator.parameters())
    assert generator.draw_noise is None
    assert generator.training


def test_noise_maps_are_the_layers_own_where_that_is_asked():
    asked = lively_projector(small_stylegan2(), steps=5, noise_maps=False)
    assert asked.noise_shapes == []
    found = asked.project(asked.sampler.images([3]), [0])
    again = asked.sampler.paint(found.codes, [0])
    torch.testing.assert_close(again, found.images[:, -2], atol=1e-5, rtol=0)
    torch.testing.assert_close(found.own, found.distances[:, -1])
    sizes = [tuple(shape) for shape in lively_projector(small_stylegan2()).noise_shapes]
    assert sizes == [(1, 4, 4), (1, 8, 8), (1, 8, 8)]


@pytest.mark.parametrize("shape", [(8, 16), (16, 8)])
def test_a_rectangle_that_still_grows_is_compared_at_its_full_size(shape):
    """And exported so: 4x8 of 8x16 pixels, each twice."""
    generator = progan.Generator(shape, 1, 6, 4, 8)
    generator.grow_to(Stage(0))
    images = Sampler(generator, seed=2).images([3, 5])
    assert images.shape == (2, 1, *shape)
    small = generator(Sampler(generator, seed=2).latents([3, 5]))
    assert torch.equal(images, small.repeat_interleave(2, 2).repeat_interleave(2, 3))
    asked = Projector(Sampler(generator), Perceptual(Features()), "z", Schedule(2))
    assert asked.project(images, [0, 1], shown=2).images.shape == (2, 3, 1, *shape)
    graph = Graph(generator).eval()
    torch.testing.assert_close(graph(Sampler(generator, seed=2).latents([3, 5])), images)


@pytest.mark.parametrize(
    ("weight", "name"),
    [
        (0.0, "projection_z_classifier"),
        (10, "projection_z_p10_classifier"),
        (0.1234567, "projection_z_p0.1234567_classifier"),
    ],
)
def test_its_score_is_named_by_what_pixels_weigh_in_it(weight, name):
    options = {"extractor": Features(), "num_steps": 1, "num_shown": 1, "indices": [0]}
    study = studied(Projection(pixels=weight, **options), ConvGenerator())
    assert [record["metric"] for record in study.findings.records] == [name]


def test_the_study_leaves_what_other_studies_take(tmp_path):
    generator = small_stylegan(8)
    options = {"extractor": Classifier(), "num_steps": 12, "num_shown": 3, "batch_size": 2}
    study = studied(Projection(directory=tmp_path, indices=[4, 2, 7], **options), generator)
    styles = np.load(tmp_path / "latents" / "projection.npy")
    assert styles.shape == (3, generator.num_styles, 8)
    assert {path.name for path in (tmp_path / "figures").glob("*.png")} == {
        "projection.png",
        "projection_distance.png",
    }
    table = study.findings.tables["table"]
    assert [row["with own noise"] for row in table.rows] == study.findings.result.own.tolist()
    (record,) = study.findings.records
    assert record["metric"] == "projection_w_classifier"
    assert record["value"] == pytest.approx(float(study.findings.result.distances[:, -1].mean()))
    assert (record["n_real"], record["best"]) == (3, "min")
    lines = (tmp_path / "table.csv").read_text().splitlines()
    assert [line.split(",")[0] for line in lines[1:4]] == ["4", "2", "7"]
    source = str(tmp_path / "latents" / "projection.npy")
    run(Samples(directory=tmp_path / "again", latents=source, form="npz"), generator)
    shown = np.load(tmp_path / "again" / "samples.npz")["arr_0"][..., 0]
    with Image.open(tmp_path / "figures" / "projection.png") as picture:
        pixels = np.asarray(picture.convert("L")).astype(int)
    right = pixels[:, -66:][2 + 66 : 66 + 66, :64][::8, ::8]  # the last cell of the second row
    assert np.abs(right - shown[1].astype(int)).max() <= 1


def test_files_are_projected_onto_a_generator_without_images(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 255, (20, 30, 3)).astype(np.uint8)
    Image.fromarray(pixels).save(tmp_path / "face.png")
    options = {"extractor": Classifier(), "num_steps": 3}
    question = Projection(directory=tmp_path / "out", images=str(tmp_path), **options)
    study = studied(question, ConvGenerator(), NoImages(8, 1))
    assert np.load(tmp_path / "out" / "latents" / "projection.npy").shape == (1, 6)
    assert study.findings.tables["table"].rows[0]["image"] == "face"


def test_a_class_that_is_chosen_is_told():
    generator = small_stylegan2(num_labels=3)
    centres = {}
    for label in (0, 2):
        sampler = Sampler(generator, condition_at=Labels(3).at, labels=[label])
        centres[label] = Projector(sampler, Perceptual(Classifier())).centre.mean
        alone = sampler.styles(range(300))[:, 0].mean(0)
        torch.testing.assert_close(centres[label][0], alone, atol=1e-5, rtol=1e-4)
    assert not torch.allclose(centres[0], centres[2])


@pytest.mark.parametrize(
    ("generator", "options", "message"),
    [
        (ConvGenerator(), {"space": "w"}, r"study\.space=w: .* is projected into z"),
        (small_stylegan2(), {"space": "z"}, r"study\.space=z: .* into w and w\+"),
        (ConvGenerator(), {"indices": [99]}, r"study\.indices=.*the data has 24 images"),
        (ConvGenerator(), {"images": "none.png"}, r"study\.images=none\.png: no such file"),
        (ConvGenerator(), {"images": []}, r"study\.images=\[\] names no image"),
    ],
)
def test_what_cannot_be_projected_is_refused_before_any_work(generator, options, message):
    with pytest.raises((ValueError, OSError), match=message):
        studied(Projection(extractor=Features(), **options), generator)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_steps": 0}, r"study\.num_steps must be at least 1"),
        ({"learning_rate": 0.0}, r"study\.learning_rate above 0"),
        ({"pixels": -1.0}, r"study\.pixels=-1\.0"),
        ({"num_shown": 0}, r"study\.num_shown"),
    ],
)
def test_numbers_that_cannot_be_are_named(options, message):
    with pytest.raises(ValueError, match=message):
        Projection(extractor=Features(), **options)


def test_without_any_image_it_says_how_to_name_some():
    with pytest.raises(ValueError, match=r"study\.images=<file or folder>"):
        studied(Projection(extractor=Features()), ConvGenerator(), NoImages(8, 1))
