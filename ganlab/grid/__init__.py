"""Grids: what `-m` sweeps over, each cell a process of its own, and the table at the end.

A cell's directory is named after what is swept and holds `cell.yaml`, the config its process runs
on. Everything a table or a page of a grid says is read from such directories. Nothing here imports
torch but a cell's own process (`python -m ganlab.grid <cell>`) and the page of pictures at the end.
"""
