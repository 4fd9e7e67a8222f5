"""Variables of TensorFlow's networks, made of genforce's states by the way back."""

import genforce_networks as theirs
import pytest
import stylegan2_files
import torch
from pickled import tensorflow_bytes
from torch.nn import functional as F

from ganlab.interop.foreign import ForeignFile
from ganlab.interop.nvidia_tensorflow import names, variables
from ganlab.networks.base import Condition
from ganlab.runs.checkpoint_files import open_checkpoint
from ganlab.runs.recipes import rebuild_system
from ganlab.storage.pickles import Record

Z = torch.randn(4, 6, generator=torch.Generator().manual_seed(5))
LABEL = torch.tensor([0, 2, 1, 2])
ONE_HOT = F.one_hot(LABEL, 3).float()


def axes(name, value):
    """In TensorFlow's order."""
    if name.endswith("weight") and value.ndim == 4:
        return value.permute(2, 3, 1, 0).contiguous()
    return value.T.contiguous() if name.endswith("weight") and value.ndim == 2 else value


def dense(weight):
    """A padded convolution (C, Z, 4, 4) as a dense layer (Z, 16 C)."""
    return weight.flip(2, 3).permute(1, 0, 2, 3).reshape(weight.shape[1], -1)


def pggan_variables(state, fused):
    top = sum(name.startswith("output") for name in state) // 2 - 1
    found = {"lod": state["lod"]}
    for b in range(top + 1):
        size, up = f"{4 * 2**b}x{4 * 2**b}", "Conv0_up" if fused else "Conv0"
        names = {f"layer{2 * b}": f"{size}/{up}" if b else f"{size}/Dense"}
        names[f"layer{2 * b + 1}"] = f"{size}/Conv1" if b else f"{size}/Conv"
        names[f"output{b}"] = f"ToRGB_lod{top - b}"
        for ours, name in names.items():
            weight = state[f"{ours}.weight"]
            plain = dense(weight) if name == "4x4/Dense" else axes("weight", weight)
            found[f"{name}/weight"], found[f"{name}/bias"] = plain, state[f"{ours}.bias"]
    return found


def discriminator_variables(state, fused=True):
    top = sum(name.startswith("input") for name in state) // 2 - 1
    found = {"lod": state["lod"]}
    for i in range(top + 1):
        size, down = (
            f"{4 * 2 ** (top - i)}x{4 * 2 ** (top - i)}",
            "Conv1_down" if fused else "Conv1",
        )
        names = {f"input{i}": f"FromRGB_lod{i}"}
        names[f"layer{2 * i}"] = f"{size}/Conv0" if i < top else f"{size}/Conv"
        names[f"layer{2 * i + 1}"] = f"{size}/{down}" if i < top else f"{size}/Dense0"
        if i == top:
            names[f"layer{2 * i + 2}"] = f"{size}/Dense1"
        for ours, name in names.items():
            found[f"{name}/weight"] = axes("weight", state[f"{ours}.weight"])
            found[f"{name}/bias"] = state[f"{ours}.bias"]
    return found


def stylegan_network(state):
    mapping, synthesis = {}, {"lod": state["synthesis.lod"]}
    top = sum(name.startswith("synthesis.output") for name in state) // 2 - 1
    for name, value in state.items():
        kind, _, rest = name.partition(".")
        layer, _, leaf = rest.partition(".")
        if kind == "mapping":
            known = {"label_weight": "LabelConcat/weight"}
            key = known.get(rest) or f"Dense{layer.removeprefix('dense')}/{leaf}"
            mapping[key] = value if rest in known else axes(leaf, value)
        elif layer.startswith("output"):
            synthesis[f"ToRGB_lod{top - int(layer[6:])}/{leaf}"] = axes(leaf, value)
        elif layer.startswith("layer") and not leaf.startswith("blur"):
            n, size = int(layer[5:]), 4 * 2 ** (int(layer[5:]) // 2)
            module = ("Conv1" if n > 1 else "Conv") if n % 2 else ("Conv0_up" if n else "Const")
            leaves = {"style.weight": "StyleMod/weight", "style.bias": "StyleMod/bias"}
            leaves["apply_noise.weight"] = "Noise/weight"
            key = f"{size}x{size}/{module}/{leaves.get(leaf, leaf)}"
            key = f"noise{n}" if leaf == "apply_noise.noise" else key
            synthesis[key] = value if "noise" in leaf else axes(leaf, value)
    parts = {"mapping": {"variables": mapping}, "synthesis": {"variables": synthesis}}
    return {"variables": {"dlatent_avg": state["truncation.w_avg"]}, "components": parts}


def system_of(tmp_path, networks, **options):
    path = tmp_path / "file.bin"
    path.write_bytes(tensorflow_bytes(networks, **options))
    found = open_checkpoint(path)
    return rebuild_system(found, []), found["recipe"]["source"]["format"]


def assert_alike(ours, expected):
    assert ours.shape == expected.shape
    assert expected.std() > 0.01
    assert (ours - expected).abs().max() < 1e-4 * expected.std()


def images_of(resolution):
    noise = torch.randn(4, 3, resolution, resolution, generator=torch.Generator().manual_seed(6))
    return noise * (torch.arange(4)[:, None, None, None] + 1)


@pytest.mark.parametrize("fused", [False, True])
@pytest.mark.parametrize(("where", "protocol"), [("tfutil", 2), ("dnnlib.tflib.network", 4)])
@torch.no_grad()
def test_progan(tmp_path, fused, where, protocol):
    g, d = theirs.pggan_generator(fused=fused), theirs.pggan_discriminator()
    other = pggan_variables(theirs.pggan_generator(fused=fused, seed=9), fused)
    critic = {"variables": discriminator_variables(d, fused)}
    networks = [{"variables": other}, critic, {"variables": pggan_variables(g, fused)}]
    system, title = system_of(tmp_path, networks, where=where, protocol=protocol)
    assert title == "NVIDIA's TensorFlow ProGAN"
    assert_alike(system.generator_ema(Z), theirs.pggan_images(g, Z, fused=fused))
    images = images_of(32)
    expected = theirs.pggan_scores(d, images, fused, group_size=4)[:, 0]
    assert_alike(system.discriminator(images), expected)


@pytest.mark.parametrize("labels", [0, 3])
@pytest.mark.parametrize("resolution", [32, 128])
@torch.no_grad()
def test_stylegan(tmp_path, labels, resolution):
    base = 8 * resolution
    g = theirs.stylegan_generator(resolution, labels=labels, base=base)
    d = theirs.stylegan_discriminator(resolution, labels=labels, base=base)
    network, critic = stylegan_network(g), {"variables": discriminator_variables(d)}
    system, title = system_of(tmp_path, [network, critic, network])
    assert title == "NVIDIA's TensorFlow StyleGAN"
    told, label = (Condition(label=LABEL), ONE_HOT) if labels else (None, None)
    styles = theirs.stylegan_styles(g, Z, label)
    assert_alike(system.generator_ema(Z, told), theirs.stylegan_images(g, styles))
    assert torch.equal(system.generator_ema.mean_style[0], g["truncation.w_avg"])
    images = images_of(resolution)
    assert_alike(system.discriminator(images, told), theirs.stylegan_scores(d, images, label))


def test_other_networks_of_tensorflow_are_named(tmp_path):
    empty = {"variables": {"conv/weight": torch.ones(3)}}
    with pytest.raises(ValueError, match="no ProGAN, StyleGAN or StyleGAN2"):
        system_of(tmp_path, [empty] * 3)


def test_labels_of_a_progan_are_refused(tmp_path):
    g, d = theirs.pggan_generator(labels=3), theirs.pggan_discriminator(labels=3)
    variables = {"variables": pggan_variables(g, False)}
    critic = {"variables": discriminator_variables(d, False)}
    with pytest.raises(ValueError, match="ProGAN with labels"):
        system_of(tmp_path, [variables, critic, variables])


def without(state, *names):
    return {name: value for name, value in state.items() if name not in names}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda g, d: (g, without(d, "4x4/Dense1/weight")), r"lacks the variable 4x4/Dense1/wei"),
        (lambda g, d: ([*g.items(), ("lod", g["lod"])], d), r"two variables called lod$"),
        (lambda g, d: (g | {"8x8/Conv0_up/bias": g["lod"]}, d), r"8x8/Conv0/bias and 8x8/Conv0_up"),
        (lambda g, d: (g | {"lod": "x"}, d), r"has lod, which is no array of numbers"),
        (lambda g, d: (g, d | {"8x8/Odd/weight": d["lod"]}), r"8x8/Odd/weight"),
        (lambda g, d: (g | {"4x4/Dense/weight": torch.ones(6, 5)}, d), r"no layer to maps of 4x4"),
    ],
    ids=["missing", "doubled", "doubled there", "text", "unknown", "shape"],
)
def test_variables_that_are_missing_unknown_or_doubled_are_named(tmp_path, change, message):
    g = pggan_variables(theirs.pggan_generator(), False)
    d = discriminator_variables(theirs.pggan_discriminator(), False)
    network, critic = ({"variables": each} for each in change(g, d))
    with pytest.raises(ValueError, match=message):
        system_of(tmp_path, [network, critic, network])


def test_two_components_that_give_one_name_are_named(tmp_path):
    inner = {"variables": {"a": torch.ones(1)}}
    outer = {"variables": {"mapping/a": torch.ones(1)}, "components": {"mapping": inner}}
    with pytest.raises(ValueError, match=r"has two variables called mapping/a$"):
        system_of(tmp_path, [outer] * 3)


def test_a_stylegan_without_its_coarsest_layers_is_told_so(tmp_path):
    network = stylegan_network(theirs.stylegan_generator(16))
    kept = network["components"]["synthesis"]["variables"]
    del kept["4x4/Const/StyleMod/weight"]
    critic = {"variables": discriminator_variables(theirs.stylegan_discriminator(16))}
    with pytest.raises(ValueError, match=r"lacks layers of the coarsest maps of NVIDIA's"):
        system_of(tmp_path, [network, critic, network])


def test_a_network_within_itself_has_an_end():
    network = Record("tfutil.Network", ())
    network.state = {"variables": [("a", 1.0), 3, ()], "components": {"b": network}}
    assert names(network) == ["a", "b/a", "b/b/a", "b/b/b/a", "b/b/b/b/a"]
    with pytest.raises(ValueError, match=r"ckpt=x has components within components: b/b/b/b/b/$"):
        variables(ForeignFile("x", None), network)


def stylegan2_network(state):
    mapping, synthesis = {}, {}
    leaves = {"style.weight": "mod_weight", "style.bias": "mod_bias"}
    for name, value in state.items():
        kind, _, rest = name.partition(".")
        layer, _, leaf = rest.partition(".")
        if kind == "mapping":
            known = {"label_weight": "LabelConcat/weight"}
            known |= {f"LabelEmbed.{each}": f"LabelEmbed/{each}" for each in ("weight", "bias")}
            key = known.get(rest) or f"Dense{layer.removeprefix('dense')}/{leaf}"
            mapping[key] = value if rest == "label_weight" else axes(leaf, value)
        elif layer == "early_layer":
            synthesis["4x4/Const/const"] = value
        elif layer.startswith("output"):
            size = 4 * 2 ** int(layer[6:])
            synthesis[f"{size}x{size}/ToRGB/{leaves.get(leaf, leaf)}"] = axes(leaf, value)
        elif layer.startswith("layer") and not leaf.startswith("filter"):
            n = int(layer[5:])
            size = 4 * 2 ** ((n + 1) // 2)
            module = ("Conv0_up" if n % 2 else "Conv1") if n else "Conv"
            key = f"{size}x{size}/{module}/{leaves.get(leaf, leaf)}"
            synthesis[f"noise{n}" if leaf == "noise" else key] = axes(leaf, value)
    parts = {"mapping": {"variables": mapping}, "synthesis": {"variables": synthesis}}
    return {"variables": {"dlatent_avg": state["truncation.w_avg"]}, "components": parts}


def stylegan2_variables(state, resolution=16):
    found, top = {}, resolution.bit_length() - 3
    for name, value in state.items():
        layer, _, leaf = name.partition(".")
        if leaf not in ("weight", "bias"):
            continue
        if layer == "LabelEmbed":
            found[f"{layer}/{leaf}"] = axes(leaf, value)
            continue
        n = int("".join(filter(str.isdigit, layer)))
        i = n if not layer.startswith("layer") else min(n // 2, top)
        size = f"{4 * 2 ** (top - i)}x{4 * 2 ** (top - i)}"
        module = {"input": "FromRGB", "skip_layer": "Skip"}.get(layer.rstrip("0123456789"))
        down, up = ("Dense0", "Conv") if i == top else ("Conv1_down", "Conv0")
        module = module or (down if n % 2 else up)
        key = "Output" if layer == f"layer{2 * top + 2}" else f"{size}/{module}"
        found[f"{key}/{leaf}"] = axes(leaf, value)
    return {"variables": found}


@pytest.mark.parametrize(("labels", "ada"), [(0, False), (3, False), (3, True)])
def test_stylegan2_is_genforces_under_other_names(tmp_path, labels, ada):
    """Whose images are compared with a second implementation where its reader is tested."""
    g, _ = stylegan2_files.genforce_generator(labels=labels, ada=ada)
    d, _ = stylegan2_files.genforce_discriminator(labels=labels, ada=ada)
    network = stylegan2_network(g)
    system, title = system_of(tmp_path, [network, stylegan2_variables(d), network])
    assert title == "NVIDIA's TensorFlow StyleGAN2"
    torch.save({"generator_smooth": g, "discriminator": d}, tmp_path / "file.pth")
    expected = rebuild_system(open_checkpoint(tmp_path / "file.pth"), []).state_dict()
    found = system.state_dict()
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[name], value) for name, value in expected.items())


def test_what_stylegan2_was_built_with_is_read(tmp_path):
    g, _ = stylegan2_files.genforce_generator()
    d, _ = stylegan2_files.genforce_discriminator()
    network = stylegan2_network(g) | {"static_kwargs": {"conv_clamp": 3, "mapping_lrmul": 0.02}}
    told = {"mbstd_group_size": None, "conv_clamp": 4, "resample_kernel": [1, 3, 3, 1]}
    critic = stylegan2_variables(d) | {"static_kwargs": told}
    path = tmp_path / "file.pkl"
    path.write_bytes(tensorflow_bytes([network, critic, network]))
    model = open_checkpoint(path)["recipe"]["model"]
    assert (model["generator"]["clamp"], model["discriminator"]["clamp"]) == (3, 4)
    assert model["generator"]["mapping_lr_multiplier"] == 0.02
    assert model["discriminator"]["group_size"] is None
    network["static_kwargs"]["nonlinearity"] = "relu"
    path.write_bytes(tensorflow_bytes([network, critic, network]))
    with pytest.raises(ValueError, match="nonlinearity='relu'; lrelu is built here"):
        open_checkpoint(path)
