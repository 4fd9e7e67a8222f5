"""The trainings that are disturbed: every model, as small as it still does all that it does."""

from dataclasses import dataclass

NARROW = [
    *("model.generator.width=4", "model.discriminator.width=4"),
    *("model.generator.max_width=8", "model.discriminator.max_width=8"),
]
DENSE = ["model.generator.hidden=[32]", "model.discriminator.hidden=[16]"]
GROWTH = ["model.growth.stable_kimg=0.2", "model.growth.fade_kimg=0.2"]
TWO_RANKS = ["trainer=ddp", "trainer.accelerator=cpu", "trainer.devices=2"]


@dataclass(frozen=True)
class Recipe:
    """One training, scored as it goes, with 12 checkpoints and 24 rows in its curve."""

    model: str
    images: int  # of the whole run: some seconds on one core
    extra: tuple[str, ...]
    resolution: int = 16
    ranks: int = 1

    def trainer(self) -> list[str]:
        """The words that a resume must repeat: a checkpoint chooses no devices."""
        return TWO_RANKS if self.ranks == 2 else []

    def words(self) -> list[str]:
        """The command line, all but the directory."""
        kimg = self.images / 1000
        return [
            *(f"model={self.model}", *self.extra, *self.trainer()),
            # fewer images than one period of anything: the sampler's position matters
            *("data=synthetic", "data.num=100", "data.flip=true", "data.batch_size=16"),
            *(f"data.resolution={self.resolution}", f"kimg={kimg}"),
            *(f"log_every_kimg={kimg / 24:.4f}", f"sample_every_kimg={kimg / 6:.4f}"),
            *(f"checkpoint_every_kimg={kimg / 12:.4f}", f"score_every_kimg={kimg / 3:.4f}"),
            *("metrics.num_real=100", "metrics.num_fake=100"),
        ]


RECIPES = {
    "vanilla": Recipe("vanilla", 1600, tuple(DENSE)),
    "dcgan": Recipe("dcgan", 1120, tuple(NARROW), resolution=32),
    "lapgan": Recipe("lapgan", 1280, (*DENSE, *NARROW[:2])),
    "progan": Recipe("progan", 1120, (*NARROW, *GROWTH)),
    "stylegan": Recipe(
        "stylegan",
        1120,
        (*NARROW, *GROWTH, "model.growth.batch_sizes={8:32}", "model.generator.mapping_layers=2"),
    ),
    "stylegan2": Recipe("stylegan2", 1120, tuple(NARROW)),
    "msg_gan": Recipe("msg_gan", 1120, tuple(NARROW)),
    "semantic_pyramid": Recipe(
        "semantic_pyramid", 320, (*NARROW, "data.channels=1"), resolution=32
    ),
    "vae": Recipe(
        "vae", 1120, tuple(word.replace("discriminator", "encoder") for word in NARROW), 32
    ),
    "dcgan_ranks": Recipe("dcgan", 1600, tuple(NARROW), resolution=32, ranks=2),
    "progan_ranks": Recipe("progan", 1280, (*NARROW, *GROWTH), ranks=2),
    "stylegan2_ranks": Recipe("stylegan2", 1280, tuple(NARROW), ranks=2),
}
