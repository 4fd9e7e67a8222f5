"""Every file of ganlab/networks keeps the promises of base.py; new files are found unasked."""

import copy
import importlib
import inspect
import io
import pkgutil
import re

import pytest
import torch
from torch import Tensor, nn

import ganlab.networks
from ganlab.networks import base
from ganlab.nn.growing import Stage

# Small values by parameter name; what a constructor does not take is left out.
SMALL = {
    "resolution": 32,
    "channels": 3,
    "latent_dim": 16,
    "style_dim": 16,
    "width": 8,
    "max_width": 16,
    "hidden": (24, 16),
    "num_classes": 5,
    "num_layers": 4,
    "margin": 1,
}
FULL = {"resolution": 64, "channels": 3}  # for parameters without a default
NAME = re.compile(r"(fc|\d+x\d+)/\d+")
N = 4


def classes(kind: str) -> list:
    """Every generator or discriminator there is, named by its file, and its class if it is another.

    A file may hold several: one method on two backbones.
    """
    files = [m.name for m in pkgutil.iter_modules(ganlab.networks.__path__) if m.name != "base"]
    found = []
    for file in files:
        module = importlib.import_module(f"ganlab.networks.{file}")
        for name, member in inspect.getmembers(module, inspect.isclass):
            if issubclass(member, getattr(base, kind)) and member.__module__ == module.__name__:
                found.append(pytest.param(member, id=file if name == kind else f"{file}.{name}"))
    return found


GENERATORS, DISCRIMINATORS = classes("Generator"), classes("Discriminator")


def small(network: type, seed: int = 0) -> nn.Module:
    """The network at toy size, with parameters that start at zero drawn instead."""
    taken = inspect.signature(network).parameters
    torch.manual_seed(seed)
    built = network(**{name: value for name, value in SMALL.items() if name in taken})
    with torch.no_grad():
        for parameter in built.parameters():
            if not parameter.any():
                parameter.normal_(0, 0.1)
    return built


def full(network: type) -> nn.Module:
    """The network as its defaults have it, without memory."""
    required = [
        name
        for name, parameter in inspect.signature(network).parameters.items()
        if parameter.default is inspect.Parameter.empty
    ]
    with torch.device("meta"):
        return network(**{name: FULL[name] for name in required})


def latents_for(generator: base.Generator, n: int = N) -> Tensor:
    return generator.sample_latents(n, torch.Generator().manual_seed(7))


def finest(images: base.Images) -> Tensor:
    return images[-1] if isinstance(images, list) else images


def as_list(images: base.Images) -> list[Tensor]:
    return images if isinstance(images, list) else [images]


def settled(network: type) -> base.Generator:
    """A small generator whose batch statistics, if any, are those of its own activations."""
    generator = small(network)
    with torch.no_grad():
        for _ in range(30):
            generator(latents_for(generator, 32))
    return generator.eval()


def stages(network: nn.Module):
    """Bring a growing network to each of its stages, mid-fade, in order; another has just one.

    A fade shows a level's image layer and the one before it, which at the end is not used.
    """
    if not hasattr(network, "grow_to"):
        yield None
        return
    for level in range(network.num_levels):
        stage = Stage(level, 0.5)
        network.grow_to(stage)
        yield stage


class Watch:
    """What each layer put out in one pass, seen by hooks of the test's own."""

    def __init__(self, layers: dict[str, nn.Module]) -> None:
        self.fired: list[str] = []
        self.outputs: dict[str, Tensor] = {}
        self.copies: dict[str, Tensor] = {}
        self.versions: dict[str, int] = {}
        for name, module in layers.items():
            module.register_forward_hook(self.hook(name))

    def hook(self, name: str):
        def keep(module: nn.Module, inputs: tuple, output: Tensor) -> None:
            assert isinstance(output, Tensor), f"{name} puts out {type(output).__name__}"
            self.fired.append(name)
            self.outputs[name] = output
            self.copies[name] = output.detach().clone()
            self.versions[name] = output._version

        return keep


def test_every_file_is_found():
    assert {"dcgan", "vanilla"} <= {case.id for case in GENERATORS}
    assert {"dcgan", "vanilla"} <= {case.id for case in DISCRIMINATORS}


@pytest.mark.parametrize("network", GENERATORS)
class TestGenerator:
    def test_is_described(self, network):
        generator = small(network)
        assert isinstance(generator, base.Generator)
        taken = inspect.signature(network).parameters
        for name in ("resolution", "channels", "latent_dim"):
            # a pyramid's latent is as long as its levels need: no parameter
            assert getattr(generator, name) == SMALL[name] or name not in taken
            assert getattr(generator, name) > 0
        assert inspect.signature(generator.forward).parameters["condition"].default is None

    def test_images_are_finite_of_the_right_shape_and_nominal_range(self, network):
        generator = small(network)
        images = finest(generator(latents_for(generator)))
        assert images.shape == (N, SMALL["channels"], SMALL["resolution"], SMALL["resolution"])
        assert images.dtype == torch.float32
        assert images.isfinite().all()
        assert images.abs().mean() <= 2, "an untrained network's images are of the order of 1"
        assert images.std(dim=0).max() > 0, "images do not depend on the latents"

    def test_layers_fire_once_and_in_order(self, network):
        generator = small(network)
        layers = generator.layers
        watch = Watch(layers)
        generator(latents_for(generator))
        assert layers
        assert watch.fired == list(layers)
        assert len(set(map(id, layers.values()))) == len(layers)

    def test_layers_are_named_by_their_shape(self, network):
        generator = small(network)
        watch = Watch(generator.layers)
        generator(latents_for(generator))
        for name, output in watch.outputs.items():
            assert NAME.fullmatch(name), name
            assert output.shape[0] == N
            size = "x".join(map(str, output.shape[2:])) or "fc"
            assert name.startswith(f"{size}/"), f"{name} puts out {tuple(output.shape)}"

    def test_each_stage_lists_the_layers_that_fire_in_it(self, network):
        generator = small(network)
        watch = Watch(generator.layers)
        for _ in stages(generator):
            watch.fired.clear()
            images = finest(generator(latents_for(generator)))
            assert images.isfinite().all()
            assert watch.fired == list(generator.layers)

    def test_nothing_changes_a_layer_in_place(self, network):
        generator = small(network)
        watch = Watch(generator.layers)
        generator(latents_for(generator))
        for name, output in watch.outputs.items():
            assert torch.equal(output, watch.copies[name]), name
            assert output._version == watch.versions[name], name
            assert not getattr(generator.layers[name], "inplace", False), name

    def test_every_parameter_gets_a_gradient(self, network):
        generator = small(network)
        for _ in stages(generator):
            images = as_list(generator(latents_for(generator)))
            sum((image * torch.randn(image.shape)).sum() for image in images).backward()
        without = [n for n, p in generator.named_parameters() if p.grad is None or not p.grad.any()]
        assert not without

    def test_ablating_never_active_neurons_changes_nothing(self, network):
        generator = settled(network)
        latents = latents_for(generator)
        watch = Watch(generator.layers)
        with torch.no_grad():
            untouched = finest(generator(latents))
            activations = dict(watch.copies)
            for name, module in generator.layers.items():
                if name == next(iter(activations)) and activations[name].std(dim=0).max() == 0:
                    continue  # the same for all latents: StyleGAN's constant
                active = (activations[name] > 0).any(dim=0)
                assert active.any(), f"no neuron of {name} is ever active"
                assert not active.all(), f"no neuron of {name} is never active: test on fewer"
                for switched, same in ((~active, True), (active, False)):
                    # Algorithm 1 of Choi et al.: positive values of the chosen neurons become 0.
                    def ablate(module, inputs, output, chosen=switched):
                        return torch.where(chosen, output.clamp(max=0), output)

                    handle = module.register_forward_hook(ablate)
                    assert torch.equal(finest(generator(latents)), untouched) == same, name
                    handle.remove()

    def test_latents_come_from_the_given_generator_alone(self, network):
        generator = small(network)
        before = torch.get_rng_state()
        first, again = latents_for(generator, 50), latents_for(generator, 50)
        other = generator.sample_latents(50, torch.Generator().manual_seed(8))
        assert first.shape == (50, generator.latent_dim)
        assert torch.equal(first, again)
        assert not torch.equal(first, other)
        assert torch.equal(torch.get_rng_state(), before)

    def test_evaluation_is_a_function_of_the_latents(self, network):
        generator = settled(network)
        latents = latents_for(generator)
        before = torch.get_rng_state()
        with torch.no_grad():
            images = finest(generator(latents))
            assert torch.equal(images, finest(generator(latents)))
            alone = torch.cat([finest(generator(latent)) for latent in latents.split(1)])
        assert torch.equal(torch.get_rng_state(), before)
        scale = images.abs().max().clamp(min=1).item()  # an untrained network's exceed [-1, 1]
        torch.testing.assert_close(alone, images, atol=1e-5 * scale, rtol=1e-5)

    def test_copies_have_layers_of_their_own(self, network):
        generator = small(network)
        twin = copy.deepcopy(generator)
        own = set(map(id, twin.modules()))
        for name, module in twin.layers.items():
            assert id(module) in own
            assert module is not generator.layers[name]

    def test_state_dict_round_trip(self, network):
        generator = settled(network)
        twin = small(network, seed=1)
        twin.load_state_dict(round_trip(generator.state_dict()))
        latents = latents_for(generator)
        assert torch.equal(finest(twin.eval()(latents)), finest(generator(latents)))

    def test_full_size_builds_without_memory(self, network):
        generator = full(network).eval()
        assert all(parameter.is_meta for parameter in generator.parameters())
        images = finest(generator(torch.empty(2, generator.latent_dim, device="meta")))
        assert images.shape == (2, generator.channels, generator.resolution, generator.resolution)


def round_trip(state: dict) -> dict:
    """Through a file opened as checkpoints are: nothing pickled but tensors and plain values."""
    file = io.BytesIO()
    torch.save(state, file)
    file.seek(0)
    return torch.load(file, weights_only=True)


def views_of(discriminator: base.Discriminator, n: int = N) -> base.Images:
    """Real images as this discriminator takes them."""
    shape = (n, SMALL["channels"], SMALL["resolution"], SMALL["resolution"])
    images = torch.rand(shape, generator=torch.Generator().manual_seed(3)) * 2 - 1
    return discriminator.views(images)


@pytest.mark.parametrize("network", DISCRIMINATORS)
class TestDiscriminator:
    def test_scores_are_logits_of_each_sample(self, network):
        discriminator = small(network)
        assert isinstance(discriminator, base.Discriminator)
        logits = discriminator(views_of(discriminator))
        assert logits.ndim in (1, 2)
        assert logits.shape[0] == N
        assert logits.isfinite().all()
        assert logits.unique().numel() == logits.numel(), "logits do not depend on the images"

    def test_one_image_is_scored_too(self, network):
        discriminator = small(network).eval()
        assert discriminator(views_of(discriminator, 1)).shape[0] == 1

    def test_every_parameter_gets_a_gradient(self, network):
        discriminator = small(network)
        for _ in stages(discriminator):
            logits = discriminator(views_of(discriminator))
            (logits * torch.randn(logits.shape)).sum().backward()
        parameters = discriminator.named_parameters()
        assert not [name for name, p in parameters if p.grad is None or not p.grad.any()]

    def test_gradients_by_pixels_can_be_differentiated_again(self, network):
        discriminator = small(network)
        images = as_list(views_of(discriminator))
        leaves = [image.detach().requires_grad_() for image in images]
        logits = discriminator(leaves if len(leaves) > 1 else leaves[0])
        gradients = torch.autograd.grad(logits.sum(), leaves, create_graph=True)
        sum(gradient.square().sum() for gradient in gradients).backward()
        assert any(p.grad is not None and p.grad.any() for p in discriminator.parameters())

    def test_input_images_are_left_alone(self, network):
        discriminator = small(network)
        images = as_list(views_of(discriminator))
        before = [image.clone() for image in images]
        discriminator(images if len(images) > 1 else images[0])
        for image, kept in zip(images, before, strict=True):
            assert torch.equal(image, kept)

    def test_state_dict_round_trip(self, network):
        discriminator = small(network)
        images = views_of(discriminator)
        discriminator(images)
        twin = small(network, seed=1)
        twin.load_state_dict(round_trip(discriminator.state_dict()))
        assert torch.equal(twin.eval()(images), discriminator.eval()(images))

    def test_full_size_builds_without_memory(self, network):
        assert all(parameter.is_meta for parameter in full(network).parameters())
