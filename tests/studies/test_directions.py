import numpy as np
import pytest
import torch
from PIL import Image
from study_toys import ConvGenerator, small_dcgan
from styled_toys import run, small_stylegan2

from ganlab.networks import progan
from ganlab.nn.tracing import recorded
from ganlab.sampling import Sampler
from ganlab.studies import Directions
from ganlab.studies.latents.components import (
    affine_matrix,
    find_components,
    leading,
    moved,
    read_direction,
)


def aligned(found, expected):
    """Unit vectors row by row, whichever their signs."""
    return torch.allclose(
        (found.double() * expected.double()).sum(1).abs(), torch.ones(()).double()
    )


def test_leading_directions_are_numpys_and_orthonormal():
    matrix = torch.randn(40, 6)
    vectors, shares = leading(matrix, 6)
    _, values, rows = np.linalg.svd(matrix.double().numpy())
    assert aligned(vectors, torch.from_numpy(rows))
    torch.testing.assert_close(vectors @ vectors.T, torch.eye(6).double())
    torch.testing.assert_close(shares, torch.from_numpy(values**2 / (values**2).sum()))
    assert all(row[row.abs().argmax()] > 0 for row in vectors)


def test_sefa_finds_what_the_affines_were_made_to_answer():
    generator = small_stylegan2()
    for affine in generator.affines.values():
        affine.weight.data.zero_()
        affine.weight.data[:, 2], affine.weight.data[:, 4] = 2.0, -1.0
        affine.weight.data[0, 4] = 1.0  # so that one is no multiple of the other
    matrix = affine_matrix(Sampler(generator))
    acting = [affine.scaled()[0] for affine in generator.affines.values()]
    torch.testing.assert_close(matrix, torch.cat(acting).double().detach())
    found = find_components(Sampler(generator), "sefa", 3, num_latents=50)
    assert not found.vectors[:, [0, 1, 3, 5]][:2].abs().gt(1e-6).any()
    assert found.vectors[0].abs().argmax() == 2
    assert found.shares.sum().item() == pytest.approx(1)
    styles = Sampler(generator).styles(range(50))[:, 0].double()
    spread = (styles @ found.vectors[0].double()).std()
    assert found.deviations[0].item() == pytest.approx(float(spread))


def test_without_styles_sefa_reads_the_first_layer():
    generator = ConvGenerator()
    matrix = affine_matrix(Sampler(generator, batch_size=4))
    torch.testing.assert_close(matrix, generator.first.weight.double().detach(), atol=1e-6, rtol=0)
    assert affine_matrix(Sampler(small_dcgan())).shape[1] == 8


def test_a_normalization_of_latents_changes_no_direction():
    network = progan.Generator(resolution=8, channels=1, latent_dim=6, width=4, max_width=8).eval()
    first = next(each for each in network.modules() if hasattr(each, "scaled"))
    weight = first.scaled()[0].detach()  # of a 1x1 map grown to 4x4: one matrix for each pixel
    columns = [first(torch.eye(6)[:, :, None, None]) - first(torch.zeros(6, 6, 1, 1))]
    assert weight.shape[1] == 6
    expected, _ = leading(columns[0].flatten(1).T.detach(), 3)
    found = find_components(Sampler(network), "sefa", 3, num_latents=9)
    assert aligned(found.vectors, expected)


def test_pca_of_w_is_numpys():
    sampler = Sampler(small_stylegan2(), seed=3)
    found = find_components(sampler, "pca", 4, num_latents=60)
    styles = sampler.styles(range(60))[:, 0].double()
    _, values, rows = np.linalg.svd((styles - styles.mean(0)).numpy())
    assert aligned(found.vectors, torch.from_numpy(rows[:4]))
    deviations = torch.from_numpy(values[:4] / np.sqrt(59))
    torch.testing.assert_close(found.deviations, deviations, atol=1e-5, rtol=1e-5)


def test_pca_of_a_layer_is_regressed_to_latents_component_by_component():
    sampler = Sampler(ConvGenerator(), batch_size=7)
    found = find_components(sampler, "pca", 3, 40, "4x4/1")
    with recorded(sampler.generator.layers, ["4x4/1"]) as outputs:
        sampler.batch(range(40))
    values = outputs["4x4/1"].flatten(1).double().numpy()
    basis, sizes, _ = np.linalg.svd(values - values.mean(0), full_matrices=False)
    latents = sampler.latents(range(40)).double().numpy()
    for k in range(3):
        x = basis[:, k : k + 1] * sizes[k]
        u = np.linalg.lstsq(x, latents - latents.mean(0), rcond=None)[0][0]
        assert abs(u @ found.vectors[k].numpy()) == pytest.approx(np.linalg.norm(u), rel=1e-3)
        assert found.shares[k].item() == pytest.approx(sizes[k] ** 2 / (sizes**2).sum(), rel=1e-3)


def test_what_is_not_moved_keeps_its_bits():
    styles, vector = torch.randn(2, 5, 3), torch.randn(3)
    points = moved(styles, vector, [-1.5, 0.0, 2.0], [1, 4])
    assert torch.equal(points[:, 1], styles)
    assert torch.equal(points[:, :, [0, 2, 3]], styles[:, None, [0, 2, 3]].expand(-1, 3, -1, -1))
    torch.testing.assert_close(points[:, 2, [1, 4]], styles[:, [1, 4]] + 2 * vector)
    latents = torch.randn(4, 3)
    torch.testing.assert_close(moved(latents, vector, [3.0])[:, 0], latents + 3 * vector)


@pytest.mark.parametrize(
    ("generator", "options"),
    [(small_stylegan2, {"styles": [0, 1]}), (ConvGenerator, {"method": "pca", "layer": "4x4/0"})],
)
def test_the_study_leaves_a_strip_a_component(tmp_path, generator, options):
    question = Directions(directory=tmp_path, num=2, num_latents=30, num_steps=3, **options)
    study = run(question, generator())
    arrays = np.load(tmp_path / "directions.npz")
    assert arrays["vectors"].shape[0] == 2
    table = (tmp_path / "table.csv").read_text().splitlines()
    assert [line.split(",")[0] for line in table[:3]] == ["component", "0", "1"]
    assert all(float(line.split(",")[3]) > 0 for line in table[1:3])
    shown = Sampler(generator()).images(range(4)).clamp(-1, 1)
    for k in range(2):
        with Image.open(tmp_path / "figures" / f"directions_{k}.png") as picture:
            pixels = np.asarray(picture.convert("L")).astype(int)
            assert "truncation none" in picture.text["Description"]
        left = pixels.shape[1] - 2 * 66  # the middle column: the images themselves
        cells = np.stack(
            [pixels[2 + 66 * i : 66 + 66 * i : 8, left : left + 64 : 8] for i in range(4)]
        )
        assert np.abs(cells - ((shown[:, 0] + 1) * 127.5).round().numpy()).max() <= 1
    assert study.findings.figures.keys() == {"directions_0", "directions_1"}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"method": "ica"}, r"study\.method must be sefa or pca"),
        ({"layer": 0}, r"goes with study\.method=pca"),
        ({"method": "pca"}, r"no styles: name a study\.layer"),
        ({"method": "pca", "layer": "2x2/0"}, r"study\.layer: no layer 2x2/0"),
        ({"styles": [0]}, r"study\.styles=\[0\]: there are none"),
        ({"num": 0}, r"study\.num must be at least 1"),
    ],
)
def test_bad_options_are_named(tmp_path, options, message):
    with pytest.raises(ValueError, match=message):
        run(Directions(directory=tmp_path, **options), ConvGenerator())


def test_styles_that_differ_by_layer_have_no_one_space():
    sampler = Sampler(small_stylegan2())
    sampler.generator.map = lambda latents, condition=None: torch.randn(len(latents), 4, 6)
    with pytest.raises(ValueError, match="another w for each layer"):
        find_components(sampler, "sefa", 2, 9)


@pytest.mark.parametrize(
    "arrays",
    [
        {"vectors": np.zeros((0, 4), np.float32)},
        {"vectors": np.full((2, 4), np.nan, np.float32)},
        {"displacement": np.full(4, np.inf)},
        {"displacement": np.full(4, 1j)},
        {"displacement": np.array(["a", "b", "c", "d"])},
    ],
)
def test_a_file_of_no_direction_is_refused(tmp_path, arrays):
    np.savez(tmp_path / "a.npz", **arrays)
    with pytest.raises(ValueError, match=r"direction=.*a\.npz is no file of directions"):
        read_direction(tmp_path / "a.npz", 4)
