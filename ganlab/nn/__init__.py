"""Layers, blocks and instruments that two or more papers share (torch only)."""
