"""Configs, found by `hydra.searchpath=[pkg://ganlab_rings.conf]`."""
