"""Commands of this project from a process that has imported it already, otherwise as from a shell.

A start costs what the command does, without ten seconds of imports before it. What is read while
modules load, such as OMP_NUM_THREADS, is as it was for the first command of a process of tests.
"""

import atexit
import multiprocessing
import os
import runpy
import signal
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).parents[1]
_context = multiprocessing.get_context("forkserver")
_context.set_forkserver_preload(["ganlab.run", "ganlab.grid.sweep"])


class Forked:
    """A running script with what the tests use of `subprocess.Popen`; output is that of its end."""

    def __init__(self, script, *words, env=None):
        self._folder = tempfile.TemporaryDirectory()
        pipes = [Path(self._folder.name) / name for name in ("out", "err")]
        for pipe in pipes:  # no file, whose size might be limited
            os.mkfifo(pipe)
        self._readers = ThreadPoolExecutor(len(pipes))
        self._said = [self._readers.submit(pipe.read_text) for pipe in pipes]
        given = script, words, {**os.environ, **(env or {})}, *map(str, pipes)
        self._process = _context.Process(target=_perform, args=given)
        self._process.start()
        self.pid = self._process.pid

    @property
    def returncode(self):
        """Of the ended process, negative for the signal that ended it; None while it runs."""
        return self._process.exitcode

    def poll(self):
        """The same."""
        return self.returncode

    def communicate(self, timeout=None):
        """What it wrote by its end, on its two streams."""
        self._process.join(timeout)
        if self.returncode is None:
            raise subprocess.TimeoutExpired(str(self.pid), timeout)
        return tuple(said.result(timeout) for said in self._said)

    def send_signal(self, number):
        """Send it unless it has ended."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self):
        """SIGKILL."""
        self.send_signal(signal.SIGKILL)


def _perform(script, words, environment, out, err):
    """Become that command."""
    for number, path in ((1, out), (2, err)):
        file = os.open(path, os.O_WRONLY)
        os.dup2(file, number)
        os.close(file)
    sys.stdout = open(1, "w", closefd=False)  # noqa: SIM115
    sys.stderr = open(2, "w", buffering=1, closefd=False)  # noqa: SIM115 (a kill loses no line)
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(ROOT)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    own = [path for path in sys.path if not path.startswith(str(ROOT / "tests"))]
    added = environment.get("PYTHONPATH", "").split(os.pathsep)
    sys.path[:] = [str(ROOT), *filter(None, added), *own]
    sys.argv = [script, *words]
    try:
        runpy.run_path(script, run_name="__main__")
    finally:
        sys.stdout.flush()
        atexit._run_exitfuncs()
