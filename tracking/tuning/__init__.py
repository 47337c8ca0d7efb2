"""Optuna studies: what is searched, the workers, the page, the running_trainings at the end."""
