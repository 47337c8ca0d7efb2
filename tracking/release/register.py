"""Registers released models, so that MLflow serves them as it serves models trained here."""

import json
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import mlflow
import pandas as pd

from supervision.answer.loaded import SavedModel
from supervision.answer.released import find_released
from supervision.data.datasets.classics import load_classics
from supervision.evaluation.metrics import bootstrap_intervals, mae
from supervision.evaluation.paired_difference import PairedDifference
from supervision.models.families import ModelFamily, get_family, load_predictor
from supervision.models.predictor import CONFIG_FILE, PROVENANCE_FILE
from supervision.models.weights import WeightsError
from supervision.release.card import body, short
from supervision.release.figures import bootstrap_groups
from supervision.release.folder import CARD_FILE
from supervision.release.out_of_fold import OutOfFold
from tracking import plots, runs
from tracking.comparison.html_page import Page
from tracking.description import TEST_ERROR, describe_run
from tracking.mlflow_logger import MODEL
from tracking.serving import registry
from tracking.serving.champion import CHAMPION, Candidate
from tracking.serving.model_page import PARITY_FILE, picture_section

CARD_PAGE = "card"
RELEASED_TAG = "released"  # of a version: which release it is from


def register_release(names: Sequence[str]) -> None:
    """Log and register released models, each in a run below the active one; prints what happened.

    A model that is registered already is left alone. One whose pretrained weights are unavailable
    is named, and the others go on; then ValueError is raised.
    """
    failures, errors = [], []
    for name in names:
        try:
            model = find_released(name)
            for message in _register(model):
                print(message, flush=True)
            errors.append(f"{name}: {_error_sentence(OutOfFold.load(model.folder))}")
        except WeightsError as error:
            failures.append(name)
            print(f"{name} is not registered: {error}", flush=True)
    describe_run(
        "Registration of released models, each by a run below this one that has its card.",
        "\n".join(errors),
    )
    if failures:
        raise ValueError(f"Not registered: {', '.join(failures)}; the lines above say why.")


def _register(model: SavedModel) -> list[str]:
    saved = model.folder
    config = json.loads((saved / CONFIG_FILE).read_text())
    family = get_family(config["model_family"])
    origin = json.loads((saved / PROVENANCE_FILE).read_text())
    label = origin["run_id"]
    client = mlflow.MlflowClient()
    known = client.search_model_versions(
        f"name = '{family.model_name}' and tag.{RELEASED_TAG} = '{label}'"
    )
    if known:
        return [f"{family.model_name} version {known[0].version} is {label} already."]
    full = (saved / CARD_FILE).read_text()
    with mlflow.start_run(nested=True, run_name=label), _complete(saved) as folder:
        tags = {RELEASED_TAG: label, "weights_license": origin["weights_license"]}
        mlflow.set_tags(tags | {"model_family": family.name, "dataset": origin["dataset"]})
        predictions = OutOfFold.load(saved)
        runs.log_metrics(_errors(predictions))
        _log_card(full, predictions, label)
        example = load_classics()[0].cif
        uri = registry.log_predictor(folder, family.name, example, origin["weights_license"])
        tags |= {MODEL: uri, "trained_by": runs.run_id()}
        mlflow.set_tag(MODEL, uri)
        card = f"{short(full)}\n\n{picture_section(runs.run_id())}"
    candidate = _candidate(origin)
    if candidate:
        return registry.register(uri, family.name, candidate, tags, card)
    return _as_champion(family, uri, tags, card)


def _log_card(full: str, predictions: OutOfFold, label: str) -> None:
    """Log the whole card and the picture of the active run, and describe it."""
    title, _, text = body(full).partition("\n")
    page = Page(title.removeprefix("# "))
    page.text(text)
    page.log(f"{CARD_PAGE}.md")
    of = _hardest(predictions)
    table = pd.DataFrame({"tc": of.tc, "tc_pred": of.tc_pred})
    runs.log_figures({"parity": plots.parity(table, f"{label}, out of fold, {of.splits[0]}")})
    what, _, sections = short(full).partition("\n\n")
    look = {f"{CARD_PAGE}.html": "the whole card", PARITY_FILE: "predicted against measured Tc"}
    describe_run(what, _error_sentence(predictions), look, more=sections)


def _error_sentence(predictions: OutOfFold) -> str:
    """The error out of fold on the hardest split, beside that of the constant."""
    of = _hardest(predictions)
    (split,) = of.splits
    groups = bootstrap_groups(of, split)
    low, high = bootstrap_intervals(of.tc, of.tc_pred, groups=groups)["mae"]
    return (
        f"{TEST_ERROR} {mae(of.tc, of.tc_pred):.2f} K (95% {low:.2f} to {high:.2f}) out of fold on "
        f"`{split}`, the constant median's {mae(of.tc, of.constant):.2f} K."
    )


def _hardest(predictions: OutOfFold) -> OutOfFold:
    """Those of the last split, in the order of ``SPLIT_KINDS``."""
    return predictions.of(predictions.splits[-1:])


def _as_champion(family: ModelFamily, uri: str, tags: Mapping[str, str], card: str) -> list[str]:
    """Register a version that no validation errors are known of, and let it be the champion."""
    client, name = mlflow.MlflowClient(), family.model_name
    created = mlflow.register_model(uri, name, tags=dict(tags))
    registry.describe_version(client, created, card)
    client.set_registered_model_alias(name, CHAMPION, created.version)
    registry.describe_model(client, CHAMPION, family)
    return [f"Registered {name} version {created.version}; {CHAMPION} is now this version."]


@contextmanager
def _complete(saved: Path) -> Iterator[Path]:
    """A copy of its folder with all pretrained weights, so that a server needs no download."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) / "predictor"
        shutil.copytree(saved, folder)
        predictor: Any = load_predictor(saved)
        if get_family(predictor.model_family).has_epochs:
            predictor.save(folder)
        yield folder


def _errors(predictions: OutOfFold) -> dict[str, float]:
    """The MAE in kelvin by split, out of fold."""
    of_split = {split: predictions.of([split]) for split in predictions.splits}
    return {f"{split}_mae": mae(of.tc, of.tc_pred) for split, of in of_split.items()}


def _candidate(origin: Mapping[str, Any]) -> Candidate | None:
    """What the champion rule needs to know; None where there are no validation materials."""
    val = origin["validation"]
    if not val:
        return None
    count = val["materials"]
    return Candidate(
        dataset=origin["dataset"],
        split=val["split"],
        split_hash=val["split_hash"],
        val_mae=val["mae"],
        constant_mae=val["constant_mae"],
        limit=0,
        validation_materials=count,
        against_constant=PairedDifference(val["difference"], val["low"], val["high"], count),
    )
