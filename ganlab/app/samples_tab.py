"""The tab of samples, drawn."""

from typing import Any

import gradio as gr

from ganlab.app import samples
from ganlab.app.widgets import BAR, Controls, Folder, Picture, Place, listen, whole

UNCOUNTED = "this order is not counted yet: press the button"


def samples_tab(place: Place, controls: Controls, folder: Folder) -> Any:
    """A sheet of images to click on; returns how it is drawn, and of and into what."""
    session = controls.session
    shown: Any = gr.State([])
    with gr.Row():
        page = gr.Number(1, label="Page", precision=0, min_width=90)
        order = gr.Radio(samples.orders_of(session), value=samples.BY_ADDRESS, label="Ordered by")
        among = gr.Number(1000, label="Among the first", precision=0, minimum=1, min_width=110)
        count = gr.Button("Count for the order", min_width=120)
        typed = gr.Textbox("", label="Or these latents", placeholder="3, 17 or 0:24")
    picture = Picture(folder, "Samples; click one to look into it", "samples")

    def draw(page: Any, order: str, among: Any, typed: str, *how: Any) -> list[Any]:
        made, num = controls.how(*how), whole(among, "Among the first")
        if typed.strip():
            view = samples.sheet(session, made, samples.chosen_indices(typed))
            return [samples.chosen_indices(typed), *picture.values(view)]
        every = samples.known_order(session, made, order, num)
        if every is None:
            return [[], *picture.nothing(UNCOUNTED)]
        indices = samples.page_of(every, whole(page, "Page"))
        return [indices, *picture.values(samples.sheet(session, made, indices, order))]

    def tally(progress: Any = BAR, *values: Any) -> list[Any]:
        _, order, among, _, *how = values
        num = whole(among, "Among the first")
        samples.count_order(session, controls.how(*how), order, num, progress)
        return draw(*values)

    def choose(indices: list[int], at: gr.SelectData) -> Any:
        x, y = at.index
        found = samples.index_at(session, indices, int(x), int(y))
        return gr.skip() if found is None else found

    inputs, outputs = [page, order, among, typed, *controls.inputs], [shown, *picture.outputs]
    changes = [each.change for each in (page, order, among, *controls.inputs)]
    place.draw([*changes, typed.submit, typed.blur], draw, inputs, outputs)
    listen([count.click], tally, inputs, outputs, counting=True)
    listen([picture.image.select], choose, [shown], [controls.index])
    return draw, inputs, outputs
