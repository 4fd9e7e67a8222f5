"""Scores by the balls around images that reach to their k-th neighbour: what these share."""

from torch import Tensor

from ganlab.metrics.score import StoredFeatures


class ManifoldScore(StoredFeatures):
    """Base of scores that ask which images lie in balls around others.

    Raises:
        ValueError: a ball that reaches to no neighbour, or less memory than none.
    """

    title = "a score"  # in messages
    fake_balls = False  # whether the generated images have balls too

    def __init__(
        self,
        k: int = 3,  # the ball around an image reaches to its k-th neighbour, itself not counted
        memory_mb: int = 64,  # bound on the distances held at once, MiB
    ) -> None:
        super().__init__()
        if k < 1 or memory_mb < 0:
            raise ValueError(f"{self.title}: k={k} must be from 1, memory_mb={memory_mb} from 0")
        self.k, self.memory_mb = k, memory_mb
        self.protocol = f"k{k}"

    def check_sizes(self, num_real: int | None, num_fake: int) -> None:
        """Raise ValueError where an image with a ball has fewer than k neighbours."""
        sizes = [] if num_real is None else [num_real]
        sizes += [num_fake] if self.fake_balls else []
        if sizes and min(sizes) <= self.k:
            whose = "images" if self.fake_balls else "real images"
            raise ValueError(f"{self.title} with k={self.k} takes more than {min(sizes)} {whose}")

    def sides(self) -> tuple[Tensor, Tensor]:
        """Features of the reals and of the fakes, (N, d) and (M, d); raises as `check_sizes`."""
        real, fake = self.rows("real"), self.rows("fake")
        self.check_sizes(len(real), len(fake))
        return real, fake
