"""The explorer's pyramid paints what the pure functions of the studies paint."""

import shlex

import numpy as np
import pytest
import torch
from omegaconf import OmegaConf

from ganlab.app import pyramid as views
from ganlab.app.session import How
from ganlab.arguments import arrange, parse_override
from ganlab.cli import conf_dir
from ganlab.data.decode import Fitting
from ganlab.data.image_input import read_image, read_mask
from ganlab.report.images import cells
from ganlab.sampling import Sampler
from ganlab.studies.neurons.painted import Dab
from ganlab.studies.pyramid.edits import composition, paste_object, told_alike

DABS = [Dab(0.4, 0.5, 0.2)]
FITTING = Fitting(32, 1, enlarge=True)


def painted(view, count):
    """The lower row of a view: images of 32 px, each pixel once."""
    left = view.pixels.shape[1] - count * 130
    row = view.pixels[132:260:4, left:]
    return np.array([row[:, i * 130 : i * 130 + 128 : 4] for i in range(count)])


def images_of(session, told, count):
    return cells(Sampler(session.generator, condition_at=told_alike(told)).images(range(count)))


def options_of(view, study):
    """What a command says, after a check that there is all of it."""
    words = arrange(shlex.split(view.command)[2:], [])
    said = {word.partition("=")[0]: parse_override(word).value() for word in words}
    assert said.pop("study") == study
    assert said.pop("ckpt") == "pyramid.ckpt"
    config = OmegaConf.load(conf_dir() / "study" / f"{study}.yaml")
    found = {key.removeprefix("study."): value for key, value in said.items()}
    assert found.keys() <= config.keys()
    return found


def test_a_region_is_repainted_as_the_study_does(pyramid, photographs):
    view = views.repainted(pyramid, How(), photographs[0], DABS, "pool3", 4)
    said = options_of(view, "repaint")
    image = read_image(said["image"], FITTING)
    region = read_mask(said["mask"], said["image"], FITTING)
    assert torch.equal(region, views.region_of(pyramid, DABS))
    told = views.conditioner_of(pyramid).condition(image, "pool3", keep=1 - region)
    assert np.array_equal(painted(view, 4), images_of(pyramid, told, 4))


def test_an_object_is_composed_as_the_study_does(pyramid, photographs):
    where = photographs[0], photographs[1], DABS, (0.6, 0.3), 0.5
    view = views.composed(pyramid, How(), *where, "pool3", 3)
    said = options_of(view, "compose")
    background, source = (read_image(said[key], FITTING) for key in ("image", "object"))
    outline = read_mask(said["mask"], said["object"], FITTING)
    pasted, region = paste_object(background, source, outline, said["at"], said["scale"])
    told = composition(views.conditioner_of(pyramid), background, pasted, region, "pool3")
    assert np.array_equal(painted(view, 3), images_of(pyramid, told, 3))


def test_an_image_is_told_another_class(pyramid, photographs):
    view = views.relabelled(pyramid, How(), photographs[0], 7, "pool2", 3)
    said = options_of(view, "relabel")
    image, conditioner = read_image(said["image"], FITTING), views.conditioner_of(pyramid)
    told = conditioner.condition(image, "pool2", label=torch.tensor([7]))
    assert np.array_equal(painted(view, 3), images_of(pyramid, told, 3))
    assert pyramid.classes[7] in view.facts


def test_what_is_no_image_is_one_line(pyramid, tmp_path):
    (tmp_path / "none.png").write_bytes(b"nothing")
    for place, message in (
        (None, "no image yet"),
        (str(tmp_path / "none.png"), "image="),
        (str(tmp_path / "gone.png"), "gone.png"),
    ):
        with pytest.raises((ValueError, OSError), match=message) as error:
            views.repainted(pyramid, How(), place, DABS, "pool3", 2)
        assert "\n" not in str(error.value)


def test_other_generators_have_no_such_tab(dcgan):
    assert not views.is_pyramid(dcgan)
    with pytest.raises(ValueError, match="model=semantic_pyramid"):
        views.conditioner_of(dcgan)
