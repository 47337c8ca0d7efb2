"""Ensembles: runs on the same split combined into one model."""
