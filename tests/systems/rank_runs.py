"""Tiny recipes of every model, trained by one process or by each of two ranks."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from omegaconf import OmegaConf, open_dict

from ganlab.cli import conf_dir, register_resolvers

COMMON = [
    *("data=synthetic", "data.num=64", "data.resolution=16", "data.batch_size=8", "kimg=0.04"),
    *("callbacks=none", "scores=null", "checkpoint_every_kimg=null"),
    "+callbacks.metrics_log._target_=ganlab.callbacks.MetricsLog",
    "+callbacks.metrics_log.every_kimg=0.016",
]
# Without momentum Adam's step is gradient / |gradient|: where that is near 0, rounding decides the
# sign. A larger eps takes this away and leaves the rest of the method.
CALM = ["+model.generator_optimizer.eps=0.001", "+model.discriminator_optimizer.eps=0.001"]
NARROW = [
    *("model.generator.width=4", "model.generator.max_width=8", "model.generator.latent_dim=8"),
    *("model.discriminator.width=4", "model.discriminator.max_width=8"),
    "model.discriminator.group_size=2",  # two groups a rank, four in one process
]
STYLES = ["model.generator.style_dim=8"]
LAPLACIAN = [
    *("model=lapgan", "model.generator.hidden=[16]", "model.generator.width=4"),
    *("model.generator.kernels=[3,3]", "model.discriminator.hidden=[16]"),
    *("model.discriminator.width=4", "model.discriminator.kernels=[3,3]"),
]
MODELS = {
    "lapgan": [*LAPLACIAN, "model.critic_steps=2"],  # with its dropout
    # 8x8 for 2 steps, a fade of 2, 16x16 to the end: mixing, noise, lazy R1 and rho across it all.
    "stylegan": [
        *("model=stylegan", "model/norm=pin", *NARROW, *STYLES, "+model.intervals.r1=2"),
        *("model.growth.stable_kimg=0.016", "model.growth.fade_kimg=0.016", "kimg=0.056"),
    ],
    "stylegan2": [
        *("model=stylegan2", *NARROW, *STYLES, "model.intervals.r1=2"),
        "model.intervals.path_length=2",
        "model.generator_penalties.path_length.weight=200.0",  # so that it can be seen
    ],
    "stylegan2_ada": [  # p rises to 0.8
        *("model=stylegan2", *NARROW, *STYLES, "model.intervals.r1=2", "model/augment=ada"),
        *("model.augment.ada_kimg=0.05", "model.augment.interval=1"),
    ],
    "stylegan_diffaugment": [  # while it grows
        *("model=stylegan", "model/norm=pin", *NARROW, *STYLES, "model/augment=diffaugment"),
        *("model.growth.stable_kimg=0.016", "model.growth.fade_kimg=0.016", "kimg=0.056"),
    ],
    "r3gan": [  # pairs, R1, R2, and both along the clock
        *("model=r3gan", "model.generator.width=8", "model.generator.max_width=16"),
        *("model.generator.latent_dim=8", "model.discriminator.width=8"),
        "model.discriminator.max_width=16",
    ],
    "msg_gan": ["experiment=karnewar2020/wgan_gp_fashion_mnist", "model=msg_gan", *NARROW],
    "msg_gan_style": [
        *("experiment=karnewar2020/style_fashion_mnist", "model=msg_gan", *NARROW, *STYLES),
        "model.mixing_probability=0.5",
    ],
}
# What a step of two ranks in two parts each is to be the same as: a lazy penalty, growth, dropout,
# changed images. Not the running mean of path lengths, which goes by parts.
WHOLE = ("lapgan", "stylegan", "stylegan_diffaugment", "msg_gan_style", "r3gan")
ACCUMULATED = {name: MODELS[name] for name in WHOLE} | {
    "progan": [
        *("model=progan", *NARROW, "model.growth.stable_kimg=0.016"),
        *("model.growth.fade_kimg=0.016", "kimg=0.056"),
    ]
}
PARTS = ["model.accumulate=2"]
RELATIVISTIC = ["model=msg_gan", *NARROW]
PYRAMID = [
    *("model=semantic_pyramid", "model.conditioner.crop_probability=0.5"),
    *("model.generator.width=4", "model.generator.max_width=8", "model.generator.latent_dim=8"),
    *("model.generator.embedding_dim=8", "model.discriminator.width=4"),
    *("model.discriminator.max_width=8", "data.resolution=32", "kimg=0.048"),
]
VAE = [
    *("model=vae", "data.resolution=32", "model.generator.width=4", "model.generator.latent_dim=8"),
    *("model.encoder.width=4", "+model.optimizer.eps=0.001"),
]
# Models whose samples mix, or that have more to be asked of two ranks: the test that does.
ELSEWHERE = {
    **dict.fromkeys(("vanilla", "dcgan"), "test_ddp.py"),
    "progan": "test_growing_ddp.py",
    **dict.fromkeys(("semantic_pyramid", "vae"), "test_rank_equality.py, by an oracle of its own"),
}
# An instance norm of 1e-8 in the root makes a constant map's rounding ten thousand times as large.
# A pyramid's losses have kinks, where rounding decides the side.
DOUBLE = ("stylegan", "stylegan_diffaugment", "msg_gan_style", "pyramid")
TWO = ["trainer=ddp", "trainer.accelerator=cpu", "trainer.devices=2"]


def small_words(model: str) -> list[str]:
    """The words that make a model of the configs small, whatever its parts are called."""
    node: Any = OmegaConf.to_container(OmegaConf.load(conf_dir() / "model" / f"{model}.yaml"))
    small = {"width": 4, "max_width": 8, "latent_dim": 8, "style_dim": 8, "hidden": "[16]"}
    parts = {part: each for part, each in node.items() if isinstance(each, dict)}
    found = [
        f"model.{part}.{key}={small[key]}"
        for part, each in parts.items()
        for key in each.keys() & small.keys()
    ]
    return [f"model={model}", *sorted(found)]


def add_others() -> None:
    """Every model of the configs that trains and is asked nowhere else belongs to `MODELS` too."""
    asked = {word for words in MODELS.values() for word in words}
    for path in sorted((conf_dir() / "model").glob("[!_]*.yaml")):
        known = path.stem in ELSEWHERE or f"model={path.stem}" in asked
        if not known and "systems.pretrained.Pretrained" not in path.read_text():
            MODELS[path.stem] = small_words(path.stem)


add_others()


@contextmanager
def precision_of(name: str) -> Iterator[None]:
    """Make everything in double precision inside the block, for those in `DOUBLE`."""
    from ganlab.systems.gan import GAN

    if name not in DOUBLE:
        yield
        return
    step = GAN.training_step

    def in_double(self: GAN, batch: Any, number: int) -> None:
        if hasattr(self.conditioner, "extractor"):
            self.conditioner.extractor.double()
        step(self, replace(batch, image=batch.image.double()), number)

    torch.set_default_dtype(torch.float64)
    GAN.training_step = in_double
    try:
        yield
    finally:
        GAN.training_step = step
        torch.set_default_dtype(torch.float32)


def trained(run: Path, *words: str) -> None:
    """Train as these words say."""
    from ganlab.run import train

    GlobalHydra.instance().clear()
    register_resolvers()
    with initialize_config_dir(str(conf_dir()), version_base="1.3"):
        config = compose("train", [*COMMON, *words])
    GlobalHydra.instance().clear()
    with open_dict(config):
        config.run_dir = str(run)
    assert train(config)["status"] == "done"


def left(run: Path) -> dict[str, Any]:
    """The checkpoint that a training left."""
    return torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)


def noted(run: Path) -> list[str]:
    """The words that make each rank leave its batches and latents in `notes<rank>.pt`."""
    kind = "Images" if run.name == "vae" else "Notes"
    spy = ["allow_targets=[spies]", f"+callbacks.notes._target_=spies.{kind}"]
    return [*spy, f"+callbacks.notes.directory={run}"]


def become(rank: int, world: int, folder: str) -> None:
    """Let this process be a rank of those that meet at the folder's port."""
    os.environ |= {"LOCAL_RANK": str(rank), "NODE_RANK": "0", "WORLD_SIZE": str(world)}
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": (Path(folder) / "port").read_text()}


def rank_work_in_parts(rank: int, world: int, folder: str) -> None:
    """Train each of `ACCUMULATED` as rank `rank`, two parts a step."""
    become(rank, world, folder)
    for name, words in ACCUMULATED.items():
        with precision_of(name):
            trained(Path(folder) / name, *words, *CALM, *PARTS, *TWO)
    torch.save(None, Path(folder) / f"rank{rank}.pt")


def rank_work(rank: int, world: int, folder: str) -> None:
    """Train every model as rank `rank`, one after the other."""
    become(rank, world, folder)
    for name, words in MODELS.items():
        with precision_of(name):
            trained(Path(folder) / name, *words, *CALM, *TWO)
    for name, words in {"relativistic": RELATIVISTIC, "pyramid": PYRAMID}.items():
        run = Path(folder) / name
        with precision_of(name):
            trained(run, *words, *CALM, *TWO, *noted(run))
    trained(Path(folder) / "vae", *VAE, *TWO, *noted(Path(folder) / "vae"))
    torch.save(None, Path(folder) / f"rank{rank}.pt")
