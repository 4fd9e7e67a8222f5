"""What the tabs of the page share: its controls, pictures with their facts, errors as a line."""

import html
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import wraps
from hashlib import blake2b
from pathlib import Path
from typing import Any

import gradio as gr

from ganlab.app.session import How, Session
from ganlab.app.view import View
from ganlab.cli import EXPECTED, visible
from ganlab.sampling import NOISES

BAR = gr.Progress()  # what a function that counts has as its default is told how far it is
AS_SAID = "as the checkpoint says"


def asked(answer: Callable[..., Any]) -> Callable[..., Any]:
    """The same, where what a user can cause is a line in the page."""

    @wraps(answer)
    def told(*values: Any, **named: Any) -> Any:
        try:
            return answer(*values, **named)
        except EXPECTED as error:
            text = error.args[0] if isinstance(error, KeyError) and error.args else error
            line = html.escape(visible(str(text)))
            raise gr.Error(line, duration=20, print_exception=False) from None

    return told


@dataclass(frozen=True)
class Controls:
    """What all tabs share: how images are made, and which one is looked at."""

    session: Session
    inputs: list[Any]  # the components, in the order of `how`
    index: Any  # the address of the image looked at

    @classmethod
    def make(cls, session: Session) -> "Controls":
        """A row of controls; those that this generator does not have are not shown."""
        classes, styled = session.classes, session.has_styles
        truncates: dict[str, Any] = {"visible": session.generator.truncates}
        with gr.Row():
            seed = gr.Number(0, label="Seed", precision=0, min_width=90)
            index = gr.Number(0, label="Latent", precision=0, min_width=90)
            cut = gr.Checkbox(False, label="Truncate", min_width=100, **truncates)
            psi = gr.Slider(0.05, 1.5, 0.7, step=0.05, label="Truncation psi", **truncates)
            count = max(session.num_styles, 2)  # a slider has two ends, also where it is not shown
            layers = gr.Slider(1, count, count, step=1, label="Truncated styles", visible=styled)
            noise = gr.Radio(NOISES, value=NOISES[0], label="Noise", visible=styled)
            told = [AS_SAID, *classes]
            label = gr.Dropdown(told, value=AS_SAID, label="Class", visible=bool(classes))
        return cls(session, [seed, cut, psi, layers, noise, label], index)

    def how(self, seed: Any, cut: bool, psi: float, layers: int, noise: str, label: str) -> How:
        """What the controls say.

        Raises:
            ValueError: a seed that is none.
        """
        told = None if label == AS_SAID else self.session.classes.index(label)
        cutoff = layers if cut and layers < self.session.num_styles else None
        return How(whole(seed, "seed"), psi if cut else None, cutoff, noise, told)

    @property
    def changes(self) -> list[Any]:
        """The events of all of them, and of the index."""
        return [each.change for each in (*self.inputs, self.index)]


def whole(value: Any, name: str) -> int:
    """A number as typed.

    Raises:
        ValueError: none, or one below 0.
    """
    typed = str(value).strip().isdecimal() if isinstance(value, str) else value is not None
    number = int(value) if typed else -1
    if not 0 <= number < 2**63:
        raise ValueError(f"{name} takes a whole number from 0, got {value}")
    return number


class Folder:
    """Files of pictures that the page shows, each named by its content."""

    def __init__(self, place: Path) -> None:
        self.place = place
        place.mkdir(exist_ok=True)

    def keep(self, data: bytes) -> str:
        """The file that holds these bytes."""
        path = self.place / f"ganlab-{blake2b(data, digest_size=8).hexdigest()}.png"
        if not path.is_file():
            path.write_bytes(data)
        return str(path)


class Picture:
    """A picture, its facts, its command with a button to copy it, and one to save the picture."""

    def __init__(
        self,
        folder: Folder,
        label: str,
        name: str,  # its id on the page
        opened: bool = True,  # whether its facts are shown at once
    ) -> None:
        self.folder = folder
        plain: dict[str, Any] = {"type": "filepath", "format": "png", "buttons": ["fullscreen"]}
        plain |= {"elem_id": name, "elem_classes": "picture"}
        self.image = gr.Image(label=label, alt_text=label, interactive=False, **plain)
        with gr.Accordion("Facts, command, and to save it", open=opened):
            said: dict[str, Any] = {"interactive": False, "lines": 2}  # Gradio's own button to copy
            self.facts = gr.Textbox(label="What it shows", **said)  # would take its label
            self.line = gr.Textbox(label="Its command", **said)
            with gr.Row():
                copy = gr.Button("Copy the command", size="sm")
                self.save = gr.DownloadButton("Save the picture with its facts", size="sm")
        copied = "line => { navigator.clipboard.writeText(line) }"
        copy.click(None, [self.line], None, js=copied, api_visibility="private")

    @property
    def outputs(self) -> list[Any]:
        """What `values` are for."""
        return [self.image, self.facts, self.line, self.save]

    def values(self, view: View) -> list[Any]:
        """The view as the components take it."""
        path = self.folder.keep(view.png)
        return [path, view.facts, view.command, path]

    def nothing(self, why: str) -> list[Any]:
        """No picture, and the reason."""
        return [None, why, "", None]


def listen(
    triggers: Sequence[Any],
    answer: Callable[..., Any],
    inputs: Sequence[Any],
    outputs: Sequence[Any],
    counting: bool = False,  # takes long: has a line of its own and a bar
) -> Any:
    """Ask when any of these events happens; of many waiting the last is answered.

    One view is made at a time: what else waits, waits outside of the generator.
    """
    return gr.on(
        list(triggers),
        asked(answer),
        list(inputs),
        list(outputs),
        show_progress="full" if counting else "minimal",
        trigger_mode="once" if counting else "always_last",
        concurrency_limit=1,
        concurrency_id="count" if counting else "view",
        api_visibility="private",
    )


@dataclass(frozen=True)
class Place:
    """Where on the page a view stands: it is drawn while its tabs are the chosen ones alone."""

    states: tuple[Any, ...] = ()  # which tab is chosen, the outer ones first
    names: tuple[str, ...] = ()  # that are to be

    def tab(self, chosen: Any, name: str, tab: Any) -> "Place":
        """The place within a tab, which becomes the chosen one when it is selected."""
        listen([tab.select], lambda: name, [], [chosen])
        return Place((*self.states, chosen), (*self.names, name))

    def draw(
        self,
        triggers: Sequence[Any],  # besides the choice of the tab itself
        answer: Callable[..., Any],
        inputs: Sequence[Any],
        outputs: Sequence[Any],
    ) -> Any:
        """Draw when any of these events happens while this is looked at, and when it is chosen."""

        def here(*values: Any) -> Any:
            chosen, rest = values[: len(self.names)], values[len(self.names) :]
            return answer(*rest) if chosen == self.names else gr.skip()

        chosen = [state.change for state in self.states]
        return listen([*triggers, *chosen], here, [*self.states, *inputs], outputs)
