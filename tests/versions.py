"""Registered versions whose models are not there."""

import mlflow

from tracking.serving.champion import CHAMPION, Candidate


def register(name, number_of, candidate, *, champion=True):
    """A version with the tags of a candidate; returns its number."""
    client = mlflow.MlflowClient()
    if not client.search_registered_models(f"name = '{name}'"):
        client.create_registered_model(name)
    version = client.create_model_version(name, f"file:///{number_of}", tags=candidate.tags())
    client.set_registered_model_alias(name, candidate.alias, version.version)
    if champion:
        client.set_registered_model_alias(name, CHAMPION, version.version)
    return str(version.version)


def candidate(dataset, val_mae, **changed):
    fields = {
        "dataset": dataset, "split": "random", "split_hash": "x", "val_mae": val_mae,
        "constant_mae": 10.0, "limit": 0, "validation_materials": 100, "against_constant": None,
    }  # fmt: skip
    return Candidate(**fields | changed)
