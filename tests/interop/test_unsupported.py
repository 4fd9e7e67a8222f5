import pytest
import torch
from torch import nn

from ganlab.runs.checkpoint_files import open_checkpoint

NAMES = {
    "pytorch_GAN_zoo's PGAN": [
        *("scaleLayers.0.0.module.weight", "scaleLayers.0.0.module.bias"),
        *("toRGBLayers.0.module.weight", "formatLayer.module.weight", "formatLayer.module.bias"),
        *("groupScale0.0.module.weight", "groupScale0.0.module.bias"),
    ],
    "rosinality's style-based-gan": [
        *("generator.progression.0.conv1.input", "generator.progression.1.conv2.conv.weight_orig"),
        *("generator.to_rgb.0.conv.weight_orig", "style.1.linear.weight_orig"),
    ],
    "rosinality's progressive-gan": [
        *("label_embed.weight", "progression.0.conv.0.conv.weight_orig", "to_rgb.0.conv.bias"),
    ],
}
WRAPPERS = {
    "bare": lambda state: state,
    "in a dict": lambda state: {"netG": state, "avgG": state},
    "by devices": lambda state: {"g_running": {f"module.{n}": v for n, v in state.items()}},
}


@pytest.mark.parametrize("title", NAMES)
@pytest.mark.parametrize("wrapper", WRAPPERS)
def test_what_is_not_built_is_named_with_what_differs_and_its_names(tmp_path, title, wrapper):
    state = {name: torch.ones(2) for name in NAMES[title]}
    path = tmp_path / "file.pt"
    torch.save(WRAPPERS[wrapper](state), path)
    with pytest.raises(ValueError, match="not built here") as caught:
        open_checkpoint(path)
    text = str(caught.value)
    assert f"ckpt={path} is {title}" in text
    assert NAMES[title][0] in text
    assert ("and 1 more" in text) == (len(NAMES[title]) == 7)
    assert "\n" not in text


class Whole(nn.Module):
    """A network pickled whole, as rosinality's progressive-gan is."""

    def __init__(self):
        super().__init__()
        self.label_embed = nn.Embedding(10, 10)
        self.progression = nn.ModuleList([nn.Conv2d(2, 2, 3)])
        self.to_rgb = nn.ModuleList([nn.Conv2d(2, 3, 1)])


def test_a_network_pickled_whole_is_known_as_well(tmp_path):
    torch.save(Whole(), tmp_path / "file.model")
    with pytest.raises(ValueError, match="rosinality's progressive-gan"):
        open_checkpoint(tmp_path / "file.model")
