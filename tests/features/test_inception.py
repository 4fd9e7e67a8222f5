"""FID's Inception: names, shapes and wiring, with random weights."""

import copy

import pytest
import torch
import torch.nn.functional as F

from ganlab.features import Inception
from ganlab.features.inception import BYTES, SHA256, Network
from ganlab.features.weights import sha256_of


@pytest.fixture(scope="module")
def inception(weights_path):
    extractor = Inception(weights_path, sha256=None)
    extractor.prepare()
    return extractor


@pytest.fixture(scope="module")
def images():
    return torch.rand(3, 3, 40, 32, generator=torch.Generator().manual_seed(1)) * 2 - 1


def reference(state, x):
    """The graph in functional form, written from the figures of arXiv 1512.00567 and TF's pools."""

    def conv(x, name, stride=1, padding=0):
        x = F.conv2d(x, state[f"{name}.conv.weight"], None, stride, padding)
        statistics = [state[f"{name}.bn.{k}"] for k in ("running_mean", "running_var")]
        affine = [state[f"{name}.bn.{k}"] for k in ("weight", "bias")]
        return F.batch_norm(x, *statistics, *affine, eps=0.001).relu()

    def mean(x):
        count = F.avg_pool2d(torch.ones_like(x), 3, 1, 1)  # share of the window inside the image
        return F.avg_pool2d(x, 3, 1, 1) / count

    def a(x, n):
        five = conv(conv(x, f"{n}.branch5x5_1"), f"{n}.branch5x5_2", padding=2)
        double = conv(conv(x, f"{n}.branch3x3dbl_1"), f"{n}.branch3x3dbl_2", padding=1)
        double = conv(double, f"{n}.branch3x3dbl_3", padding=1)
        pool = conv(mean(x), f"{n}.branch_pool")
        return torch.cat([conv(x, f"{n}.branch1x1"), five, double, pool], 1)

    def b(x, n):
        double = conv(conv(x, f"{n}.branch3x3dbl_1"), f"{n}.branch3x3dbl_2", padding=1)
        double = conv(double, f"{n}.branch3x3dbl_3", 2)
        return torch.cat([conv(x, f"{n}.branch3x3", 2), double, F.max_pool2d(x, 3, 2)], 1)

    def c(x, n):
        flat, tall = (0, 3), (3, 0)
        seven = conv(conv(x, f"{n}.branch7x7_1"), f"{n}.branch7x7_2", padding=flat)
        seven = conv(seven, f"{n}.branch7x7_3", padding=tall)
        double = conv(conv(x, f"{n}.branch7x7dbl_1"), f"{n}.branch7x7dbl_2", padding=tall)
        for i, padding in ((3, flat), (4, tall), (5, flat)):
            double = conv(double, f"{n}.branch7x7dbl_{i}", padding=padding)
        pool = conv(mean(x), f"{n}.branch_pool")
        return torch.cat([conv(x, f"{n}.branch1x1"), seven, double, pool], 1)

    def d(x, n):
        three = conv(conv(x, f"{n}.branch3x3_1"), f"{n}.branch3x3_2", 2)
        seven = conv(conv(x, f"{n}.branch7x7x3_1"), f"{n}.branch7x7x3_2", padding=(0, 3))
        seven = conv(conv(seven, f"{n}.branch7x7x3_3", padding=(3, 0)), f"{n}.branch7x7x3_4", 2)
        return torch.cat([three, seven, F.max_pool2d(x, 3, 2)], 1)

    def e(x, n, pooled):
        three = conv(x, f"{n}.branch3x3_1")
        double = conv(conv(x, f"{n}.branch3x3dbl_1"), f"{n}.branch3x3dbl_2", padding=1)
        forks = [(three, "branch3x3_2"), (double, "branch3x3dbl_3")]
        forked = [
            conv(y, f"{n}.{name}{letter}", padding=padding)
            for y, name in forks
            for letter, padding in (("a", (0, 1)), ("b", (1, 0)))
        ]
        return torch.cat([conv(x, f"{n}.branch1x1"), *forked, conv(pooled, f"{n}.branch_pool")], 1)

    x = conv(conv(x, "Conv2d_1a_3x3", 2), "Conv2d_2a_3x3")
    x = F.max_pool2d(conv(x, "Conv2d_2b_3x3", padding=1), 3, 2)
    x = F.max_pool2d(conv(conv(x, "Conv2d_3b_1x1"), "Conv2d_4a_3x3"), 3, 2)
    x = b(a(a(a(x, "Mixed_5b"), "Mixed_5c"), "Mixed_5d"), "Mixed_6a")
    for letter in "bcde":
        x = c(x, f"Mixed_6{letter}")
    x = d(x, "Mixed_7a")
    x = e(x, "Mixed_7b", mean(x))
    x = e(x, "Mixed_7c", F.max_pool2d(x, 3, 1, 1))
    features = x.mean((2, 3))
    return features, features @ state["fc.weight"].T + state["fc.bias"]


def test_names_count_as_in_the_published_files():
    with torch.device("meta"):
        state = Network().state_dict()
    # 94 convolutions, each with its weight and batch norm's five tensors, and the last layer.
    assert len(state) == 94 * 6 + 2
    assert sum(not name.endswith("num_batches_tracked") for name in state) == 94 * 5 + 2
    size = sum(tensor.numel() * tensor.element_size() for tensor in state.values())
    assert 0 < BYTES - size < 200 * len(state)  # the rest of the file is its directory of names


def test_the_digest_is_the_one_both_file_names_announce():
    assert len(SHA256) == 64
    assert SHA256.startswith("6726825d")


def test_the_network_equals_a_functional_reference(inception, random_state):
    inputs = torch.rand(2, 3, 299, 299, generator=torch.Generator().manual_seed(2)) * 2 - 1
    with torch.no_grad():
        features, logits = inception.network(inputs)
        expected_features, expected_logits = reference(random_state, inputs)
    assert features.std() > 0.01
    torch.testing.assert_close(features, expected_features, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(logits, expected_logits, rtol=1e-4, atol=1e-4)


def test_average_pools_leave_padding_out_and_the_last_block_takes_the_maximum():
    with torch.device("meta"):
        blocks = dict(Network().named_children())
    ones = torch.ones(1, 1, 5, 5)
    for name in ("5b", "5c", "5d", "6b", "6c", "6d", "6e", "7b"):
        assert torch.equal(blocks[f"Mixed_{name}"].pool(ones), ones), name
    ramp = torch.arange(9.0).view(1, 1, 3, 3)
    assert blocks["Mixed_7c"].pool(ramp).flatten().tolist() == [4, 5, 5, 7, 8, 8, 7, 8, 8]


def test_features_and_logits_have_their_shapes_in_float32(inception, images):
    outputs = inception(images.double())
    assert {name: tuple(value.shape) for name, value in outputs.items()} == {
        "features": (3, 2048),
        "logits": (3, 1008),
        "logits_unbiased": (3, 1008),
    }
    assert {value.dtype for value in outputs.values()} == {torch.float32}


def test_unbiased_logits_are_the_product_with_the_last_layer_alone(inception, images):
    outputs = inception(images)
    expected = outputs["features"] @ inception.network.fc.weight.T
    torch.testing.assert_close(outputs["logits_unbiased"], expected, rtol=1e-4, atol=1e-5)
    assert not torch.equal(outputs["logits_unbiased"], outputs["logits"])


def test_features_do_not_depend_on_the_batch(inception, images):
    together = inception(images)["features"]
    alone = torch.cat([inception(image[None])["features"] for image in images])
    assert together.std() > 0.01
    torch.testing.assert_close(together, alone, rtol=1e-5, atol=1e-5)


def test_grey_images_are_colour_images_without_colour(inception, images):
    grey = images[:1, :1]
    torch.testing.assert_close(
        inception(grey)["features"], inception(grey.repeat(1, 3, 1, 1))["features"]
    )


def test_input_is_quantised_and_scaled_as_the_graph_does(inception):
    values = torch.tensor([0.0, 64.0, 128.0, 255.0]).view(1, 1, 2, 2).expand(1, 3, 2, 2)
    fitted = inception.fitted(values)
    assert fitted.shape == (1, 3, 299, 299)
    assert fitted[0, 0, 0, 0] == -1
    assert fitted[0, 0, -1, -1] == 127 / 128
    assert fitted[0, 0, -1, 0] == 0


def test_the_clean_resize_is_another_protocol(weights_path, inception, images):
    clean = Inception(weights_path, resize="clean", sha256=None)
    assert clean.resize != inception.resize
    checkerboard = (torch.arange(2 * 299)[:, None] + torch.arange(2 * 299)) % 2 * 255.0
    checkerboard = checkerboard.expand(1, 3, 2 * 299, 2 * 299)
    assert torch.equal(inception.fitted(checkerboard), -torch.ones(1, 3, 299, 299))  # aliases
    inner = clean.fitted(checkerboard)[..., 2:-2, 2:-2]
    torch.testing.assert_close(inner, torch.full_like(inner, -0.5 / 128), rtol=0, atol=1e-4)
    assert clean.fitted(255.0 * (checkerboard[..., :90, :90] > 0)).abs().max() <= 1  # no overshoot


def test_it_stays_frozen_and_in_evaluation_mode(inception, images):
    inception.train()
    inception.network.zero_grad()
    assert not any(module.training for module in inception.modules())
    assert not any(parameter.requires_grad for parameter in inception.parameters())
    before = {name: tensor.clone() for name, tensor in inception.state_dict().items()}
    outputs = inception(images[:1].clone().requires_grad_())
    assert not any(value.requires_grad for value in outputs.values())
    assert all(torch.equal(before[name], t) for name, t in inception.state_dict().items())


def test_construction_is_cheap_and_draws_no_random_number(weights_path):
    state = torch.get_rng_state()
    extractor = Inception(weights_path, sha256=None)
    assert list(extractor.parameters()) == []
    copy.deepcopy(extractor).to("cpu").prepare()
    assert torch.equal(torch.get_rng_state(), state)


def test_weights_are_read_when_first_needed_and_never_downloaded_then(weights_path, own_cache):
    with pytest.raises(FileNotFoundError, match=r"\(96 MB\)"):
        Inception()(torch.zeros(1, 3, 8, 8))
    assert not own_cache.exists()
    assert Inception(weights_path, sha256=None)(torch.zeros(1, 3, 8, 8))["logits"].isfinite().all()


def test_another_file_than_the_published_one_is_refused_unless_asked_for(weights_path):
    with pytest.raises(ValueError, match=f"not {SHA256}"):
        Inception(weights_path).preflight()
    extractor = Inception(weights_path, sha256=None)
    extractor.preflight()
    assert extractor.sha256 == sha256_of(weights_path)
    assert Inception().sha256 == SHA256


def test_a_file_without_counters_or_with_other_names(random_state, tmp_path):
    bare = {k: v.half() for k, v in random_state.items() if v.is_floating_point()}
    torch.save(bare, tmp_path / "bare.pth")
    Inception(tmp_path / "bare.pth", sha256=None).prepare()
    torch.save({f"module.{name}": tensor for name, tensor in bare.items()}, tmp_path / "other.pth")
    with pytest.raises(ValueError, match=r"has no tensor 'Conv2d_1a_3x3\.conv\.weight'"):
        Inception(tmp_path / "other.pth", sha256=None).prepare()


def test_prepare_downloads_the_file_once(weights_path, served, own_cache):
    folder, address, requests = served
    (folder / weights_path.name).symlink_to(weights_path)
    url = f"{address}/{weights_path.name}"
    for _ in range(2):
        Inception(sha256=sha256_of(weights_path), url=url).prepare()
    assert requests == [f"/{weights_path.name}"]
    assert (own_cache / weights_path.name).is_file()


def test_an_unknown_resize_names_the_key():
    with pytest.raises(ValueError, match=r"features\.resize=lanczos is neither tf1 nor clean"):
        Inception(resize="lanczos")
