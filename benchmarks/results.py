"""How a benchmark ends: its result on the terminal, and in a file where one is asked for."""

import json


def report(result, out=None):
    """Print a result as JSON, and write it to the file, if any."""
    text = json.dumps(result, indent=2)
    print(text)
    if out:
        out.write_text(text + "\n")
