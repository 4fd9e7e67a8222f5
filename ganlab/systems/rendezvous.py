"""How the ranks of a run find each other, and what is said when they do not."""

import os
import re
from datetime import timedelta
from typing import Any

from lightning.pytorch.strategies import DDPStrategy
from torch.distributed import DistError
from torch.distributed.distributed_c10d import _set_pg_timeout

from ganlab.nn.ranks import share

FIRST = "GANLAB_FIRST_RANK"  # number of the process that starts the others; unset if none does
MEETING = timedelta(minutes=5)  # from the first rank's arrival to the last one's
AT_ONCE = timedelta(seconds=55)  # the same of ranks that a scheduler starts together on one machine
WAITING = timedelta(minutes=30)  # for a rank that scores or writes while others wait
TOGETHER = timedelta(days=30)  # where `Watch` sees every process: a job may be suspended for long

# Names of what is ours: Lightning's others of the same say how DDP looks for what it need not here.
DDP = ("ddp", "ddp_find_unused_parameters_true", "ddp_find_unused_parameters_false")


class RendezvousError(ConnectionError):
    """The ranks of a run did not find each other; the message says where and why."""


class Ranks(DDPStrategy):
    """DDP that gives up soon where ranks do not meet, and is patient once they have.

    The system averages the gradients itself, of the networks that a step trains and once they are
    whole (`Training.take_step`): torch's DDP would send those of both networks after each backward
    pass, and walk its graph before it for those that it did not reach.
    """

    def setup_distributed(self) -> None:
        """Meet.

        Raises:
            RendezvousError: see there.
        """
        together = self.num_nodes == 1 and FIRST not in os.environ
        self._timeout = AT_ONCE if together else MEETING
        try:
            super().setup_distributed()
        except DistError as error:
            raise RendezvousError(trouble(str(error))) from error
        _set_pg_timeout(WAITING)

    def configure_ddp(self) -> None:
        """All ranks begin with the first one's networks, which stay as they are."""
        network = self.lightning_module
        assert network is not None
        share([*network.parameters(), *network.buffers()])

    def training_step(self, *args: Any, **options: Any) -> Any:
        """Buffers, such as batch norm's statistics, are the first rank's in every step."""
        network = self.lightning_module
        assert network is not None
        share(network.buffers())
        return super().training_step(*args, **options)


def strategy_of(name: str) -> DDPStrategy | str:
    """The strategy that a config names, as ours where it is DDP."""
    return Ranks() if name in DDP else name


def wait_for_long() -> None:
    """Leave it to `Watch` to notice who does not come."""
    _set_pg_timeout(TOGETHER)


def trouble(reason: str) -> str:
    """One line on why ranks did not meet."""
    host, port = os.environ.get("MASTER_ADDR"), os.environ.get("MASTER_PORT")
    if re.search("EADDRINUSE|address already in use", reason, re.IGNORECASE):
        return (
            f"MASTER_PORT={port} is in use on this machine, so the ranks cannot meet there: "
            "set another one for all of them (or none, where one process starts the others)"
        )
    short = " ".join(reason.split())[:200]
    return (
        f"the ranks did not meet at MASTER_ADDR={host} MASTER_PORT={port} ({short}): "
        "see what the others said, and start all of them again"
    )
