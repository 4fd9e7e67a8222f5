"""The tab of neurons, drawn."""

from typing import Any

import gradio as gr

from ganlab.app import neurons
from ganlab.app.session import How
from ganlab.app.widgets import BAR, Controls, Folder, Picture, Place, listen, whole
from ganlab.studies.neurons.layers import default_layers, early_layers, select_layers

UNCOUNTED = "the rates of these layers are not counted yet: press the button"


def neurons_tab(place: Place, controls: Controls, folder: Folder) -> None:
    """One image without its low-rate, high-rate and random neurons, live."""
    session = controls.session
    with session.lock:
        sampler = session.sampler(How())
        names, early = default_layers(sampler), early_layers(sampler)
    layers = gr.CheckboxGroup(names, value=early, label="Layers")
    with gr.Row():
        rate = gr.Slider(0, 1, 0.3, step=0.01, label="R, the highest low rate")
        num = gr.Number(1000, label="Latents that rates are counted on", precision=0, minimum=1)
        count = gr.Button("Count activation rates", variant="primary")
    with gr.Row():
        with gr.Column(scale=3):
            picture = Picture(folder, "The image, and it without neurons", "neurons")
        with gr.Column(scale=2):
            bars = Picture(folder, "How often neurons are active", "rates", opened=False)
    inputs = [layers, rate, num, controls.index, *controls.inputs]

    def draw(layers: list[str], rate: float, num: Any, index: Any, *how: Any) -> list[Any]:
        made, chosen = controls.how(*how), select_layers(session.generator, layers, "Layers")
        rates = session.rates(made, chosen, whole(num, "Latents"))
        if rates is None:
            return [*picture.nothing(UNCOUNTED), *bars.nothing("")]
        seen = neurons.intervention(session, made, whole(index, "Latent"), rates, chosen, rate)
        return [*picture.values(seen), *bars.values(neurons.histogram(session, made, rates, rate))]

    def tally(progress: Any = BAR, *values: Any) -> list[Any]:
        layers, _, num, _, *how = values
        chosen = select_layers(session.generator, layers, "Layers")
        session.count_rates(controls.how(*how), chosen, whole(num, "Latents"), progress)
        return draw(*values)

    outputs = [*picture.outputs, *bars.outputs]
    changes = [layers.change, rate.change, num.change, *controls.changes]
    place.draw(changes, draw, inputs, outputs)
    listen([count.click], tally, inputs, outputs, counting=True)
