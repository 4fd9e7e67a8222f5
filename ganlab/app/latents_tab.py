"""The tab of latents, drawn."""

from typing import Any

import gradio as gr

from ganlab.app import latents
from ganlab.app.widgets import Controls, Folder, Picture, Place, whole
from ganlab.nn.paths import WALKS


def latents_tab(place: Place, controls: Controls, folder: Folder) -> None:
    """Between two images, styles of another, sums of groups, and directions."""
    session = controls.session
    space = gr.Radio(session.spaces, value="z", label="Space")
    chosen: Any = gr.State("Between")
    with gr.Tabs():
        with gr.Tab("Between") as tab:
            between_tab(place.tab(chosen, "Between", tab), space, controls, folder)
        if session.has_styles:
            with gr.Tab("Styles") as tab:
                styles_tab(place.tab(chosen, "Styles", tab), controls, folder)
        with gr.Tab("Sums") as tab:
            sums_tab(place.tab(chosen, "Sums", tab), space, controls, folder)
        with gr.Tab("Directions") as tab:
            directions_tab(place.tab(chosen, "Directions", tab), controls, folder)


def between_tab(place: Place, space: Any, controls: Controls, folder: Folder) -> None:
    """The image at a point of the way from one latent to another, or between three."""
    session = controls.session
    with gr.Row():
        other = gr.Number(1, label="To latent", precision=0)
        walk = gr.Radio(WALKS, value=WALKS[0], label="Walk")
    at = gr.Slider(0, 1, 0.5, step=0.01, label="Where on the way")
    with gr.Row():
        third = gr.Textbox("", label="And to a third latent", placeholder="none")
        by = gr.Slider(0, 1, 0, step=0.01, label="How far to the third")
    picture = Picture(folder, "The images, and between them", "between")

    def draw(
        index: Any, other: Any, at: float, third: str, by: float, space: str, walk: str, *how: Any
    ) -> list[Any]:
        made, ends = controls.how(*how), (whole(index, "Latent"), whole(other, "To latent"))
        if not third.strip():
            return picture.values(latents.between(session, made, ends, at, space, walk))
        corners = *ends, whole(third, "A third latent")
        return picture.values(latents.among_three(session, made, corners, at, by, space, walk))

    inputs = [controls.index, other, at, third, by, space, walk, *controls.inputs]
    changes = [each.change for each in (other, at, by, space, walk)]
    changes += [third.submit, third.blur]
    place.draw([*changes, *controls.changes], draw, inputs, picture.outputs)


def styles_tab(place: Place, controls: Controls, folder: Folder) -> None:
    """One image with another's styles in some layers."""
    names = list(range(controls.session.num_styles))
    other = gr.Number(1, label="Styles of latent", precision=0)
    layers = gr.CheckboxGroup(names, value=names[:2], label="In these layers")
    picture = Picture(folder, "One image with another's styles", "styles")

    def draw(index: Any, other: Any, layers: list[int], *how: Any) -> list[Any]:
        a, b = whole(index, "Latent"), whole(other, "Styles of latent")
        made = controls.how(*how)
        return picture.values(latents.mixed(controls.session, made, a, b, sorted(layers)))

    inputs = [controls.index, other, layers, *controls.inputs]
    changes = [other.change, layers.change, *controls.changes]
    place.draw(changes, draw, inputs, picture.outputs)


def sums_tab(place: Place, space: Any, controls: Controls, folder: Folder) -> None:
    """A - mean(B) + mean(C)."""
    with gr.Row():
        a = gr.Textbox("0:4", label="A")
        b = gr.Textbox("4:8", label="minus the mean of B")
        c = gr.Textbox("8:12", label="plus the mean of C")
        go = gr.Button("Add up")
    picture = Picture(folder, "A, and A - B + C", "sums")

    def draw(a: str, b: str, c: str, space: str, *how: Any) -> list[Any]:
        view = latents.arithmetic(controls.session, controls.how(*how), a, b, c, space)
        return picture.values(view)

    asks = [go.click, a.submit, b.submit, c.submit, space.change, *controls.changes]
    place.draw(asks, draw, [a, b, c, space, *controls.inputs], picture.outputs)


def directions_tab(place: Place, controls: Controls, folder: Folder) -> None:
    """The image moved along what was found without labels, or along a saved direction."""
    session = controls.session
    ways: dict[str, tuple[str, str | None]] = {"SeFa": ("sefa", None)}
    ways |= {"PCA of w": ("pca", None)} if session.has_styles else {}
    ways |= {f"PCA of {name}": ("pca", name) for name in session.generator.layers}
    with gr.Row():
        way = gr.Dropdown(list(ways), value="SeFa", label="Found by")
        number = gr.Slider(0, latents.COMPONENTS - 1, 0, step=1, label="Component")
        saved = gr.Textbox("", label="Or a saved one", placeholder="<run>/figures/arithmetic.npz")
    by = gr.Slider(-5, 5, 2, step=0.1, label="How far, in standard deviations")
    picture = Picture(folder, "Moved back, not, and forth", "directions")

    def draw(index: Any, way: str, number: int, saved: str, by: float, *how: Any) -> list[Any]:
        made, address = controls.how(*how), whole(index, "Latent")
        if saved.strip():
            return picture.values(latents.along_saved(session, made, address, saved.strip(), by))
        view = latents.along(session, made, address, *ways[way], int(number), by)
        return picture.values(view)

    inputs = [controls.index, way, number, saved, by, *controls.inputs]
    changes = [each.change for each in (way, number, by)]
    asks = [*changes, saved.submit, saved.blur, *controls.changes]
    place.draw(asks, draw, inputs, picture.outputs)
