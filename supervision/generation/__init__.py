"""Candidates from known crystals: which elements may replace which, and the cells that result."""
