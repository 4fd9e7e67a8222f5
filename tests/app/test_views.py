"""What the explorer shows is what the pure functions of the studies give, and its commands run."""

import shlex

import numpy as np
import pytest
import torch
from composing import composed
from omegaconf import OmegaConf
from PIL import Image

from ganlab.app import latents, neurons, paint, samples
from ganlab.app.commands import addresses_text, command
from ganlab.app.session import How, Session
from ganlab.arguments import arrange, parse_override
from ganlab.cli import conf_dir
from ganlab.nn.ablation import ablate_units
from ganlab.nn.paths import walk_path
from ganlab.report.images import cells, contact_sheet
from ganlab.run import evaluate
from ganlab.sampling import Sampler
from ganlab.studies.latents.arithmetic import displace, displacement
from ganlab.studies.neurons.ablation import Ablation, ablation_edits, neuron_masks
from ganlab.studies.neurons.neuron_maps import neuron_maps
from ganlab.studies.neurons.painted import Dab
from ganlab.studies.neurons.rates import activation_rates

QUIET = {"progress": lambda share, text: None}


def counted(session, num=40, how=None):
    layers = list(session.generator.layers)[:2]
    return session.count_rates(how or How(), layers, num, **QUIET), layers


def cells_of(view, height, left=None):
    """The cells of a captioned grid of one row or more, from the right edge."""
    return view.pixels[2 : 2 + height]


@pytest.mark.parametrize(
    ("text", "found"), [("0:3", [0, 1, 2]), ("[3,17]", [3, 17]), (" 9, 4 9 ", [9, 4])]
)
def test_latents_are_typed_as_everywhere(text, found):
    assert samples.chosen_indices(text) == found
    assert samples.chosen_indices(str(addresses_text(found))) == found


@pytest.mark.parametrize("text", ["", "a", "-1", "3:1", "0:900", "1.5"])
def test_what_names_no_latents_is_one_line(text):
    with pytest.raises(ValueError, match=r"latents") as error:
        samples.chosen_indices(text)
    assert "\n" not in str(error.value)


def test_a_sheet_is_of_the_samplers_images_and_says_which_one_a_pixel_is_of(dcgan):
    indices = [3, 17, 4, 0, 8, 1, 2]
    view = samples.sheet(dcgan, How(seed=5), indices)
    images = Sampler(dcgan.generator, 5).images(indices)
    assert np.array_equal(view.pixels, contact_sheet(images, list(map(str, indices)), 6))
    assert view.png == samples.sheet(dcgan, How(seed=5), indices).png
    marks = {}
    for y in range(view.pixels.shape[0]):
        for x in range(view.pixels.shape[1]):
            marks.setdefault(samples.index_at(dcgan, indices, x, y), []).append((y, x))
    assert set(marks) == {*indices, None}
    for number, image in zip(indices, cells(images), strict=True):
        block = np.array(marks[number])
        top, left = block.min(0)
        assert np.array_equal(view.pixels[top : top + 64 : 4, left : left + 64 : 4], image)


def test_pages_follow_each_other_to_the_last():
    order = list(range(50))
    assert samples.page_of(order, 1) + samples.page_of(order, 2) == order[:48]
    assert samples.page_of(order, 3) == [48, 49]
    for page in (0, 4):
        with pytest.raises(ValueError, match=r"pages 1 to 3"):
            samples.page_of(order, page)


def test_an_order_is_counted_once_and_kept(dcgan, monkeypatch):
    assert samples.known_order(dcgan, How(), samples.BY_NEURONS, 30) is None
    told = []
    order = samples.count_order(
        dcgan, How(), samples.BY_NEURONS, 30, lambda share, text: told.append((share, text))
    )
    assert sorted(order) == list(samples.known_order(dcgan, How(), samples.BY_ADDRESS, 30))
    assert told[-1] == (1.0, "low-rate neurons")
    early = samples.early_layers(Sampler(dcgan.generator))
    rates = dcgan.count_rates(How(), early, 30, **QUIET).rates
    masks = {name: values <= 0.3 for name, values in rates.items()}
    counts = samples.activated_neurons(Sampler(dcgan.generator), range(30), masks)
    assert [int(counts[i]) for i in order] == sorted(counts.tolist(), reverse=True)
    monkeypatch.setattr(samples, "count_neurons", None)
    assert samples.known_order(Session.open(dcgan.ckpt), How(), samples.BY_NEURONS, 30) == order
    for by, num in ((samples.BY_CIRCLES, 30), (samples.BY_ADDRESS, 10**12)):
        with pytest.raises(ValueError, match=f"order={by}"):
            samples.known_order(dcgan, How(), by, num)


def test_realism_orders_by_reals_that_the_command_line_names(grey, tmp_path):
    with pytest.raises(ValueError, match=r"needs real images.*data\.path=<folder>") as error:
        samples.known_order(grey, How(), samples.BY_REALISM, 30)
    assert "\n" not in str(error.value)
    words = ["data=folder", "data.resolution=16", "data.channels=1", "features=classifier"]
    found = []
    for place in ("one", "other"):
        (tmp_path / place).mkdir()
        rng = np.random.default_rng(len(place))
        for i in range(12):
            pixels = rng.integers(0, 255, (16, 16), dtype=np.uint8)
            Image.fromarray(pixels).save(tmp_path / place / f"{i}.png")
        session = Session.open(grey.ckpt, words=[*words, f"data.path={tmp_path / place}"])
        assert samples.known_order(session, How(), samples.BY_REALISM, 30) is None
        order = samples.count_order(session, How(), samples.BY_REALISM, 30, **QUIET)
        images = Sampler(session.generator).images(range(30))
        scores = session.realism.of(iter([images]), session.place)
        assert [float(scores[i]) for i in order] == sorted(scores.tolist(), reverse=True)
        found.append(order)
        again = Session.open(grey.ckpt, words=session.words)
        assert samples.known_order(again, How(), samples.BY_REALISM, 30) == order
    assert found[0] != found[1]


def test_circular_artifacts_order_a_generator_with_styles(stylegan2):
    order = samples.count_order(stylegan2, How(), samples.BY_CIRCLES, 12, **QUIET)
    path = samples.order_file(stylegan2, How(), samples.BY_CIRCLES, 12)
    scores = np.load(path)["score"]
    assert scores[order].tolist() == sorted(scores.tolist(), reverse=True)


def test_rates_are_those_of_the_study_and_outlive_the_page(dcgan):
    rates, layers = counted(dcgan)
    assert rates.seed != 0
    expected = activation_rates(Sampler(dcgan.generator, rates.seed), range(40), layers)
    assert all(torch.equal(rates.rates[name], expected[name]) for name in layers)
    again = Session.open(dcgan.ckpt)
    assert torch.equal(again.rates(How(), layers, 40).rates[layers[0]], expected[layers[0]])
    assert again.rates(How(seed=1), layers, 40) is None
    assert again.rates(How(), layers, 41) is None
    key = dcgan.rate_key(How(), layers)
    dcgan.rates_file(key, 40).write_bytes(b"damaged")
    assert Session.open(dcgan.ckpt).rates(How(), layers, 40) is None


@pytest.mark.parametrize("kind", ["low", "high", "random"])
def test_an_intervention_is_the_samplers(dcgan, kind):
    rates, layers = counted(dcgan)
    seen = neurons.look(dcgan, How(), 7, layers)
    found = neurons.without(dcgan, seen, kind, rates, 0.5)
    row = Ablation(kind, share=0.3) if kind == "random" else Ablation(kind, 0.5)
    sampler = Sampler(dcgan.generator)
    edits = ablation_edits(row, rates.rates, layers, seed=0)
    after, before = sampler.images([7], edits), sampler.images([7])
    assert torch.equal(found.image, after[0])
    moved = (after - before).double().square().mean().sqrt() / 2
    assert found.moved == pytest.approx(float(moved))
    assert 0 < found.silenced <= 1
    if kind != "random":
        masks = neuron_masks(row, rates.rates, layers)
        maps = neuron_maps(sampler, [7], masks)
        assert all(torch.equal(found.maps[name], maps[name][0]) for name in layers)
    view = neurons.intervention(dcgan, How(), 7, rates, layers, 0.5)
    rows = [
        before,
        *(
            neurons.without(dcgan, seen, k, rates, 0.5).image[None]
            for k in ("low", "high", "random")
        ),
    ]
    left = view.pixels.shape[1] - 3 * 130  # an image and two maps
    for i, image in enumerate(rows):
        block = view.pixels[2 + 130 * i : 130 + 130 * i : 8, left : left + 128 : 8]
        assert np.array_equal(block, cells(image)[0])


def test_truncation_of_the_coarse_styles_alone_is_shown_and_said(stylegan2):
    how = How(truncation=0.4, cutoff=2)
    view = samples.sheet(stylegan2, how, [0, 1])
    expected = Sampler(stylegan2.generator, truncation=0.4, cutoff=2).images([0, 1])
    assert np.array_equal(view.pixels, contact_sheet(expected, ["0", "1"], 6))
    assert shlex.split(view.command)[-2:] == ["study.truncation=0.4", "study.cutoff=2"]


def test_a_class_is_told_to_all_and_said(eyes, dcgan):
    how = How(label=3)
    view = samples.sheet(eyes, how, [0, 1])
    told = Sampler.of(eyes.system, labels=(3,)).images([0, 1])
    assert np.array_equal(view.pixels, contact_sheet(told, ["0", "1"], 6))
    assert not np.array_equal(view.pixels, samples.sheet(eyes, How(), [0, 1]).pixels)
    assert shlex.split(view.command)[-1] == "study.label=3"
    rates, layers = counted(eyes, 12, how)
    assert (rates.classes, eyes.rates(How(), layers, 12)) == ("3", None)
    assert (len(eyes.classes), dcgan.classes) == (8, [])
    with pytest.raises(ValueError, match="not told any class"):
        samples.sheet(dcgan, how, [0])


def test_the_histogram_says_how_many_have_a_low_rate(dcgan):
    rates, layers = counted(dcgan)
    view = neurons.histogram(dcgan, How(), rates, 0.25)
    low = float((rates.rates[layers[0]] <= 0.25).double().mean())
    assert f"{layers[0]} {low:.1%}" in view.facts


def test_units_are_ranked_by_what_is_theirs_in_the_region(dcgan):
    layer, dab = paint.map_layers(dcgan)[1], Dab(0.3, 0.6, 0.2)
    units = paint.ranked_units(dcgan, How(), 4, layer, [dab])
    weights = [unit.share * unit.magnitude for unit in units]
    assert weights == sorted(weights, reverse=True)
    assert units[0].rate is None
    rates = dcgan.count_rates(How(), [layer], 20, **QUIET)
    (first, *_) = paint.ranked_units(dcgan, How(), 4, layer, [dab])
    assert first.rate == pytest.approx(float(rates.rates[layer][first.number].mean()))
    assert first.label.startswith(f"{first.number}: {first.share:.0%} there, rate")


def test_units_off_in_the_image_and_in_eight_others(dcgan):
    layer = paint.map_layers(dcgan)[0]
    view = paint.without_units(dcgan, How(), 3, layer, [1, 2])
    indices = [3, 0, 1, 2, 4, 5, 6, 7, 8]
    sampler = Sampler(dcgan.generator)
    images = sampler.images(indices), sampler.images(indices, {layer: ablate_units([1, 2])})
    left = view.pixels.shape[1] - 9 * 66
    for i, batch in enumerate(images):
        row = view.pixels[2 + 66 * i : 66 + 66 * i : 4, left:]
        found = [row[:, 66 * j : 66 * j + 64 : 4] for j in range(9)]
        assert np.array_equal(found, cells(batch))


def test_a_spot_is_traced_through_the_layers(stylegan2):
    table = paint.trace(stylegan2, How(), 2, Dab(0.5, 0.5, 0.1))
    assert [row["layer"] for row in table.rows] == list(stylegan2.generator.layers)
    assert all("top unit" in row for row in table.rows)


def images_in(view, count, height=128):
    """The pictures of a row, each pixel of a 16 px image once."""
    left = view.pixels.shape[1] - count * (height + 2)
    row = view.pixels[2 : 2 + height : height // 16, left:]
    return [
        row[:, i * (height + 2) : i * (height + 2) + height : height // 16] for i in range(count)
    ]


@pytest.mark.parametrize(("space", "walk"), [("z", "linear"), ("w", "linear"), ("z", "spherical")])
def test_between_two_latents(stylegan2, space, walk):
    sampler = Sampler(stylegan2.generator)
    ends = cells(sampler.images([2, 9]))
    for at in (0.0, 0.4, 1.0):
        view = latents.between(stylegan2, How(), (2, 9), at, space, walk)
        first, middle, last = images_in(view, 3)
        near = np.abs(np.array([first, last]).astype(int) - np.array(ends)).max()
        assert near <= 1
        if at in (0.0, 1.0):
            assert np.array_equal(middle, last if at else first)
    start, end = latents.values_of(sampler, [2], space), latents.values_of(sampler, [9], space)
    point = walk_path(start, end, 6, walk)[:, 2]
    middle = images_in(latents.between(stylegan2, How(), (2, 9), 0.4, space, walk), 3)[1]
    expected = cells(sampler.paint(point, [2]))[0]
    assert np.abs(middle.astype(int) - expected).max() <= 1


def file_of(view):
    """What a command of `study=samples` reads, and its other options."""
    said = {word.partition("=")[0]: parse_override(word).value() for word in words_of(view)}
    assert said.pop("study") == "samples"
    with np.load(said.pop("study.latents")) as archive:
        ((name, values),) = archive.items()
    return name, torch.from_numpy(values), said


@pytest.mark.parametrize("space", ["z", "w"])
def test_among_three_latents_and_the_command_reads_the_very_points(stylegan2, space):
    view = latents.among_three(stylegan2, How(seed=3), (2, 9, 4), 0.4, 0.25, space)
    sampler = Sampler(stylegan2.generator, 3)
    ends = [latents.values_of(sampler, [each], space) for each in (2, 9, 4)]
    name, points, said = file_of(view)
    assert (name, said["seed"], "study.labels" in said) == (space, 3, False)
    assert torch.equal(points[1:], torch.cat(ends))
    torch.testing.assert_close(points[:1], 0.45 * ends[0] + 0.3 * ends[1] + 0.25 * ends[2])
    images = cells(sampler.paint(points, [2, 2, 9, 4]))
    assert np.array_equal(images_in(view, 4), images)
    assert "by 0.45, 0.30 and 0.25" in view.facts
    random = How(noise="random")
    assert not latents.among_three(stylegan2, random, (2, 9, 4), 0.4, 0.25, space).command
    with pytest.raises(ValueError, match="walk=zigzag"):
        latents.among_three(stylegan2, How(), (2, 9, 4), 0.4, 0.25, space, "zigzag")


def test_points_are_told_what_their_images_are(eyes):
    view = latents.among_three(eyes, How(), (2, 9, 4), 0.4, 0.25)
    told = eyes.sampler(How()).condition([2, 2, 9, 4]).label.tolist()
    assert file_of(view)[2]["study.labels"] == told
    chosen = latents.among_three(eyes, How(label=5), (2, 9, 4), 0.4, 0.25)
    assert file_of(chosen)[2]["study.labels"] == [5] * 4


def test_all_styles_of_another_make_it_and_none_change_nothing(stylegan2):
    count = stylegan2.num_styles
    for layers, same in (([], 0), (list(range(count)), 2)):
        pictures = images_in(latents.mixed(stylegan2, How(), 1, 5, layers), 3)
        assert np.array_equal(pictures[1], pictures[same])
    assert not np.array_equal(pictures[0], pictures[2])


def test_sums_are_those_of_the_study(dcgan):
    view = latents.arithmetic(dcgan, How(), "0:2", "3,4", "5", "z")
    sampler = Sampler(dcgan.generator)
    groups = [sampler.latents(each) for each in ([0, 1], [3, 4], [5])]
    expected = sampler.paint(displace(groups[0], displacement(*groups[1:])), [0, 1])
    left = view.pixels.shape[1] - 2 * 130
    row = view.pixels[132:260:8, left:]
    assert np.array_equal([row[:, :128:8], row[:, 130:258:8]], cells(expected))


def test_along_a_direction_both_ways(dcgan, stylegan2, tmp_path):
    still = images_in(latents.along(dcgan, How(), 3, "sefa", None, 1, 0.0), 3)
    assert np.array_equal(still[0], still[1])
    parts = latents.components(stylegan2, How(), "pca", None)
    view = latents.along(stylegan2, How(), 3, "pca", None, 1, 2.0)
    sampler = Sampler(stylegan2.generator)
    forth = sampler.styles([3]) + 2 * parts.deviations[1].float() * parts.vectors[1]
    expected = cells(sampler.paint(forth, [3]))[0].astype(int)
    assert np.abs(images_in(view, 3)[2] - expected).max() <= 1
    np.savez(tmp_path / "arithmetic.npz", displacement=parts.vectors[1].expand(10, -1).numpy())
    by = 2 * float(parts.deviations[1])
    saved = latents.along_saved(stylegan2, How(), 3, str(tmp_path / "arithmetic.npz"), by)
    assert np.abs(images_in(saved, 3)[2] - expected).max() <= 1
    assert torch.equal(file_of(saved)[1][1:2], sampler.styles([3]))
    assert torch.allclose(file_of(saved)[1][2:], forth, atol=1e-5)
    with pytest.raises(ValueError, match=r"this generator's space is 6 wide"):
        latents.along_saved(dcgan, How(), 3, str(tmp_path / "arithmetic.npz"), by)
    with pytest.raises(ValueError, match="component=99"):
        latents.along(dcgan, How(), 3, "sefa", None, 99, 1.0)
    with pytest.raises(FileNotFoundError, match="direction="):
        latents.along_saved(dcgan, How(), 3, str(tmp_path / "gone.npz"), 1.0)


def test_a_picture_carries_its_facts(dcgan, tmp_path):
    view = samples.sheet(dcgan, How(seed=2), [1])
    (tmp_path / "x.png").write_bytes(view.png)
    with Image.open(tmp_path / "x.png") as picture:
        assert picture.text == {"Description": view.facts, "Command": view.command}


def test_a_command_is_quoted_for_the_shell():
    line = command("my runs/last.ckpt", "samples", {"indices": [3, 17], "truncation": None})
    assert shlex.split(line)[2:] == [
        "ckpt=my runs/last.ckpt",
        "study=samples",
        "study.indices=[3,17]",
    ]


def views_of(session):
    """A view of each kind."""
    how = How(seed=3)
    rates, layers = counted(session, how=how)
    found = {
        "sheet": samples.sheet(session, how, [3, 17]),
        "range": samples.sheet(session, how, [0, 1, 2]),
        "neurons": neurons.intervention(session, how, 3, rates, layers, 0.3),
        "rates": neurons.histogram(session, how, rates, 0.3),
        "units": paint.without_units(session, how, 3, layers[0], [0, 2]),
        "between": latents.between(session, how, (3, 4), 0.5),
        "sums": latents.arithmetic(session, how, "0:2", "3,7", "5"),
        "three": latents.among_three(session, how, (3, 4, 8), 0.5, 0.3),
        "sefa": latents.along(session, how, 3, "sefa", None, 1, 2.0),
        "pca": latents.along(session, how, 3, "pca", layers[1], 0, 2.0),
    }
    if session.has_styles:
        found["styles"] = latents.mixed(session, how, 1, 5, [0, 1])
    return found


def words_of(view):
    return arrange(shlex.split(view.command)[2:], [])


@pytest.mark.parametrize("kind", ["dcgan", "stylegan2"])
def test_every_command_names_what_there_is(kind, request, monkeypatch):
    monkeypatch.setattr(latents, "NUM_LATENTS", 60)
    session = request.getfixturevalue(kind)
    for view in views_of(session).values():
        said = {word.partition("=")[0]: parse_override(word).value() for word in words_of(view)}
        config = OmegaConf.load(conf_dir() / "study" / f"{said.pop('study')}.yaml")
        assert str(said.pop("ckpt")) == session.ckpt
        assert said.pop("seed") == 3
        assert {key.removeprefix("study.") for key in said} <= {*config, "label", "labels"}


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["dcgan", "stylegan2"])
@pytest.mark.usefixtures("hydra_is_clean")
def test_every_command_runs(kind, request, tmp_path):
    session = request.getfixturevalue(kind)
    for name, view in views_of(session).items():
        result = evaluate(composed("evaluate", words_of(view), tmp_path / name))
        assert result["status"] == "done", name
    with Image.open(tmp_path / "sheet" / "samples" / "000017.png") as picture:
        shown = np.asarray(picture)
    (_, image) = cells(Sampler(session.generator, 3).images([3, 17]))
    assert np.array_equal(shown if shown.ndim == 3 else shown[..., None], image[..., : shown.ndim])
