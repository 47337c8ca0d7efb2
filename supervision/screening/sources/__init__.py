"""Candidates from folders, archives, tables, databases and OPTIMADE, one after the other."""
