"""VGG-16: torchvision's names, the two layouts, the stages, with random weights."""

import copy

import pytest
import torch
import torch.nn.functional as F

from ganlab.features import VGG16, VGG16Weights
from ganlab.features.vgg16 import BYTES, SHA256, STAGES, Network
from ganlab.features.weights import sha256_of
from ganlab.run import recipe

# Positions of the convolutions in torchvision's `features`; a pooling ends each group.
GROUPS = ((0, 2), (5, 7), (10, 12, 14), (17, 19, 21), (24, 26, 28))


def drawn_state(num_classes):
    """Every tensor drawn; those of the linear layers repeat, so that their file stays small."""
    rng = torch.Generator().manual_seed(0)
    with torch.device("meta"):
        shapes = {name: tensor.shape for name, tensor in Network(num_classes).state_dict().items()}

    def drawn(shape):
        if len(shape) == 2:  # entry (i, j) is drawn number i + j
            line = torch.randn(sum(shape), generator=rng) * (2 / shape[1]) ** 0.5
            return line.as_strided(shape, (1, 1))
        scale = (2 / shape[1:].numel()) ** 0.5 if len(shape) > 1 else 0.1
        return scale * torch.randn(shape, generator=rng)

    return {name: drawn(shape) for name, shape in shapes.items()}


@pytest.fixture(scope="module")
def state():
    return drawn_state(1000)


@pytest.fixture(scope="module")
def path(state, tmp_path_factory):
    path = tmp_path_factory.mktemp("weights") / "vgg16-397923af.pth"
    torch.save(state, path)
    return path


@pytest.fixture(scope="module")
def places_path(tmp_path_factory):
    path = tmp_path_factory.mktemp("weights") / "vgg16_places365.pth"
    torch.save(drawn_state(365), path)
    return path


@pytest.fixture(scope="module")
def vgg(path):
    extractor = VGG16(VGG16Weights(path), size=None)
    extractor.prepare()
    return extractor


@pytest.fixture(scope="module")
def images():
    grid = torch.randint(0, 256, (2, 3, 64, 32), generator=torch.Generator().manual_seed(1))
    return grid / 127.5 - 1


def reference(state, x):
    """Configuration D by torchvision's layer numbers; x of 224 px for the last two."""
    found = {}
    for stage, group in enumerate(GROUPS, 1):
        for number in group:
            weight, bias = (state[f"features.{number}.{part}"] for part in ("weight", "bias"))
            x = F.conv2d(x, weight, bias, padding=1).relu()
        found[f"pool{stage}"] = x = F.max_pool2d(x, 2)
    if x.shape[1:] == (512, 7, 7):
        x = x.reshape(len(x), -1)
        for name, number in (("fc6", 0), ("fc7", 3), ("fc8", 6)):
            weight, bias = (state[f"classifier.{number}.{part}"] for part in ("weight", "bias"))
            x = x @ weight.T + bias
            found[name] = x = x if name == "fc8" else x.relu()
    return found


def test_names_and_sizes_are_those_of_torchvisions_file(state):
    convolutions = [f"features.{number}" for group in GROUPS for number in group]
    layers = [*convolutions, "classifier.0", "classifier.3", "classifier.6"]
    assert list(state) == [f"{layer}.{part}" for layer in layers for part in ("weight", "bias")]
    numbers = sum(tensor.numel() for tensor in state.values())
    assert numbers == 138_357_544  # as torchvision states
    assert 0 < BYTES - 4 * numbers < 200 * len(state)  # the rest is the file's directory of names
    assert SHA256.startswith("397923af")  # as the file's name announces


def test_stages_equal_a_functional_reference(vgg, state, images):
    found = vgg.stages(images)
    expected = reference(state, vgg.weights.normalized((images + 1) * 127.5))
    assert tuple(found) == STAGES
    for stage in range(1, 6):
        pooled = found[f"pool{stage}"]
        assert pooled.shape[2:] == (64 // 2**stage, 32 // 2**stage)
        assert pooled.std() > 0.01
        torch.testing.assert_close(pooled, expected[f"pool{stage}"], rtol=1e-4, atol=1e-4)


def test_features_and_logits_equal_the_reference_at_224(path, state, images):
    extractor = VGG16(VGG16Weights(path))
    outputs = extractor(images[:1])
    resized = F.interpolate(
        (images[:1] + 1) * 127.5, (224, 224), mode="bilinear", align_corners=False, antialias=True
    )
    expected = reference(state, extractor.weights.normalized(resized))
    assert {name: tuple(value.shape) for name, value in outputs.items()} == {
        "features": (1, 4096),
        "logits": (1, 1000),
    }
    assert 0.1 < (outputs["features"] > 0).float().mean() < 0.9  # after the ReLU
    torch.testing.assert_close(outputs["features"], expected["fc7"], rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(outputs["logits"], expected["fc8"], rtol=1e-3, atol=1e-3)


def test_features_are_the_stage_fc7_of_images_on_the_8_bit_grid(vgg, images):
    outputs, stages = vgg(images), vgg.stages(images)
    torch.testing.assert_close(outputs["features"], stages["fc7"], rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(outputs["logits"], stages["fc8"], rtol=1e-4, atol=1e-4)


def test_a_gradient_reaches_the_images_and_no_weight(vgg, state, images):
    ours, theirs = (images[:1].clone().requires_grad_() for _ in range(2))
    vgg.stages(ours, differentiable=True)["pool3"].square().mean().backward()
    expected = reference(state, vgg.weights.normalized((theirs + 1) * 127.5))
    expected["pool3"].square().mean().backward()
    assert theirs.grad.abs().max() > 0
    scale = theirs.grad.abs().max().item()
    torch.testing.assert_close(ours.grad, theirs.grad, rtol=1e-3, atol=1e-4 * scale)
    assert all(p.grad is None and not p.requires_grad for p in vgg.parameters())


def test_without_asking_no_graph_is_kept(vgg, images):
    given = images.clone().requires_grad_()
    assert not any(value.requires_grad for value in vgg.stages(given).values())
    assert not any(value.requires_grad for value in vgg(given).values())
    with torch.no_grad():
        assert not vgg.stages(given, differentiable=True)["fc8"].requires_grad


def test_stages_work_in_float32_under_autocast(vgg, images):
    with torch.autocast("cpu", torch.bfloat16):
        found = vgg.stages(images.bfloat16(), differentiable=True)
    assert {value.dtype for value in found.values()} == {torch.float32}


def test_layouts_order_and_scale_the_pixels():
    pixel = torch.tensor([255.0, 0.0, 51.0]).view(1, 3, 1, 1)  # R, G, B
    rgb = VGG16Weights().normalized(pixel).flatten().tolist()
    assert rgb == pytest.approx([0.515 / 0.229, -0.456 / 0.224, (0.2 - 0.406) / 0.225], rel=1e-6)
    bgr = VGG16Weights(layout="caffe").normalized(pixel).flatten().tolist()
    assert bgr == pytest.approx([51 - 103.939, -116.779, 255 - 123.68], rel=1e-6)
    own = VGG16Weights(layout="caffe", mean=[1, 2, 3]).normalized(pixel).flatten().tolist()
    assert own == [50, -2, 252]


def test_a_network_converted_between_the_layouts_gives_the_same_features(
    state, vgg, images, tmp_path
):
    """The first convolution takes pixels in another order and 255 * std times larger."""
    std = torch.tensor([0.229, 0.224, 0.225]).view(1, 3, 1, 1)
    first = (state["features.0.weight"] / (255 * std)).flip(1)
    torch.save({**state, "features.0.weight": first}, tmp_path / "caffe.pth")
    mean = [255 * 0.406, 255 * 0.456, 255 * 0.485]
    weights = VGG16Weights(tmp_path / "caffe.pth", layout="caffe", classes=1000, mean=mean)
    converted, original = VGG16(weights, size=None)(images), vgg(images)
    torch.testing.assert_close(converted["logits"], original["logits"], rtol=1e-3, atol=1e-3)


def test_places365_has_365_classes_and_another_count_is_named(path, places_path, images):
    places = VGG16(VGG16Weights(places_path, layout="caffe"), size=32)
    places.prepare()
    assert places(images)["logits"].shape == (2, 365)
    wrong = r"'classifier\.6\.weight' in shape \(365, 4096\), not \(1000, 4096\).*weights\.classes"
    with pytest.raises(ValueError, match=wrong):
        VGG16(places_path).prepare()
    with pytest.raises(ValueError, match=r"features\.weights\.file.*\(1000, 4096\), not \(365, "):
        VGG16(VGG16Weights(path, layout="caffe")).prepare()


def test_a_file_of_right_keys_loads_and_a_wrong_one_names_the_first_missing(tmp_path):
    """As a semantic pyramid asks for them, by the names of its mirrors."""
    for mirror, classes in (("imagenet", 1000), ("places365", 365)):
        right = drawn_state(classes)
        torch.save(right, tmp_path / "right.pth")
        place = "model.conditioner.extractor.weights.file"
        words = [f"model/mirror={mirror}", "data=synthetic", "data.resolution=64"]
        made = recipe("semantic_pyramid", *words, f"{place}={tmp_path}/right.pth")
        made.conditioner.preflight()
        found = made.conditioner.features(torch.zeros(1, 3, 64, 64))
        assert {n: tuple(f.shape[1:]) for n, f in found.items()} == made.generator.stages
        assert made.generator.num_classes == classes
        wrong = {
            n: t for n, t in right.items() if n not in ("features.10.bias", "classifier.3.bias")
        }
        torch.save(wrong, tmp_path / "wrong.pth")
        made = recipe("semantic_pyramid", *words, f"{place}={tmp_path}/wrong.pth")
        with pytest.raises(ValueError, match=r"wrong\.pth .*has no tensor 'features\.10\.bias'"):
            made.conditioner.extractor.prepare()
    made = recipe("semantic_pyramid", "model/mirror=places365", f"{place}={tmp_path}/none.pth")
    with pytest.raises(FileNotFoundError, match=rf"none\.pth .*{place}"):
        made.conditioner.preflight()


def test_name_and_resize_tell_every_variant_apart():
    named = {
        VGG16().name: "vgg16",
        VGG16(VGG16Weights("x", classes=365)).name: "vgg16_places365",
        VGG16(VGG16Weights("x", layout="caffe")).name: "vgg16_places365_caffe",
        VGG16(VGG16Weights("x", layout="caffe", classes=1000)).name: "vgg16_caffe",
        VGG16(VGG16Weights("x", classes=1365)).name: "vgg16_1365classes",
    }
    assert list(named) == list(named.values())
    shifted = VGG16(VGG16Weights("x", layout="caffe", mean=[104.0, 117.5, 123.0]))
    resizes = [VGG16().resize, VGG16(size=64).resize, VGG16(size=None).resize, shifted.resize]
    assert resizes == [
        "bilinear-antialias-224",
        "bilinear-antialias-64",
        "none",
        "bilinear-antialias-224-mean-104-117.5-123",
    ]


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"layout": "tf"}, r"features\.weights\.layout=tf is neither torchvision nor caffe"),
        ({"classes": 0}, r"features\.weights\.classes=0"),
        ({"mean": [1.0, 2.0]}, r"features\.weights\.mean=\[1\.0, 2\.0\]"),
        ({"mean": [1.0, 2.0, "3"]}, r"features\.weights\.mean"),
    ],
)
def test_wrong_weights_options_name_the_key(wrong, message):
    with pytest.raises(ValueError, match=message):
        VGG16Weights("x", **wrong)


def test_images_too_small_for_five_poolings_are_refused_by_name(vgg):
    with pytest.raises(ValueError, match=r"31x40 px vanish.*features\.size"):
        vgg.stages(torch.zeros(1, 3, 31, 40))
    with pytest.raises(ValueError, match=r"features\.size=31"):
        VGG16(size=31)


def test_grey_images_are_colour_images_without_colour(vgg, images):
    grey = images[:1, :1]
    expected = vgg.stages(grey.repeat(1, 3, 1, 1))["fc7"]
    torch.testing.assert_close(vgg.stages(grey)["fc7"], expected)


def test_construction_is_cheap_and_draws_no_random_number(path):
    before = torch.get_rng_state()
    extractor = copy.deepcopy(VGG16(path))
    assert list(extractor.parameters()) == []
    extractor.prepare()
    assert torch.equal(torch.get_rng_state(), before)


def test_prepare_downloads_imagenets_file_once(path, served, own_cache):
    folder, address, requests = served
    (folder / path.name).symlink_to(path)
    weights = VGG16Weights(url=f"{address}/{path.name}", sha256=sha256_of(path))
    VGG16(weights).preflight()
    assert requests == []
    for _ in range(2):
        VGG16(weights).prepare()
    assert requests == [f"/{path.name}"]
    assert (own_cache / path.name).is_file()


def test_a_download_that_is_not_torchvisions_file_is_refused(path, served, own_cache):
    (served[0] / path.name).symlink_to(path)
    with pytest.raises(ValueError, match=f"not {SHA256}"):
        VGG16(VGG16Weights(url=f"{served[1]}/{path.name}")).prepare()
    assert list(own_cache.iterdir()) == []


def test_what_cannot_be_downloaded_is_asked_for_at_once(own_cache, images):
    extractor = VGG16(VGG16Weights(layout="caffe"))
    for use in (extractor.preflight, extractor.prepare, lambda: extractor.stages(images)):
        with pytest.raises(FileNotFoundError) as caught:
            use()
        place = own_cache / "vgg16_places365_caffe.pth"
        assert str(caught.value).startswith(f"no weights at {place} (features.weights.file=null)")
        assert "(543 MB)" in str(caught.value)
    assert not own_cache.exists()
    with pytest.raises(FileNotFoundError, match=r"vgg16-397923af\.pth \(553 MB\)"):
        VGG16()(images)
