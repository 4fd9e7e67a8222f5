"""The page itself: its tabs, and the server that shows it on this machine alone."""

import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gradio as gr
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware

from ganlab.app.latents_tab import latents_tab
from ganlab.app.neurons_tab import neurons_tab
from ganlab.app.paint import map_layers
from ganlab.app.paint_tab import paint_tab
from ganlab.app.pyramid import is_pyramid
from ganlab.app.pyramid_tab import pyramid_tab
from ganlab.app.samples_tab import samples_tab
from ganlab.app.session import Session
from ganlab.app.widgets import Controls, Folder, Place, listen

HOST = "127.0.0.1"
# Who asks by another name is a page of somebody else's whose name was led to this machine.
ASKED = Middleware(TrustedHostMiddleware, allowed_hosts=[HOST, "localhost"])
OWN = tempfile.TemporaryDirectory(prefix="ganlab-explore-")  # what is sent and given; gone at exit
FONTS = ("system-ui", "sans-serif")
MONO = ("ui-monospace", "monospace")
CSS = ".picture { padding-top: 2.2rem !important; }"  # a label stands above its picture, not on it


def tabs_of(session: Session) -> dict[str, Callable[[Place, Controls, Folder], None]]:
    """The tabs beside that of samples: those that this generator has something to show in."""
    paint = {"Paint": paint_tab} if map_layers(session) else {}
    pyramid = {"Pyramid": pyramid_tab} if is_pyramid(session) else {}
    return {"Neurons": neurons_tab, **paint, "Latents": latents_tab, **pyramid}


def page(session: Session) -> Any:
    """The page of a session; nothing of it is kept between two that open it."""
    os.environ["GRADIO_TEMP_DIR"] = OWN.name
    title, folder = f"ganlab explore: {session.ckpt}", Folder(Path(OWN.name, "pictures"))
    with gr.Blocks(analytics_enabled=False, title=title, delete_cache=(3600, 3600)) as blocks:
        size = " x ".join(map(str, session.generator.image_size))
        gr.Markdown(f"### {Path(session.ckpt).name}, {size} px")
        controls = Controls.make(session)
        chosen: Any = gr.State("Samples")
        with gr.Tabs():
            with gr.Tab("Samples") as tab:
                first = samples_tab(Place().tab(chosen, "Samples", tab), controls, folder)
            for name, fill in tabs_of(session).items():
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
        blocks.launch(
            server_name=HOST,
            server_port=port,
            app_kwargs={"middleware": [ASKED]},
            inbrowser=browser,
            prevent_thread_lock=True,
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
    except OSError as error:
        raise OSError(f"port {port or '7860 to 7959'} is taken: choose another, --port=") from error
    if wait:
        print(f"{blocks.local_url} shows {session.ckpt}; Ctrl-C ends it", flush=True)
        blocks.block_thread()
    return blocks
