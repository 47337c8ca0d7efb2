"""Graphs of crystals, read by ALIGNN."""
