"""The explorer, `python -m ganlab explore ckpt=<file>`: a checkpoint looked into by hand.

`session` holds one generator; `samples`, `neurons`, `paint`, `latents` and `pyramid` are a tab
each: plain functions of the session and of what the controls say, which return a `view`; `commands`
says the line of `evaluate.py` that makes it at full size. `page`, `widgets` and each `<tab>_tab`
draw and ask, and alone need Gradio.
"""
