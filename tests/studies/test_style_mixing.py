import numpy as np
import pytest
import torch
from PIL import Image
from study_toys import ConvGenerator
from styled_toys import run, small_stylegan, small_stylegan2

from ganlab.networks import stylegan
from ganlab.nn.growing import Stage
from ganlab.nn.style import mix
from ganlab.sampling import Sampler
from ganlab.studies import StyleMixing
from ganlab.studies.latents.latent_set import latent_set
from ganlab.studies.latents.style_mixing import bands_of, mixed_row

STYLED = pytest.mark.parametrize("make", [small_stylegan2, small_stylegan])


@STYLED
def test_all_layers_from_b_make_b_and_none_make_a(make):
    generator = make()
    sampler, b = Sampler(generator, seed=2), latent_set(generator, [5, 1, 8], 2)
    style_a, styles_b = sampler.styles([3])[0], b.styles(sampler)
    every = range(generator.num_styles)
    images_b = Sampler(generator, 2).batch([5, 1, 8])
    assert torch.equal(sampler.paint(mixed_row(style_a, styles_b, every), [3] * 3), images_b)
    assert torch.equal(mixed_row(style_a, styles_b, []), style_a.expand(3, -1, -1))
    late = mixed_row(style_a, styles_b, every[2:])
    assert torch.equal(late, mix(style_a.expand(3, -1, -1), styles_b, 2))


def test_bands_are_the_papers_and_empty_ones_are_left_out():
    assert bands_of(small_stylegan()) == {
        "coarse": [0, 1, 2, 3],
        "middle": [4, 5, 6, 7],
        "fine": [8, 9],
    }
    assert list(bands_of(small_stylegan2())) == ["coarse"]  # 8 px
    growing = small_stylegan()
    growing.grow_to(Stage(2))
    assert bands_of(growing) == {"coarse": [0, 1, 2, 3], "middle": [4, 5]}
    assert bands_of(growing, {"first": [0], "all": range(6)})["all"] == list(range(6))


def test_the_grid_and_its_styles(tmp_path):
    generator = small_stylegan()
    options = {"a": [3, 0], "b": "5:8", "seed": 2}
    run(StyleMixing(directory=tmp_path, **options), generator)
    numbers = np.load(tmp_path / "figures" / "style_mixing.npz")
    assert (numbers["a"].tolist(), numbers["b"].tolist()) == ([3, 0], [5, 6, 7])
    assert numbers["layers of fine"].tolist() == [8, 9]
    styles = torch.from_numpy(np.load(tmp_path / "latents" / "style_mixing.npy"))
    assert styles.shape == (3 * 2 * 3, 10, 8)
    images = generator.synthesize(styles, noise="const").detach()
    with Image.open(tmp_path / "figures" / "style_mixing.png") as picture:
        pixels = np.asarray(picture.convert("L")).astype(int)
    assert pixels.shape[0] == 7 * 66 + 2
    left = pixels.shape[1] - 4 * 66 - 2
    for i, image in enumerate(images):
        row, column = 1 + i // 3, 1 + i % 3
        top, at = 2 + 66 * row, left + 2 + 66 * column
        expected = ((image[0].clamp(-1, 1) + 1) * 127.5).round().numpy()
        assert np.abs(pixels[top : top + 64, at : at + 64] - expected).max() <= 1
    assert (pixels[2:66, left + 2 : left + 66] == 255).all(), "no image where A meets B's row"


def plain_stylegan():
    options = {"style": False, "input": "latent", "mapping_layers": 0, "width": 4}
    return stylegan.Generator(8, 1, latent_dim=8, style_dim=8, max_width=8, **options)


@pytest.mark.parametrize("make", [ConvGenerator, plain_stylegan])
def test_a_generator_without_styles_is_told_so_politely(tmp_path, make):
    with pytest.raises(ValueError, match=r"needs a generator with styles .* study=interpolation"):
        run(StyleMixing(directory=tmp_path), make())
    assert not list(tmp_path.iterdir())


def test_a_band_may_be_one_layer(tmp_path):
    run(StyleMixing(directory=tmp_path, a=[3], b=[5], bands={"last": 9}), small_stylegan())
    assert np.load(tmp_path / "figures" / "style_mixing.npz")["layers of last"].tolist() == [9]


@pytest.mark.parametrize("bands", [[1, 2], {}, {"late": ["a"]}, {"late": [True]}, {"late": [0.5]}])
def test_bands_of_something_else_than_layers_are_refused(tmp_path, bands):
    with pytest.raises(ValueError, match=r"study\.bands=.* must name layers, as in"):
        StyleMixing(directory=tmp_path, bands=bands)


@pytest.mark.parametrize("bands", [{"late": [10]}, {"late": []}, {"late": [-1]}])
def test_bands_of_layers_that_are_not_there_are_refused(tmp_path, bands):
    with pytest.raises(ValueError, match="must name layers from 0 to 9"):
        run(StyleMixing(directory=tmp_path, bands=bands), small_stylegan())
