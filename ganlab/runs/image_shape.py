"""What two sections of a config say of one thing: the size and the channels of the images."""

import inspect
from collections.abc import Sequence
from typing import Any

from ganlab.checks.annotations import annotations, fits
from ganlab.config import SECTIONS, ConfigError, Settings, locate


def check_shape(settings: Settings, extra: Sequence[str]) -> None:
    """Refuse images that are no squares for networks that make squares alone.

    Raises:
        ConfigError: names the part of the model, and those that take a height and a width.
    """
    data, model = settings.get("data"), settings.get("model")
    shape = data.get("resolution") if isinstance(data, dict) else None
    if not isinstance(shape, list) or not isinstance(model, dict):
        return
    for name, node in model.items():
        if not isinstance(node, dict) or node.get("resolution") != shape or "_target_" not in node:
            continue
        target = locate(str(node["_target_"]), SECTIONS["model"], extra)
        if not fits(shape, annotations(target).get("resolution")):
            raise ConfigError(
                f"data.resolution={shape}: model.{name} ({node['_target_']}) is for squares alone; "
                "model=dcgan, stylegan2, r3gan and progan take a height and a width"
            )


def check_data_shape(settings: Settings) -> None:
    """Refuse networks for other images than the data's.

    Raises:
        ConfigError: names both keys.
    """
    parts = (settings.get("model") or {}).items()
    for part, node in ((part, node) for part, node in parts if isinstance(node, dict)):
        for key in ("resolution", "channels"):
            here = _given(node, key, settings["allow_targets"])
            there = settings["data"].get(key)
            if None not in (here, there) and here != there:
                raise ConfigError(
                    f"model.{part}.{key}={here} and data.{key}={there} differ: networks are "
                    f"for images of the data's size and channels; give data.{key} alone"
                )


def _given(node: Settings, name: str, extra: Sequence[str]) -> Any:
    """What a network is given by a name: the node's value, else its default, a user's own too."""
    if name in node or "_target_" not in node:
        return node.get(name)
    known = inspect.signature(locate(str(node["_target_"]), SECTIONS["model"], extra)).parameters
    default = known[name].default if name in known else None
    return None if default is inspect.Parameter.empty else default
