"""The embedded VGG-shaped classifier: what it knows, its stages, its own input."""

import pytest
import torch
import torch.nn.functional as F

import ganlab.features.fashion_vgg as module
from ganlab.data.idx import GARMENTS
from ganlab.features import FashionVGG
from ganlab.features.weights import sha256_of


@pytest.fixture(scope="module")
def classifier():
    extractor = FashionVGG()
    extractor.preflight()
    extractor.prepare()
    return extractor


def accuracy(classifier, images, labels):
    guesses = [classifier(batch)["logits"].argmax(1) for batch in images.split(500)]
    return (torch.cat(guesses) == labels).float().mean().item()


def test_the_stated_accuracy_is_reached_on_the_10000_held_out_images(classifier, held_out):
    assert len(held_out[1]) == 10_000
    found = accuracy(classifier, *held_out)
    assert f"{100 * found:.1f}%" in module.__doc__
    assert found > 0.90
    assert list(classifier.class_names) == list(GARMENTS)


def test_a_larger_input_is_recognised_too(held_out):
    """Images of twice the size with stages of twice the size: what a 64 px pyramid mirrors."""
    images, labels = held_out[0][:500], held_out[1][:500]
    large = F.interpolate(images, (64, 64), mode="bilinear", antialias=True)
    assert accuracy(FashionVGG(size=64), large, labels) > 0.3
    assert accuracy(FashionVGG(), large, labels) > 0.85


def test_the_file_is_small_plain_and_the_one_named():
    assert module.EMBEDDED.stat().st_size < 2_000_000
    assert sha256_of(module.EMBEDDED) == module.SHA256 == FashionVGG().sha256


@pytest.mark.parametrize("size", [16, 32, 64])
def test_stages_halve_and_are_those_that_are_declared(size):
    extractor = FashionVGG(size=size)
    found = extractor.stages(torch.zeros(2, 1, 32, 32))
    declared = extractor.stage_shapes(size)
    assert tuple(found) == tuple(declared) == extractor.stage_names == module.STAGES
    for name, stage in found.items():
        assert tuple(stage.shape) == (2, *declared[name])
    sides = [declared[f"pool{i}"][1] for i in (1, 2, 3, 4)]
    assert sides == [size // 2**i for i in (1, 2, 3, 4)]


def test_stages_equal_the_layers_one_by_one(classifier, held_out):
    x, state = held_out[0][:4], classifier.network.state_dict()
    found = classifier.stages(x)
    x = F.pad(x, (2, 2, 2, 2), value=-1)
    for stage, widths in enumerate(module.WIDTHS):
        for convolution in range(len(widths)):
            layer = f"pools.{stage}.{3 * convolution}.weight"
            norm = f"pools.{stage}.{3 * convolution + 1}"
            statistics = (state[f"{norm}.{part}"] for part in ("running_mean", "running_var"))
            affine = (state[f"{norm}.{part}"] for part in ("weight", "bias"))
            x = F.batch_norm(F.conv2d(x, state[layer], padding=1), *statistics, *affine).relu()
        x = F.max_pool2d(x, 2)
        torch.testing.assert_close(found[f"pool{stage + 1}"], x, rtol=1e-4, atol=1e-4)
    fc7 = (x.flatten(1) @ state["fc7.0.weight"].T + state["fc7.0.bias"]).relu()
    fc8 = fc7 @ state["fc8.weight"].T + state["fc8.bias"]
    torch.testing.assert_close(found["fc7"], fc7, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(found["fc8"], fc8, rtol=1e-4, atol=1e-4)
    outputs = classifier(held_out[0][:4])
    torch.testing.assert_close(outputs["features"], fc7, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(outputs["logits"], fc8, rtol=1e-4, atol=1e-4)


def test_colour_becomes_brightness_and_keeps_its_gradient(classifier, held_out):
    grey = held_out[0][:2]
    colour = grey.repeat(1, 3, 1, 1)
    for name, stage in classifier.stages(colour).items():
        torch.testing.assert_close(stage, classifier.stages(grey)[name], rtol=1e-4, atol=1e-4)
    colour.requires_grad_()
    classifier.stages(colour, differentiable=True)["pool2"].sum().backward()
    red, green, blue = colour.grad.abs().sum((0, 2, 3))
    torch.testing.assert_close(red / green, torch.tensor(0.299 / 0.587))
    torch.testing.assert_close(blue / green, torch.tensor(0.114 / 0.587))


def test_gradients_flow_only_when_asked_and_never_to_the_weights(classifier, held_out):
    images = held_out[0][:2].clone().requires_grad_()
    assert not any(stage.requires_grad for stage in classifier.stages(images).values())
    for stage in classifier.stages(images, differentiable=True).values():
        (gradient,) = torch.autograd.grad(stage.sum(), images, retain_graph=True)
        assert gradient.any()
    assert not any(parameter.requires_grad for parameter in classifier.parameters())


@pytest.mark.parametrize("size", [8, 33, 48])
def test_sizes_that_cannot_be_halved_are_refused(size):
    with pytest.raises(
        ValueError, match=rf"features\.size={size} should be a power of two from 16"
    ):
        FashionVGG(size=size)


def test_a_file_that_lacks_a_tensor_is_refused_by_the_first_one_missing(tmp_path):
    own = dict(torch.load(module.EMBEDDED))
    del own["fc7.0.bias"], own["fc8.weight"]
    torch.save(own, tmp_path / "own.pt")
    with pytest.raises(ValueError, match=r"own\.pt .*has no tensor 'fc7\.0\.bias'"):
        FashionVGG(tmp_path / "own.pt").prepare()
