"""A network of one's own as features: its class by `allow_targets`, its weights from a file."""

import pytest
import torch

from ganlab.config import ConfigError, build

OWN = '''
import torch
from torch import nn


class Network(nn.Module):
    """Means of channels, mapped; with a buffer that no file has."""

    def __init__(self, width=5, pair=False):
        super().__init__()
        self.linear, self.pair = nn.Linear(3, width), pair
        self.register_buffer("offset", torch.full((width,), 2.0), persistent=False)

    def forward(self, x):
        features = self.linear(x.mean((2, 3))) + self.offset
        return (features, features[:, :2]) if self.pair else features
'''
WEIGHT, BIAS = torch.arange(15.0).view(5, 3) / 10, torch.arange(5.0)


@pytest.fixture
def node(tmp_path, monkeypatch):
    """The config of `features=module` with a network of another package."""
    (tmp_path / "own_network.py").write_text(OWN)
    monkeypatch.syspath_prepend(tmp_path)
    torch.save({"linear.weight": WEIGHT, "linear.bias": BIAS}, tmp_path / "own.pth")
    return {
        "_target_": "ganlab.features.Module",
        "network": {"_target_": "own_network.Network", "_partial_": True},
        "weights": str(tmp_path / "own.pth"),
        "feature_dim": 5,
        "name": "own",
        "size": None,
    }


def images():
    return torch.rand(4, 3, 6, 8, generator=torch.Generator().manual_seed(0)) * 2 - 1


def expected():
    """Of the pixels on the 8-bit grid, in [0, 1]."""
    grid = ((images() + 1) * 127.5).round() / 255
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    return ((grid.mean((2, 3)) - mean) / std) @ WEIGHT.T + BIAS + 2


def made(node, **options):
    return build({**node, **options}, "features", ["own_network"])


def test_its_features_are_those_of_the_network_with_the_files_weights(node):
    before = torch.get_rng_state()
    extractor = made(node)
    outputs = extractor(images())
    assert torch.equal(torch.get_rng_state(), before)
    assert outputs.keys() == {"features"}
    torch.testing.assert_close(outputs["features"], expected(), rtol=1e-4, atol=1e-4)
    assert (extractor.name, len(extractor.sha256)) == ("own", 64)
    assert extractor.resize.startswith("none-mean-std-0.485")
    assert not any(parameter.requires_grad for parameter in extractor.parameters())


def test_logits_and_a_gradient_where_they_are_asked_for(node):
    pair = {**node["network"], "pair": True}
    extractor = made(node, network=pair, logits=True, size=4)
    outputs = extractor(images())
    assert torch.equal(outputs["logits"], outputs["features"][:, :2])
    leaf = images().requires_grad_()
    extractor.unrounded_features(leaf).sum().backward()
    assert leaf.grad.abs().sum() > 0


def test_a_class_of_a_package_that_is_not_allowed_is_refused(node):
    with pytest.raises(ConfigError, match="own_network"):
        build(node, "features", [])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"network": None}, r"features=module needs features\.network=\{_target_: <package>"),
        ({"weights": None}, r"features=module needs .*features\.weights=<file>"),
        ({"name": "my net"}, r"features\.name=my net should be letters"),
        ({"feature_dim": 0}, r"features\.feature_dim and size must be at least 1"),
        ({"channels": 1}, r"features\.mean and std must be 1 numbers each"),
        ({"std": [1.0, 1.0, 0.0]}, "std above 0"),
    ],
)
def test_what_cannot_be_is_refused_by_its_key(node, options, message):
    with pytest.raises(Exception, match=message):
        made(node, **options)


def test_a_file_or_a_number_that_does_not_fit_is_named(node, tmp_path):
    with pytest.raises(ValueError, match=r"features\.feature_dim=6: the network gives \(5,\)"):
        made(node, feature_dim=6)(images())
    torch.save({"linear.weight": WEIGHT}, tmp_path / "own.pth")
    with pytest.raises(ValueError, match=r"own\.pth .*has no tensor 'linear\.bias'"):
        made(node).prepare()
    torch.save(torch.nn.Linear(3, 5), tmp_path / "own.pth")
    with pytest.raises(ValueError, match="is not a file of plain tensors and was not opened"):
        made(node).prepare()
