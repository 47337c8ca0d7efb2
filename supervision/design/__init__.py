"""Tools for the next step of a search: doping curves, substitutions, and calculations."""
