"""A real-or-fake test as one HTML page that needs nothing but itself.

Images are inside it, its content policy lets it fetch nothing, and the answers leave it only as a
file that the person downloads. Who looks into its source finds the truth there.
"""

import base64
import hashlib
import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from PIL import Image

from ganlab.report.images import Pixels
from ganlab.studies.people.trials import Protocol, Trial

TEMPLATE = Path(__file__).parent / "template"


def page_of(
    protocol: Protocol,
    trials: Sequence[Trial],
    images: Sequence[Pixels],
    *,
    title: str,  # what is tested, as people read it
    model: str,  # what fakes come from, as the table of results names it
    seed: int,  # of each person's order, together with their name
    break_every: int = 25,  # trials between two breaks; 0 = none
    smooth: bool = True,  # enlarge smoothly; False = each pixel a square
) -> str:
    """The page as text."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    script = (TEMPLATE / "real_or_fake.js").read_text(encoding="utf-8")
    environment = Environment(
        loader=FileSystemLoader(TEMPLATE), autoescape=True, undefined=StrictUndefined
    )
    study = {
        "title": title,
        "model": model,
        "protocol": protocol.name,
        "seconds": protocol.seconds,
        "break_every": break_every,
        "seed": seed,
        "trials": [vars(trial) for trial in trials],
        "images": [data_address(image) for image in images],
    }
    study["test"] = hashlib.sha256(json.dumps(study, sort_keys=True).encode()).hexdigest()[:16]
    return environment.get_template("real_or_fake.html.j2").render(
        title=title,
        protocol=protocol.name,
        seconds=spoken_seconds(protocol.seconds),
        num_trials=len(trials),
        smooth=smooth,
        study=inside_script(study),
        style=(TEMPLATE / "real_or_fake.css").read_text(encoding="utf-8"),
        script=script,
        policy=f"'sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}'",
    )


def spoken_seconds(seconds: float | None) -> str:
    """`one second`, `2.5 seconds`, or nothing without a limit."""
    if seconds is None:
        return ""
    return "one second" if seconds == 1 else f"{seconds:g} seconds"


def inside_script(value: Any) -> str:
    """JSON that cannot end the element it stands in."""
    text = json.dumps(value, ensure_ascii=True)
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def data_address(pixels: Pixels) -> str:
    """A picture as PNG in a data: address, without any metadata that could tell its origin."""
    data = io.BytesIO()
    Image.fromarray(pixels).save(data, format="PNG", optimize=True)
    return f"data:image/png;base64,{base64.b64encode(data.getvalue()).decode('ascii')}"
