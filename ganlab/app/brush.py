"""A picture that is painted on: each click is a dab, and so is each press of a button."""

from typing import Any

import gradio as gr

from ganlab.app.session import Session
from ganlab.app.view import factor_of
from ganlab.app.widgets import Folder, Picture, listen
from ganlab.studies.neurons.painted import Dab, checked_dabs


class Brush:
    """The picture beside the brush's controls; `column` takes what else belongs there."""

    def __init__(self, session: Session, folder: Folder, label: str, name: str) -> None:
        self.session = session
        self.dabs: Any = gr.State([])
        with gr.Row():
            with gr.Column():
                self.canvas = Picture(folder, label, name, opened=False)
            with gr.Column() as self.column:
                radius = gr.Slider(0.02, 0.5, 0.12, step=0.01, label="Radius of a dab")
                with gr.Row():
                    y = gr.Number(0.5, label="y of a dab", minimum=0, maximum=1, step=0.05)
                    x = gr.Number(0.5, label="x of a dab", minimum=0, maximum=1, step=0.05)
                with gr.Row():
                    add, clear = gr.Button("Add the dab"), gr.Button("Clear")
        listen([self.canvas.image.select], self.clicked, [self.dabs, radius], [self.dabs])
        listen([add.click], self.added, [self.dabs, y, x, radius], [self.dabs])
        listen([clear.click], list, [], [self.dabs])

    def clicked(self, at: gr.SelectData, dabs: list[Dab], radius: float) -> list[Dab]:
        """With a dab where the picture was clicked on."""
        (column, row), (height, width) = at.index, self.session.generator.image_size
        factor = factor_of(height)
        dab = Dab((row + 0.5) / (factor * height), (column + 0.5) / (factor * width), radius)
        return [*dabs, dab]

    def added(self, dabs: list[Dab], y: float, x: float, radius: float) -> list[Dab]:
        """With a dab where the fields say."""
        return checked_dabs([*dabs, Dab(y, x, radius)])
