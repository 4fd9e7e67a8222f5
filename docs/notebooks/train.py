# %% [markdown]
# # Train and look
#
# A DCGAN from nothing, in a few minutes on two cores, with the Fashion-MNIST images that are inside the
# package: how a model is made, trained, watched, sampled and scored from Python. The command line does the same
# with one line, and keeps checkpoints besides: [train on your photographs](../tutorials/photos.md).

# %% tags=["parameters"]
kimg = 16  # thousands of images that it sees
width = 20  # channels of its finest layers
num = 1000  # images that are scored
folder = "outputs/notebooks/train"

# %% [markdown]
# `recipe` builds what `conf/model/dcgan.yaml` says; what stands behind the name are the words of the command
# line. The recipe also names its images and its scores.

# %%
from ganlab.report.drawings import Picture
from ganlab.report.images import grid
from ganlab.run import data_of, recipe, suite_of

words = [
    f"kimg={kimg}",
    "data.batch_size=16",
    "model.ema.half_life_kimg=1",
    f"model.generator.width={width}",
    f"model.discriminator.width={width}",
]
words += [f"metrics.num_real={num}", f"metrics.num_fake={num}"]
gan = recipe("dcgan", "data=fashion_mnist", *words)
data = data_of(gan)
data.prepare_data()
data.setup()
Picture(grid(data.dataset.images(range(32)), columns=16))  # 32 images of Fashion-MNIST

# %% [markdown]
# ## Train
#
# The length is counted in images. `SampleGrid` paints the same latents as the training goes on.

# %%
from pathlib import Path

from PIL import Image

from ganlab.callbacks import Progress, SampleGrid
from ganlab.systems.trainer import make_trainer

watching = [Progress(every_kimg=kimg / 6), SampleGrid(folder, every_kimg=kimg / 6)]
trainer = make_trainer(accelerator="cpu", callbacks=watching)
trainer.fit(gan, datamodule=data)
Image.open(Path(folder) / "timeline.png")  # eight latents, a row a moment of the training

# %% [markdown]
# ## Look
#
# A latent has an address: number *i* of a seed is the same in any batch, process and version. The images are of
# the generator's average over the training, which paints better than its last state.

# %%
from ganlab.sampling import Sampler

sampler = Sampler.of(gan, seed=1)
Picture(grid(sampler.images(range(64)), columns=16))  # 64 samples, none picked

# %% [markdown]
# Between two latents lies a walk. A generator that has learnt its images by heart would jump.

# %%
import torch

from ganlab.studies import walk_path

ends = sampler.latents(range(8))  # (8, Z)
walk = walk_path(ends[:4], ends[4:], 14, "spherical")  # (4, 14, Z)
frames = torch.stack([sampler.paint(walk[:, step], range(4)) for step in range(14)], dim=1)
Picture(grid(frames.flatten(0, 1), columns=14))  # four walks, from left to right

# %% [markdown]
# ## Score
#
# A study is asked with `trainer.test`; the plainest one only scores. Each name says of how many images it is and
# in which features: `classifier` is a small network inside the package, so its values rank your own runs and
# compare with nothing published ([what each score can tell](../metrics.md)).

# %%
from ganlab.studies import Study
from ganlab.studies.scores import Scored

study = Study(Scored(suite=suite_of(gan)))
make_trainer(accelerator="cpu", callbacks=[study]).test(gan, datamodule=data, verbose=False)
study.findings.tables["table"]
