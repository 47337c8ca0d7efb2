"""Builds the models that ship with the install: trains them on everything, writes their folder."""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from supervision.answer.known import KnownMaterials
from supervision.data.crystals import Material
from supervision.data.material_classes import CLASSES, members
from supervision.evaluation.metrics import mae, paired_bootstrap
from supervision.experiment.sources import SourceSpec
from supervision.experiment.spec import split_materials
from supervision.models.ensemble.predictor import MEMBERS_FOLDER, EnsemblePredictor, write_stack
from supervision.models.ensemble.stacking import Stack
from supervision.models.families import get_family
from supervision.release.card import CardInfo
from supervision.release.folder import REFERENCE, ReleaseFolder
from supervision.release.training import SPLIT, Trained, train_on_all
from supervision.runtime.version import code_version
from tracking import runs
from tracking.description import describe_run
from tracking.ensemble.members import member_predictions
from tracking.ensemble.stack_folds import stacked
from tracking.release.fast import BASE, Teaching, fast_in_folds, teach_fast
from tracking.release.fold_runs import CONSTANT, FoldRuns, Tables, out_of_fold

ENSEMBLE, FAST = EnsemblePredictor.model_family, "fast"
METHOD = "mean"  # validation shows no fitted stack to be better (results/frontier.md)


def build_release(
    found: Mapping[str, FoldRuns],
    in_ensemble: Sequence[str],
    teach: Sequence[SourceSpec],
    release: ReleaseFolder,
) -> None:
    """Train a model of each family on everything, combine some, distil a fast one.

    Args:
        found: the runs in folds of each model family.
        in_ensemble: the families that are combined with equal weights; ``BASE`` is one of them.
        teach: sources whose structures the fast model is taught on, beside the data set.
    """
    trained = {name: _train(own) for name, own in found.items()}
    classes = class_bits(trained[BASE].splits.materials)
    split_hash = found[BASE].results[REFERENCE].split_hash
    for name, model in trained.items():
        path = f"{ENSEMBLE}/{MEMBERS_FOLDER}/{name}" if name in in_ensemble else name
        model.save(release.root / path)
        _add(release, path, name, [model], found[name].tables(), classes, split_hash)
        print(f"{name} is trained.", flush=True)
    combined = [trained[name] for name in in_ensemble]
    write_stack(release.root / ENSEMBLE, in_ensemble, Stack((1 / len(combined),) * len(combined)))
    tables = _combined_tables([found[name] for name in in_ensemble])
    _add(release, ENSEMBLE, ENSEMBLE, combined, tables, classes, split_hash)
    teaching = Teaching.of(combined, teach)
    teach_fast(combined, teaching).save(release.root / FAST)
    taught = fast_in_folds([found[name] for name in in_ensemble], tables, teaching)
    _add(release, FAST, FAST, combined, taught, classes, split_hash)
    release.finish(default=ENSEMBLE, fast=FAST)
    names = ", ".join([*trained, ENSEMBLE, FAST])
    describe_run(
        f"Build of the released models {names}, version {release.version}.",
        "Their folders have cards with the errors in folds.",
    )


def class_bits(materials: Sequence[Material]) -> dict[str, int]:
    """The classes of each material, as bits in the order of ``CLASSES``, by material id."""
    found = dict.fromkeys((m.id for m in materials), 0)
    for index, name in enumerate(CLASSES):
        for material, belongs in zip(materials, members(materials, name), strict=True):
            found[material.id] |= int(belongs) << index
    return found


def _train(own: FoldRuns) -> Trained:
    setup = own.setup()
    splits = split_materials(own.experiment(SPLIT), setup.featurize, runs.log_rejects)
    return train_on_all(setup, splits)


def _combined_tables(combined: Sequence[FoldRuns]) -> Tables:
    """The predictions of the ensemble on every split that all its members were tested on."""
    names = [own.family for own in combined]
    splits = [s for s in combined[0].results if all(s in own.results for own in combined)]
    return {
        split: stacked(
            member_predictions({own.family: own.results[split] for own in combined}), names, METHOD
        )
        for split in splits
    }


def _add(
    release: ReleaseFolder,
    path: str,
    name: str,
    made_of: Sequence[Trained],
    tables: Tables,
    classes: Mapping[str, int],
    split_hash: str,
) -> None:
    """Add a saved model to the release.

    Args:
        made_of: the trained models that it is, combines, or was taught by.
        tables: its predictions in folds.
        split_hash: of the folds of ``REFERENCE``.
    """
    first, known = made_of[0], [KnownMaterials.of(model.learned) for model in made_of]
    known_to_all = KnownMaterials.union(known)
    info = _card_info(release.version, name, made_of, len(known_to_all.tc))
    provenance = {
        "code_version": info.commit,
        "dataset": first.splits.dataset.name,
        "dataset_hash": first.splits.dataset.hash,
        "extra_hash": first.splits.extra_hash,
        "weights_license": info.weights_license,
        "validation": _validation(tables[REFERENCE], split_hash),
    }
    release.add(path, info, known_to_all, out_of_fold(tables, classes), provenance)


def _card_info(version: str, name: str, made_of: Sequence[Trained], learned: int) -> CardInfo:
    sources = {model.splits.dataset.name: None for model in made_of}
    sources |= {row.source: None for model in made_of for row in model.splits.extra}
    single = name not in (ENSEMBLE, FAST)
    weights = made_of[0].setup.weights if single else None
    return CardInfo(
        name=name,
        reads=_reads(name, made_of),
        version=version,
        commit=code_version(),
        sources=list(sources),
        learned=learned,
        made=_made(name, made_of),
        weights=weights.name if weights else "none",
        weights_license=weights.license if weights else "none",
        settings=made_of[0].setup.settings if single else {},
        hashes={},
    )


def _reads(name: str, made_of: Sequence[Trained]) -> str:
    family = {ENSEMBLE: ENSEMBLE, FAST: "distilled"}.get(name, made_of[0].setup.model_family)
    return get_family(family).reads


def _made(name: str, made_of: Sequence[Trained]) -> str:
    families = " and ".join(f"`{model.setup.model_family}`" for model in made_of)
    if name == ENSEMBLE:
        return f"It is the mean of {families}."
    if name == FAST:
        return f"It was taught what the mean of {families} predicts."
    return ""


def _validation(table: pd.DataFrame, split_hash: str) -> dict[str, Any]:
    """Errors on the validation materials of the folds, by which registered models are compared.

    Empty for a model without validation materials.
    """
    val = table[table["split"] == "val"]
    if val.empty:
        return {}
    tc, tc_pred, constant = (val[name].to_numpy() for name in ("tc", "tc_pred", CONSTANT))
    paired = paired_bootstrap(tc, tc_pred, constant, groups=val["group"].to_numpy())
    return {
        "split": REFERENCE,
        "split_hash": split_hash,
        "materials": len(val),
        "mae": mae(tc, tc_pred),
        "constant_mae": mae(tc, constant),
        **{key: paired[key] for key in ("difference", "low", "high")},
    }
