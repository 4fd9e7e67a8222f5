"""One generator that is looked into: loaded once, used by one view at a time, its counts kept."""

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cached_property
from hashlib import blake2b
from pathlib import Path
from threading import RLock
from typing import Any

import torch
from torch import Tensor

from ganlab.app.commands import Value
from ganlab.downloads import cache_dir
from ganlab.networks.base import Generator
from ganlab.nn.digest import digest
from ganlab.runs.comparison import comparison
from ganlab.runs.recipes import open_checkpoint, rebuild_system
from ganlab.sampling import ConditionAt, Sampler, batched, device_of, has_styles, num_classes
from ganlab.scoring.realism import ImageRealism
from ganlab.studies.latents.pictures import spaces_of
from ganlab.studies.neurons.counting import Counting, Key
from ganlab.studies.neurons.layers import layer_shapes, select_layers
from ganlab.studies.neurons.rate_count import rate_seed_of
from ganlab.studies.neurons.rates import Rates
from ganlab.systems.system import System

Progress = Callable[[float, str], object]  # told the share that is done, and of what


@dataclass(frozen=True)
class How:
    """How images are made: the controls that all tabs share."""

    seed: int = 0  # of the latents
    truncation: float | None = None  # psi; None = without
    cutoff: int | None = None  # styles that it draws, from the coarsest on; None = all
    noise: str = "fixed"
    label: int | None = None  # told to all; None = as the checkpoint says

    @property
    def told(self) -> dict[str, Value]:
        """The same as options of a study that looks at neurons, which knows no truncation."""
        noise = None if self.noise == "fixed" else self.noise
        return {"seed": self.seed or None, "noise": noise, "label": self.label}

    @property
    def options(self) -> dict[str, Value]:
        """The same as options of a study of latents."""
        return self.told | {"truncation": self.truncation, "cutoff": self.cutoff}


class Session:
    """A checkpoint opened; every view of it holds `lock` while it uses the generator.

    Raises:
        CheckpointError, ConfigError, ValueError: see `recipes.open_checkpoint`, `rebuild_system`.
    """

    def __init__(
        self,
        ckpt: str,
        system: System,
        words: Sequence[str] = (),  # which say what it is compared with, see `comparison`
    ) -> None:
        self.ckpt, self.system, self.words, self.lock = ckpt, system, words, RLock()
        self.digest = digest(self.generator)
        self.cache = cache_dir() / "explore" / self.digest.rpartition(":")[2][:16]
        self.kept: dict[Any, Any] = {}  # what was found already, by what it depends on
        self.last: tuple[Any, Tensor] = (None, torch.empty(0))  # images, and which

    @classmethod
    def open(
        cls,
        ckpt: str,
        extra: Sequence[str] = (),  # packages of the user's that its recipe may name
        given: dict[str, Any] | None = None,  # files of its model, see `rebuild_system`
        words: Sequence[str] = (),
    ) -> "Session":
        """The session of a checkpoint, on the accelerator where there is one."""
        device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        system: System = rebuild_system(open_checkpoint(ckpt), list(extra), given)
        system.to(device).setup("test")
        return cls(ckpt, system, words)

    @property
    def generator(self) -> Generator:
        """The averaged one."""
        generator: Generator = self.system.generator_ema
        return generator

    @property
    def place(self) -> torch.device:
        """Where it works."""
        return device_of(self.generator)

    @property
    def has_styles(self) -> bool:
        """Whether there is a w, and noise."""
        return has_styles(self.generator)

    @property
    def spaces(self) -> list[str]:
        """z and, where there are styles, w."""
        return spaces_of(self.generator, None)

    @property
    def num_styles(self) -> int:
        """Layers that have a style now; 0 = none."""
        network = self.generator
        return network.active_styles if has_styles(network) else 0

    @property
    def classes(self) -> list[str]:
        """Names of the classes that images may be told, or their numbers; none = unconditional."""
        names = list(self.system.conditioner.class_names)
        return names or list(map(str, range(num_classes(self.system))))

    @cached_property
    def realism(self) -> ImageRealism:
        """What tells how real single images are.

        Raises:
            ConfigError, ValueError, OSError: there are no reals; says how to name some.
        """
        return ImageRealism(*comparison(self.system, self.ckpt, self.words))

    def sampler(self, how: How, truncated: bool = True) -> Sampler:
        """What makes the images; `truncated` False leaves truncation out, as studies of neurons do.

        Raises:
            ValueError: see `Sampler`.
        """
        labels = () if how.label is None else (how.label,)
        drawn = {"truncation": how.truncation, "cutoff": how.cutoff} if truncated else {}
        return Sampler.of(self.system, how.seed, noise=how.noise, labels=labels, **drawn)

    def images(self, how: How, indices: Sequence[int]) -> Tensor:
        """Images without truncation, (N, C, H, W) on the CPU; the last ones are kept."""
        with self.lock:
            key, found = self.last
            if key != (how, tuple(indices)):
                found = self.sampler(how, truncated=False).images(indices)
                self.last = ((how, tuple(indices)), found)
            return found

    def told(self, how: How, condition_at: ConditionAt) -> Sampler:
        """What makes images that are told something else than the checkpoint says."""
        return replace(self.sampler(replace(how, label=None)), condition_at=condition_at)

    def rate_key(self, how: How, layers: Sequence[str]) -> Key:
        """What rates of these layers belong to: latents of another seed, as `RateCount` has it."""
        counted = self.digest, rate_seed_of(how.seed, None), tuple(layers)
        return Key(*counted, how.noise, classes=self.sampler(how, truncated=False).classes)

    def rates_file(self, key: Key, num: int) -> Path:
        """Where rates over `num` latents are kept."""
        named = blake2b(key.text.encode(), digest_size=8).hexdigest()
        return self.cache / f"rates-{num}-{named}.safetensors"

    def rates(self, how: How, layers: Sequence[str], num: int) -> Rates | None:
        """Rates that were counted before, here or by an earlier page; None = not yet."""
        key = self.rate_key(how, select_layers(self.generator, layers))
        path = self.rates_file(key, num)
        if path not in self.kept and path.is_file():
            with self.lock, suppress(ValueError):  # a damaged file is counted anew
                rates, shapes = Rates.load(path), layer_shapes(self.sampler(how), key.layers)
                if not rates.differences(key, num, shapes):
                    self.kept[path] = rates
        return self.kept.get(path)

    def count_rates(self, how: How, layers: Sequence[str], num: int, progress: Progress) -> Rates:
        """The same, counted where there are none; other views go on between batches."""
        if (found := self.rates(how, layers, num)) is not None:
            return found
        key = self.rate_key(how, select_layers(self.generator, layers))
        with self.lock:
            sampler = replace(self.sampler(how, truncated=False), seed=key.seed)
            counting = Counting(sampler, key.layers)
        for batch in batched(range(num), sampler.batch_size):
            with self.lock:
                counting.feed(batch)
            progress((batch[-1] + 1) / num, "activation rates")
        rates = Rates(counting.rates(), num, key.seed, key.generator, key.noise, key.classes)
        path = rates.save(self.rates_file(key, num))
        self.kept[path] = rates
        return rates

    def counted(self, how: How, layer: str) -> Tensor | None:
        """Rates of a layer, (C, H, W), from the count over most latents; None = there is none."""
        key = self.rate_key(how, [layer])
        every = [
            each
            for each in self.kept.values()
            if isinstance(each, Rates)
            and layer in each.rates
            and (each.seed, each.noise, each.classes) == (key.seed, key.noise, key.classes)
        ]
        best = max(every, key=lambda rates: rates.num_latents, default=None)
        return None if best is None else best.rates[layer]
