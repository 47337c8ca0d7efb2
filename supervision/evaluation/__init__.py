"""Metrics, bootstrap intervals and domain shift of predictions, as functions of arrays."""
