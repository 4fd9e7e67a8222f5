"""Scores of two sets of files are those that torch-fidelity has of the same features.

It needs torchvision, so it lives in an environment of its own, made once in the temporary folder:
5 GB on a machine with CUDA's libraries. GANLAB_FIDELITY names the Python of another that has it.
"""

import json
import os
import subprocess
import sys
import tempfile
import venv
from pathlib import Path

import composing
import numpy as np
import pytest
import torch
from PIL import Image

from ganlab.arguments import overlaid
from ganlab.data import fashion_mnist
from ganlab.features import Classifier
from ganlab.nn.randomness import keyed_generator
from ganlab.run import evaluate

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("own_cache")]
NUM = 500
NAMES = {  # ours of this protocol -> theirs
    f"fid{NUM}_full_classifier": "frechet_inception_distance",
    f"kid{NUM}_full_s{NUM}x1_classifier": "kernel_inception_distance_mean",
    f"precision{NUM}_full_k3_classifier": "precision",
    f"recall{NUM}_full_k3_classifier": "recall",
    f"is{NUM}_full_classifier": "inception_score_mean",
    f"is_std{NUM}_full_classifier": "inception_score_std",
}


@pytest.fixture(scope="module")
def theirs():
    """The Python of an environment with torch-fidelity."""
    if given := os.environ.get("GANLAB_FIDELITY"):
        return given
    kind = f"{sys.version_info.major}.{sys.version_info.minor}"
    home = Path(tempfile.gettempdir(), f"ganlab-torch-fidelity-{kind}")
    python, whole = home / "bin" / "python", home / "whole"
    if not whole.exists():
        venv.create(home, clear=True, with_pip=True)
        install = [python, "-m", "pip", "install", "-q", "torch-fidelity"]
        try:
            done = subprocess.run(install, capture_output=True, text=True, timeout=1800)
        except subprocess.TimeoutExpired:
            pytest.skip("torch-fidelity was not installed within half an hour")
        if done.returncode:
            pytest.skip(f"torch-fidelity cannot be installed: {done.stderr.strip()[-200:]}")
        whole.touch()
    return python


@pytest.fixture(scope="module")
def images():
    """Real and fake, (N, 32, 32) uint8: garments, and others of which half are smoothed."""
    data = fashion_mnist(resolution=32, channels=1, enlarge=True)
    data.prepare_data()
    data.setup()
    found = data.dataset.images(torch.arange(2 * NUM)).numpy()[:, 0]
    real, fake = found[:NUM], found[NUM:].copy()
    for k in range(0, NUM, 2):
        small = Image.fromarray(fake[k]).resize((12, 12), Image.Resampling.BOX)
        fake[k] = np.asarray(small.resize((32, 32), Image.Resampling.BILINEAR))
    return {"real": real, "fake": fake}


def outputs(images):
    """What the classifier says of them, float64."""
    with torch.no_grad():
        found = Classifier().eval()(torch.from_numpy(images)[:, None].float() / 127.5 - 1)
    return {name: each.double() for name, each in found.items()}


def test_scores_of_files_are_torch_fidelitys_of_the_same_features(theirs, images, tmp_path):
    for name, each in images.items():
        (tmp_path / name).mkdir()
        for k, pixels in enumerate(each):
            Image.fromarray(pixels).save(tmp_path / name / f"{k:04}.png")
    words = [f"fake={tmp_path / 'fake'}", "data=folder", f"data.path={tmp_path / 'real'}"]
    words += ["data.resolution=32", "data.channels=1", "features=classifier"]
    words += [f"metrics.metrics.kid.subset_size={NUM}", "metrics.metrics.kid.num_subsets=1"]
    result = evaluate(composing.composed("evaluate", overlaid(words), tmp_path / "run"))
    ours = {record["metric"]: record["value"] for record in result["scores"]}
    real, fake = (outputs(images[name]) for name in ("real", "fake"))
    # Splits are of the order in which ours are shuffled.
    order = torch.randperm(NUM, generator=keyed_generator("inception score"))
    features = tmp_path / "features.npz"
    np.savez(features, real=real["features"], fake=fake["features"], logits=fake["logits"][order])
    script = Path(__file__).with_name("fidelity_oracle.py")
    done = subprocess.run([theirs, script, features], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    expected = json.loads(done.stdout)
    assert 0 < expected["precision"] < 1
    assert 0 < expected["recall"] < 1
    for name, each in NAMES.items():
        assert ours[name] == pytest.approx(expected[each], rel=1e-6), name
