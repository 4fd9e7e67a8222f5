"""The least memory a training takes, counted on networks without weights, before it is asked for.

A request for more than there is may end in the system killing the process without a word.
"""

import math
import os
from contextlib import suppress
from pathlib import Path

import torch
from torch import Tensor, nn

from ganlab.networks.base import Images
from ganlab.nn.blockwise import Blockwise
from ganlab.nn.growing import Growing, Stage
from ganlab.nn.tracing import recorded
from ganlab.systems.system import System

GIB = 2**30
KEPT = 0.5  # share of the layers' outputs that are certainly there at one time
KEPT_OF_BLOCKS = 0.25  # likewise, where a network makes them again: its largest block is half of it
LIMITS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")


def bytes_needed(
    system: System,  # built on the meta device
    batch: int,  # images of one process in a step
    half: bool = False,  # whether layers give 16 bits a number
) -> int:
    """Bytes that one process takes at least: weights, gradients and moments, images, layers."""
    weights = sum(each.nbytes * (4 if each.requires_grad else 1) for each in system.parameters())
    weights += sum(buffer.nbytes for buffer in system.buffers())
    network = system.generator_ema
    pixels = batch * network.channels * math.prod(network.image_size)
    recomputing = [isinstance(n, Blockwise) and n.recompute_blocks for n in system.children()]
    kept = KEPT_OF_BLOCKS if any(recomputing) else KEPT
    outputs = kept * layers(system, batch) / (2 if half else 1)
    return int(weights + 5 * pixels + outputs)  # 5: the batch as bytes and as floats


def layers(system: System, batch: int) -> int:
    """Bytes of what the layers of both networks give for a batch; 0 where they need more than it.

    Those in place count once. Growing networks are looked at in full size.
    """
    networks = system.networks()
    others = (networks.get("discriminator"), networks.get("encoder"))
    sizes: dict[int, int] = {}
    latents = torch.empty(batch, system.generator_ema.latent_dim, device="meta")
    with suppress(RuntimeError, ValueError, TypeError, AttributeError), torch.no_grad():
        images: Images | tuple[Tensor, ...] = latents
        for network in filter(None, (networks["generator"], *others)):
            if isinstance(network, Growing):
                network.grow_to(Stage(network.num_levels - 1))
            with recorded(leaves(network)) as outputs:
                images = network(images)
            found = [each for each in outputs.values() if isinstance(each, Tensor)]
            sizes |= {each.untyped_storage()._cdata: each.nbytes for each in found}
    return sum(sizes.values())


def leaves(network: nn.Module) -> dict[str, nn.Module]:
    """The modules that hold no others."""
    return {name: each for name, each in network.named_modules() if name and not [*each.children()]}


def available(accelerator: str) -> int:
    """Bytes of the memory that tensors go to: the first device's, or this machine's."""
    if accelerator in ("auto", "gpu", "cuda") and torch.cuda.is_available():
        return int(torch.cuda.get_device_properties(0).total_memory)
    found = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    for path in LIMITS:
        with suppress(OSError, ValueError):  # "max" is no number: no limit
            found = min(found, int(Path(path).read_text(encoding="ascii")))
    return found
