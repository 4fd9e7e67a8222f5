"""Graphs of generators: any batch, equal to ganlab's images, or refused by name."""

import importlib.util
import json
import sys
from pathlib import Path

import pytest
import torch
from hydra import compose, initialize_config_dir
from omegaconf import open_dict

from ganlab import __version__
from ganlab.__main__ import export
from ganlab.cli import conf_dir
from ganlab.interop.foreign import with_prefix
from ganlab.run import build_system
from ganlab.runs.recipes import check_config
from ganlab.sampling import Sampler, has_styles

pytestmark = pytest.mark.usefixtures("own_cache")
MODELS = sorted(path.stem for path in (conf_dir() / "model").glob("[!_]*.yaml"))
REFUSED = {"semantic_pyramid": "is told what a classifier sees in real images"}
SMALL = {  # of what a model's generator has
    "width": 4,
    "max_width": 16,
    "latent_dim": 8,
    "style_dim": 8,
    "hidden": [16],
    "mapping_layers": 2,
    "num_layers": 5,
}
LABELLED = {"dcgan", "progan", "stylegan", "stylegan2", "stylegan3"}
LABELS = "model.conditioner={_target_: ganlab.systems.conditioning.Labels, num_labels: 3}"
needs_onnx = pytest.mark.skipif(
    importlib.util.find_spec("onnxruntime") is None or importlib.util.find_spec("onnx") is None,
    reason="onnx and onnxruntime are not installed (ganlab[onnx])",
)


def lively(network):
    """Random numbers wherever a fresh network has zeros or ones: every path counts."""
    torch.manual_seed(0)
    for name, value in network.state_dict().items():
        if name.endswith(("running_var", "mean_square")):
            value.uniform_(0.5, 2)
        elif isinstance(value, torch.Tensor) and value.is_floating_point():
            plain = (value == value.flatten()[0]).all()
            value += torch.randn_like(value) * 0.3 if plain else 0
    return network


def checkpoint(name, directory, labels=False):
    """A checkpoint of a small model as it begins, its averaged generator made lively."""
    with initialize_config_dir(str(conf_dir()), version_base="1.3"):
        words = [f"model={name}", "data=synthetic", "data.resolution=32", "callbacks=none"]
        config = compose("train", words)
        keys = [key for key in SMALL if key in config.model.generator]
        words += [f"model.generator.{key}={SMALL[key]}" for key in keys]
        if labels:
            words += ["++model.generator.num_labels=3"]
            words += [] if name == "stylegan3" else [LABELS]  # which is told by itself
        config = compose("train", words)
    with open_dict(config):
        config.run_dir = str(directory)
    system = build_system(check_config(config, "train"))
    state = system.state_dict()
    state |= with_prefix("generator_ema", lively(system.generator_ema).state_dict())
    path = directory / f"{name}.ckpt"
    kept = {"recipe": system.recipe, "images_seen": 0, "state_dict": state}
    torch.save(kept, path)
    return path, system


def exported(path, out, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["ganlab", f"ckpt={path}", f"out={out}"])
    export()
    return capsys.readouterr().out


def inputs(system, n):
    """Latents 5 to 5 + n of seed 0, what they are told, and half a truncation."""
    generator = system.generator_ema
    found = {"latents": Sampler(generator).latents(range(5, 5 + n))}
    if generator.num_labels:
        found["labels"] = torch.arange(5, 5 + n) % 3
    if has_styles(generator):
        found["truncation"] = torch.tensor(0.5)
    return found


def wanted(system, n):
    truncation = 0.5 if has_styles(system.generator_ema) else None
    return Sampler.of(system, truncation=truncation).images(range(5, 5 + n))


@pytest.mark.parametrize(
    "name",
    [pytest.param(each, marks=[] if each == "stylegan2" else pytest.mark.slow) for each in MODELS],
)
def test_a_program_paints_the_same_at_any_batch(name, tmp_path, monkeypatch, capsys):
    path, system = checkpoint(name, tmp_path, labels=name in LABELLED)
    out = tmp_path / "g.pt2"
    if name in REFUSED:
        with pytest.raises(ValueError, match=f"networks.{name} {REFUSED[name]}"):
            exported(path, out, monkeypatch, capsys)
        assert not out.exists()
        return
    said = exported(path, out, monkeypatch, capsys)
    assert "torch.export, latents" in said
    assert "above" not in said
    extra = {"about.json": ""}
    program = torch.export.load(out, extra_files=extra).module()
    kind = type(system.generator_ema).__module__
    assert json.loads(extra["about.json"])["generator"] == kind
    for n in (1, 3):
        images, expected = program(**inputs(system, n)), wanted(system, n)
        assert (images - expected).abs().max() <= 1e-4 * expected.std()
    assert [each.name for each in tmp_path.iterdir() if "tmp" in each.name] == []


@needs_onnx
@pytest.mark.parametrize(
    "name",
    [
        pytest.param(each, marks=[] if each == "dcgan" else pytest.mark.slow)
        for each in MODELS
        if each not in REFUSED
    ],
)
def test_a_graph_of_onnx_paints_the_same_at_any_batch(name, tmp_path, monkeypatch, capsys):
    import onnx
    import onnxruntime

    path, system = checkpoint(name, tmp_path, labels=name in LABELLED)
    out = tmp_path / "g.onnx"
    assert "above" not in exported(path, out, monkeypatch, capsys)
    graph = onnx.load(out)
    onnx.checker.check_model(graph)
    assert {each.key: each.value for each in graph.metadata_props}["ganlab"] == __version__
    session = onnxruntime.InferenceSession(out, providers=["CPUExecutionProvider"])
    assert [each.name for each in session.get_inputs()] == list(inputs(system, 1))
    for n in (1, 3):
        arrays = {key: value.numpy() for key, value in inputs(system, n).items()}
        images, expected = torch.from_numpy(session.run(["images"], arrays)[0]), wanted(system, n)
        assert (images - expected).abs().max() <= 1e-4 * expected.std()


def test_another_ending_and_missing_words_are_refused(tmp_path, monkeypatch, capsys):
    with pytest.raises(ValueError, match=r"should end in \.onnx or \.pt2"):
        exported("faces", tmp_path / "g.pt", monkeypatch, capsys)
    monkeypatch.setattr(sys, "argv", ["ganlab", "ckpt=faces"])
    with pytest.raises(ValueError, match="say where to"):
        export()


def test_without_the_libraries_the_error_installs_them(tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(ValueError, match=r"pip install 'ganlab\[onnx\]', or name a \.pt2"):
        exported("faces", tmp_path / "g.onnx", monkeypatch, capsys)


@needs_onnx
@pytest.mark.slow
def test_what_the_page_runs_in_onnxruntime_runs(tmp_path, monkeypatch, capsys):
    path, _ = checkpoint("stylegan2", tmp_path)
    exported(path, tmp_path / "g.onnx", monkeypatch, capsys)
    page = (Path(__file__).parents[2] / "docs" / "checkpoints.md").read_text()
    (lines,) = (part for part in page.split("```") if "onnxruntime.InferenceSession" in part)
    monkeypatch.chdir(tmp_path)
    found = {}
    exec(lines.removeprefix("python").replace("512", str(SMALL["latent_dim"])), found)
    assert found["images"].shape[::2] == (8, 32)
    assert found["images"].std() > 0.01
