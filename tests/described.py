"""What a description must have to be of use in MLflow's UI."""

import re
from urllib.parse import unquote

import mlflow

from tracking.description import NOTE_TAG

LINK = re.compile(r"#/experiments/(\w+)/runs/(\w+)(?:/artifacts/([^)\s]+))?")
PICTURE = re.compile(r"!\[[^\]]+\]\(get-artifact\?path=([^)&]+)&run_uuid=(\w+)\)")


def description_of(run, *words):
    """The description of a run; it has these words, and all that it links to is there."""
    text = mlflow.get_run(run).data.tags.get(NOTE_TAG, "")
    assert all(word in text for word in words), text
    check_links(text)
    return text


def check_links(text):
    """Every run, artifact and picture that a description names is in the store."""
    links = [(experiment, run, path) for experiment, run, path in LINK.findall(text)]
    links += [("", run, path) for path, run in PICTURE.findall(text)]
    for experiment, run, path in links:
        assert experiment in ("", mlflow.get_run(run).info.experiment_id)
        folder, _, name = unquote(path).rpartition("/")
        listed = mlflow.MlflowClient().list_artifacts(run, folder or None)
        assert not name or unquote(path) in {item.path for item in listed}, path
