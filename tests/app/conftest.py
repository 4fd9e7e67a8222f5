"""Generators to look into; no test of the explorer sees or fills the user's cache."""

import sys
from pathlib import Path

import pytest
import torch

for folder in ("app", "studies", "interop"):
    sys.path.insert(0, str(Path(__file__).parents[1] / folder))


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("GANLAB_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def dcgan(tmp_path):
    """A session of a DCGAN of 16 px, from a file."""
    from tutorial_networks import generator, lively, state

    from ganlab.app.session import Session

    network = lively(generator(nz=6, ngf=3, resolution=16))
    torch.save({"netG_state_dict": state(network)}, tmp_path / "dcgan.pth")
    return Session.open(str(tmp_path / "dcgan.pth"))


@pytest.fixture
def eyes(tmp_path):
    """A session of a DCGAN of 128 px that is told one of eight classes."""
    from test_dcgan_files import ConditionalEyes
    from tutorial_networks import lively

    from ganlab.app.session import Session

    content = {"generator": lively(ConditionalEyes(5, 8)).state_dict(), "num_labels": 8}
    torch.save(content, tmp_path / "eyes.pth")
    return Session.open(str(tmp_path / "eyes.pth"))


@pytest.fixture
def stylegan2(tmp_path):
    """A session of a StyleGAN2 of 16 px, from a file."""
    import stylegan2_files as files

    from ganlab.app.session import Session

    state, _ = files.nvidia_generator()
    path = tmp_path / "network-snapshot.pkl"
    files.write_nvidia(path, G_ema=files.persistent("Generator", state, {}))
    return Session.open(str(path))


@pytest.fixture
def pyramid(hydra_is_clean):
    """A session of a semantic pyramid of 32 px with random weights."""
    from ganlab.app.session import Session
    from ganlab.run import recipe

    small = [f"model.{network}.width=4" for network in ("generator", "discriminator")]
    system = recipe("semantic_pyramid", "data=fashion_mnist", "model/mirror=fashion", *small)
    system.eval().setup("test")
    return Session("pyramid.ckpt", system)


@pytest.fixture
def photographs(tmp_path):
    """Two images as files, other in size than the generator's."""
    import numpy as np
    from PIL import Image

    rng, places = np.random.default_rng(0), [tmp_path / "one.png", tmp_path / "other.png"]
    for place in places:
        pixels = rng.integers(0, 255, (8, 8, 3)).astype(np.uint8)
        Image.fromarray(pixels).resize((48, 40)).save(place)
    return [str(place) for place in places]
