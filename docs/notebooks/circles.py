# %% [markdown]
# # Circular artifacts
#
# Images of a StyleGAN often show a small round blob. Tan, Wen and Yang trace it: a spot of an early layer's maps
# stands far above all else, and instance normalization (IN) hands it on because it is small; pixel normalization
# (PN) does not. Here the cause is made by hand in networks that nobody trained, so that it is known what is to be
# found: one channel of one layer is given a spot. A trained StyleGAN takes its place with
# `generator_of("<checkpoint>")`, and [the page on circular artifacts](../circular_artifacts.md) tells the rest.

# %% tags=["parameters"]
num = 60  # images of each network
height = 150.0  # of the spot, in deviations of its layer

# %%
from ganlab.run import recipe


def stylegan(norm):
    words = ["data=emoji", "data.resolution=64", "model.generator.width=32", "seed=0"]
    system = recipe("stylegan", f"model/norm={norm}", *words)
    return system.generator_ema


networks = {norm: stylegan(norm) for norm in ("in", "pn")}
print(list(networks["in"].layers))

# %% [markdown]
# ## A spot
#
# An edit replaces an output inside a `with` block; the network is not changed. The spot is where a style would make
# it: after the norm and the style of an early layer.

# %%
from ganlab.nn.tracing import edited

layer, unit, place = "16x16/0", 5, (4, 11)


def spot(maps):  # (N, C, H, W) -> same
    changed = maps.clone()
    changed[:, unit, place[0], place[1]] += height * maps.std()
    return changed


# %% [markdown]
# ## Found, without an eye
#
# `observe` keeps how high the maps of every layer peak, and where. An image is affected when a peak persists over
# two resolutions at one place.

# %%
from ganlab.report.tables import Table
from ganlab.sampling import Sampler
from ganlab.studies.circles.levels import Levels
from ganlab.studies.circles.observation import observe, origins, reading_points

levels, rows, found = Levels(2.5), [], {}
for norm, network in networks.items():
    sampler, points = Sampler(network, seed=0), reading_points(network)
    plain = observe(sampler, range(num), points).detect(levels).affected
    with edited(network.points, {f"{layer}/style": spot}):
        seen = observe(sampler, range(num), points)
    found[norm] = (seen, seen.detect(levels))
    affected = found[norm][1].affected
    rows.append([norm, plain.double().mean().item(), affected.double().mean().item()])
Table.of(["norm", "affected as they are", "affected with the spot"], rows)

# %% [markdown]
# ## Traced
#
# The origin of an artifact is the earliest layer of its spot that stands out, and the strongest channel there. It
# was not told which that is.

# %%
seen, detected = found["in"]
worst = detected.worst(1)[0]
origin = origins(seen, detected, levels)[worst]
print(f"image {worst}: {origin.layer}, unit {origin.unit}; made by hand: {layer}, unit {unit}")

# %% [markdown]
# ## Handed on, or not
#
# The magnitude of the maps from the spot's layer on, one image, brighter where it is higher: under IN the spot goes
# through to the image, under PN it is soon lost.

# %%
import torch
from torch.nn.functional import interpolate

from ganlab.report.drawings import Picture
from ganlab.report.images import labelled_grid
from ganlab.studies.circles.maps import trace

names = list(networks["in"].layers)
names = names[names.index(layer) :]
pictures = []
for norm, network in networks.items():
    with edited(network.points, {f"{layer}/style": spot}):
        _, maps = trace(Sampler(network, seed=0), [worst], reading_points(network), names)
    magnitudes = [maps[name].square().mean(1, keepdim=True).sqrt() for name in names]
    bright = [2 * magnitude / magnitude.max() - 1 for magnitude in magnitudes]
    pictures.append((norm, torch.cat([interpolate(each, (64, 64)) for each in bright])))
Picture(
    labelled_grid(pictures)
)  # magnitudes of the maps from the spot's layer to the last, by norm

# %% [markdown]
# ## Switched off
#
# The unit set to zero takes the artifact away; here are the first images with the spot, and without its unit.

# %%
from ganlab.nn.ablation import ablate_units

network = networks["in"]
sampler, points = Sampler(network, seed=0), reading_points(network)
with edited(network.points, {f"{layer}/style": spot}):
    before = sampler.images(range(10))
    after, _ = trace(sampler, range(10), points, [], {layer: ablate_units([unit])})
Picture(labelled_grid([("with the spot", before), ("its unit at zero", after)]))  # ten images
