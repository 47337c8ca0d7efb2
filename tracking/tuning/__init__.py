"""Optuna studies: what is searched, the workers, the page, the trainings at the end."""
