"""Would the models have found the classes that once surprised the field? A table and a figure."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import matplotlib
import mlflow
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from supervision.data.material_classes import CLASSES
from supervision.evaluation.rediscovery import Rediscovery
from supervision.experiment.rediscovery import ClassPredictions, predict_class
from supervision.experiment.run import FREE_ON_RESUME
from supervision.experiment.spec import DataSplits, Experiment, split_materials
from supervision.models.setup import MakeSetup
from supervision.runtime.plot_style import GREY, PALETTE, STYLE
from supervision.runtime.version import source_hash
from tracking import runs
from tracking.comparison.html_page import Page
from tracking.description import describe_run

TABLE, KEY_TAG = "rediscovery.csv", "rediscovery_key"
PERFECT, MEAN = "a perfect model", "mean of the models"
TITLE = "Rediscovery: where models rank a class that they have not seen"
EXPLANATION = (
    "For each class, everything that is related to it by composition is left out of the training "
    "data of every source, in every fold. All materials are predicted out of fold. The percentile "
    "is the share of the materials outside the class that are predicted lower: of the member that "
    "is predicted highest, and the median over members; a random order gives 50 for the median. "
    "The enrichment says how much more often members are among the 1% of highest prediction than "
    "among all. Families are ranked by their highest prediction, so that a doping series counts "
    "once; the best of many is high by chance alone, as the value in brackets says. A perfect "
    "model ranks by the measured Tc: as cuprates fill the first 1%, it finds no other class there."
)


def rediscover(
    models: Mapping[str, MakeSetup],
    experiment: Experiment,
    classes: Sequence[str],
    out: Path | None,
) -> None:
    """Train and rank without each class, and log a table, a figure and a page.

    Classes that an earlier run of equal models and folds has finished are not ranked again.

    Args:
        models: what makes an untrained model, by its name.
        experiment: its split has several folds.
        classes: keys of ``CLASSES``.
        out: also write the page there (.md).
    """
    folds = {name: _splits_of_folds(make, experiment) for name, make in models.items()}
    key = _key(models, folds)
    rows = _finished_classes(key, classes)
    mlflow.set_tag(KEY_TAG, key)
    for class_name in classes:
        if any((table["class"] == class_name).any() for table in rows):
            print(f"{CLASSES[class_name].title} is taken from an earlier run.", flush=True)
            continue
        found = {}
        for name, make in models.items():
            found[name] = predict_class(make, folds[name], class_name)
            print(f"{CLASSES[class_name].title}, {name}: {_sentence(found[name])}", flush=True)
        rows.append(_rows(class_name, found))
        table = pd.concat(rows, ignore_index=True)
        runs.log_table(table, TABLE)  # after every class: what is done is saved
    table = pd.concat(rows).set_index("class").loc[list(classes)].reset_index()
    runs.log_table(table, TABLE)
    _publish(table, out)


def _key(models: Mapping[str, MakeSetup], folds: Mapping[str, Sequence[DataSplits]]) -> str:
    """A hash of code, models, materials and folds: what the rows of a class depend on."""
    parts: list[Any] = [source_hash()]
    for name, make in models.items():
        setup = make()
        hashes = [(s.dataset.hash, s.split.hash, s.extra_hash) for s in folds[name]]
        settings = {k: v for k, v in setup.settings.items() if k not in FREE_ON_RESUME}
        parts.append([name, settings, setup.weights.name, setup.weights.hash, hashes])
    return sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()


def _finished_classes(key: str, classes: Sequence[str]) -> list[pd.DataFrame]:
    """The rows of each of these classes in the newest run of equal models and folds."""
    found = mlflow.search_runs(
        filter_string=f"tags.{KEY_TAG} = '{key}'",
        order_by=["attributes.start_time DESC"],
        search_all_experiments=True,
        output_format="list",
    )
    rows: dict[str, pd.DataFrame] = {}
    for run_id in (run.info.run_id for run in found):
        if any(item.path == TABLE for item in mlflow.MlflowClient().list_artifacts(run_id)):
            for name, of_class in runs.read_table(run_id, TABLE).groupby("class"):
                rows.setdefault(str(name), of_class)
    return [rows[name] for name in classes if name in rows]


def _splits_of_folds(make: MakeSetup, experiment: Experiment) -> list[DataSplits]:
    featurize = make().featurize
    return [
        split_materials(replace(experiment, fold=fold), featurize, runs.log_rejects)
        for fold in range(1, experiment.folds + 1)
    ]


def _rows(class_name: str, found: Mapping[str, ClassPredictions]) -> pd.DataFrame:
    """The ranks of one class by each model, by their mean, and by a perfect model."""
    first = next(iter(found.values()))
    scores = {name: predictions.tc_pred for name, predictions in found.items()}
    if len(scores) > 1:
        scores[MEAN] = np.mean([np.sqrt(np.maximum(s, 0)) for s in scores.values()], axis=0) ** 2
    rows = []
    for name, score in (scores | {PERFECT: first.tc}).items():
        ranks: Rediscovery = first.rank(score)
        best = first.materials[ranks.best]
        facts: dict[str, Any] = {"class": class_name, "model": name, "best_member": best.formula}
        facts |= {"best_tc": best.tc, "best_tc_pred": float(score[ranks.best])}
        of_families = {f"family_{k}": v for k, v in vars(first.rank_families(score)).items()}
        rows.append(facts | vars(ranks) | of_families)
    return pd.DataFrame(rows)


def _sentence(predictions: ClassPredictions) -> str:
    ranks = predictions.rank(predictions.tc_pred)
    best = predictions.materials[ranks.best]
    return (
        f"{ranks.members} members; the best, {best.formula}, above {ranks.best_percentile:.1f}% of "
        f"{ranks.others} others, the median member above {ranks.median_percentile:.1f}%."
    )


def _publish(table: pd.DataFrame, out: Path | None) -> None:
    page = Page(TITLE)
    page.text(EXPLANATION)
    page.image("rediscovery", figure(table), TITLE)
    page.table(shown_table(table))
    page.log("rediscovery.md")
    classes = ", ".join(CLASSES[name].title for name in dict.fromkeys(table["class"]))
    look = {"rediscovery.html": "the page with its figure", TABLE: "every rank"}
    describe_run(
        f"Rediscovery of {classes} by models that have not seen them.", _ranks(table), look
    )
    if out:
        page.write(out)


def _ranks(table: pd.DataFrame) -> str:
    """The mean percentile over classes of the median member by each model, in one sentence."""
    of_model = table.groupby("model", sort=False)["median_percentile"].mean()
    ranks = ", ".join(f"{name} {value:.0f}" for name, value in of_model.items())
    return f"Mean percentile of a class's median member, 50 by chance: {ranks}."


def shown_table(table: pd.DataFrame) -> pd.DataFrame:
    """One row per class and model, as people read it."""
    rows = []
    for row in table.to_dict("records"):
        rows.append(
            {
                "class": CLASSES[row["class"]].title,
                "members (families)": f"{row['members']} ({row['family_members']})",
                "model": row["model"],
                "best member": f"{row['best_member']} ({row['best_tc']:.1f} K)",
                "percentile of the best": f"{row['best_percentile']:.1f}",
                "of the median member": f"{row['median_percentile']:.1f}",
                "enrichment, first 1%": f"{row['enrichment']:.1f}",
                "best family (by chance)": f"{row['family_best_percentile']:.1f} "
                f"({row['family_best_by_chance']:.1f})",
                "enrichment, first 5% of families": f"{row['family_enrichment']:.1f}",
            }
        )
    return pd.DataFrame(rows)


def figure(table: pd.DataFrame) -> Figure:
    """For each class and model, the percentiles of the median and of the best member."""
    names, classes = list(dict.fromkeys(table["model"])), list(dict.fromkeys(table["class"]))
    colours = dict(zip(names, PALETTE, strict=False)) | {PERFECT: GREY}
    with matplotlib.rc_context(STYLE):
        drawn = Figure(figsize=(8, 0.75 * len(classes) + 1.6), layout="constrained")
        ax = drawn.subplots()
        for index, name in enumerate(names):
            rows = table[table["model"] == name].set_index("class").loc[classes]
            height = np.arange(len(classes)) + (index - (len(names) - 1) / 2) * 0.7 / len(names)
            low, high = rows["median_percentile"], rows["best_percentile"]
            ax.hlines(height, low, high, color=colours[name], lw=1.5)
            ax.plot(low, height, "|", color=colours[name], ms=8, mew=2)
            ax.plot(high, height, "o", color=colours[name], ms=5, label=name)
        ax.axvline(50, color=GREY, lw=1, ls=":")
        sizes = table.groupby("class")["members"].first()
        labels = [f"{CLASSES[name].title} ({sizes[name]})" for name in classes]
        ax.set_yticks(range(len(classes)), labels)
        ax.invert_yaxis()
        text = (
            "percentile among materials outside the class (tick: median member, dot: the highest)"
        )
        ax.set(xlim=(0, 101), xlabel=text, title=TITLE)
        drawn.legend(loc="outside lower center", ncols=3, frameon=False, fontsize=9)
    return drawn
