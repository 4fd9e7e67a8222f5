# %% [markdown]
# # Neurons of a face generator
#
# Are there neurons that cause unrealistic images? The question of Choi, Chang and Choi (2022), asked of a DCGAN of
# faces that somebody else trained and published: 13 MB, fetched once. [The page on neurons](../neurons.md) has the
# answer with its controls, over 10,000 images.

# %% tags=["parameters"]
ckpt = "faces"  # or a file: any generator will do
num = 1000  # latents for the rates, and as many to rank
shown = 12

# %%
from ganlab.report.drawings import Picture
from ganlab.report.images import grid, labelled_grid
from ganlab.run import generator_of
from ganlab.sampling import Sampler

generator = generator_of(ckpt)
sampler = Sampler(generator, seed=0)
for name in generator.layers:  # what can be looked at, input to output
    print(name)
Picture(grid(sampler.images(range(24)), columns=12))  # the first 24 samples

# %% [markdown]
# ## Rates
#
# A *neuron* is one position (channel, y, x) of a layer behind its activation; its rate is the share of latents
# that activate it. Rates are counted on other latents than those that are looked at later.

# %%
from ganlab.report import figures
from ganlab.report.drawings import Drawing
from ganlab.studies.neurons import rates

layers = list(generator.layers)[:2]
rate = rates.activation_rates(Sampler(generator, seed=1), range(num), layers)
shares = {}
for name, values in rate.items():
    ordered = values.flatten().sort().values  # each in [0, 1]
    shares[name] = ([i / len(ordered) for i in range(len(ordered))], ordered)
Drawing(*figures.curves(shares, "share of the layer's neurons", "activation rate"), {})  # rates

# %% [markdown]
# ## The images that use rare neurons
#
# Neurons that fewer than one image in five activates are called rare. Some images use many of them: here the dozen
# with the most beside the dozen with the fewest.

# %%
from ganlab.metrics.activation_rate import low_rate
from ganlab.studies.neurons.detection import activated_neurons

rare = {name: low_rate(values, 0.2) for name, values in rate.items()}
counts = activated_neurons(sampler, range(num), rare)  # (num,)
order = counts.argsort(descending=True, stable=True).tolist()
most, fewest = order[:shown], order[-shown:]
rows = [("most", sampler.images(most)), ("fewest", sampler.images(fewest))]
Picture(labelled_grid(rows))  # images by the number of rare neurons that they use

# %% [markdown]
# ## Without them
#
# Silence the rare neurons in the same images; and, since any damage changes an image, a random fifth of the active
# ones in each, as a control.

# %%
from ganlab.nn.ablation import ablate, ablate_random

silent = {name: ablate(mask) for name, mask in rare.items()}
share = 0.2


def random(addresses):
    return {name: ablate_random(addresses, name, seed=0, share=share) for name in layers}


before = sampler.images(most)
without, control = sampler.images(most, silent), sampler.images(most, random)
rows = [("as they are", before), ("without rare ones", without), ("without random ones", control)]
Picture(labelled_grid(rows))  # the same latents before and after

# %%
for caption, images in rows[1:]:
    moved = (images - before).abs().mean().item() / 2
    print(f"{caption}: a pixel moves by {moved:.1%} of its range")

# %% [markdown]
# Whether the faces became better is a matter of scores, not of a look: `study=sequential_ablation` compares these
# rows, frequent neurons and several rates in one table, and tells repair from replacement
# ([bring a checkpoint](../tutorials/checkpoint.md)).
