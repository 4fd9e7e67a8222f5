"""A semantic pyramid that can be followed by hand: it paints each cell with the feature it is told.

Images of 8 px; `pool1` and `pool2` are means over 2x2 and 4x4 pixels, `fc7` the mean of the image,
`fc8` three logits that say how dark, middling or bright it is.
"""

from types import SimpleNamespace

import lightning
import torch
from copy_toys import Stored
from study_toys import System, trainer
from torch import nn
from torch.nn import functional as F

from ganlab.networks.base import Condition, Generator
from ganlab.nn.masks import level_masks
from ganlab.nn.randomness import truncated_normal
from ganlab.studies import Question, Study
from ganlab.systems.semantic import PyramidFeatures

STAGES = {"pool1": (1, 4, 4), "pool2": (1, 2, 2), "fc7": (1,), "fc8": (3,)}


class Teller(PyramidFeatures):
    """The conditioner: features of given images."""

    def __init__(self):
        self.names, self.extractor = tuple(STAGES), SimpleNamespace(class_names=())
        self.num_classes = 3
        self.asked = []  # (level, number of images), of every condition

    def features(self, images):
        grey = images.float().mean(1, keepdim=True)
        mean = grey.mean((2, 3))
        logits = torch.cat([-8 * mean, 0 * mean, 8 * mean], 1)
        pools = {f"pool{k}": F.avg_pool2d(grey, 2**k) for k in (1, 2)}
        return {**pools, "fc7": mean, "fc8": logits}

    def label(self, features):
        return features["fc8"].argmax(1)

    def condition(self, images, level, keep=None, label=None):
        self.asked.append((level, len(images)))
        features = self.features(images)
        label = self.label(features) if label is None else label
        masks = level_masks(STAGES, level, len(images), keep)
        return Condition(label=label, features=features, masks=masks)

    def at(self, indices):
        return Condition(label=torch.tensor(list(indices)) % 3)


class Mirror(Generator):
    """The latent's first number everywhere, then each stage told, coarse to fine, over it.

    A class shifts what no map says: dark, middling or bright by 0.1.
    """

    latent_dim, resolution, channels, num_classes, stages = 4, 8, 1, 3, STAGES
    truncates = True

    @property
    def layers(self):
        return {}

    def truncated(self, latents, threshold):
        return truncated_normal(latents, threshold)

    def forward(self, latents, condition=None):
        shift = 0.0 if condition.label is None else (condition.label[:, None, None, None] - 1) / 10
        image = (latents[:, :1, None, None] / 10 + shift).clamp(-1, 1).expand(-1, 1, 8, 8)
        for name in reversed(STAGES):
            if name in (condition.masks or {}):
                feature, mask = condition.features[name], condition.masks[name]
                if feature.ndim == 2:
                    mixed = feature.mean(1)[:, None, None, None].clamp(-1, 1) + image / 2
                    image = mixed if name == "fc7" else image
                else:
                    grown = (F.interpolate(each, (8, 8)) for each in (feature, mask))
                    feature, mask = grown
                    image = mask * feature + (1 - mask) * image
        return image


class Pyramid(System):
    """The system around the two."""

    def __init__(self):
        super().__init__(Mirror())
        self.conditioner = Teller()


class Blocks(Stored):
    """Images that are constant on 2x2 pixels, so that `pool1` says all of them."""

    name = "blocks"

    def __init__(self, num=40):
        super().__init__(num)
        rng = torch.Generator().manual_seed(1)
        small = torch.randint(0, 256, (num, 1, 4, 4), generator=rng, dtype=torch.uint8)
        self.dataset = small.repeat_interleave(2, 2).repeat_interleave(2, 3)


def run(study, data=None, system=None) -> lightning.LightningModule:
    system = system or Pyramid()
    study = Study(study) if isinstance(study, Question) else study
    trainer(study).test(system, datamodule=data or Blocks(), verbose=False)
    return system


class Linear(nn.Module):
    """An extractor whose features are the pixels and whose classes are those of `Teller`."""

    name, sha256, resize, feature_dim = "pixels8", "cd" * 32, "none", 64

    def __init__(self):
        super().__init__()
        self.register_buffer("anchor", torch.empty(0))

    def preflight(self): ...

    def prepare(self): ...

    def forward(self, images):
        return {"features": images.flatten(1), "logits": Teller().features(images)["fc8"]}
