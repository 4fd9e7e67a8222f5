"""Every study on small files of others: it answers, or says in one line why it cannot."""

import re

import numpy as np
import pytest
import stylegan2_files
import test_nvidia_stylegan3 as stylegan3_files
import torch
from genforce_networks import pggan_generator
from omegaconf import OmegaConf
from PIL import Image
from test_dcgan_files import ConditionalEyes
from test_foreign_evaluation import evaluated
from test_genforce_progressive import plain
from tutorial_networks import lively

from ganlab.cli import EXPECTED, conf_dir, one_line
from ganlab.runs.checkpoint_files import open_checkpoint

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("own_cache")]

STUDIES = {
    path.stem: OmegaConf.to_container(OmegaConf.load(path))
    for path in sorted((conf_dir() / "study").glob("[!_]*.yaml"))
}
SMALL = {  # what keeps a study small, by the names that studies have for it
    **dict.fromkeys(("num_latents", "num_samples", "num_images", "num_held_out"), 24),
    **dict.fromkeys(("num", "num_compared"), 6),
    **dict.fromkeys(("num_artifacts", "num_paths", "num_shown", "num_variants", "num_pairs"), 2),
    **dict.fromkeys(("num_real", "num_fake", "num_filters", "num_traced", "num_worst"), 2),
    "num_steps": 3,
    "candidates": "0:4",
    "moments": 2,
    "save_every": 24,
    "share": 0.5,
}


def stylegan2(folder):
    state, _ = stylegan2_files.nvidia_generator(labels=3)
    critic, _ = stylegan2_files.nvidia_discriminator(labels=3)
    later = "update_emas"
    networks = {
        "G_ema": stylegan2_files.persistent("Generator", state, {}, later),
        "D": stylegan2_files.persistent("Discriminator", critic, {}, later),
    }
    return stylegan2_files.write_nvidia(folder / "stylegan2.pkl", **networks)


def stylegan3(folder):
    network = stylegan3_files.generator(stylegan3_files.drawn())
    return stylegan3_files.written(folder / "stylegan3.pkl", {"G_ema": network})


def progan(folder):
    torch.save(plain({"generator_smooth": pggan_generator()}), folder / "progan.pth")
    return folder / "progan.pth"


def dcgan(folder):
    content = {"generator": lively(ConditionalEyes(5, 8)).state_dict(), "num_labels": 8}
    torch.save(content, folder / "dcgan.pth")
    return folder / "dcgan.pth"


FILES = {"stylegan2": stylegan2, "stylegan3": stylegan3, "progan": progan, "dcgan": dcgan}

PYRAMID = {"compose", "pyramid_levels", "relabel", "repaint", "unnatural"}
REALS = r"real images|needs features|study\.extractor needs features"  # and where to name them
NEEDS_REALS = {"scores", "spectrum", "real_or_fake", "nearest_neighbours"}
NEEDS_FEATURES = {"inception_select", "path_length", "projection"}
SCORED = [name for name, c in STUDIES.items() if c.get("suite") or c.get("extractor")]
CASES = [(study, False) for study in STUDIES] + [
    (study, True) for study in sorted({*SCORED, *NEEDS_REALS, *NEEDS_FEATURES})
]


def refusal(kind, study, with_reals):
    """What a study says that has nothing to look at here; None = it answers."""
    if study in PYRAMID:
        return "needs a checkpoint of model=semantic_pyramid" if with_reals else "model=|features"
    if study in ("style_mixing", "truncation") and kind in ("progan", "dcgan"):
        return f"study={study} needs a generator with styles"
    if study == "circular_artifacts" and kind in ("progan", "dcgan"):
        return "looked for in style layers, and .* has none"
    if study == "guided_backprop" and kind != "stylegan2":
        return "needs a discriminator, and this checkpoint holds none"
    if study == "timeline":
        return "lies in no run with saved grids; name their folder in study.grids, or checkpoints"
    return REALS if not with_reals and study in NEEDS_REALS | NEEDS_FEATURES else None


@pytest.fixture(scope="module", params=FILES)
def foreign(request, tmp_path_factory):
    return request.param, FILES[request.param](tmp_path_factory.mktemp(request.param))


def pictures(folder, side):
    """An image, and a mask of its middle."""
    pixels = np.random.default_rng(0).integers(0, 255, (side, side, 3)).astype(np.uint8)
    mask = np.zeros((side, side), np.uint8)
    mask[side // 4 : side // 2, side // 4 : side // 2] = 255
    for name, content in {"image": pixels, "mask": mask}.items():
        Image.fromarray(content).save(folder / f"{name}.png")
    return dict.fromkeys(("image", "object", "images"), folder / "image.png") | {
        "mask": folder / "mask.png"
    }


def words_of(study, ckpt, folder, with_reals):
    side = open_checkpoint(ckpt)["recipe"]["data"]["resolution"]
    given = SMALL | (pictures(folder, side) if study in PYRAMID else {})
    words = [f"study.{key}={value}" for key, value in given.items() if key in STUDIES[study]]
    if with_reals:
        words += ["data=synthetic", "data.num=100", f"data.resolution={side}", "data.channels=3"]
        words += ["features=classifier", "metrics.num_real=100", "metrics.num_fake=100"]
    few = {  # of which a distance of kernels is none
        "artifact_detection": ["study.suite.num_real=100", "study.num=12"],
        "sequential_ablation": ["study.num_artifacts=12"],
    }
    if study in few and with_reals:
        words += ["~metrics.metrics.kid", *few[study]]
    return [f"study={study}", *words]


@pytest.mark.parametrize(("study", "with_reals"), CASES)
def test_a_study_answers_or_says_why_not(foreign, study, with_reals, tmp_path):
    kind, ckpt = foreign
    words = words_of(study, ckpt, tmp_path, with_reals)
    if (said := refusal(kind, study, with_reals)) is not None:
        with pytest.raises(EXPECTED) as refused:
            evaluated(ckpt, tmp_path / "run", *words)
        line = one_line(refused.value)
        assert re.search(said, line), line
        assert "\n" not in line
        return
    assert evaluated(ckpt, tmp_path / "run", *words)["status"] == "done"
    left = {path.name for path in (tmp_path / "run").iterdir()}
    assert left & {"figures", "table.csv", "real_or_fake.html"}, left


@pytest.mark.parametrize("kind", ["stylegan2", "dcgan"])
@pytest.mark.parametrize("study", ["samples", "interpolation", "activation_rates", "projection"])
def test_a_class_can_be_told(kind, study, tmp_path):
    ckpt = FILES[kind](tmp_path)
    words = words_of(study, ckpt, tmp_path, with_reals=study == "projection")
    words = [*words, "study.form=npz"] if study == "samples" else words
    assert evaluated(ckpt, tmp_path / "run", *words, "study.label=2")["status"] == "done"
    if study == "samples":
        assert np.load(tmp_path / "run" / "samples.npz")["arr_1"].tolist() == [2] * SMALL["num"]


@pytest.mark.parametrize("kind", ["stylegan3", "progan"])
def test_a_class_of_an_unconditional_file_is_refused(kind, tmp_path):
    with pytest.raises(ValueError, match=r"study\.label=1: this .* is unconditional"):
        evaluated(FILES[kind](tmp_path), tmp_path / "run", "study=samples", "study.label=1")
