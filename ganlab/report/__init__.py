"""What a run shows: tables, picture grids, figures, `result.json`, and one self-contained page.

Everything here reads plain values and files, never a live training, so that a report can be rebuilt
after a crash or on another machine.
"""
