"""Which stored number is black and which is white: stated, told by the type, or found in a set.

stated([0, 4095])                    # a Scale
found("auto", seen)                  # (Scale, why), from the values of a set
found(["0.1%", "99.9%"], seen)       # the same from percentiles of them
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

Given = Sequence[float | str] | str | None  # what `data.range` may be
SAMPLED = 2**22  # values of a set that percentiles are taken of, evenly from all images
NARROW = 16  # of 255: what a sixteenth of a range becomes
FORMS = "two numbers as [0,4095], two percentiles as [0.1%,99.9%], or auto"


@dataclass(frozen=True)
class Scale:
    """Values `low` to `high` become 0 to 255; what lies outside is cut off."""

    low: float
    high: float

    def __call__(self, values: NDArray[Any]) -> NDArray[np.uint8]:
        """Numbers of any type, rounded to 8 bits; the shape is kept."""
        share = (values.astype(np.float64) - self.low) / (self.high - self.low)
        scaled: NDArray[np.uint8] = np.rint(255 * share.clip(0, 1)).astype(np.uint8)
        return scaled

    def __str__(self) -> str:
        return f"[{self.low:.10g},{self.high:.10g}]"

    def serves(self, dtype: np.dtype[Any], largest: float) -> bool:
        """Whether numbers of this type, up to the largest, may be of this range.

        Whole numbers above 1 are of no range of fractions: their own white is another.
        """
        fraction = dtype.kind in "ui" and self.high <= 1 < largest
        return self.reached_by(dtype) and not fraction

    def outside(self, values: NDArray[Any]) -> float:
        """The share of these that is cut off."""
        return float(((values < self.low) | (values > self.high)).mean())

    def reached_by(self, dtype: np.dtype[Any]) -> bool:
        """Whether numbers of this type can be as low and as high."""
        if dtype.kind not in "ui":
            return dtype.kind == "f" or (self.low, self.high) == (0, 1)
        ends = np.iinfo(dtype)
        return bool(ends.min <= self.low and self.high <= ends.max)


FULL = {np.dtype(bool): Scale(0, 1), np.dtype(np.uint8): Scale(0, 255)}
FULL[np.dtype(np.uint16)] = Scale(0, 65535)  # these need no word; no other type has a white


def stated_scale(given: Given) -> Scale | None:
    """The range that is stated; None where none is, or one is to be found.

    Raises:
        ValueError: it is of no form that is known; names `data.range`.
    """
    if given is None or given == "auto" or _percentiles(given):
        return None
    listed = [] if isinstance(given, str) else [*given]
    plain = [x for x in listed if isinstance(x, int | float) and not isinstance(x, bool)]
    numbers = [x for x in plain if math.isfinite(x)]
    if len(numbers) != 2 or len(numbers) != len(given) or not numbers[0] < numbers[1]:
        raise ValueError(f"data.range={_shown(given)} must be {FORMS}, the lower one first")
    return Scale(*map(float, numbers))


def to_find(given: Given) -> bool:
    """Whether the range depends on the values of a set."""
    return given is not None and stated_scale(given) is None


@dataclass(frozen=True)
class Values:
    """What one image says of its set: type, extremes, and some of its values."""

    dtype: np.dtype[Any]
    low: float
    high: float
    sample: NDArray[Any]

    @classmethod
    def of(cls, values: NDArray[Any], num_images: int) -> "Values":
        """Look at one of `num_images` images: at those of its values that are finite numbers."""
        flat = values.reshape(-1)
        if values.dtype.kind == "f" and not (finite := np.isfinite(flat)).all():
            flat = flat[finite] if finite.any() else np.zeros(1, values.dtype)
        step = max(1, flat.size // max(1, SAMPLED // num_images))
        sample = flat[step // 2 :: step].copy()  # a view would keep the whole image
        return cls(values.dtype, float(flat.min()), float(flat.max()), sample)


@dataclass
class Seen:
    """The values of a set."""

    low: float = np.inf
    high: float = -np.inf
    kinds: set[np.dtype[Any]] = field(default_factory=set)
    samples: list[NDArray[Any]] = field(default_factory=list)

    @classmethod
    def of(cls, images: Iterable[Values]) -> "Seen":
        """Of all its images."""
        seen = cls()
        for image in images:
            seen.add(image)
        return seen

    def add(self, image: Values) -> None:
        """One more image."""
        self.low, self.high = min(self.low, image.low), max(self.high, image.high)
        self.kinds.add(image.dtype)
        self.samples.append(image.sample)

    def __str__(self) -> str:
        """`values from 0 to 4,095 (uint16)`."""
        if not self.kinds:
            return ""
        kinds = ", ".join(sorted(map(str, self.kinds)))
        return f"values from {_number(self.low)} to {_number(self.high)} ({kinds})"

    def advice(self) -> str:
        """What to say where values fill less than a sixteenth of their type, or it has no white."""
        if len(self.kinds) != 1 or self.low == self.high:
            return ""
        (dtype,) = self.kinds
        full = FULL.get(dtype)
        if full is not None and 16 * (self.high - self.low) > full.high:
            return ""
        what = f"{dtype} has no white of its own" if full is None else "a sixteenth or less of it"
        scale, why = find_scale("auto", self)
        return f"{what}: say data.range={scale} ({why}), or data.range=auto"


def find_scale(given: Given, seen: Seen) -> tuple[Scale, str]:
    """The range that a set's values have, and why it is this one.

    Raises:
        ValueError: the images are of several types, or all values are equal.
    """
    shares = _percentiles(given)
    if len(seen.kinds) != 1:
        kinds = " and ".join(sorted(map(str, seen.kinds))) or "no type that is known"
        raise ValueError(f"data.range={_shown(given)}: the images are of {kinds}; say two numbers")
    if shares:
        sample = np.concatenate(seen.samples)
        ends = np.quantile(sample.astype(np.float64), [share / 100 for share in shares])
        scale = Scale(float(ends[0]), float(ends[1]))
        why = f"{shares[0]:g}% and {shares[1]:g}% of {sample.size:,} of its values"
    else:
        scale, why = _automatic(seen)
    if not scale.low < scale.high:
        raise ValueError(f"data.range={_shown(given)}: nearly all values are {scale.low:g}")
    return scale, why


def narrow(low: int, high: int) -> str | None:
    """A warning where all 8-bit values of a set lie within a sixteenth of the range."""
    if high - low > NARROW:
        return None
    return (
        f"the images use the values {low} to {high} of 255 alone, less than a sixteenth: say what "
        "is black and white, as data.range=[0,4095] for 12 bits in files of 16, or data.range=auto"
    )


def _automatic(seen: Seen) -> tuple[Scale, str]:
    (dtype,) = seen.kinds
    low, high = seen.low, seen.high
    if dtype.kind == "b":
        return Scale(0, 1), "they are true or false"
    if dtype.kind in "ui" and low >= 0:
        bits = max(8, int(high).bit_length())
        return Scale(0, 2**bits - 1), f"the largest value, {_number(high)}, takes {bits} bits"
    for ends in ((0, 1), (-1, 1), (0, 255)) if dtype.kind == "f" else ():
        if ends[0] <= low and high <= ends[1]:
            return Scale(*ends), f"all values lie in {ends[0]} to {ends[1]}"
    return Scale(low, high), "the least and the largest value"


def _percentiles(given: Given) -> list[float]:
    """0.1 and 99.9 of `[0.1%, 99.9%]`; nothing of any other form."""
    if given is None or isinstance(given, str) or len(given) != 2:
        return []
    try:
        shares = [float(each[:-1]) for each in given if isinstance(each, str) and each[-1:] == "%"]
    except ValueError:
        return []
    return shares if len(shares) == 2 and 0 <= shares[0] < shares[1] <= 100 else []


def _number(value: float) -> str:
    return f"{int(value):,}" if float(value).is_integer() else f"{value:.4g}"


def _shown(given: Given) -> str:
    if given is None or isinstance(given, str):
        return str(given)
    return f"[{','.join(map(str, given))}]"
