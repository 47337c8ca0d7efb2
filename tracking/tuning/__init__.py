"""Optuna studies: search spaces, worker processes, results page and retraining at the end."""
