"""Predictions -> numbers: metrics, intervals, domain shift. Pure functions over arrays."""
