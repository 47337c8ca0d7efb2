"""Comparison of finished runs: tables, figures and one report."""
