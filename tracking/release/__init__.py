"""Builds the models that ship with the install from runs in folds, and registers them."""
