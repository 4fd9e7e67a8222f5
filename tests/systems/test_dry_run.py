"""A step of every model on a GPU that is not there: nothing is left on the CPU, nothing waits.

Fake tensors have a device, a type and a shape and no numbers, so no driver is needed, but a build
of torch for CUDA is. Autograd's engine looks for a driver, so gradients are stood in for; what
comes of them, second derivatives included, has their shapes.
"""

from contextlib import ExitStack, contextmanager
from itertools import cycle
from types import SimpleNamespace
from unittest import mock

import pytest
import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode

from ganlab.cli import conf_dir
from ganlab.data import synthetic
from ganlab.data.batch import Batch
from ganlab.nn import augment as changes
from ganlab.nn.augment import TAPS
from ganlab.nn.growing import Growing, Stage
from ganlab.nn.randomness import keyed_generator
from ganlab.run import recipe
from ganlab.systems import randomness

pytestmark = [
    pytest.mark.slow,
    pytest.mark.usefixtures("hydra_is_clean"),
    pytest.mark.skipif(
        not torch.backends.cuda.is_built(),
        reason="fake CUDA tensors need a build of torch for CUDA, and this one is for CPUs",
    ),
]
GPU, N, STEPS = torch.device("cuda:0"), 8, 3
NUMBERS = cycle([0.1, 0.5, 0.9])  # what a step agrees on, on the CPU
RUNS = {
    **{path.stem: [] for path in (conf_dir() / "model").glob("[!_]*.yaml")},
    "stylegan": ["model/norm=pin"],
    "stylegan2": ["model.intervals.r1=2", "model.intervals.path_length=2", "model/augment=ada"],
    "dcgan": ["model/augment=diffaugment"],
}
del RUNS["stylegan3"]  # is not trained here


class WaitError(AssertionError):
    """The host would wait for the device."""


class NoWaiting(TorchDispatchMode):
    """Refuses copies from pageable memory and to the host."""

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        if function is torch.ops.aten._to_copy.default and kwargs.get("device") is not None:
            source, target = args[0].device, torch.device(kwargs["device"])
            pinned = kwargs.get("non_blocking") and "pinned" in vars(args[0])
            if source.type != target.type and not (target.type == "cuda" and pinned):
                raise WaitError(f"a copy of {tuple(args[0].shape)} from {source} to {target}")
        return function(*args, **kwargs)


def pinned(tensor):
    """Stands in for `pin_memory`, which fake tensors lack."""
    there = torch.empty(tensor.shape, dtype=tensor.dtype)  # known numbers would really go there
    there.pinned = True
    return there


def on_the_cpu(*key, device="cpu"):
    """Stands in for `keyed_generator`, which asks a device for its generators."""
    return keyed_generator(*key)


def filters(height, width, dtype, device):
    """Stands in for what is made once, on the CPU, and kept."""
    return torch.empty(height, width, dtype=dtype, device=device)


def gradients(outputs, inputs, *_, **__):
    """Stands in for `torch.autograd.grad`."""
    assert outputs.device == GPU
    wanted = [inputs] if isinstance(inputs, torch.Tensor) else list(inputs)
    return tuple((each.detach() * 0 + outputs.detach()).requires_grad_() for each in wanted)


@contextmanager
def no_driver():
    """A machine with a GPU, as far as a step asks."""
    with ExitStack() as stack:
        for target, name, other in (
            (randomness, "keyed_generator", on_the_cpu),
            (randomness.StepRandomness, "agreed", lambda self, n, *_: [next(NUMBERS)] * n),
            (changes, "doubling", lambda size, *like: filters(2 * size, size, *like)),
            (changes, "halving", lambda size, *like: filters(size, 2 * size + TAPS - 2, *like)),
            (torch.autograd, "grad", gradients),
            (torch.Tensor, "pin_memory", pinned),
            (torch.cuda, "is_available", lambda: True),
            (torch.cuda, "is_bf16_supported", lambda *_: True),
        ):
            stack.enter_context(mock.patch.object(target, name, other))
        yield


def move(network):
    """Fake weights on the device; call it under the mode."""
    for module in network.modules():
        for name, old in [*module._parameters.items(), *module._buffers.items()]:
            if old is None:
                continue
            new = torch.empty(old.shape, dtype=old.dtype, device=GPU)
            if isinstance(old, nn.Parameter):
                module._parameters[name] = nn.Parameter(new, requires_grad=old.requires_grad)
            else:
                module._buffers[name] = new


@contextmanager
def toggled(system, optimizer):
    """Lightning's, without its trainer."""
    own = {id(p) for group in optimizer.param_groups for p in group["params"]}
    for parameter in [*system.generator.parameters(), *system.discriminator.parameters()]:
        parameter.requires_grad_(id(parameter) in own)
    yield


def backward(system, loss):
    """Gives a gradient to all that want one."""
    assert loss.device == GPU
    assert loss.shape == ()
    for parameter in system.parameters():
        if parameter.requires_grad:
            parameter.grad = torch.zeros_like(parameter)


def built(name):
    """A system under a trainer that does nothing."""
    system = recipe(name, *RUNS[name], "data=synthetic")
    system._trainer = SimpleNamespace(
        global_rank=0, world_size=1, datamodule=None, callbacks=[], optimizers=[], strategy=None
    )
    system.conditioner.attach(system)
    return system.train()


def put(system):
    """The same on the device."""
    system._device, system.fused = GPU, True
    move(system)
    if (augment := vars(system).get("augment")) is not None:
        augment.p, augment.signs = torch.zeros((), device=GPU), torch.zeros(2, device=GPU)
    if (extractor := vars(system.conditioner).get("extractor")) is not None:
        move(extractor)
    optimizers = system.configure_optimizers()
    system.optimizers = lambda: optimizers if len(optimizers) > 1 else optimizers[0]
    system.toggled_optimizer = lambda optimizer: toggled(system, optimizer)
    system.manual_backward = lambda loss: backward(system, loss)
    for network in system.networks().values():
        if isinstance(network, Growing):
            network.grow_to(Stage(network.num_levels - 1, 0.5))


def batch(system):
    """What the loader gives, on its way to the device."""
    network = system.generator
    shape = (network.channels, *network.image_size)
    data = synthetic(num=N, resolution=network.image_size[0], channels=shape[0], batch_size=N)
    images, labels = torch.zeros(N, *shape, dtype=torch.uint8), torch.zeros(N, dtype=torch.int64)
    there = data.transfer_batch_to_device(Batch(images, labels, torch.arange(N)), GPU, 0)
    return data.on_after_batch_transfer(there, 0)


@pytest.mark.parametrize("half", [False, True], ids=["float32", "bf16"])
@pytest.mark.parametrize("name", RUNS)
def test_a_step_stays_on_the_device(name, half):
    system = built(name)
    with FakeTensorMode(), no_driver():
        put(system)
        precision = torch.autocast("cuda", torch.bfloat16, enabled=half)
        with NoWaiting(), precision:
            for number in range(STEPS):
                system.images_before = system.images_seen
                system.training_step(batch(system), number)
        assert system.steps == STEPS
        assert {
            each.device for each in system.state_dict().values() if hasattr(each, "device")
        } == {GPU}
        tallied = system.running_means._sums
        assert tallied
        assert {(each.device, each.dtype) for each in tallied.values()} == {(GPU, torch.float32)}


@pytest.mark.parametrize(
    ("broken", "error"),
    [
        (lambda x: x + torch.zeros(len(x)), RuntimeError),  # left on the CPU
        (lambda x: x * float(x.sum()), RuntimeError),  # asks for a number
        (lambda x: x + torch.zeros(len(x)).to(GPU), WaitError),  # from pageable memory
    ],
)
def test_what_must_not_be_is_noticed(broken, error):
    with FakeTensorMode(), no_driver(), NoWaiting(), pytest.raises(error):
        broken(torch.zeros(3, device=GPU))
