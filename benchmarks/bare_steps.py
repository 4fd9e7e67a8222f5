"""Training steps as a person would write them in plain PyTorch, for `train_step.py`.

The same losses, penalties, intervals, mixing and averaging as the framework's, and nothing else.
"""

import random
from copy import deepcopy

import torch

from ganlab.data.batch import Batch
from ganlab.losses.variational import kl_divergence, reparameterize, squared_error
from ganlab.networks.base import StyleGenerator
from ganlab.nn.masks import crops
from ganlab.nn.style import mix
from ganlab.systems.semantic import repeat


def descend(optimizer, loss):
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    optimizer.step()


@torch.no_grad()
def follow(average, network, beta=0.998):
    for slow, fast in zip(average.parameters(), network.parameters(), strict=True):
        slow.lerp_(fast, 1 - beta)
    for slow, fast in zip(average.buffers(), network.buffers(), strict=True):
        slow.copy_(fast)


class BareAutoencoder:
    def __init__(self, system):
        self.encoder, self.decoder, self.weight = system.encoder, system.generator, system.kl_weight
        self.averages = [deepcopy(self.encoder), deepcopy(self.decoder)]
        self.optimizer = system.optimizer([*self.encoder.parameters(), *self.decoder.parameters()])

    def __call__(self, images, count):
        mean, log_variance = self.encoder(images)
        code = reparameterize(mean, log_variance, torch.randn_like(mean))
        error = squared_error(self.decoder(code), images)
        descend(self.optimizer, error + self.weight * kl_divergence(mean, log_variance))
        for average, network in zip(self.averages, (self.encoder, self.decoder), strict=True):
            follow(average, network)


class BareAdversary:
    def __init__(self, system):
        self.system, self.generator = system, system.generator
        self.discriminator, self.loss = system.discriminator, system.loss
        self.average = deepcopy(self.generator)
        system.conditioner.attach(system)
        self.of_generator = system.generator_optimizer(self.generator.parameters())
        self.of_discriminator = system.discriminator_optimizer(self.discriminator.parameters())

    def latents(self, n):
        latents = self.generator.sample_latents(n, torch.default_generator)
        return latents.to(next(self.generator.parameters()).device)

    def styles(self, latents, condition, updating=False):
        """Mixed styles; the latents themselves where there are none."""
        if not isinstance(self.generator, StyleGenerator):
            return latents
        styles = self.generator.map(latents, condition)
        if updating:
            self.generator.update_mean_style(styles)
        if not (probability := self.system.mixing_probability):
            return styles
        layers = torch.randint(1, self.generator.num_styles, (len(styles),))
        layers[torch.rand(len(styles)) >= probability] = self.generator.num_styles
        other = self.generator.map(self.latents(len(styles)), condition)
        return mix(styles, other, layers.to(styles.device))

    def painted(self, styles, condition):
        if not isinstance(self.generator, StyleGenerator):
            return self.generator(styles, condition)
        return self.generator.synthesize(styles, noise="random")

    def told(self, images):
        """The images of a step and what the networks are told of them."""
        conditioner, n = self.system.conditioner, len(images)
        if conditioner.stages is None:
            return images, conditioner(Batch(images, None, torch.arange(n)))[1]
        kept, level = images[: n // 2], random.choice(conditioner.names)
        crop = None
        if random.random() < conditioner.crop_probability:
            crop = crops(torch.rand(len(kept), 4), images.shape[-1], *conditioner.crop)
        return torch.cat([kept, kept]), repeat(conditioner.condition(kept, level, crop))

    def penalties(self, group, count):
        """(times, penalty) of those due at this step."""
        for name, penalty in group.items():
            every = self.system.intervals.get(name, 1)
            if count % every == 0:
                yield every, penalty

    def __call__(self, images, count):
        device = images.device
        images, condition = self.told(images)
        n, real = len(images), self.discriminator.views(images)
        with torch.no_grad():
            fake = self.painted(self.styles(self.latents(n), condition), condition)
        answers = self.discriminator(real, condition), self.discriminator(fake, condition)
        loss = self.loss.discriminator(*answers)
        lazy = []
        for every, penalty in self.penalties(self.system.penalties, count):
            term = penalty(
                self.discriminator, real, fake, condition, lambda m: torch.rand(m, device=device)
            )
            lazy += [every * term] if every > 1 else []
            loss = loss + term if every == 1 else loss
        for term in [loss, *lazy]:
            descend(self.of_discriminator, term)
        self.discriminator.requires_grad_(False)
        self.step_generator(real, n, condition, count)
        self.discriminator.requires_grad_(True)
        follow(self.average, self.generator)

    def step_generator(self, real, n, condition, count):
        latents = self.latents(n)
        fake = self.painted(self.styles(latents, condition, updating=True), condition)
        answer = self.discriminator(fake, condition)
        other = self.discriminator(real, condition) if self.loss.relativistic else None
        loss = self.loss.generator(answer, other)
        for penalty in self.system.image_penalties.values():
            loss = loss + penalty(fake, latents, condition, self.system.conditioner.stages)
        descend(self.of_generator, loss)

        def normal(shape):
            return torch.randn(shape, device=answer.device)

        for every, penalty in self.penalties(self.system.generator_penalties, count):
            styles = self.styles(self.latents(n), condition)
            term = penalty(self.generator, styles, condition, normal)
            descend(self.of_generator, every * term)
