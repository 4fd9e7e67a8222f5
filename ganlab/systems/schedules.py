"""Numbers that change along the clock: pure functions of images seen, so that a resume has them."""

import math
from dataclasses import dataclass

SHAPES = ("constant", "linear", "cosine")


@dataclass(frozen=True)
class Schedule:
    """Images seen -> the factor by which a number stands at its configured value.

    It rises linearly from 0 to `initial` over `warmup_kimg`, and from there goes to `final` at
    `until_kimg`, where it stays: along a line, or along half a wave of the cosine (Loshchilov,
    Hutter, arXiv:1608.03983, eq. 5, without restarts); a constant one stays at `initial`.

    Raises:
        ValueError: a shape or a number that cannot be; names the keys.
    """

    shape: str = "constant"  # constant, linear or cosine
    until_kimg: float = 1000.0  # where it ends, thousands of images
    final: float = 0.0  # share of the value at its end
    warmup_kimg: float = 0.0  # length of the rise, thousands of images
    initial: float = 1.0  # share of the value after the rise

    def __post_init__(self) -> None:
        key = "model.schedule or model.annealing"
        if self.shape not in SHAPES:
            raise ValueError(f"{key}: shape={self.shape} should be {', '.join(SHAPES)}")
        for name, share in (("final", self.final), ("initial", self.initial)):
            if not 0 <= share <= 1:
                raise ValueError(f"{key}: {name}={share} should be from 0.0 to 1.0")
        if not 0 <= self.warmup_kimg < self.until_kimg:
            raise ValueError(
                f"{key}: warmup_kimg={self.warmup_kimg:g} should be at least 0 and below "
                f"until_kimg={self.until_kimg:g}"
            )

    def __call__(self, images_seen: int) -> float:
        """The factor of the batch that starts at `images_seen`; of a rise that of its end.

        So the first batch already learns: after n images of a rise over m it is (n + 1) / m.
        """
        kimg = images_seen / 1000
        if kimg < self.warmup_kimg:
            return self.initial * min(1.0, (images_seen + 1) / (1000 * self.warmup_kimg))
        along = min(1.0, (kimg - self.warmup_kimg) / (self.until_kimg - self.warmup_kimg))
        left = {
            "constant": 1.0,
            "linear": 1 - along,
            "cosine": (1 + math.cos(math.pi * along)) / 2,
        }[self.shape]
        final = 0.0 if self.shape == "constant" else self.final
        return final + (self.initial - final) * left
