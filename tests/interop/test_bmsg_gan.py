"""BMSG-GAN's files against its conventions, written out here."""

import pytest
import torch
from torch.nn import functional as F

from ganlab.runs.checkpoint_files import open_checkpoint
from ganlab.runs.recipes import rebuild_system

WIDE = [16, 16, 16, 16, 8]  # of a generator of 64 px, 4x4 first; a discriminator's blocks as well
Z = torch.randn(4, 16, generator=torch.Generator().manual_seed(5))


def both(state, name, rng, *shape, bias=None):
    state[f"{name}.weight"] = torch.randn(shape, generator=rng)
    state[f"{name}.bias"] = 0.3 * torch.randn(bias or shape[0], generator=rng)


def generator_state(seed=0):
    rng, state = torch.Generator().manual_seed(seed), {}
    for b, wide in enumerate(WIDE):
        before = WIDE[max(b - 1, 0)]
        shape = (wide, before, 3, 3) if b else (16, wide, 4, 4)  # the first: (in, out, 4, 4)
        both(state, f"layers.{b}.conv_1", rng, *shape, bias=wide)
        both(state, f"layers.{b}.conv_2", rng, wide, wide, 3, 3)
        both(state, f"rgb_converters.{b}", rng, 3, wide, 1, 1)
    return state


def discriminator_state(seed=1):
    """Block i takes maps of 8 * 2^i px: half of them from above, half made of the image."""
    rng, state, finest = torch.Generator().manual_seed(seed), {}, len(WIDE) - 2
    for i in range(finest + 1):
        wide = WIDE[i + 1]
        both(state, f"rgb_to_features.{i}", rng, wide if i == finest else wide // 2, 3, 1, 1)
        both(state, f"layers.{i}.conv_1", rng, wide, wide, 3, 3)
        both(state, f"layers.{i}.conv_2", rng, WIDE[i] // 2, wide, 3, 3)
    both(state, "final_converter", rng, WIDE[0] // 2, 3, 1, 1)
    both(state, "final_block.conv_1", rng, WIDE[0], WIDE[0] + 1, 3, 3)
    both(state, "final_block.conv_2", rng, WIDE[0], WIDE[0], 4, 4)
    both(state, "final_block.conv_3", rng, 1, WIDE[0], 1, 1)
    return state


def convolved(state, name, x, padding=0):
    """He's constant with a gain of sqrt(2), everywhere."""
    weight = state[f"{name}.weight"]
    weight = weight * (2 / weight[0].numel()) ** 0.5
    return F.conv2d(x, weight, state[f"{name}.bias"], padding=padding)


def normed(x):
    return x / (x.square().mean(dim=1, keepdim=True) + 1e-8).sqrt()


def images_of(state, z):
    x, images = z[:, :, None, None], []
    for b in range(len(WIDE)):
        if b == 0:  # neither the latent nor the first layer is normalized
            weight = state["layers.0.conv_1.weight"]
            weight = weight * (2 / weight.shape[0]) ** 0.5
            x = F.conv_transpose2d(x, weight, state["layers.0.conv_1.bias"])
            x = F.leaky_relu(x, 0.2)
        else:
            x = F.interpolate(x, scale_factor=2)
            x = normed(F.leaky_relu(convolved(state, f"layers.{b}.conv_1", x, 1), 0.2))
        x = normed(F.leaky_relu(convolved(state, f"layers.{b}.conv_2", x, 1), 0.2))
        images.append(convolved(state, f"rgb_converters.{b}", x))
    return images


def scores_of(state, images):
    x = None
    for i in range(len(WIDE) - 2, -1, -1):
        made = convolved(state, f"rgb_to_features.{i}", images[i + 1])
        x = made if x is None else torch.cat([made, x], dim=1)
        x = F.leaky_relu(convolved(state, f"layers.{i}.conv_1", x, 1), 0.2)
        x = F.avg_pool2d(F.leaky_relu(convolved(state, f"layers.{i}.conv_2", x, 1), 0.2), 2)
    x = torch.cat([convolved(state, "final_converter", images[0]), x], dim=1)
    deviation = ((x - x.mean(0)).square().mean(0) + 1e-8).sqrt().mean()  # of the whole batch
    x = torch.cat([x, deviation.expand(len(x), 1, 4, 4)], dim=1)
    x = F.leaky_relu(convolved(state, "final_block.conv_1", x, 1), 0.2)
    x = F.leaky_relu(convolved(state, "final_block.conv_2", x), 0.2)
    return convolved(state, "final_block.conv_3", x).flatten()


def system_of(tmp_path, content):
    path = tmp_path / "file.bin"
    torch.save(content, path)
    return rebuild_system(open_checkpoint(path), [])


def assert_alike(ours, expected):
    assert ours.shape == expected.shape
    assert (ours - expected).abs().max() < 1e-4 * expected.std()


@torch.no_grad()
def test_images_of_every_scale_and_scores_are_theirs(tmp_path):
    g, d = generator_state(), discriminator_state()
    system = system_of(tmp_path, {"generator": g, "discriminator": d})
    expected = images_of(g, Z)
    for ours, theirs in zip(system.generator_ema(Z), expected, strict=True):
        assert_alike(ours, theirs)
    for n in (2, 6):
        rng = torch.Generator().manual_seed(n)
        images = [torch.randn(n, 3, 4 * 2**b, 4 * 2**b, generator=rng) for b in range(len(WIDE))]
        assert_alike(system.discriminator(images), scores_of(d, images))


def wrapped(state, inner):
    """Of several devices: before every name, or within the lists of modules."""
    if not inner:
        return {f"module.{name}": value for name, value in state.items()}
    lists = ("layers.", "rgb_to_features.")
    parts = {name: name.split(".", 2) for name in state}
    return {
        ".".join([*parts[n][:2], "module", parts[n][2]]) if n.startswith(lists) else n: value
        for n, value in state.items()
    }


@torch.no_grad()
def test_wrappers_and_bare_files_change_nothing(tmp_path):
    g, d = generator_state(), discriminator_state()
    plain = system_of(tmp_path, {"generator": g, "discriminator": d})
    devices = {"GAN_GEN": generator_state(7), "GAN_GEN_SHADOW": wrapped(g, False)}
    other = system_of(tmp_path, {**devices, "GAN_DIS": wrapped(d, True)})
    bare = system_of(tmp_path, wrapped(g, False))
    for name, value in plain.generator_ema.state_dict().items():
        assert torch.equal(other.generator_ema.state_dict()[name], value)
        assert torch.equal(bare.generator_ema.state_dict()[name], value)
    for name, value in plain.discriminator.state_dict().items():
        assert torch.equal(other.discriminator.state_dict()[name], value)
    assert bare.discriminator is None


def spoilt(change):
    state = generator_state()
    change(state)
    return state


WRONG = {
    "lacks layers.2.conv_1.bias": spoilt(lambda s: s.pop("layers.2.conv_1.bias")),
    "lacks layers.1.conv_2.weight": spoilt(lambda s: s.pop("layers.1.conv_2.weight")),
    "a tensor layers.9.conv that": spoilt(lambda s: s.update({"layers.9.conv": torch.ones(3)})),
    "layers.1.conv_2.bias, which is no tensor": spoilt(
        lambda s: s.update({"layers.1.conv_2.bias": 1})
    ),
}


@pytest.mark.parametrize("message", WRONG)
def test_a_wrong_file_says_what_is_wrong(tmp_path, message):
    with pytest.raises(ValueError, match=message):
        system_of(tmp_path, WRONG[message])
