"""One command draws every figure; its numbers are found again by a walk through the layers."""

import json
from collections import Counter

import numpy as np
import pytest
import torch
from circle_oracles import (
    PLANTED,
    as_stored,
    peak_of,
    planted,
    planted_pin,
    strongest,
    walk,
    without,
)
from composing import composed
from hydra.core.global_hydra import GlobalHydra
from PIL import Image
from styled_toys import small_stylegan2

from ganlab.cli import register_resolvers
from ganlab.metrics.spikes import spikes_of
from ganlab.nn.norm import PixelNorm
from ganlab.nn.randomness import derived_seed, keyed_generator, latents_at
from ganlab.run import evaluate, recipe
from ganlab.sampling import Sampler
from ganlab.studies.circles import figures as circle_figures
from ganlab.studies.circles.case import CircleCase, layer_at, noise_words, under_threshold
from ganlab.studies.circles.figures import FIGURES, draw_figures
from ganlab.studies.circles.maps import (
    affine_biases,
    commonest_unit,
    compared_pixels,
    one_by_one,
    trace,
)

SEED, KEPT = 3, 3  # of the latents; images that the figures choose from
SMALL = {"width": 4, "max_width": 12, "latent_dim": 8, "style_dim": 8, "mapping_layers": 2}
DATA = ("data=synthetic", "data.resolution=32", "data.channels=1", "data.num=60")
COMMAND = (
    *("study=circular_artifacts", "study.num_images=8", f"study.num_worst={KEPT}", "seed=3"),
    *("study.num_shown=2", "study.suite=${metrics}", "metrics.num_real=50", "metrics.num_fake=50"),
    *("~metrics.metrics.kid", "features=classifier"),
)


def checkpoint(path, generator, norm):
    """A file as a run of model=stylegan leaves it, with this generator in it."""
    words = [f"model.generator.{key}={value}" for key, value in SMALL.items()]
    words += ["model.generator.channels=1", "model.discriminator.width=4", f"model/norm={norm}"]
    system = recipe("stylegan", *DATA, *words)
    system.generator_ema.load_state_dict(generator.state_dict())
    parts = {"recipe": system.recipe, "images_seen": 0, "state_dict": system.state_dict()}
    torch.save(parts, path)
    return path


def commanded(folder):
    """One command: `python evaluate.py ckpt=pin.ckpt study=circular_artifacts ...`."""
    GlobalHydra.instance().clear()
    register_resolvers()
    pin = checkpoint(folder / "pin.ckpt", planted_pin(), "pin")
    plain = checkpoint(folder / "pn.ckpt", planted(PixelNorm), "pn")
    words = [f"ckpt={pin}", f"study.compare={{PN: {plain}}}", *COMMAND]
    config = composed("evaluate", words, folder)
    assert evaluate(config)["status"] == "done"
    return folder / "figures"


def case_of(generator, worst, points=None):
    """What the study hands to the figures, where the images are given."""
    points = points or {name: generator.points[f"{name}/style"] for name in generator.layers}
    last = list(points)[-1]
    _, maps = trace(Sampler(generator, SEED), worst, points, [last])
    place, affected = spikes_of(maps[last]).place, [True] * len(worst)
    sampler = Sampler(generator, SEED)
    return CircleCase(sampler, worst, place, affected, points, num_shown=2)


def draw_circle_figures(case, folder):
    """Drawn into a folder, as the writer of findings does; why others are missing."""
    found, notes = draw_figures(case)
    for name, drawing in found.items():
        drawing.save(folder / f"{name}.png")
    return notes


class Drawn:
    """All figures of one generator, and a slow way to what they show."""

    def __init__(self, generator, folder, worst, place=None):
        self.generator, self.folder, self.worst, self.place = generator, folder, worst, place

    def numbers(self, name):
        with np.load(self.folder / f"{name}.npz") as file:
            return dict(file)

    def caption(self, name):
        with Image.open(self.folder / f"{name}.png") as image:
            return image.info["Description"]

    def walk(self, index, layer="", units=(), planes=None):
        """Layer -> (activation, normalized, styled) of one image, and the image."""
        latents = latents_at(self.generator, [int(index)], SEED)
        found, image = walk(self.generator, latents, without(layer, units), planes)
        return {name: [each[0] for each in trio] for name, trio in found.items()}, image[0]

    def styled(self, index, layer="", units=()):
        """Layer -> what leaves its style, and the image."""
        found, image = self.walk(index, layer, units)
        return {name: trio[2] for name, trio in found.items()}, image


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    """What the command leaves, and the images it found worst."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GANLAB_CACHE", str(tmp_path_factory.mktemp("cache")))
        folder = commanded(tmp_path_factory.mktemp("circles"))
        GlobalHydra.instance().clear()
    with np.load(folder.parent / "artifacts.npz") as found:
        worst, place = found["index"][:KEPT].tolist(), found["place"][:KEPT]
    return Drawn(planted_pin(), folder, worst, place)


def close(found, expected):
    """8-bit images agree but for rounding."""
    return np.abs(found.astype(int) - expected.astype(int)).max() <= 1


def test_one_command_leaves_every_figure_with_numbers_and_a_caption(drawn):
    for name in (*FIGURES, "figure13_14_grids"):
        with Image.open(drawn.folder / f"{name}.png") as image:
            assert min(image.size) > 200
            assert image.info["Description"]
        assert drawn.numbers(name)


def test_figure_3_shows_every_so_many_maps_of_the_worst_image(drawn):
    numbers = drawn.numbers("figure3_maps")
    maps, image = drawn.styled(drawn.worst[0])
    assert int(numbers["index"]) == drawn.worst[0]
    assert numbers["layer"] == "32x32/0"
    assert numbers["units"].tolist() == [0, 1, 2, 3]
    np.testing.assert_allclose(numbers["maps"], maps["32x32/0"].numpy(), rtol=1e-4, atol=1e-4)
    assert close(numbers["image"], as_stored(image))
    np.testing.assert_allclose(numbers["place"], drawn.place[0])


def test_figure_4_reads_all_channels_at_three_pixels(drawn):
    numbers = drawn.numbers("figure4_intensity")
    maps, _ = drawn.styled(numbers["index"])
    assert "a/artifact" not in numbers
    panels = {"a": ("near", "32x32/0"), "b": ("near", "32x32/0"), "c": ("far", "32x32/1")}
    assert numbers["layers"].tolist() == ["32x32/0", "32x32/1"]
    for letter, (which, layer) in panels.items():
        for kind in ("background", "object", "artifact"):
            if (key := f"{letter}/{kind}") in numbers:
                y, x = numbers[f"{which}/{kind}/pixel"]
                expected = maps[layer][:, y, x].numpy()
                np.testing.assert_allclose(numbers[key], expected, rtol=1e-4, atol=1e-4)
        spot = [int(32 * each) for each in drawn.place[0]]
        assert numbers[f"{which}/artifact/pixel"].tolist() == spot


def test_compared_pixels_are_in_the_middle_on_the_rim_and_away_from_the_artifact():
    place = torch.tensor([0.45, 0.05])
    found = [compared_pixels(place, (20, 20), "seed", key) for key in range(40)]
    assert {tuple(each["artifact"].tolist()) for each in found} == {(9, 1)}
    objects = np.array([each["object"].tolist() for each in found])
    rim = np.array([each["background"].tolist() for each in found])
    assert ((objects >= 6) & (objects <= 13)).all()
    assert ((rim <= 2) | (rim >= 17)).any(1).all()
    distance = np.hypot(*((rim + 0.5) / 20 - place.numpy()).T)
    assert distance.min() > 0.2
    assert len({tuple(each) for each in rim.tolist()}) > 10, "they are drawn by key"
    assert compared_pixels(torch.tensor([0.5, 0.5]), (2, 2), 0)["object"].shape == (2,)


def test_figure_5_draws_noise_anew(drawn):
    numbers, index = drawn.numbers("figure5_noise"), drawn.worst[0]
    assert int(numbers["index"]) == index
    pictures = []
    for draw in range(5):
        seed = derived_seed("fresh noise", SEED, index)
        rng = keyed_generator("image noise", seed, draw)
        sides = {name: int(name.partition("x")[0]) for name in drawn.generator.layers}
        planes = {
            n: torch.randn(1, 1, side, side, generator=rng)[0, 0] for n, side in sides.items()
        }
        found, image = drawn.walk(index, planes=planes)
        assert close(numbers["images"][draw], as_stored(image))
        np.testing.assert_allclose(numbers["place"][draw], peak_of(found["32x32/1"][2]))
        pictures.append(image.double().numpy())
    spread = np.sqrt(np.stack(pictures).var(0).mean(0))
    np.testing.assert_allclose(numbers["spread"], spread, rtol=1e-3, atol=1e-5)
    assert spread.min() > 0


@pytest.mark.parametrize(
    ("name", "layer", "steps"),
    [("figure6_early_units", "8x8/1", 3), ("figure9_late_units", "32x32/0", 4)],
)
def test_figures_6_and_9_follow_the_artifact_from_unit_to_unit(drawn, name, layer, steps):
    numbers = drawn.numbers(name)
    assert numbers["layer"] == layer
    assert numbers["indices"].tolist() == drawn.worst[:2]
    for index in drawn.worst[:2]:
        units = []
        for step in range(steps + 1):
            maps, image = drawn.styled(index, layer, units)
            place = peak_of(maps["32x32/1"])
            np.testing.assert_allclose(numbers[f"{index}/place"][step], place)
            assert close(numbers[f"{index}/images"][step], as_stored(image))
            energy = maps["32x32/1"].square().mean(0).sqrt()
            height = float(energy.max() / energy.median())
            assert numbers[f"{index}/prominence"][step] == pytest.approx(height, rel=1e-3)
            units += strongest(maps[layer], place)
        assert numbers[f"{index}/units"].tolist() == units[:steps]
    assert "fixed noise" in drawn.caption(name)


def test_figure_7_switches_the_common_unit_off(drawn):
    numbers = drawn.numbers("figure7_one_unit")
    tops = []
    for index in drawn.worst:
        maps, _ = drawn.styled(index)
        tops += strongest(maps["8x8/1"], peak_of(maps["32x32/1"]))
    unit, count = min(Counter(tops).items(), key=lambda item: (-item[1], item[0]))
    assert int(numbers["unit"]) == unit
    assert float(numbers["share"]) == pytest.approx(count / len(drawn.worst))
    assert numbers["indices"].tolist() == drawn.worst[:2]
    for place, index in enumerate(drawn.worst[:2]):
        ends = []
        for when, units in (("before", []), ("after", [unit])):
            maps, image = drawn.styled(index, "8x8/1", units)
            assert close(numbers[f"{when}/images"][place], as_stored(image))
            ends.append(peak_of(maps["32x32/1"]))
            np.testing.assert_allclose(numbers[f"{when}/place"][place], ends[-1])
        distance = np.hypot(*np.subtract(*ends))
        assert numbers["moved"][place] == pytest.approx(distance, rel=1e-5, abs=1e-6)


def test_figure_8_shows_what_the_affine_makes_of_no_style(drawn):
    numbers = drawn.numbers("figure8_biases")
    assert numbers["layer"] == "8x8/1"
    with torch.no_grad():
        scale, shift = drawn.generator.affines["8x8/1"](torch.zeros(8)).chunk(2)
    np.testing.assert_allclose(numbers["b_mu"], shift.numpy(), rtol=1e-6)
    np.testing.assert_allclose(numbers["b_sigma"], scale.numpy() + 1, rtol=1e-6)
    assert int(numbers["unit"]) == int(drawn.numbers("figure7_one_unit")["unit"])


def test_figure_10_leaves_one_unit(drawn):
    numbers, index = drawn.numbers("figure10_one_left"), drawn.worst[0]
    maps, image = drawn.styled(index)
    assert close(numbers["images"][0], as_stored(image))
    units = strongest(maps["32x32/0"], peak_of(maps["32x32/1"]), num=6)
    assert numbers["units"].tolist() == units
    for row, unit in enumerate(units, 1):
        others = [each for each in range(4) if each != unit]
        maps, image = drawn.styled(index, "32x32/0", others)
        assert close(numbers["images"][row], as_stored(image))
        np.testing.assert_allclose(numbers["place"][row], peak_of(maps["32x32/1"]))


def test_figure_11_pairs_maps_with_and_without_the_artifact(drawn):
    numbers = drawn.numbers("figure11_norm")
    found, _ = drawn.walk(numbers["index"])
    active, normal, _ = (each.numpy() for each in found["32x32/0"])
    y, x = (int(32 * share) for share in drawn.place[0])
    middle = np.sort(np.abs(normal).reshape(len(normal), -1))[:, (32 * 32 - 1) // 2]
    standing = np.abs(normal[:, y, x]) / middle
    order = np.argsort(-standing, kind="stable")
    few = len(order) // 2
    for group, units in (("artifact", order[:few]), ("other", order[-few:])):
        assert numbers[f"{group}/units"].tolist() == units.tolist()
        for when, maps in (("before", active), ("after", normal)):
            np.testing.assert_allclose(
                numbers[f"{group}/{when}"], maps[units], rtol=1e-3, atol=1e-4
            )
        np.testing.assert_allclose(numbers[f"{group}/after/standing"], standing[units], rtol=1e-3)


def test_figure_15_counts_the_rho_of_every_layer(drawn):
    numbers = drawn.numbers("figure15_rho")
    for name in drawn.generator.layers:
        size, position = name.split("/")
        rho = drawn.generator.blocks[size][int(position)].norm.rho.detach().numpy()
        assert np.array_equal(numbers[f"{name}/rho"], rho)
        counts = [((rho >= i / 20) & (rho < (i + 1) / 20)).mean() for i in range(20)]
        np.testing.assert_allclose(numbers[f"{name}/share"], counts)


def test_figures_13_and_14_show_equal_latents_with_their_fid(drawn):
    numbers = drawn.numbers("figure13_14_grids")
    assert numbers["indices"].tolist() == [0, 1]
    result = json.loads((drawn.folder.parent / "result.json").read_text())
    scores = {
        each.get("intervention"): each for each in result["scores"] if "fid" in each["metric"]
    }
    for name, generator in (("PIN", drawn.generator), ("PN", planted(PixelNorm))):
        images = walk(generator, latents_at(generator, range(2), SEED))[1]
        assert close(numbers[f"{name}/images"], as_stored(images))
        fid = scores[None if name == "PIN" else "generator PN"]
        assert numbers[f"{name}/{fid['metric']}"] == pytest.approx(fid["value"])
    assert len(scores) == 2


def test_a_generator_without_noise_says_so_and_leaves_figure_5_out(tmp_path, monkeypatch):
    names = ("figure5_noise", "figure6_early_units", "figure7_one_unit", "figure15_rho")
    monkeypatch.setattr(circle_figures, "FIGURES", {name: FIGURES[name] for name in names})
    plain = Drawn(planted(noise=False), tmp_path, [4, 1])
    notes = draw_circle_figures(case_of(plain.generator, plain.worst), tmp_path)
    assert [note.partition(" ")[0] for note in notes] == ["figure5_noise", "figure15_rho"]
    assert "a generator without noise" in plain.caption("figure6_early_units")
    numbers = plain.numbers("figure7_one_unit")
    assert int(numbers["unit"]) == PLANTED[1], "the planted unit"
    assert numbers["share"] == 1
    assert numbers["moved"].min() > 0, "the artifact moves, or goes, with its unit"


def test_a_generator_without_styles_or_norms_says_what_is_missing(tmp_path, monkeypatch):
    generator = small_stylegan2()
    names = ("figure8_biases", "figure10_one_left", "figure11_norm", "figure15_rho")
    monkeypatch.setattr(circle_figures, "FIGURES", {name: FIGURES[name] for name in names})
    notes = draw_circle_figures(case_of(generator, [4], generator.layers), tmp_path)
    missing = {note.partition("_")[0]: note for note in notes}
    assert set(missing) == {"figure8", "figure11", "figure15"}
    assert "no style that scales and shifts" in missing["figure8"]
    assert (tmp_path / "figure10_one_left.png").exists()
    with pytest.raises(ValueError, match="8x8/1 has no style"):
        affine_biases(generator, "8x8/1")


def test_iteration_stops_when_nothing_is_left():
    generator = planted()
    case = case_of(generator, [4])
    states = one_by_one(Sampler(generator, SEED), 4, case.points, "32x32/0", 9)
    assert sorted(states[-1].units) == [0, 1, 2, 3]
    unit, share = commonest_unit(Sampler(generator, SEED), [4, 1, 6], case.points, *PLANTED[:1])
    assert (unit, share) == (PLANTED[1], 1.0)


def test_a_caption_says_which_images_are_not_affected():
    assert under_threshold([3, 5], [True, True]) == ""
    assert under_threshold([3, 5], [True, False]).endswith("threshold: 5")
    assert "no image shown is over" in under_threshold([3, 5], [False, False])
    assert "drawn for each latent" in noise_words(Sampler(planted(), noise="random"))


def test_layers_are_chosen_by_the_size_of_their_maps():
    layers = ["4x4/0", "4x4/1", "8x8/0", "8x8/1", "64x64/0", "64x64/1"]
    assert layer_at(layers, 128) == "64x64/0"
    assert layer_at(layers, 8, -1) == "8x8/1"
    assert layer_at(layers, 32) == "8x8/0"
    assert layer_at(layers, 2) == "4x4/0"
