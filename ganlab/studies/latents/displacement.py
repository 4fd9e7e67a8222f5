"""Arithmetic on latents: this group, without what that one has, with what a third one has.

results = displaced(a, displacement(b, c))             # z_i - mean(B) + mean(C), one a start
"""

from torch import Tensor

STARTS = ("each", "mean")


def displacement(minus: Tensor, plus: Tensor) -> Tensor:
    """mean(C) - mean(B) of (b, ...) and (c, ...) latents or styles, as float64.

    Zero, exactly, where both are the same group.
    """
    return plus.double().mean(0) - minus.double().mean(0)


def displaced(start: Tensor, by: Tensor, form: str = "each") -> Tensor:
    """The starts (k, ...) moved: z_i - mean(B) + mean(C) of each (Heikka, figure 6), k results.

    `mean` moves the starts' mean alone, mean(A) - mean(B) + mean(C), one result (Radford et al.,
    arXiv:1511.06434, section 6.3.2). A displacement of zero changes no bit of `each`.

    Raises:
        ValueError: another form.
    """
    if form not in STARTS:
        raise ValueError(f"study.start must be {' or '.join(STARTS)}, got {form!r}")
    first = start.double()
    first = first.mean(0, keepdim=True) if form == "mean" else first
    return (first + by).to(start)
