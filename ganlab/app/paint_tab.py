"""The tab of painting, drawn."""

from typing import Any

import gradio as gr

from ganlab.app import paint
from ganlab.app.brush import Brush
from ganlab.app.view import View
from ganlab.app.widgets import Controls, Folder, Picture, Place, whole
from ganlab.studies.neurons.painted import Mark


def paint_tab(place: Place, controls: Controls, folder: Folder) -> None:
    """A region marked on an image, the units active there, and images without them."""
    session, names = controls.session, paint.map_layers(controls.session)
    brush = Brush(session, folder, "Click where to look", "canvas")
    with brush.column:
        layer = gr.Dropdown(names, value=names[0], label="Layer")
        units = gr.CheckboxGroup([], label="Units to switch off, by their activity there")
    traced = gr.Markdown(visible=session.has_styles, label="The spot in each layer")
    picture = Picture(folder, "Without the ticked units", "without")

    def draw(marks: list[Mark], index: Any, *how: Any) -> list[Any]:
        view = paint.canvas(session, controls.how(*how), whole(index, "Latent"), marks)
        return brush.canvas.values(view)

    def rank(marks: list[Mark], layer: str, index: Any, *how: Any) -> list[Any]:
        if not marks:
            return [gr.CheckboxGroup(choices=[], value=[]), ""]
        made, number = controls.how(*how), whole(index, "Latent")
        found = paint.ranked_units(session, made, number, layer, marks)
        choices = [(unit.label, unit.number) for unit in found]
        spot = paint.trace(session, made, number, marks[-1]) if session.has_styles else None
        return [gr.CheckboxGroup(choices=choices, value=[]), spot.markdown() if spot else ""]

    def switch(units: list[int], layer: str, index: Any, *how: Any) -> list[Any]:
        made, number = controls.how(*how), whole(index, "Latent")
        return picture.values(paint.without_units(session, made, number, layer, units))

    def plain(index: Any, *how: Any) -> View:
        return paint.canvas(session, controls.how(*how), whole(index, "Latent"), [])

    told = [controls.index, *controls.inputs]
    brush.follow(place, controls.changes, plain, told)
    redrawn = [brush.marks.change, *controls.changes]
    place.draw(redrawn, draw, [brush.marks, *told], brush.canvas.outputs)
    place.draw([*redrawn, layer.change], rank, [brush.marks, layer, *told], [units, traced])
    changes = [units.change, *controls.changes]
    place.draw(changes, switch, [units, layer, *told], picture.outputs)
