# %% [markdown]
# # Scores of two folders
#
# What is a score worth? Real images go into two folders; the second is then spoilt in ways that are known, and
# scored against the first each time, so that it shows which score notices what. On the command line this is
# `python evaluate.py fake=<folder> data=folder data.path=<reals> data.resolution=32`.

# %% tags=["parameters"]
num = 1000  # images a folder
folder = "outputs/notebooks/scores"

# %% [markdown]
# ## The folders
#
# Of the Fashion-MNIST images inside the package: the reals, others of the same kind, and these blurred, with noise,
# without half of the kinds of garment, and with one image in ten copied over and over.

# %%
from pathlib import Path

import numpy as np
from PIL import Image, ImageFilter

from ganlab.data import fashion_mnist

source = fashion_mnist(resolution=32, channels=1, fit="pad", enlarge=True)
source.prepare_data()
source.setup()
pixels, labels = source.dataset.pixels[:, 0], source.dataset.labels.numpy()  # (10000, 32, 32)
reals, others = pixels[:num], pixels[-num:]
half = np.flatnonzero(labels < 5)
half = half[half >= num][:num]  # none of the reals
noise = np.random.default_rng(0).normal(0, 12, others.shape)


def blurred(image):
    return np.asarray(Image.fromarray(image).filter(ImageFilter.GaussianBlur(0.7)))


folders = {
    "reals": reals,
    "others": others,
    "blurred": [blurred(image) for image in others],
    "noisy": (others + noise).clip(0, 255).astype(np.uint8),
    "half the kinds": pixels[half],
    "copies": others[np.arange(num) % (num // 10)],
}
for name, images in folders.items():
    place = Path(folder) / name
    place.mkdir(parents=True, exist_ok=True)
    for i, image in enumerate(images):
        Image.fromarray(image).save(place / f"{i:05d}.png")

# %% [markdown]
# A folder is a data module: read from disk, in the size that is asked for, and labelled by its subfolders if it
# has any.

# %%

from ganlab.data import folder as images_of
from ganlab.report.drawings import Picture
from ganlab.report.images import labelled_grid


def opened(name):
    data = images_of(str(Path(folder) / name), resolution=32, channels=1)
    data.prepare_data()
    data.setup()
    return data


data = {name: opened(name) for name in folders}
rows = [(name, each.dataset.images(range(12))) for name, each in data.items()]
Picture(labelled_grid(rows))  # the first images of each folder

# %% [markdown]
# ## The scores
#
# One suite feeds all scores with one pass through one extractor; here the small classifier that is inside the
# package. Published FIDs are of `Inception()`, and colour is compared with `EfficientNetLite0()`, which are fetched.

# %%
from ganlab.features import Classifier
from ganlab.metrics import DensityCoverage, FrechetDistance, PrecisionRecall, Suite
from ganlab.report.tables import Table
from ganlab.studies import Study
from ganlab.studies.scores import Scored
from ganlab.systems.stored_images import StoredImageSystem
from ganlab.systems.trainer import make_trainer


def scores(fakes):
    metrics = {"fid": FrechetDistance(), "pr": PrecisionRecall(k=3), "dc": DensityCoverage(k=5)}
    suite = Suite(Classifier(), metrics, num_real=num, num_fake=num)
    study = Study(Scored(suite=suite))
    trainer = make_trainer(accelerator="cpu", callbacks=[study])
    trainer.test(StoredImageSystem(fakes, fakes.name), datamodule=data["reals"], verbose=False)
    return study.findings.result


found = {name: scores(data[name]) for name in folders if name != "reals"}
columns = ["images", *found["others"]]
Table.of(columns, [[name, *values.values()] for name, values in found.items()])

# %% [markdown]
# Other images of the same kind are not at zero: that is what so few images cost, and no difference below it means
# anything. Recall and coverage fall where kinds are missing or images repeat, precision where the images are not
# like the reals; FID mixes the two. [What each can tell](../metrics.md) has this with confidence intervals and on
# more kinds of damage.
