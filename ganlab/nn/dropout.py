"""Dropout whose masks can be told."""

from collections.abc import Callable, Sequence

from torch import Tensor, nn

Uniform = Callable[[Sequence[int]], Tensor]  # shape, samples first -> numbers in [0, 1)


class Dropout(nn.Dropout):
    """`nn.Dropout`, but in training a unit is dropped where `draw` says less than p, if it is set.

    Whoever trains with several processes draws for the whole batch and gives each its rows, so that
    a sample loses the same units however many processes there are.
    """

    def __init__(
        self,
        p: float = 0.5,  # share of units dropped
    ) -> None:
        super().__init__(p)
        self.draw: Uniform | None = None  # None = torch's global random stream

    def forward(self, x: Tensor) -> Tensor:
        """(N, ...) -> same; what is kept is scaled by 1 / (1 - p)."""
        if self.draw is None or not self.training or self.p in (0, 1):
            return super().forward(x)
        return x * (self.draw(x.shape) >= self.p) / (1 - self.p)
