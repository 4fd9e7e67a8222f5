import genforce_networks as theirs
import pytest
import torch
from torch.nn import functional as F

from ganlab.networks.base import Condition
from ganlab.nn.style import truncate
from ganlab.runs.checkpoint_files import open_checkpoint
from ganlab.runs.recipes import rebuild_system

Z = torch.randn(4, 6, generator=torch.Generator().manual_seed(5))
LABEL = torch.tensor([0, 2, 1, 2])
TOLD = Condition(label=LABEL)
ONE_HOT = F.one_hot(LABEL, 3).float()


def system_of(tmp_path, content):
    path = tmp_path / "file.bin"
    torch.save(plain(content), path)
    return rebuild_system(open_checkpoint(path), [])


def plain(content):
    """Dicts and tensors in memory of their own, whatever kept them."""
    if isinstance(content, dict):
        return {key: plain(value) for key, value in content.items()}
    return content.clone() if isinstance(content, torch.Tensor) else content


def pair(generator, discriminator, **told):
    return {"generator_smooth": generator, "discriminator": discriminator, **told}


def assert_alike(ours, expected):
    """Within 1e-4 of the standard deviation."""
    assert ours.shape == expected.shape
    assert expected.std() > 0.01
    assert (ours - expected).abs().max() < 1e-4 * expected.std()


def images_of(resolution, n=4):
    """Noise of unlike strength, so that scores differ."""
    noise = torch.randn(n, 3, resolution, resolution, generator=torch.Generator().manual_seed(6))
    return noise * (torch.arange(n)[:, None, None, None] + 1)


@pytest.mark.parametrize("fused", [False, True])
@pytest.mark.parametrize("lod", [0.0, 1.0, 1.25])
@torch.no_grad()
def test_pggan_is_theirs(tmp_path, fused, lod):
    g = theirs.pggan_generator(fused=fused, lod=lod)
    d = theirs.pggan_discriminator(lod=lod)
    system = system_of(tmp_path, pair(g, d))
    assert_alike(system.generator_ema(Z), theirs.pggan_images(g, Z, fused=fused))
    for n in (4, 8):
        images = images_of(32, n)
        ours = system.discriminator(F.avg_pool2d(images, 2 ** int(lod)))
        assert_alike(ours, theirs.pggan_scores(d, images, fused)[:, 0])


@torch.no_grad()
def test_a_pggan_with_labels_tanh_and_without_deviation(tmp_path):
    g, d = theirs.pggan_generator(labels=3), theirs.pggan_discriminator(labels=3, group_size=0)
    system = system_of(tmp_path, pair(g, d, final_tanh=True))
    assert system.discriminator.num_levels == 4
    expected = theirs.pggan_images(g, Z, ONE_HOT, tanh=True)
    assert_alike(system.generator_ema(Z, TOLD), expected)
    images = images_of(32)
    assert_alike(system.discriminator.answers(images), theirs.pggan_scores(d, images, group_size=0))


@torch.no_grad()
def test_a_lone_generator_with_labels_is_told_their_number(tmp_path):
    g = theirs.pggan_generator(labels=3)
    system = system_of(tmp_path, {"generator": g, "num_labels": 3})
    assert (system.generator_ema.latent_dim, system.generator_ema.num_labels) == (6, 3)
    assert_alike(system.generator_ema(Z, TOLD), theirs.pggan_images(g, Z, ONE_HOT))


@pytest.mark.parametrize(("resolution", "fused"), [(64, 128), (128, 128), (128, 2**20), (32, 0)])
@torch.no_grad()
def test_stylegan_is_theirs_on_both_sides_of_fusing(tmp_path, resolution, fused):
    g = theirs.stylegan_generator(resolution, base=8 * resolution)
    d = theirs.stylegan_discriminator(resolution, base=8 * resolution)
    told = {128: {}, 2**20: {"fused_scale": False}, 0: {"fused_scale": True}}[fused]
    system = system_of(tmp_path, pair(g, d, **told))
    styles = theirs.stylegan_styles(g, Z)
    assert_alike(system.generator_ema.map(Z), styles)
    assert_alike(system.generator_ema(Z), theirs.stylegan_images(g, styles, fused))
    images = images_of(resolution)
    assert_alike(system.discriminator(images), theirs.stylegan_scores(d, images, fused=fused))


@pytest.mark.parametrize(
    "options",
    [
        {"labels": 3},
        {"repeat": False},
        {"const": False},
        {"per": "channel"},
        {"lod": 1.0},
        {"lod": 1.25},
        {"layers": 1, "hidden": 5},
    ],
    ids=str,
)
@torch.no_grad()
def test_stylegan_in_its_other_forms(tmp_path, options):
    g = theirs.stylegan_generator(**options)
    labels, lod = options.get("labels", 0), options.get("lod", 0.0)
    d = theirs.stylegan_discriminator(labels=labels, lod=lod)
    system = system_of(tmp_path, pair(g, d))
    told, label = (TOLD, ONE_HOT) if labels else (None, None)
    styles = theirs.stylegan_styles(g, Z, label)
    assert_alike(system.generator_ema(Z, told), theirs.stylegan_images(g, styles))
    images = images_of(32)
    ours = system.discriminator(F.avg_pool2d(images, 2 ** int(lod)), told)
    assert_alike(ours, theirs.stylegan_scores(d, images, label))


@pytest.mark.parametrize("repeat", [True, False])
@torch.no_grad()
def test_truncation_is_towards_their_average(tmp_path, repeat):
    g = theirs.stylegan_generator(repeat=repeat)
    generator = system_of(tmp_path, g).generator_ema
    styles, average = theirs.stylegan_styles(g, Z), g["truncation.w_avg"].view(1, -1, 5)
    expected = styles.clone()
    expected[:, :4] = (average + 0.7 * (styles - average))[:, :4]
    ours = truncate(generator.map(Z), generator.mean_style, 0.7, cutoff=4)
    torch.testing.assert_close(ours, expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("make", [theirs.pggan_generator, theirs.stylegan_generator])
@torch.no_grad()
def test_every_layout_of_a_file_is_the_same_network(tmp_path, make):
    g, other = make(), make(seed=9)
    wrapped = {f"module.{name}": value for name, value in g.items()}
    runner = {"models": {"generator": other, "generator_smooth": wrapped}, "running_metadata": {}}
    contents = [dict(g), {"generator": g}, {"generator_smooth": g, "generator": other}, runner]
    images = [system_of(tmp_path, content).generator_ema(Z) for content in contents]
    assert all(torch.equal(images[0], each) for each in images[1:])


def of_hammer(state):
    """The same numbers as Hammer keeps them: `noise_strength` in four dimensions, one filter."""
    named = {}
    top = sum(name.startswith("input") for name in state) // 2
    for name, value in state.items():
        if name.endswith("apply_noise.weight"):
            name = name.replace("apply_noise.weight", "noise_strength")
            value = value[None, None] if value.ndim == 2 else value[None, :, None, None]
        elif name.endswith("blur.kernel"):
            name, value = name.replace("blur.kernel", "filter"), value[:1]
        elif name.startswith(f"layer{2 * top}.") and top:
            name = name.replace(f"layer{2 * top}", "output")
        known = {"truncation.w_avg": "w_avg", "mapping.label_weight": "mapping.embedding"}
        named[known.get(name, name.replace("apply_noise.noise", "noise"))] = value
    return named


@pytest.mark.parametrize("options", [{}, {"labels": 3}, {"per": "channel"}, {"repeat": False}])
def test_hammers_stylegan_is_genforces_by_other_names(tmp_path, options):
    g = theirs.stylegan_generator(**options)
    d = theirs.stylegan_discriminator(labels=options.get("labels", 0))
    one = system_of(tmp_path, pair(g, d)).state_dict()
    other = system_of(tmp_path, {"models": pair(of_hammer(g), of_hammer(d))}).state_dict()
    assert one.keys() == other.keys()
    for name, value in one.items():
        assert value == other[name] if isinstance(value, dict) else torch.equal(value, other[name])


@torch.no_grad()
def test_hammers_files_say_what_no_tensor_does(tmp_path):
    g, d = theirs.pggan_generator(fused=True), theirs.pggan_discriminator()
    told = {"generator_smooth": {"fused_scale": True, "final_tanh": True}}
    told["discriminator"] = {"mbstd_groups": 2, "fused_scale": True}
    system = system_of(tmp_path, {"models": pair(g, of_hammer(d)), "model_kwargs_init": told})
    assert_alike(system.generator_ema(Z), theirs.pggan_images(g, Z, fused=True, tanh=True))
    images = images_of(32)
    expected = theirs.pggan_scores(d, images, True, group_size=2)[:, 0]
    assert_alike(system.discriminator(images), expected)


def spoilt(make, change):
    state = dict(make())
    change(state)
    return state


G, S = theirs.pggan_generator, theirs.stylegan_generator
WRONG = {
    "lacks layer3.bias": spoilt(G, lambda s: s.pop("layer3.bias")),
    r"layer2.weight in shape \[16, 7, 3, 3\]": spoilt(
        G, lambda s: s.update({"layer2.weight": torch.ones(16, 7, 3, 3)})
    ),
    "a tensor layer9.weight that": spoilt(G, lambda s: s.update({"layer9.weight": torch.ones(3)})),
    "lod of shape \\[3\\] is no number": spoilt(G, lambda s: s.update(lod=torch.ones(3))),
    "lod of shape \\[\\] is no number": spoilt(G, lambda s: s.update(lod=torch.tensor(1e99))),
    "lod is 9.0 and there are 4": spoilt(G, lambda s: s.update({"lod": torch.tensor(9.0)})),
    "holds generator.layer1.bias, which is no tensor": spoilt(
        G, lambda s: s.update({"layer1.bias": 1})
    ),
    "lacks layer4.weight": spoilt(G, lambda s: s.pop("layer4.weight")),
    "final_tanh=true, with which": {
        "generator": dict(theirs.stylegan_generator()),
        "final_tanh": 1,
    },
    "num_labels=many, which should be": {"generator": dict(G()), "num_labels": "many"},
    "the option tanh=0.5, which should": {"generator": dict(G()), "final_tanh": 0.5},
    "lacks truncation.w_avg": spoilt(S, lambda s: s.pop("truncation.w_avg")),
    "another filter in synthesis.layer2.blur.kernel": spoilt(
        S, lambda s: s["synthesis.layer2.blur.kernel"].mul_(1.1)
    ),
    "lacks synthesis.layer4.style.bias": spoilt(S, lambda s: s.pop("synthesis.layer4.style.bias")),
}


@pytest.mark.parametrize("message", WRONG)
def test_a_wrong_file_says_what_is_wrong(tmp_path, message):
    path = tmp_path / "wrong.pth"
    torch.save(WRONG[message], path)
    with pytest.raises(ValueError, match=message) as caught:
        open_checkpoint(path)
    assert str(path) in str(caught.value)
