"""A picture that is painted on: by dabs, a click or a press of a button each, or freely."""

from collections.abc import Callable, Sequence
from typing import Any

import gradio as gr
import torch

from ganlab.app.session import Session
from ganlab.app.view import View, factor_of
from ganlab.app.widgets import Folder, Picture, Place, listen
from ganlab.studies.neurons.painted import Dab, Mark, Strokes, checked_marks

FREE: dict[str, Any] = {"type": "numpy", "sources": (), "transforms": (), "layers": False}


class Brush:
    """The picture beside the brush's controls; `column` takes what else belongs there."""

    def __init__(self, session: Session, folder: Folder, label: str, name: str) -> None:
        self.session, self.folder = session, folder
        self.marks: Any = gr.State([])
        with gr.Row():
            with gr.Column():
                self.canvas = Picture(folder, label, name, opened=False)
                with gr.Accordion("Draw freely", open=False) as self.drawing:
                    pen = gr.Brush(default_size=16, colors=["#e00000"], color_mode="fixed")
                    free: dict[str, Any] = {**FREE, "brush": pen, "elem_id": f"{name}-free"}
                    self.free = gr.ImageEditor(label="Draw on the image", **free)
            with gr.Column() as self.column:
                radius = gr.Slider(0.02, 0.5, 0.12, step=0.01, label="Radius of a dab")
                with gr.Row():
                    y = gr.Number(0.5, label="y of a dab", minimum=0, maximum=1, step=0.05)
                    x = gr.Number(0.5, label="x of a dab", minimum=0, maximum=1, step=0.05)
                with gr.Row():
                    add, self.clear = gr.Button("Add the dab"), gr.Button("Clear")
        listen([self.canvas.image.select], self.clicked, [self.marks, radius], [self.marks])
        listen([add.click], self.added, [self.marks, y, x, radius], [self.marks])
        listen([self.free.input], self.drawn, [self.marks, self.free], [self.marks])

    def follow(
        self,
        place: Place,
        triggers: Sequence[Any],  # by which the image becomes another
        image: Callable[..., View | None],  # with nothing marked; None = there is none
        inputs: Sequence[Any],
    ) -> None:
        """Let what is drawn on freely be this image; strokes are not taken from one to the next."""

        def renewed(marks: list[Mark], *values: Any) -> list[Any]:
            view = image(*values)
            path = None if view is None else self.folder.keep(view.png)
            shown: dict[str, Any] = {"background": path, "layers": [], "composite": None}
            return [None if view is None else shown, dabs_of(marks)]

        def cleared(marks: list[Mark], *values: Any) -> list[Any]:
            return renewed([], *values)

        given, changed = [self.marks, *inputs], [self.free, self.marks]
        place.draw([*triggers, self.drawing.expand], renewed, given, changed)
        listen([self.clear.click], cleared, given, changed)

    def clicked(self, at: gr.SelectData, marks: list[Mark], radius: float) -> list[Mark]:
        """With a dab where the picture was clicked on."""
        (column, row), (height, width) = at.index, self.session.generator.image_size
        factor = factor_of(height)
        dab = Dab((row + 0.5) / (factor * height), (column + 0.5) / (factor * width), radius)
        return [*marks, dab]

    def added(self, marks: list[Mark], y: float, x: float, radius: float) -> list[Mark]:
        """With a dab where the fields say."""
        return checked_marks([*marks, Dab(y, x, radius)])

    def drawn(self, marks: list[Mark], free: dict[str, Any] | None) -> list[Mark]:
        """With what was drawn freely in the place of what was before."""
        layers = [torch.from_numpy(each[..., 3] > 0) for each in (free or {}).get("layers", [])]
        return [*dabs_of(marks), *(Strokes(mask) for mask in layers if mask.any())]


def dabs_of(marks: Sequence[Mark]) -> list[Mark]:
    """The dabs alone."""
    return [each for each in marks if isinstance(each, Dab)]
