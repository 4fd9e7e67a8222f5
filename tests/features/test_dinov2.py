"""DINOv2: the published files' names and sizes, its formula written out, on drawn values."""

import math

import pytest
import torch
import torch.nn.functional as F

from ganlab.features import DINOv2
from ganlab.features.dinov2 import WIDTHS, Network
from ganlab.metrics import FrechetDistance, InceptionScore, Suite

DIM, DEPTH = WIDTHS["vits14"]


def drawn_state(width=DIM, depth=DEPTH):
    rng = torch.Generator().manual_seed(0)
    with torch.device("meta"):
        shapes = {n: tuple(t.shape) for n, t in Network(width, depth).state_dict().items()}

    def drawn(name, shape):
        if name.endswith(("norm.weight", "norm1.weight", "norm2.weight", "gamma")):
            return 0.5 + torch.rand(shape, generator=rng)
        scale = shape[-1] ** -0.5 if len(shape) > 1 else 0.2
        return scale * torch.randn(shape, generator=rng)

    return {name: drawn(name, shape) for name, shape in shapes.items()}


@pytest.fixture(scope="module")
def state():
    return drawn_state()


@pytest.fixture(scope="module")
def path(state, tmp_path_factory):
    path = tmp_path_factory.mktemp("weights") / "dinov2_vits14_pretrain.pth"
    torch.save(state, path)
    return path


@pytest.fixture(scope="module")
def images():
    return torch.rand(2, 3, 50, 40, generator=torch.Generator().manual_seed(1)) * 2 - 1


@pytest.mark.parametrize(
    ("model", "millions"), [("vits14", 22.06), ("vitb14", 86.58), ("vitl14", 304.37)]
)
def test_names_and_sizes_are_those_of_the_published_files(model, millions):
    """The authors state 21 M, 86 M and 300 M parameters; counted from the architecture."""
    width, depth = WIDTHS[model]
    with torch.device("meta"):
        found = {n: tuple(t.shape) for n, t in Network(width, depth).state_dict().items()}
    block = 12 * width**2 + 15 * width
    rest = (1 + 1 + 1 + 37**2) * width + (3 * 14**2 + 1) * width + 2 * width
    total = sum(math.prod(shape) for shape in found.values())
    assert total == depth * block + rest
    assert total / 1e6 == pytest.approx(millions, abs=0.01)
    parts = ["norm1", "attn.qkv", "attn.proj", "norm2", "mlp.fc1", "mlp.fc2"]
    names = {f"blocks.{i}.{p}.{k}" for i in range(depth) for p in parts for k in ("weight", "bias")}
    names |= {f"blocks.{i}.{scale}.gamma" for i in range(depth) for scale in ("ls1", "ls2")}
    names |= {"cls_token", "pos_embed", "mask_token", "norm.weight", "norm.bias"}
    assert found.keys() == names | {"patch_embed.proj.weight", "patch_embed.proj.bias"}
    assert found["pos_embed"] == (1, 1370, width)


def reference(state, x, depth=DEPTH):
    """The class token at the end, token by token and head by head; x is normalized, of 28 px."""

    def normed(tokens, name):
        mean, var = tokens.mean(-1, keepdim=True), tokens.var(-1, correction=0, keepdim=True)
        return (tokens - mean) / (var + 1e-6).sqrt() * state[f"{name}.weight"] + state[
            f"{name}.bias"
        ]

    def mapped(tokens, name):
        return tokens @ state[f"{name}.weight"].T + state[f"{name}.bias"]

    def attended(tokens, name):
        q, k, v = mapped(tokens, f"{name}.qkv").chunk(3, dim=-1)
        heads = []
        for at in range(0, DIM, 64):
            some = slice(at, at + 64)
            weights = (q[:, some] @ k[:, some].T / 8).softmax(-1)
            heads.append(weights @ v[:, some])
        return mapped(torch.cat(heads, dim=-1), f"{name}.proj")

    grid = state["pos_embed"][0, 1:].T.reshape(1, DIM, 37, 37)
    grid = F.interpolate(grid, scale_factor=(2.1 / 37, 2.1 / 37), mode="bicubic")
    positions = torch.cat([state["pos_embed"][0, :1], grid[0].reshape(DIM, -1).T])
    kernel = state["patch_embed.proj.weight"].reshape(DIM, -1)
    found = []
    for image in x:
        patches = [image[:, 14 * i : 14 * i + 14, 14 * j : 14 * j + 14] for i, j in PLACES]
        tokens = torch.stack([kernel @ p.reshape(-1) for p in patches])
        tokens = tokens + state["patch_embed.proj.bias"]
        tokens = torch.cat([state["cls_token"][0], tokens]) + positions
        for i in range(depth):
            name = f"blocks.{i}"
            more = attended(normed(tokens, f"{name}.norm1"), f"{name}.attn")
            tokens = tokens + more * state[f"{name}.ls1.gamma"]
            wide = F.gelu(mapped(normed(tokens, f"{name}.norm2"), f"{name}.mlp.fc1"))
            tokens = tokens + mapped(wide, f"{name}.mlp.fc2") * state[f"{name}.ls2.gamma"]
        found.append(normed(tokens, "norm")[0])
    return torch.stack(found)


PLACES = [(i, j) for i in range(2) for j in range(2)]


def test_features_equal_the_formula_written_out(path, state, images):
    extractor = DINOv2(path, model="vits14", size=28)
    outputs = extractor(images)
    assert outputs.keys() == {"features"}
    x = (images.clamp(-1, 1) + 1) * 127.5
    x = F.interpolate(x.round(), (28, 28), mode="bicubic", align_corners=False, antialias=True)
    mean, std = ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])
    x = (x.clamp(0, 255) / 255 - torch.tensor(mean).view(3, 1, 1)) / torch.tensor(std).view(3, 1, 1)
    torch.testing.assert_close(outputs["features"], reference(state, x), rtol=1e-3, atol=1e-3)
    assert outputs["features"].std() > 0.1


def test_positions_of_the_trained_size_are_those_of_the_file():
    network = Network(64, 1)
    torch.nn.init.normal_(network.pos_embed)
    assert network.positions(37, 37) is network.pos_embed
    assert network.positions(16, 9).shape == (1, 1 + 144, 64)
    constant = torch.nn.init.ones_(network.pos_embed)
    torch.testing.assert_close(network.positions(16, 16), constant[:, :257])


def test_scores_of_classes_are_refused_before_anything_is_made(path):
    extractor = DINOv2(path, model="vits14")
    with pytest.raises(
        ValueError, match=r"metrics\.metrics\.is needs logits.*~metrics\.metrics\.is"
    ):
        Suite(extractor, {"is": InceptionScore()}, 10, 10)
    assert Suite(extractor, {"fid": FrechetDistance()}, 10, 10).extractor.feature_dim == DIM


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"model": "vitg14"}, r"features\.model=vitg14 should be one of vits14, vitb14, vitl14"),
        ({"size": 100}, r"features\.size=100 should be a multiple of 14"),
    ],
)
def test_what_cannot_be_is_refused_by_its_key(options, message):
    with pytest.raises(ValueError, match=message):
        DINOv2(**options)


def test_a_file_of_another_model_and_a_missing_one_are_named(path, tmp_path, own_cache):
    with pytest.raises(ValueError, match=r"'cls_token' in shape \(1, 1, 384\), not \(1, 1, 1024\)"):
        DINOv2(path).prepare()
    missing = rf"no weights at {own_cache}/dinov2_vitl14_pretrain\.pth"
    with pytest.raises(FileNotFoundError, match=missing):
        DINOv2().preflight()
    names = [DINOv2().name, DINOv2(model="vits14").name, DINOv2(select=[0]).name]
    assert names == ["dinov2", "dinov2_vits14", "dinov2_c0"]
