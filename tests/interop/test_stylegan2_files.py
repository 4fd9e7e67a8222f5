"""StyleGAN2 files of other projects: images and scores are those of the plainest implementation."""

import argparse

import pytest
import stylegan2_files as files
import stylegan2_oracle as oracle
import torch

from ganlab.interop import (
    genforce_stylegan2,
    nvidia_stylegan2,
    rosinality_stylegan2,
)
from ganlab.interop.stylegan2 import export_state
from ganlab.networks.base import Condition
from ganlab.nn.style import truncate
from ganlab.runs.checkpoint_files import open_checkpoint
from ganlab.runs.recipes import rebuild_system

N = 8
LATER = "def forward(self, update_emas=False)"  # in the source of NVIDIA's later code


def opened(path):
    return rebuild_system(open_checkpoint(path), [])


def told(labels):
    """A condition and its one-hot rows, every class in turn."""
    if not labels:
        return None, None
    label = torch.arange(N) % labels
    return Condition(label=label), torch.eye(labels)[label]


def close(found, expected):
    assert expected.std() > 0.005
    rounding = 4e-6 * expected.abs().max()  # of scores that a clamp brings together
    assert (found - expected).abs().max() < max(1e-4 * expected.std(), rounding)


def latents(width=files.Z):
    return torch.randn(N, width, generator=torch.Generator().manual_seed(9))


def rows(style, net):
    number = sum(key[0] == "conv" for key in net if isinstance(key, tuple))
    return style[:, None].expand(-1, number + 1, -1)


@torch.no_grad()
def compare_images(system, net, style, condition, z, architecture="skip", clamp=None):
    generator, styles = system.generator_ema, rows(style, net)
    mapped = generator.map(z, condition)
    close(mapped, styles)
    close(generator.synthesize(mapped, "const"), oracle.images(net, styles, architecture, clamp))
    if "mean" in net:
        drawn = net["mean"] + 0.7 * (styles - net["mean"])
        painted = generator.synthesize(truncate(mapped, generator.mean_style, 0.7), "const")
        close(painted, oracle.images(net, drawn, architecture, clamp))
    quiet = dict(net)
    for key, layer in net.items():
        if key[0] == "conv":
            quiet[key] = layer._replace(strength=torch.zeros(()))
    close(generator.synthesize(mapped, "none"), oracle.images(quiet, styles, architecture, clamp))


@torch.no_grad()
def compare_scores(system, net, condition, answered, resolution=16, **options):
    """In batches of 4 and 8: two groups or one, of samples that lie apart."""
    x = torch.randn(N, files.COLOURS, resolution, resolution)
    x = x * torch.linspace(0.2, 3, N)[:, None, None, None]
    for number in (4, 8):
        part = None if condition is None else Condition(label=condition.label[:number])
        expected = answered(oracle.features(net, x[:number], **options), number)
        close(system.discriminator(x[:number], part), expected)


def alone(x, _):
    return x[:, 0]


def nvidia_style(net, z, rows_of_labels):
    parts = [oracle.normalized(z)]
    if rows_of_labels is not None:
        parts.append(oracle.normalized(oracle.dense(rows_of_labels, net["embed"])))
    return oracle.mapped(net["mapping"], torch.cat(parts, dim=1))


NVIDIA = {
    "two layers": ({}, {}),
    "eight layers": ({"layers": 8}, {}),
    "labels": ({"labels": 3, "hidden": 7, "layers": 3}, {"labels": 3}),
    "orig": ({"architecture": "orig"}, {"architecture": "orig"}),
    "skip": ({}, {"architecture": "skip", "channels": 2}),
    "resnet": ({"architecture": "resnet"}, {}),
    "without noise": ({"noise": False}, {"channels": 0}),
    "four pixels": ({"resolution": 4}, None),
    "32 pixels": ({"resolution": 32}, {"resolution": 32}),
}


CASES = [(name, True, 2.0) for name in NVIDIA]
CASES += [("labels", False, None), ("skip", False, 2.0), ("resnet", True, None)]
OTHERS = [(name, False, None) for name in NVIDIA if name != "labels"]
CASES += [pytest.param(*case, marks=pytest.mark.slow) for case in OTHERS]


@pytest.mark.parametrize(("name", "later", "clamp"), CASES)
def test_nvidias(tmp_path, name, later, clamp):
    given, critic_given = NVIDIA[name]
    state, net = files.nvidia_generator(**given)
    synthesis = {"architecture": given.get("architecture", "skip"), "num_fp16_res": 0}
    clamped = {} if clamp is None else {"conv_clamp": clamp}
    options = {"z_dim": files.Z, "mapping_kwargs": {"num_layers": given.get("layers", 2)}}
    options |= synthesis | clamped if later else {"synthesis_kwargs": synthesis | clamped}
    source = LATER if later else ""
    networks = {"G": None, "G_ema": files.persistent("Generator", state, options, source)}
    if critic_given is not None:
        critic, critic_net = files.nvidia_discriminator(**critic_given)
        options = {"architecture": critic_given.get("architecture", "resnet")} | clamped
        options["epilogue_kwargs"] = {"mbstd_num_channels": critic_given.get("channels", 1)}
        options["block_kwargs"] = {"freeze_layers": 2}
        frozen = {"b16.conv0.weight", "b16.conv0.bias"}
        networks["D"] = files.persistent("Discriminator", critic, options, source, frozen)
    system = opened(files.write_nvidia(tmp_path / "file", **networks))
    acts = clamp if clamp is not None else 256 if later else None
    condition, label_rows = told(given.get("labels", 0))
    z = latents()
    style = nvidia_style(net, z, label_rows)
    architecture = given.get("architecture", "skip")
    compare_images(system, net, style, condition, z, architecture, acts)
    if critic_given is None:
        assert system.discriminator is None
        return

    def answered(x, number):
        if label_rows is None:
            return x[:, 0]
        embedded = oracle.normalized(oracle.dense(label_rows[:number], critic_net["embed"]))
        return (x * oracle.mapped(critic_net["mapping"], embedded)).sum(1) / x.shape[1] ** 0.5

    options = {"channels": critic_given.get("channels", 1), "clamp": acts}
    options["architecture"] = critic_given.get("architecture", "resnet")
    resolution = critic_given.get("resolution", 16)
    compare_scores(system, critic_net, condition, answered, resolution, **options)


@pytest.mark.parametrize("kind", ["converted", "trained", "older", "wrapped", "bare"])
def test_rosinalitys(tmp_path, kind):
    state, net = files.rosinality_generator()
    critic, critic_net = files.rosinality_discriminator()
    content = {"g_ema": state, "d": critic}
    if kind == "converted":
        content["latent_avg"] = net["mean"] = torch.randn(files.W)
    if kind == "trained":
        content |= {"g": state, "args": argparse.Namespace(size=16), "g_optim": {"state": {}}}
    if kind == "older":
        content["g_ema"] = {k: v for k, v in state.items() if not k.startswith("noises.")}
    if kind == "wrapped":
        content = {k: {f"module.{n}": v for n, v in part.items()} for k, part in content.items()}
    torch.save(state if kind == "bare" else content, tmp_path / "file")
    system = opened(tmp_path / "file")
    z = latents(files.W)
    style = oracle.mapped(net["mapping"], oracle.normalized(z))
    if kind == "older":  # noise of that project is drawn for each image; a fixed plane is made here
        for key, conv in zip(
            sorted(key for key in net if key[0] == "conv"),
            system.generator_ema.styled_convs().values(),
            strict=True,
        ):
            net[key] = net[key]._replace(noise=conv.noise_const)
    compare_images(system, net, style, None, z)
    if kind != "converted":
        many = oracle.mapped(net["mapping"], oracle.normalized(torch.randn(20_000, files.W)))
        spread = many.std(dim=0).max()
        assert (system.generator_ema.mean_style - many.mean(dim=0)).abs().max() < 0.1 * spread
    if kind == "bare":
        assert system.discriminator is None
    else:
        compare_scores(system, critic_net, None, alone)


PROJECTS = {"genforce": {}, "ada": {"ada": True}, "hammer": {"hammer": True}}


@pytest.mark.parametrize("project", PROJECTS)
@pytest.mark.parametrize("labels", [0, 3])
@pytest.mark.parametrize("layout", ["zoo", "run", "bare"])
def test_genforces(tmp_path, project, labels, layout):
    apart = project != "genforce"  # labels are embedded, and normalized by themselves
    state, net = files.genforce_generator(labels=labels, **PROJECTS[project])
    critic, critic_net = files.genforce_discriminator(labels=labels, **PROJECTS[project])
    content = {"generator": state, "generator_smooth": state, "discriminator": critic}
    if layout == "run":
        models = {k: {f"module.{n}": v for n, v in part.items()} for k, part in content.items()}
        content = {"models": models, "optimizers": {}, "running_metadata": {"iter": 5}}
    torch.save(state if layout == "bare" else content, tmp_path / "file")
    system = opened(tmp_path / "file")
    condition, label_rows = told(labels)
    z = latents()
    if apart:
        style = nvidia_style(net, z, label_rows)
    else:
        whole = z if label_rows is None else torch.cat([z, label_rows @ net["rows"]], dim=1)
        style = oracle.mapped(net["mapping"], oracle.normalized(whole))
    compare_images(system, net, style, condition, z)

    def answered(x, number):
        if label_rows is None:
            return x[:, 0]
        if not apart:
            return (x * label_rows[:number]).sum(1)
        embedded = oracle.normalized(oracle.dense(label_rows[:number], critic_net["embed"]))
        return (x * embedded).sum(1) / x.shape[1] ** 0.5

    if layout != "bare":
        compare_scores(system, critic_net, condition, answered)


def hammers(arguments, critic_arguments, architecture="resnet"):
    """A file of Hammer's, its tensors by place, and what its networks were built with."""
    state, net = files.genforce_generator(hammer=True)
    critic, critic_net = files.genforce_discriminator(hammer=True, architecture=architecture)
    content = {
        "models": {"generator_smooth": state, "discriminator": critic},
        "model_kwargs_init": {"generator_smooth": arguments, "discriminator": critic_arguments},
    }
    return content, net, critic_net


def test_hammers_files_say_what_no_tensor_does(tmp_path):
    told = {"conv_clamp": 0.7, "filter_kernel": (1, 3, 3, 1), "mapping_lr_mul": 0.02}
    content, net, critic_net = hammers(told, {"conv_clamp": 0.5, "mbstd_groups": 2})
    net["mapping"] = [layer._replace(speed=0.02) for layer in net["mapping"]]
    torch.save(content, tmp_path / "file")
    system = opened(tmp_path / "file")
    z = latents()
    style = oracle.mapped(net["mapping"], oracle.normalized(z))
    compare_images(system, net, style, None, z, clamp=0.7)
    compare_scores(system, critic_net, None, alone, clamp=0.5, group=2)


@pytest.mark.parametrize(
    "told", [{"final_tanh": True}, {"noise_type": "channel"}, {"conv_clamp": "all"}], ids=str
)
def test_an_argument_of_hammers_that_is_not_built_here_is_named(tmp_path, told):
    ((name, value),) = told.items()
    torch.save(hammers(told, {})[0], tmp_path / "file")
    theirs = {"conv_clamp": "clamp=all, which should be"}.get(name, f"{name}={value};")
    with pytest.raises(ValueError, match=theirs):
        open_checkpoint(tmp_path / "file")


def test_a_discriminator_of_hammers_that_clamps_its_smallest_image_is_left_out(tmp_path):
    told = {"architecture": "skip", "conv_clamp": 256}
    torch.save(hammers({}, told, "skip")[0], tmp_path / "file")
    found = open_checkpoint(tmp_path / "file")["recipe"]
    assert found["model"]["discriminator"] is None
    assert "image at 4x4 is clamped" in found["source"]["left_out"]


@pytest.mark.parametrize("architecture", ["orig", "skip", "resnet"])
def test_genforces_other_architectures(tmp_path, architecture):
    hammer = architecture == "resnet"  # in genforce's that one overwrites its own layers
    state, net = files.genforce_generator(hammer=hammer, architecture=architecture)
    critic, critic_net = files.genforce_discriminator(hammer=hammer, architecture=architecture)
    torch.save({"generator_smooth": state, "discriminator": critic}, tmp_path / "file")
    system = opened(tmp_path / "file")
    z = latents()
    style = oracle.mapped(net["mapping"], oracle.normalized(z))
    compare_images(system, net, style, None, z, architecture)
    options = {"architecture": architecture, "clamp_last": True}
    compare_scores(system, critic_net, None, alone, **options)


def test_soft_labels_and_none_are_taken(tmp_path):
    state, net = files.nvidia_generator(labels=3)
    critic, _ = files.nvidia_discriminator(labels=3)
    networks = {"G_ema": files.persistent("Generator", state, {}, LATER)}
    networks["D"] = files.persistent("Discriminator", critic, {}, LATER)
    system = opened(files.write_nvidia(tmp_path / "file", **networks))
    soft = torch.tensor([[0.0, 0, 0], [0.2, 0.3, 0.5]]).repeat(N // 2, 1)
    z = latents()
    style = nvidia_style(net, z, soft)
    close(system.generator_ema.map(z, Condition(label=soft)), rows(style, net))
    assert torch.isfinite(
        system.discriminator(torch.randn(4, 3, 16, 16), Condition(soft[:4]))
    ).all()


def plain(path, network):
    checkpoint = open_checkpoint(path)
    model = checkpoint["recipe"]["model"]
    prefix = "generator_ema." if network == "generator" else "discriminator."
    weights = {
        name.removeprefix(prefix): value
        for name, value in checkpoint["state_dict"].items()
        if name.startswith(prefix)
    }
    return model[network], weights


def test_round_trips_are_exact_and_genforces_within_a_rounding(tmp_path):
    built = {
        "nvidia": (files.nvidia_generator(labels=3), files.nvidia_discriminator(labels=3)),
        "rosinality": (files.rosinality_generator(), files.rosinality_discriminator()),
        "genforce": (
            files.genforce_generator(labels=3),
            files.genforce_discriminator(labels=3),
        ),
        "hammer": (
            files.genforce_generator(hammer=True),
            files.genforce_discriminator(hammer=True),
        ),
    }
    dialects = {
        "nvidia": nvidia_stylegan2.DIALECT,
        "rosinality": rosinality_stylegan2.DIALECT,
        "genforce": genforce_stylegan2.DIALECTS[genforce_stylegan2.TITLE],
        "hammer": genforce_stylegan2.DIALECTS[genforce_stylegan2.HAMMER],
    }
    for name, ((state, _), (critic, _)) in built.items():
        path = tmp_path / name
        if name == "nvidia":
            g, d = (files.persistent("N", each, {}, LATER) for each in (state, critic))
            files.write_nvidia(path, G_ema=g, D=d)
        elif name == "rosinality":
            state["latent_avg"] = torch.randn(files.W)
            g = {k: v for k, v in state.items() if k != "latent_avg"}
            torch.save({"g_ema": g, "d": critic, "latent_avg": state["latent_avg"]}, path)
        else:
            torch.save({"generator_smooth": state, "discriminator": critic}, path)
        for network, original in (("generator", state), ("discriminator", critic)):
            back = export_state(dialects[name], network, *plain(path, network))
            assert back.keys() == original.keys()
            for key, value in original.items():
                if name == "genforce" and key.endswith("style.bias"):
                    torch.testing.assert_close(back[key], value, rtol=0, atol=2**-22)
                else:
                    assert torch.equal(back[key], value), (name, key)


def test_what_does_not_fit_is_named(tmp_path):
    path = tmp_path / "file"

    def refused(message, **changes):
        state, _ = files.rosinality_generator()
        for key, value in changes.items():
            key = key.replace("__", ".")
            if value is None:
                del state[key]
            else:
                state[key] = value
        torch.save({"g_ema": state}, path)
        with pytest.raises(ValueError, match=message):
            open_checkpoint(path)

    refused(r"lacks g_ema\.convs\.1\.activate\.bias", convs__1__activate__bias=None)
    refused(r"another filter in g_ema\.convs\.0", convs__0__conv__blur__kernel=torch.ones(4, 4))
    refused(r"has a tensor g_ema\.extra\.weight", extra__weight=torch.ones(2))
    refused(r"g_ema a network that is not built", convs__1__conv__weight=torch.ones(1, 0, 10, 3, 3))
    refused(
        r"g_ema\.convs\.1\.noise\.weight in shape \[2\].* ask for \[1\]",
        convs__1__noise__weight=torch.ones(2),
    )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"activation": "relu"}, "activation='relu'"),
        ({"kernel_size": 5}, "the option kernel_size"),
        ({"conv_clamp": "much"}, "the option clamp=much, which should be"),
        ({"conv_clamp": -1}, "the option clamp=-1, which should be at least 1e-06"),
        ({"resample_filter": [1] * 50_000}, "the option taps=.*a list of at most 64"),
        ({"resample_filter": 4}, "the option taps=4, which should be"),
    ],
)
def test_options_that_are_not_built_here_are_named(tmp_path, options, message):
    state, _ = files.nvidia_generator()
    network = files.persistent("Generator", state, {"synthesis_kwargs": options})
    with pytest.raises(ValueError, match=message):
        open_checkpoint(files.write_nvidia(tmp_path / "file", G_ema=network))


def test_weights_that_are_no_numbers_are_said(tmp_path, capsys):
    state, _ = files.rosinality_generator()
    state["convs.0.activate.bias"][1] = torch.nan
    torch.save({"g_ema": state}, tmp_path / "file")
    open_checkpoint(tmp_path / "file")
    said = capsys.readouterr().err
    assert "NaN or infinite numbers in generator_ema.blocks.8x8.convs.0.bias" in said


def test_pickles_that_would_run_code_are_refused_with_what_they_name(tmp_path):
    (tmp_path / "file").write_bytes(b"\x80\x02cos\nsystem\nX\x04\x00\x00\x00true\x85R.")
    with pytest.raises(ValueError, match=r"not opened for safety: it names os\.system"):
        open_checkpoint(tmp_path / "file")
