"""Each figure's numbers are found again by a walk through the network's own layers."""

import numpy as np
import pytest
import torch
from layer_oracles import condition_of, labels_at, small, walk
from PIL import Image
from study_toys import Data, System, trainer

from ganlab.nn.randomness import latents_at
from ganlab.report.figures import house_style, new_figure
from ganlab.report.panels import draw_rows, heat, panel_figure, picture
from ganlab.sampling import Sampler
from ganlab.studies import NeuronFigures, Study
from ganlab.studies.neurons.detection import ArtifactChoice
from ganlab.studies.neurons.rate_count import rate_seed_of
from ganlab.studies.neurons.rates import activation_rates
from ganlab.systems.conditioning import Conditioner

SEED, RATE, SAMPLES, TAKEN = 3, 0.3, 17, 4
RATE_SEED = rate_seed_of(SEED, None)
FIGURES = (
    "figure1_rare_neurons",
    "figure3_low_and_high",
    "figure4_layers",
    "figure5_rates",
    "figure6_repaired",
)
OPTIONS = {
    "num_latents": 30,
    "num_samples": SAMPLES,
    "num_artifacts": TAKEN,
    "num_compared": 3,
    "num_shown": 3,
    "rates": [0.2, 0.6],
    "batch_size": 5,
    "seed": SEED,
}


class Drawn:
    """One run of the study, and a slow way to everything in it."""

    def __init__(self, kind, folder):
        self.kind, self.generator, self.folder = kind, small(kind), folder
        system = System(self.generator)
        if kind == "labels":
            system.conditioner = type("Labels", (Conditioner,), {"at": staticmethod(labels_at)})()
        study = Study(NeuronFigures(directory=folder, **OPTIONS))
        trainer(study).test(system, Data(), verbose=False)
        sizes = dict.fromkeys(name.split("/")[0] for name in self.generator.layers)
        self.layers = [f"{size}/0" for size in sizes][:3]
        options = {"condition_at": condition_of(kind), "batch_size": 5}
        self.rates = activation_rates(
            Sampler(self.generator, RATE_SEED, **options),
            range(30),
            [f"{size}/0" for size in sizes],
        )

    def numbers(self, name):
        with np.load(self.folder / "figures" / f"{name}.npz") as file:
            return dict(file)

    def walk(self, index, off=None):
        """Maps before each edit, and the 8-bit image; `off` chooses neurons by rate and layer."""
        before = {}

        def edit(name, maps):
            before[name] = maps[0]
            gone = off(name, self.rates.get(name)) if off else False
            return maps if gone is False else torch.where(gone & (maps > 0), 0.0, maps)

        at = condition_of(self.kind)
        condition = at([index]) if at else None
        image = walk(self.generator, latents_at(self.generator, [index], SEED), edit, condition)[2]
        return before, ((image[0].clamp(-1, 1) + 1) * 127.5).round().numpy().astype(np.uint8)

    def shares(self, maps, name, high=False):
        low = (self.rates[name] <= RATE) ^ high
        return ((maps[name] > 0) & low).float().mean(0).numpy()

    def low_count(self, index):
        maps, _ = self.walk(index)
        return sum(int(((maps[n] > 0) & (self.rates[n] <= RATE)).sum()) for n in self.layers)


@pytest.fixture(scope="module", params=["dcgan", "labels"])
def drawn(request, tmp_path_factory):
    return Drawn(request.param, tmp_path_factory.mktemp(request.param))


def ends(drawn):
    """The images with fewest and with most LR neurons of the early layers, found by hand."""
    order = sorted(range(SAMPLES), key=lambda i: (-drawn.low_count(i), i))
    return order[::-1][:TAKEN], order[:TAKEN]


def close(found, expected):
    """8-bit images agree but for rounding."""
    return np.abs(found.astype(int) - expected.astype(int)).max() <= 1


def test_every_figure_is_a_picture_with_numbers_and_a_caption(drawn):
    for name in FIGURES:
        with Image.open(drawn.folder / "figures" / f"{name}.png") as image:
            assert min(image.size) > 300
            assert image.info["Description"]
        assert drawn.numbers(name)


def test_figure_1_shows_both_ends_and_counts_them(drawn):
    numbers = drawn.numbers("figure1_rare_neurons")
    for group, indices in zip(("normal", "artifact"), ends(drawn), strict=True):
        assert numbers[f"{group}/indices"].tolist() == indices[:2]
        for place, index in enumerate(indices[:2]):
            maps, image = drawn.walk(index)
            assert close(numbers[f"{group}/images"][place], image)
            expected = drawn.shares(maps, drawn.layers[-1])
            np.testing.assert_allclose(numbers[f"{group}/maps"][place], expected)
        for place, index in enumerate(indices[:3]):
            maps, _ = drawn.walk(index)
            for column, name in enumerate(drawn.layers):
                on = maps[name] > 0
                assert numbers[f"{group}/activated"][place, column] == int(on.sum())
                low = int((on & (drawn.rates[name] <= RATE)).sum())
                assert numbers[f"{group}/low"][place, column] == low
    means = [numbers[f"{group}/low"].sum(1).mean() for group in ("normal", "artifact")]
    assert means[0] < means[1]


def test_figure_3_shows_rare_and_common_neurons(drawn):
    numbers = drawn.numbers("figure3_low_and_high")
    for name, indices in zip(("general", "rare"), ends(drawn), strict=True):
        assert int(numbers[f"{name}/index"]) == indices[0]
        maps, image = drawn.walk(indices[0])
        assert close(numbers[f"{name}/image"], image)
        for layer in drawn.layers:
            for kind, high in (("low", False), ("high", True)):
                expected = drawn.shares(maps, layer, high)
                np.testing.assert_allclose(numbers[f"{name}/{kind}/{layer}"], expected)


def test_figure_4_follows_one_image_through_the_layers(drawn):
    numbers, index = drawn.numbers("figure4_layers"), ends(drawn)[1][0]
    assert int(numbers["index"]) == index
    plain, image = drawn.walk(index)
    assert close(numbers["original"], image)
    names = list(drawn.rates)
    assert [key[:-4] for key in numbers if key.endswith("/map")] == names
    for place, name in enumerate(names):
        earlier = names[:place]
        maps, image = drawn.walk(index, lambda n, r, e=earlier: n in e and r <= RATE)
        np.testing.assert_allclose(numbers[f"{name}/map"], drawn.shares(plain, name))
        np.testing.assert_allclose(numbers[f"{name}/map_after"], drawn.shares(maps, name))
        assert close(numbers[f"{name}/image_after"], image)


def test_figure_5_ablates_high_and_low_rates(drawn):
    numbers, indices = drawn.numbers("figure5_rates"), ends(drawn)[1][:2]
    assert numbers["indices"].tolist() == indices
    assert numbers["rates"].tolist() == [0.2, 0.6]
    for place, index in enumerate(indices):
        assert close(numbers["original"][place], drawn.walk(index)[1])
        for rate in (0.2, 0.6):
            for kind in ("low", "high"):
                image = drawn.walk(index, chooser(drawn.layers, rate, kind))[1]
                assert close(numbers[f"{kind}/{rate:g}"][place], image)


def chooser(layers, rate, kind):
    def off(name, rates):
        return name in layers and ((rates > rate) if kind == "high" else (rates <= rate))

    return off


def test_figure_6_shows_artifacts_before_and_after(drawn):
    numbers, indices = drawn.numbers("figure6_repaired"), ends(drawn)[1][:3]
    assert numbers["indices"].tolist() == indices
    for place, index in enumerate(indices):
        assert close(numbers["before"][place], drawn.walk(index)[1])
        image = drawn.walk(index, chooser(drawn.layers, RATE, "low"))[1]
        assert close(numbers["after"][place], image)


def test_given_images_are_shown_and_nothing_is_detected(tmp_path, monkeypatch):
    monkeypatch.setattr(ArtifactChoice, "ranking", lambda *a: pytest.fail("detected"))
    options = {**OPTIONS, "directory": tmp_path, "num_latents": 9}
    given = {"latents": [5, 6], "normal": [1], "layers": [1], "followed": [0, 2]}
    study = Study(NeuronFigures(**options, **given))
    trainer(study).test(System(small("dcgan")), Data(), verbose=False)
    with np.load(tmp_path / "figures" / "figure1_rare_neurons.npz") as numbers:
        assert numbers["artifact/indices"].tolist() == [5, 6]
        assert numbers["normal/indices"].tolist() == [1]
    with np.load(tmp_path / "figures" / "figure4_layers.npz") as numbers:
        assert [key for key in numbers if key.endswith("/map")] == ["2x2/0/map", "8x8/0/map"]
    assert not (tmp_path / "ranking.npz").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"latents": [1]}, "study.latents .* and study.normal .* go together"),
        ({"normal": [1]}, "go together"),
        ({"latents": [1], "normal": [-1]}, "study.normal needs latent indices"),
        ({"rates": []}, "study.rates must hold a rate"),
        ({"rates": [2]}, "study.rates must be in"),
        ({"rate": 2}, "study.rate must be in"),
        ({"num_compared": 0}, "study.num_compared"),
    ],
)
def test_bad_options_are_named(options, message):
    with pytest.raises(ValueError, match=message):
        NeuronFigures(**options)


def test_maps_of_one_kind_share_one_scale():
    rows = [("a", [heat(torch.full((2, 2), 0.2)), None]), ("b", [heat(torch.full((2, 2), 0.5))])]
    with house_style():
        figure, (spare,) = new_figure(3, 3)
        spare.remove()
        draw_rows(figure, rows)
    shown = [axes.images[0].get_clim() for axes in figure.axes if axes.images]
    assert shown == [(0.0, 0.5)] * 2
    with pytest.raises(ValueError, match="at least one panel"):
        panel_figure([])
    assert picture(torch.zeros(1, 2, 2)).values.shape == (2, 2, 3)


def test_normal_and_artifact_images_may_not_be_the_same():
    with pytest.raises(ValueError, match=r"study.num_samples to be at least 40, not 20"):
        NeuronFigures(num_samples=20, num_artifacts=20)
