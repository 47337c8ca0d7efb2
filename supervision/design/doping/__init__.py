"""Tc of a crystal along a substitution: a curve for one dopant, a map for two."""
