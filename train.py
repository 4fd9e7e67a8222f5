"""Train a model: `python train.py model=dcgan data=fashion_mnist kimg=500` (--help lists more)."""

import signal

if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # until `begin` answers it: no import's traceback

from ganlab.__main__ import begin

if __name__ == "__main__":
    begin("train")
