"""When something that happens every K images is due."""


def crossed(before: int, after: int, every: int) -> bool:
    """Whether the clock passed a multiple of `every` images between two readings."""
    return after // every > before // every
