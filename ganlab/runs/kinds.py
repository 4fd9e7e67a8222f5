"""What a trainer can hold: what the nodes of a config have built, by kind."""

from lightning import Callback
from lightning.pytorch.loggers import Logger

from ganlab.config import ConfigError
from ganlab.studies import Question


def of_kind(found: object, key: str) -> Callback | Logger:
    """What the node of a key has built, once that is something for a trainer to hold.

    Raises:
        ConfigError: it is of another kind.
    """
    kind = Logger if key.startswith("logger.") else Callback
    if isinstance(found, kind):
        return found
    name = type(found).__name__
    if isinstance(found, Question):
        raise ConfigError(
            f"{key}: {name} asks a trained generator, as in evaluate.py study._target_="
            f"{type(found).__module__}.{name}; leave it out here"
        )
    raise ConfigError(f"{key}: {name} is no {kind.__name__}; leave it out here")
