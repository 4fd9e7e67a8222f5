"""The page itself: its tabs, and the server that shows it on this machine alone."""

import os
from typing import Any

os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")  # read when gradio is imported
os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")

import gradio as gr

from ganlab.app.latents_tab import latents_tab
from ganlab.app.neurons_tab import neurons_tab
from ganlab.app.paint_tab import paint_tab
from ganlab.app.pyramid import is_pyramid
from ganlab.app.pyramid_tab import pyramid_tab
from ganlab.app.samples_tab import samples_tab
from ganlab.app.session import Session
from ganlab.app.widgets import Controls, Folder, Place, listen

HOST = "127.0.0.1"
FONTS = ("system-ui", "sans-serif")
MONO = ("ui-monospace", "monospace")
CSS = ".picture { padding-top: 2.2rem !important; }"  # a label stands above its picture, not on it
TABS = {"Neurons": neurons_tab, "Paint": paint_tab, "Latents": latents_tab}


def page(session: Session) -> Any:
    """The page of a session; nothing of it is kept between two that open it."""
    title, folder = f"ganlab explore: {session.ckpt}", Folder()
    with gr.Blocks(analytics_enabled=False, title=title, delete_cache=(3600, 3600)) as blocks:
        size = " x ".join(map(str, session.generator.image_size))
        gr.Markdown(f"### {session.name}, {size} px")
        controls = Controls.make(session)
        chosen: Any = gr.State("Samples")
        with gr.Tabs():
            with gr.Tab("Samples") as tab:
                first = samples_tab(Place().tab(chosen, "Samples", tab), controls, folder)
            shown = TABS | ({"Pyramid": pyramid_tab} if is_pyramid(session) else {})
            for name, fill in shown.items():
                with gr.Tab(name) as tab:
                    fill(Place().tab(chosen, name, tab), controls, folder)
        listen([blocks.load], *first)
    return blocks


def serve(
    session: Session,
    port: int | None = None,  # None = the first free one from 7860 on
    browser: bool = True,  # open it there
    wait: bool = True,  # until Ctrl-C
) -> Any:
    """Show the page at 127.0.0.1. Returns the server, to be closed, where it does not wait.

    Raises:
        OSError: the port is taken.
    """
    blocks = page(session)
    try:
        launch(blocks, port, browser, wait)
    except OSError as error:
        raise OSError(f"port {port or '7860 to 7959'} is taken: choose another, --port=") from error
    return blocks


def launch(blocks: Any, port: int | None, browser: bool, wait: bool) -> None:
    """Begin to serve; waits, if it is to, until Ctrl-C."""
    blocks.launch(
        server_name=HOST,
        server_port=port,
        inbrowser=browser,
        prevent_thread_lock=not wait,
        share=False,
        quiet=True,
        footer_links=[],
        ssr_mode=False,
        mcp_server=False,
        pwa=False,
        run_history=False,
        enable_monitoring=False,
        theme=gr.themes.Default(font=FONTS, font_mono=MONO),
        css=CSS,
    )
