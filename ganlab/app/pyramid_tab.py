"""The tab of a semantic pyramid, drawn."""

from typing import Any

import gradio as gr

from ganlab.app import pyramid
from ganlab.app.brush import Brush
from ganlab.app.view import View
from ganlab.app.widgets import Controls, Folder, Picture, Place, listen, whole
from ganlab.studies.neurons.painted import Mark


def upload(label: str) -> Any:
    """A place to drop an image, which gives its file as it is: `read_image` says what is none."""
    kinds: dict[str, Any] = {"type": "filepath", "sources": ["upload", "clipboard"]}
    place: Any = gr.Image(label=label, height=200, **kinds)
    place.preprocess = lambda given: given.path if given else None
    return place


def pyramid_tab(place: Place, controls: Controls, folder: Folder) -> None:
    """An image painted anew where it is marked, with an object of another, or under a class."""
    session = controls.session
    with gr.Row():
        image = upload("Image")
        with gr.Column():
            names = pyramid.levels(session)
            level = gr.Dropdown(names, value=pyramid.usual_level(session), label="Painted from")
            num = gr.Slider(1, pyramid.MOST, 8, step=1, label="Variants")
    chosen: Any = gr.State("Repaint")
    given = [image, level, num]
    with gr.Tabs():
        with gr.Tab("Repaint") as tab:
            repaint_tab(place.tab(chosen, "Repaint", tab), given, controls, folder)
        with gr.Tab("Compose") as tab:
            compose_tab(place.tab(chosen, "Compose", tab), given, controls, folder)
        with gr.Tab("Relabel"):
            relabel_tab(given, controls, folder)


def marked(place: Place, image: Any, controls: Controls, folder: Folder, name: str) -> Brush:
    """An image that was given, to be painted on."""
    session = controls.session
    brush = Brush(session, folder, "Click on what is meant", name)

    def draw(marks: list[Mark], image: str | None) -> list[Any]:
        if not image:
            return brush.canvas.nothing("no image yet")
        return brush.canvas.values(pyramid.shown(session, image, marks))

    def plain(image: str | None) -> View | None:
        return pyramid.shown(session, image, []) if image else None

    brush.follow(place, [image.change], plain, [image])
    triggers = [brush.marks.change, image.change]
    place.draw(triggers, draw, [brush.marks, image], brush.canvas.outputs)
    return brush


def repaint_tab(place: Place, given: list[Any], controls: Controls, folder: Folder) -> None:
    """A region painted anew."""
    brush = marked(place, given[0], controls, folder, "region")
    with brush.column:
        go = gr.Button("Paint it anew", variant="primary")
    picture = Picture(folder, "Painted anew", "repainted")

    def draw(marks: list[Mark], image: str, level: str, num: Any, *how: Any) -> list[Any]:
        made, count = controls.how(*how), whole(num, "Variants")
        return picture.values(pyramid.repainted(controls.session, made, image, marks, level, count))

    listen([go.click], draw, [brush.marks, *given, *controls.inputs], picture.outputs)


def compose_tab(place: Place, given: list[Any], controls: Controls, folder: Folder) -> None:
    """An object of another image in this one."""
    thing = upload("Image that holds an object")
    brush = marked(place, thing, controls, folder, "object")
    with brush.column:
        with gr.Row():
            y = gr.Number(0.5, label="y of its place", minimum=0, maximum=1, step=0.05)
            x = gr.Number(0.5, label="x of its place", minimum=0, maximum=1, step=0.05)
            scale = gr.Number(1, label="Scale", minimum=0.05, maximum=4, step=0.1)
        go = gr.Button("Put it there", variant="primary")
    picture = Picture(folder, "Composed", "composed")

    def draw(
        marks: list[Mark],
        thing: str,
        y: float,
        x: float,
        scale: float,
        image: str,
        level: str,
        num: Any,
        *how: Any,
    ) -> list[Any]:
        made, count = controls.how(*how), whole(num, "Variants")
        where = (thing, marks, (y, x), scale)
        view = pyramid.composed(controls.session, made, image, *where, level, count)
        return picture.values(view)

    inputs = [brush.marks, thing, y, x, scale, *given, *controls.inputs]
    listen([go.click], draw, inputs, picture.outputs)


def relabel_tab(given: list[Any], controls: Controls, folder: Folder) -> None:
    """The image under another class."""
    session = controls.session
    with gr.Row():
        label = gr.Dropdown(session.classes, value=session.classes[0], label="As the class")
        go = gr.Button("Paint it as this class", variant="primary")
    picture = Picture(folder, "Relabelled", "relabelled")

    def draw(label: str, image: str, level: str, num: Any, *how: Any) -> list[Any]:
        told, made = session.classes.index(label), controls.how(*how)
        count = whole(num, "Variants")
        return picture.values(pyramid.relabelled(session, made, image, told, level, count))

    listen([go.click], draw, [label, *given, *controls.inputs], picture.outputs)
