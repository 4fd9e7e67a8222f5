from dataclasses import replace

import numpy as np
import pytest
import torch
from study_toys import ConvGenerator, small_dcgan
from styled_toys import small_stylegan, small_stylegan2

from ganlab.nn.randomness import latents_at
from ganlab.sampling import Sampler
from ganlab.studies.latents.latent_set import accepted_shapes, address_list, latent_set
from ganlab.systems.conditioning import Labels

ALL = pytest.mark.parametrize("make", [ConvGenerator, small_dcgan, small_stylegan2, small_stylegan])
STYLED = pytest.mark.parametrize("make", [small_stylegan2, small_stylegan])
INDICES = [4, 0, 9, 17, 3]


def latents(generator, seed=2):
    return latents_at(generator, INDICES, seed)


@ALL
def test_an_address_is_the_same_image_bit_for_bit_in_an_equal_batch(make):
    generator = make()
    painted = Sampler(generator, seed=2).paint(latents(generator), INDICES)
    assert torch.equal(painted, Sampler(generator, 2).batch(INDICES))


@ALL
@pytest.mark.parametrize("batch_size", [1, 2, 5])
def test_batches_change_no_latent_and_no_image_beyond_rounding(make, batch_size):
    generator = make()
    sampler = Sampler(generator, batch_size=batch_size)
    for row, index in enumerate(INDICES):
        assert torch.equal(latents_at(generator, [index], 2)[0], latents(generator)[row])
    whole = Sampler(generator).paint(latents(generator), INDICES)
    assert torch.allclose(sampler.paint(latents(generator), INDICES), whole, atol=1e-5)


@STYLED
def test_styles_make_the_images_of_their_latents(make):
    generator = make()
    sampler = Sampler(generator)
    styles = sampler.styles(INDICES, latents(generator))
    assert torch.equal(sampler.paint(styles, INDICES), sampler.paint(latents(generator), INDICES))
    shorter = replace(sampler, truncation=0.4)
    expected = Sampler(generator, 2, truncation=0.4).batch(INDICES)
    assert torch.allclose(shorter.paint(styles, INDICES), expected, atol=1e-5)
    assert torch.allclose(shorter.paint(latents(generator), INDICES), expected, atol=1e-5)
    assert not torch.allclose(expected, sampler.paint(styles, INDICES), atol=1e-3)


def test_truncation_to_zero_is_one_image():
    generator = small_stylegan2()
    images = Sampler(generator, truncation=0.0).paint(latents(generator), INDICES)
    assert torch.allclose(images, images[:1].expand_as(images), atol=1e-5)


@STYLED
def test_a_cutoff_leaves_the_finer_styles_as_they_are(make):
    generator = make()
    whole, plain = Sampler(generator, 2, truncation=0.4), Sampler(generator, 2)
    count, styles = generator.num_styles, plain.styles(INDICES)
    drawn = generator.mean_style + 0.4 * (styles - generator.mean_style)
    for cutoff in (1, count - 1):
        mixed = torch.cat([drawn[:, :cutoff], styles[:, cutoff:]], 1)
        images = replace(whole, cutoff=cutoff).batch(INDICES)
        assert torch.allclose(images, plain.paint(mixed, INDICES), atol=1e-5)
        assert not torch.allclose(images, whole.batch(INDICES), atol=1e-4)
    assert torch.equal(replace(whole, cutoff=count).batch(INDICES), whole.batch(INDICES))
    assert f"psi 0.4 of the first {cutoff} styles" in replace(whole, cutoff=cutoff).stated
    for options in ({"cutoff": 0}, {"cutoff": count + 1}, {"cutoff": 1, "truncation": None}):
        with pytest.raises(ValueError, match=r"study\.cutoff=.*from 1 to"):
            replace(whole, **options)
    with pytest.raises(ValueError, match=r"study\.cutoff=1.*no styles"):
        Sampler(ConvGenerator(), cutoff=1)


def test_random_noise_belongs_to_the_address():
    generator = small_stylegan2()
    sampler = Sampler(generator, seed=2, noise="random", batch_size=2)
    expected = Sampler(generator, 2, noise="random").batch(INDICES)
    assert torch.allclose(sampler.paint(latents(generator), INDICES), expected, atol=1e-5)
    styles = sampler.styles(INDICES, latents(generator))
    assert torch.allclose(sampler.paint(styles, INDICES), expected, atol=1e-5)
    assert not torch.allclose(expected, Sampler(generator).paint(styles, INDICES), atol=1e-3)


def test_a_conditional_generator_is_told_by_address():
    generator, labels = small_stylegan2(num_labels=3), Labels(3)
    sampler = Sampler(generator, seed=2, condition_at=labels.at, batch_size=2)
    expected = Sampler(generator, 2, condition_at=labels.at).batch(INDICES)
    assert torch.allclose(sampler.paint(latents(generator), INDICES), expected, atol=1e-5)
    others = sampler.paint(latents(generator), [index + 1 for index in INDICES])
    assert not torch.allclose(others, expected, atol=1e-4)
    with pytest.raises(ValueError, match="labels got none"):
        Sampler(generator).paint(latents(generator), INDICES)


def test_painting_leaves_mode_and_random_state_alone():
    generator, state = small_dcgan().train(), torch.get_rng_state()
    before = {name: value.clone() for name, value in generator.state_dict().items()}
    Sampler(generator).paint(latents(generator), INDICES)
    assert generator.training
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(before[name], each) for name, each in generator.state_dict().items())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"truncation": 0.5}, r"study\.truncation=0\.5 needs a generator with styles"),
        ({"noise": "random"}, r"study\.noise=random needs a generator with noise"),
        ({"noise": "loud"}, r"study\.noise must be fixed or random"),
    ],
)
def test_what_a_generator_lacks_is_refused(options, message):
    with pytest.raises(ValueError, match=message):
        Sampler(ConvGenerator(), **options)
    with pytest.raises(ValueError, match="has no styles"):
        Sampler(ConvGenerator()).styles([0], torch.zeros(1, 6))


@pytest.mark.parametrize("psi", [float("nan"), float("inf")])
def test_truncation_by_no_number_is_refused(psi):
    with pytest.raises(ValueError, match=r"study\.truncation=.* must be a finite number"):
        Sampler(small_stylegan2(), truncation=psi)


def test_negative_truncation_goes_to_the_other_side_of_the_mean():
    generator = small_stylegan2()
    styles = Sampler(generator).styles(INDICES, latents(generator))
    mirrored = 2 * generator.mean_style - styles
    images = Sampler(generator, truncation=-1.0).paint(latents(generator), INDICES)
    assert torch.allclose(images, Sampler(generator).paint(mirrored, INDICES), atol=1e-5)


# latents by name


@pytest.mark.parametrize(
    ("named", "expected"),
    [(7, [7]), ([3, 17, 3], [3, 17, 3]), ("2:5", [2, 3, 4]), ("0:9:4", [0, 4, 8])],
)
def test_addresses_by_number_list_and_range(named, expected):
    found = latent_set(ConvGenerator(), named, 2)
    assert found.addresses == address_list(named) == expected
    assert torch.equal(found.values, latents_at(ConvGenerator(), expected, 2))
    assert found.names == [str(i) for i in expected]


def test_an_array_of_latents_or_styles(tmp_path):
    generator, path = small_stylegan2(), tmp_path / "some.npy"
    for shape in accepted_shapes(generator):
        array = np.random.default_rng(0).normal(size=(3, *shape))
        np.save(path, array)
        found = latent_set(generator, str(path), 0)
        expected = array.reshape(3, -1, 6) if shape[-1] == 6 else array
        assert found.values.numpy() == pytest.approx(
            np.broadcast_to(expected, found.values.shape), rel=1e-6
        )
        assert found.addresses == [0, 1, 2]
        assert found.names == ["row 0", "row 1", "row 2"]
    assert list(accepted_shapes(generator)) == [(8,), (generator.num_styles, 6), (1, 6), (6,)]


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros((2, 7)), r"float64 \(2, 7\), this generator takes numbers \(N, 6\)"),
        (np.zeros((0, 6)), r"\(0, 6\)"),
        (np.full((1, 6), np.nan), "not finite"),
        (np.full((1, 6), 1e300), "not finite in 32 bits"),
        (np.array(["a" * 6]), "this generator takes numbers"),
        (np.array(1.0), "this generator takes numbers"),
        (np.array([[object()] * 6]), "no readable NumPy array"),
    ],
)
def test_arrays_that_are_no_latents_are_refused(tmp_path, array, message):
    path = tmp_path / "bad.npy"
    np.save(path, array, allow_pickle=True)
    with pytest.raises(ValueError, match=message):
        latent_set(ConvGenerator(), str(path), 0)


def test_half_an_array_and_a_lying_header_are_refused(tmp_path):
    path = tmp_path / "half.npy"
    np.save(path, np.zeros((9, 6)))
    whole = path.read_bytes()
    lying = whole.replace(b"(9, 6)", b"(9000000000000, 6)".ljust(6))
    for content in (whole[:-8], whole[:40], b"", lying):
        path.write_bytes(content)
        with pytest.raises(ValueError, match="no readable NumPy array"):
            latent_set(ConvGenerator(), str(path), 0)


def test_latents_that_are_not_there_are_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"study\.a=.*none\.npy: no such file"):
        latent_set(ConvGenerator(), str(tmp_path / "none.npy"), 0, "study.a")
    for wrong in ([], [-1]):
        with pytest.raises(ValueError, match=r"study\.latents needs latent indices"):
            latent_set(ConvGenerator(), wrong, 0)
    for many in ("0:10000001", "0:99999999999999999999:2"):
        with pytest.raises(ValueError, match=r"at most 10,000,000 go at once"):
            latent_set(ConvGenerator(), many, 0)
    for large in ([2**63], 2**63, f"{2**63}:{2**63 + 2}"):
        with pytest.raises(ValueError, match=r"from 0 to 2\^63 - 1"):
            latent_set(ConvGenerator(), large, 0)
    assert latent_set(ConvGenerator(), 2**63 - 1, 0).addresses == [2**63 - 1]
    with pytest.raises(ValueError, match=r"study\.a is null"):
        latent_set(ConvGenerator(), None, 0, "study.a")
