"""Makes `tutorial_networks` importable, and keeps every test away from the user's cache."""

import sys
from pathlib import Path

import pytest
import torch

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[1] / "storage")]


@pytest.fixture
def tiny(tmp_path):
    """A checkpoint in the tutorial's layout, and the network it holds."""
    from tutorial_networks import generator, lively, state

    network = lively(generator(nz=6, ngf=2))
    path = tmp_path / "tiny.pth"
    torch.save({"netG_state_dict": state(network)}, path)
    return path, network
