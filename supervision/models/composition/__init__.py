"""Compositions alone, read by trees."""
