import math

import numpy as np
import pytest
import torch
from study_toys import ConvGenerator, Data, System, trainer
from torch import nn

from ganlab.features import Classifier
from ganlab.metrics.path_length import crop_and_shrink, path_length, unit_features
from ganlab.networks import base, stylegan2
from ganlab.nn.paths import great_circle
from ganlab.nn.randomness import latents_at
from ganlab.studies import PathLength, Study, perceptual_path_lengths


class Identity(nn.Module):
    """Pixels as features, centred so that grey is at the origin."""

    name, sha256, resize, feature_dim, channels = "identity", "cd" * 32, "none", 4, 1

    def __init__(self):
        super().__init__()
        self.checked, self.prepares = 0, 0

    def preflight(self):
        self.checked += 1

    def prepare(self):
        self.prepares += 1

    def unrounded_features(self, images):
        return images.float().flatten(1)


class Linear(base.Generator):
    """Images of 2x2 pixels, linear in the latent."""

    latent_dim, resolution, channels = 4, 2, 1

    def __init__(self, weight=None, prior="normal"):
        super().__init__()
        self.prior = prior
        self.register_buffer("weight", torch.eye(4) if weight is None else weight)

    def forward(self, latents, condition=None):
        return (latents.double() @ self.weight.double().T).view(-1, 1, 2, 2)


WEIGHT = torch.tensor([[2.0, 1, 0, 0], [0, 1, 0, 1], [1, 0, 3, 0], [0, 0, 1, 1]])


def ends(num, generator=None, seed=0):
    latents = latents_at(generator or Linear(), range(2 * num), seed).double()
    return latents[0::2], latents[1::2]


def lengths(generator, extractor=None, num=20, **options):
    options = {"seed": 0, **options}
    return perceptual_path_lengths(generator, extractor or Identity(), range(num), **options)


def test_on_a_sphere_the_length_is_the_squared_angle():
    """Latents as images: unit features move along the great circle at its angle a unit."""
    a, b = (nn.functional.normalize(x, dim=1) for x in ends(20))
    expected = (a * b).sum(1).acos().square()
    found = lengths(Linear(), epsilon=1e-3)
    torch.testing.assert_close(found, expected, rtol=1e-2, atol=0)
    at_start = lengths(Linear(), epsilon=1e-3, sampling="end")
    torch.testing.assert_close(at_start, found, rtol=1e-2, atol=0)


def test_a_linear_generator_at_the_start_of_straight_paths():
    """Of x = A z on a line the unit feature moves at |v - (u.v) u| / |x|, with v = A (z1 - z0)."""
    generator = Linear(WEIGHT, prior="uniform")
    a, b = ends(20, generator)
    x, v = a @ WEIGHT.double().T, (b - a) @ WEIGHT.double().T
    u = nn.functional.normalize(x, dim=1)
    sideways = v - (u * v).sum(1, keepdim=True) * u
    expected = sideways.square().sum(1) / x.square().sum(1)
    found = lengths(generator, epsilon=1e-4, sampling="end")
    torch.testing.assert_close(found, expected, rtol=2e-2, atol=1e-4)


class Styled(Linear, base.StyleGenerator):
    """z is doubled on its way to the styles; images are linear in the second style alone."""

    def map(self, latents, condition=None):
        return torch.stack([latents * 0, latents * 2], 1)

    def synthesize(self, styles, noise="random"):
        assert noise == "const"
        return super().forward(styles[:, 1])


def test_styles_are_joined_by_straight_lines():
    found = lengths(Styled(WEIGHT), space="w", sampling="end")
    expected = lengths(Linear(WEIGHT, prior="uniform"), sampling="end")
    a, b = ends(20)
    x, v = 2 * a @ WEIGHT.double().T, 2 * (b - a) @ WEIGHT.double().T
    u = nn.functional.normalize(x, dim=1)
    sideways = v - (u * v).sum(1, keepdim=True) * u
    torch.testing.assert_close(
        found, sideways.square().sum(1) / x.square().sum(1), rtol=2e-2, atol=1e-4
    )
    assert not torch.allclose(found, expected)  # the uniform prior has other ends
    assert not torch.allclose(found, lengths(Styled(WEIGHT), space="w"))


class Collapsed(Linear):
    """One image whatever the latent."""

    def forward(self, latents, condition=None):
        return torch.linspace(-1, 1, 1024).view(1, 1, 32, 32).expand(len(latents), 1, 32, 32)


def test_a_collapsed_generator_has_no_length():
    assert lengths(Collapsed(), Classifier()).tolist() == [0] * 20


def test_batches_and_the_global_random_state_do_not_matter():
    state = torch.get_rng_state()
    whole = lengths(Linear(WEIGHT))
    assert torch.equal(torch.get_rng_state(), state)
    torch.testing.assert_close(lengths(Linear(WEIGHT), batch_size=3), whole, rtol=1e-9, atol=0)
    some = perceptual_path_lengths(Linear(WEIGHT), Identity(), [7, 2], 0)
    torch.testing.assert_close(some, whole[[7, 2]], rtol=1e-9, atol=0)
    assert not torch.allclose(lengths(Linear(WEIGHT), seed=1), whole)


def test_slerp_stays_on_the_sphere_and_turns_evenly():
    a, b = ends(30)
    a, b = nn.functional.normalize(a, dim=1), 3 * nn.functional.normalize(b, dim=1)
    for at in (0.0, 0.25, 1.0):
        point = great_circle(a, b, torch.full((30, 1), at).double())
        torch.testing.assert_close(point.norm(dim=1), torch.full((30,), 1 + 2 * at).double())
        turned = nn.functional.cosine_similarity(a, point).clamp(-1, 1).acos()
        whole = nn.functional.cosine_similarity(a, b).acos()
        torch.testing.assert_close(turned, at * whole, rtol=1e-6, atol=1e-6)


def test_the_mean_leaves_out_the_percent_at_either_end():
    values = torch.arange(1001.0).double().flip(0)
    values[0] = 1e9
    assert path_length(values).item() == pytest.approx(np.arange(10, 991).mean())
    assert path_length(torch.tensor([3.0, 3.0]).double()).item() == 3


@pytest.mark.parametrize("n", [37, 150, 240])
def test_between_two_lengths_a_percentile_keeps_the_outer_one(n):
    """Of n lengths the 1st percentile lies at rank 0.01 (n - 1), the 99th at 0.99 (n - 1)."""
    values = torch.arange(float(n)).double().square()
    lowest, highest = math.floor(0.01 * (n - 1)), math.ceil(0.99 * (n - 1))
    expected = np.square(np.arange(lowest, highest + 1.0)).mean()
    assert path_length(values.flip(0)).item() == pytest.approx(expected)


def test_crop_and_size():
    ramp = torch.arange(64.0).view(1, 1, 8, 8)
    assert torch.equal(crop_and_shrink(ramp, True), ramp[:, :, 3:7, 2:6])
    assert torch.equal(crop_and_shrink(ramp, False), ramp)
    large = torch.rand(1, 1, 512, 512)
    assert torch.equal(crop_and_shrink(large, False), nn.functional.avg_pool2d(large, 2))
    assert crop_and_shrink(large, True).shape == (1, 1, 256, 256)


def test_features_are_unrounded_and_of_length_one():
    images = torch.rand(3, 3, 32, 32)
    one, other = (unit_features(Classifier(), x) for x in (images, images + 1e-5))
    assert (one - other).norm(dim=1).min() > 0  # far below a grey level
    torch.testing.assert_close(one.norm(dim=1), torch.ones(3).double())
    grid = (images * 127.5 + 127.5).round() / 127.5 - 1
    grey = grid[:, :1].expand(-1, 3, -1, -1)
    expected = nn.functional.normalize(Classifier()(grey)["features"].double(), dim=1)
    torch.testing.assert_close(unit_features(Classifier(), grey), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"space": "x"}, "space z or w"),
        ({"sampling": "middle"}, "sampling full or end"),
        ({"epsilon": 0.0}, "epsilon in"),
        ({"space": "w"}, "needs a style generator, .* has no styles"),
        ({"num": 0}, "at least one index"),
    ],
)
def test_paths_that_cannot_be_walked(options, message):
    with pytest.raises(ValueError, match=message):
        lengths(Linear(), **options)


def run(tmp_path, generator, **options):
    options = {"extractor": Identity(), "directory": tmp_path, "num_paths": 30, **options}
    study = Study(PathLength(**options))
    trainer(study).test(System(generator), datamodule=Data())
    return study


def small_stylegan2():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        options = {"latent_dim": 8, "style_dim": 8, "mapping_layers": 2}
        return stylegan2.Generator(resolution=8, channels=1, **options)


def test_the_study_writes_what_it_found(tmp_path):
    study = run(tmp_path, small_stylegan2(), seed=3)
    names = [f"ppl_{s}_{k}30_identity_features" for s in "zw" for k in ("full", "end")]
    assert [record["metric"] for record in study.records] == names
    arrays = np.load(tmp_path / "path_lengths.npz")
    for record, key in zip(study.records, ("z_full", "z_end", "w_full", "w_end"), strict=True):
        expected = perceptual_path_lengths(
            small_stylegan2(), Identity(), range(30), 3, space=key[0], sampling=key[2:]
        )
        assert arrays[key] == pytest.approx(expected.numpy(), rel=0.05, abs=1e-3)
        assert record["value"] == pytest.approx(path_length(torch.from_numpy(arrays[key])).item())
        assert (record["n_fake"], record["n_real"], record["seed"]) == (30, 0, 3)
    text = (tmp_path / "table.md").read_text()
    assert "does not compare with values from LPIPS" in text
    assert names[0] in text


def test_without_styles_it_measures_in_z_alone(tmp_path):
    study = run(tmp_path, ConvGenerator(), samplings=["end"], epsilon=0.001, crop=True)
    assert [r["metric"] for r in study.records] == ["ppl_z_end30_crop_eps0.001_identity_features"]
    assert math.isfinite(study.records[0]["value"])
    assert study.question.extractor.prepares > 0


def test_styles_that_are_not_there_are_refused_before_any_work(tmp_path):
    with pytest.raises(ValueError, match=r"study.spaces=\[w\] needs a style generator"):
        run(tmp_path, ConvGenerator(), spaces=["w"])
    with pytest.raises(ValueError, match=r"study\.spaces=x, .* needs space z or w"):
        run(tmp_path, ConvGenerator(), spaces=["x"])
    with pytest.raises(ValueError, match=r"study\.spaces=\[\] .* name no path"):
        run(tmp_path, ConvGenerator(), spaces=[])
    with pytest.raises(ValueError, match=r"study\.num_paths must be at least 1"):
        PathLength(extractor=Identity(), directory=tmp_path, num_paths=0)


def test_weights_are_asked_for_before_data_is_read(tmp_path):
    study = PathLength(extractor=Identity(), directory=tmp_path)
    study.preflight()
    assert study.extractor.checked == 1
