"""Which numbers a setting may be, by the name of its key: what no run can have is refused by it.

The upper bounds are far above what anybody trains: they stop a slip of the keyboard before it
becomes a loop without end or a request for more memory than there is.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass

SHOWN = 60  # characters of a value in a message


@dataclass(frozen=True)
class Range:
    """Numbers from `least` to `most`; the ends belong to it unless said otherwise."""

    least: float
    most: float
    above: bool = False  # `least` itself is too small
    below: bool = False  # `most` itself is too large

    def holds(self, number: float) -> bool:
        """Whether a number is one of them; NaN never is."""
        low = number > self.least if self.above else number >= self.least
        high = number < self.most if self.below else number <= self.most
        return low and high

    def __str__(self) -> str:
        least = f"above {_digits(self.least)}" if self.above else f"at least {_digits(self.least)}"
        return f"{least} and {'below' if self.below else 'at most'} {_digits(self.most)}"


def _digits(number: float) -> str:
    return f"{number:,}" if isinstance(number, int) else f"{number:g}"


ANY = Range(-1e15, 1e15)
SHARE, BELOW_ONE = Range(0.0, 1.0), Range(0.0, 1.0, below=True)
STRENGTH, POSITIVE = Range(0.0, 1e12), Range(0.0, 1e12, above=True)
KIMG = Range(0.001, 1e12)
WIDTH, PIXELS = Range(1, 2**16), Range(1, 2**14)
BATCH, PICTURES, IMAGES = Range(1, 2**20), Range(1, 2**12), Range(1, 10**9)
SEED = Range(0, 2**63 - 1)

# `section.key` wins over `key`. A list or a mapping holds numbers of the range of its key.
RANGES: dict[str, Range] = {
    # networks
    "resolution": Range(4, 2**14),
    "channels": Range(1, 2**10),
    **dict.fromkeys(("attention_size", "sizes", "kernels", "size"), PIXELS),
    **dict.fromkeys(("width", "max_width", "hidden"), WIDTH),
    **dict.fromkeys(("latent_dim", "coarse_latent_dim", "style_dim", "embedding_dim"), WIDTH),
    "stages": WIDTH,
    "mapping_layers": Range(0, 2**7),
    "mapping_lr_multiplier": Range(1e-9, 1e6),
    "pieces": Range(1, 2**10),
    "num_labels": Range(0, 2**20),
    "num_classes": Range(1, 2**20),
    "classes": Range(1, 2**20),
    "group_size": Range(0, 2**20),
    "init_range": Range(0.0, 1e6),
    "clamp": Range(1e-6, 1e12),
    "taps": Range(-1e6, 1e6),
    **dict.fromkeys(("filter_taps", "upsampling"), Range(1, 2**6)),
    "margin": Range(0, 2**10),
    "blocks": Range(1, 2**6),
    "expansion": Range(0.0, 64.0, above=True),
    "group_width": WIDTH,
    **dict.fromkeys(("dropout", "input_dropout"), BELOW_ONE),
    # training
    **dict.fromkeys(("lr", "learning_rates"), Range(0.0, 1e6)),
    "betas": BELOW_ONE,
    **dict.fromkeys(("eps", "epsilon"), Range(1e-30, 1.0)),  # 0 / 0 of a map that is flat
    "weight_decay": Range(0.0, 1e6),
    **dict.fromkeys(("weight", "gamma", "kl_weight"), STRENGTH),
    "target": Range(1e-6, 1e12),  # slopes are divided by it
    "decay": SHARE,
    **dict.fromkeys(("interval", "intervals", "critic_steps"), Range(1, 10**6)),
    "batch_shrink": Range(1, 2**20),
    **dict.fromkeys(("half_life_kimg", "ramp"), POSITIVE),
    "mixing_probability": SHARE,
    **dict.fromkeys(("p", "translation", "cutout"), SHARE),
    **dict.fromkeys(("crop", "crop_probability"), SHARE),
    **dict.fromkeys(("kimg", "every_kimg", "stable_kimg"), KIMG),
    **dict.fromkeys(("until_kimg", "ada_kimg"), KIMG),
    **dict.fromkeys(("fade_kimg", "warmup_kimg"), Range(0.0, 1e12)),
    **dict.fromkeys(("initial", "final"), SHARE),
    "accumulate": Range(1, 2**20),
    "freeze_discriminator": Range(0, 12),
    "first_level": Range(0, 12),
    "seed": SEED,
    "latent_seed": SEED,
    "devices": Range(-1, 2**10),
    "num_nodes": Range(1, 2**16),
    # data and scores
    **dict.fromkeys(("batch_size", "batch_sizes"), BATCH),
    "max_pixels": Range(1, 2**40),
    "memory_budget_mb": Range(0, 10**9),
    "memory_mb": Range(1, 10**6),
    **dict.fromkeys(("num", "num_real", "num_fake", "num_held_out", "subset_size"), IMAGES),
    **dict.fromkeys(("num_latents", "num_samples", "num_images", "num_paths"), IMAGES),
    **dict.fromkeys(("k", "splits", "num_subsets"), Range(1, 10**6)),
    "feature_dim": Range(0, 2**20),
    "scores.batch_size": Range(1, 2**16),
    "metrics.batch_size": Range(1, 2**16),
    # what watches
    "callbacks.num": PICTURES,
    "callbacks.batch_size": Range(1, 2**16),
    **dict.fromkeys(("columns", "timeline_columns", "timeline_rows", "bins"), PICTURES),
    "seconds": POSITIVE,
}


LONGEST = {"taps": 64, "kernels": 64, "hidden": 256, "sizes": 16}  # lists by key


def range_problem(section: str, key: str, value: object) -> str | None:
    """What a value's numbers should be, in words, where one of them or their count cannot be."""
    allowed = RANGES.get(f"{section}.{key}", RANGES.get(key, ANY))
    if not all(map(allowed.holds, numbers(value))):
        return str(allowed)
    longest = LONGEST.get(key, 2**16)
    too_long = isinstance(value, list) and len(value) > longest
    return f"a list of at most {longest}" if too_long else None


def numbers(value: object) -> Iterator[float]:
    """Every number in a plain value that is to be built as it stands, at any depth."""
    if isinstance(value, dict) and "_target_" not in value:
        value = list(value.values())
    if isinstance(value, list):
        for item in value:
            yield from numbers(item)
    elif isinstance(value, int | float) and not isinstance(value, bool):
        yield value


def text_of(value: object) -> str:
    """A value in a message: its text, or how it begins and how long it is."""
    if isinstance(value, int) and abs(value) >= 10**SHOWN:
        return f"{'-' if value < 0 else ''}10^{math.floor(math.log10(abs(value)))} and more"
    text = str(value)
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}... ({len(text):,} characters)"
