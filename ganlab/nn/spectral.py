"""Spectral normalization of a layer's weight (Miyato et al., arXiv:1802.05957)."""

from typing import Any

from torch import nn
from torch.nn.utils import parametrizations


def spectral_norm(layer: Any) -> nn.Module:
    """The layer with a weight of unit spectral norm.

    On the meta device the layer as it is: iterations on numbers that are not there would take
    seconds, and what is asked there is how large things are.
    """
    found: nn.Module = layer if layer.weight.is_meta else parametrizations.spectral_norm(layer)
    return found
