"""Which groups of features carry the predictions of the structure family for new families.

    python -m benchmarks.explain_novel --run ID --data 3DSC_MP.tar.xz --out results/

ID is a finished run of ``train structure --model boosting --split novel --folds 5``. Every material
is explained by the model of the fold that has it in its test part, which has learned from nothing
near to it. Prints two tables and writes explain_novel.png.

- Contribution: the mean over materials of the absolute Shapley value of a group, in the root of
  kelvin; of a material with several structures, the value is the mean over these. It says what the
  models use.
- Loss: how much worse the predictions are if the test materials of a fold exchange what the models
  read of a group, the mean over ``REPEATS`` permutations (Breiman, Mach. Learn. 45, 5, 2001). It
  says what the models need: a group that others can replace costs little. The novelty of a material
  stays its own. Where the first stage predicts something else, the second reads that.

Intervals are 95% bootstraps over families.
"""

import argparse
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from supervision.data.crystals import Material, group_materials
from supervision.data.datasets.load import load_dataset
from supervision.evaluation.bootstrap import (
    BOOTSTRAP_SAMPLES,
    group_indices,
    interval,
    resampled_counts,
)
from supervision.evaluation.ranking import spearman
from supervision.explain.contributions import shapley_values
from supervision.explain.feature_groups import FIRST_STAGE, features_by_group, group_of
from supervision.explain.feature_labels import label_of
from supervision.models.composition.features import feature_names
from supervision.models.structure.features import structure_feature_names
from supervision.models.structure.predictor import StageInputs, StructurePredictor
from supervision.runtime.plot_style import BLUE, GREY, RED, STYLE, TEXT_COLOUR
from tracking.comparison.results import Result
from tracking.runs import read_table
from tracking.serving.models import load_answerer

REPEATS = 5
TOP = 20  # features that are shown
LEAST_CONTRIBUTION = 5e-4  # √K; groups below it are not shown
COMPOSITION, STRUCTURE = "all of the composition", "all of the structure"
TOLERANCE_KELVIN = 1e-6  # of predictions to those that the run has logged
ERROR_BARS = {"ecolor": TEXT_COLOUR, "elinewidth": 0.9, "capsize": 2}
BLOCK = 250  # resamples at once; bounds the memory


@dataclass(frozen=True, eq=False)
class Explained:
    """Test materials with what explains their predictions, n of them.

    Attributes:
        facts: ``tc``, ``tc_pred`` (K) and ``family``, one row per material.
        contributions: Shapley values in √K by the name of the feature, one row per material.
        values: the features, likewise; NaN where one does not apply.
        permuted: predictions in kelvin without the information of a group, ``[REPEATS, n]``, by the
            name of the group.
    """

    facts: pd.DataFrame
    contributions: pd.DataFrame
    values: pd.DataFrame
    permuted: Mapping[str, np.ndarray]


def main() -> None:
    """Explain the test materials of all folds, print the tables, draw the figure."""
    options = _options()
    materials = {m.id: m for m in group_materials(load_dataset("3dsc", options.data).crystals)}
    found = join([*explained_folds(Result.read(options.run), materials)])
    groups, features = table_of_groups(found), table_of_features(found)
    print(f"{len(found.facts)} materials, {found.facts['family'].nunique()} families.\n")
    print(f"{groups_text(groups)}\n\n{features_text(features)}")
    options.out.mkdir(parents=True, exist_ok=True)
    draw(groups, features).savefig(options.out / "explain_novel.png")


def explained_folds(run: Result, materials: Mapping[str, Material]) -> Iterator[Explained]:
    """The test materials of each fold by its own model.

    Raises ValueError where a model does not predict what its run has logged.
    """
    for fold, child in enumerate(run.fold_runs.split(","), start=1):
        predictor: Any = load_answerer(f"runs:/{child}/model").predictor
        logged = read_table(child, "predictions.csv")
        logged = logged[logged["split"] == "test"]
        print(f"Fold {fold}: {len(logged)} materials.", flush=True)
        found = explain_fold(predictor, [materials[name] for name in logged["material_id"]], fold)
        if np.abs(found.facts["tc_pred"] - logged["tc_pred"].to_numpy()).max() > TOLERANCE_KELVIN:
            raise ValueError(f"The model of run {child} does not predict what the run has logged.")
        found.facts["family"] = logged["family"].to_numpy()
        yield found


def explain_fold(
    predictor: StructurePredictor, materials: Sequence[Material], seed: int
) -> Explained:
    """Contributions to the predictions for test materials, and predictions without each group."""
    crystals = [c for m in materials for c in m.crystals]
    predictor.prepare(crystals)
    owner = np.repeat(np.arange(len(materials)), [len(m.crystals) for m in materials])
    share = 1 / np.bincount(owner)

    def of_materials(rows: np.ndarray) -> np.ndarray:
        """The mean over the structures of each material."""
        total = np.zeros((len(materials), *rows.shape[1:]))
        np.add.at(total, owner, rows)
        return total * share.reshape(-1, *[1] * (rows.ndim - 1))

    shapley, given = shapley_values(predictor, crystals), predictor.inputs(crystals)
    orders = [_exchange(owner, np.random.default_rng([seed, n])) for n in range(REPEATS)]
    permuted = {
        name: np.stack([of_materials(predictor.tc_of(_without(predictor, given, columns, order)))
                        for order in orders])
        for name, columns in _columns().items()
    }  # fmt: skip
    facts = {"tc": [m.tc for m in materials], "tc_pred": of_materials(predictor.tc_of(given))}
    return Explained(
        pd.DataFrame(facts),
        pd.DataFrame(of_materials(shapley.added), columns=shapley.names),
        pd.DataFrame(of_materials(shapley.values), columns=shapley.names),
        permuted,
    )


def _columns() -> dict[str, set[str]]:
    """The features that lose their information at once, by name."""
    first, second = set(feature_names()), set(structure_feature_names())
    groups = {name: set(names) for name, names in features_by_group().items()}
    return groups | {COMPOSITION: first, STRUCTURE: second}


def _exchange(owner: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """For each structure the one whose features it gets: of one other material for all, [n]."""
    size = np.bincount(owner)
    start = np.cumsum(size) - size
    donor = rng.permutation(len(size))[owner]
    number = np.arange(len(owner)) - start[owner]  # of the structure in its material
    return start[donor] + number % size[donor]


def _without(
    predictor: StructurePredictor, given: StageInputs, names: set[str], order: np.ndarray
) -> StageInputs:
    """The inputs where the features of these names come from other rows."""
    first_names, second_names = feature_names(), [*structure_feature_names(), FIRST_STAGE]
    composition, corrected = given.composition.copy(), given.corrected.copy()
    chosen = [name in names for name in first_names]
    composition[:, chosen] = given.composition[order][:, chosen]
    first = predictor.composition.target.encode(predictor.composition.tc_of(composition))
    corrected[:, -1] = first
    chosen = [name in names for name in second_names]
    corrected[:, chosen] = given.corrected[order][:, chosen]
    return StageInputs(composition, first, corrected, given.novelty)


def join(folds: Sequence[Explained]) -> Explained:
    """The materials of all folds."""
    facts, contributions, values = (
        pd.concat([getattr(fold, name) for fold in folds], ignore_index=True)
        for name in ("facts", "contributions", "values")
    )
    permuted = {name: np.hstack([fold.permuted[name] for fold in folds]) for name in _columns()}
    return Explained(facts, contributions, values, permuted)


def table_of_groups(found: Explained) -> pd.DataFrame:
    """One row per group, the one that contributes most first; then composition and structure.

    Columns: ``group``, and each with its interval ``_low``, ``_high``: ``contribution`` (√K, mean
    absolute), ``mae`` and ``spearman``: what is lost without the group (K; rank correlation).
    """
    own = found.contributions
    groups = [group_of()[name] for name in own.columns]
    size = own.T.groupby(groups).sum().T.abs()  # [n, groups]
    wholes = {COMPOSITION: feature_names(), STRUCTURE: structure_feature_names()}
    size = size.assign(**{name: own[names].sum(axis=1).abs() for name, names in wholes.items()})
    order = sorted(size.columns, key=lambda name: (name in wholes, -size[name].mean()))
    counts = _counts(found.facts["family"])
    rows = []
    for name in order:
        row: dict[str, Any] = {"group": name}
        row |= _with_interval("contribution", size[name].to_numpy(), counts)
        row |= _losses(found.facts, found.permuted[name], counts)
        rows.append(row)
    return pd.DataFrame(rows)


def _counts(family: pd.Series) -> np.ndarray:
    """How often each material counts: once, then as often as in each resample, ``[1 + s, n]``."""
    group = group_indices(family.to_numpy(), len(family))
    drawn = resampled_counts(group.max() + 1, BOOTSTRAP_SAMPLES, seed=0)[:, group]
    return np.vstack([np.ones(len(group)), drawn])


def _with_interval(name: str, values: np.ndarray, counts: np.ndarray) -> dict[str, float]:
    """The mean of values [n] and its interval."""
    return _summary(name, counts @ values / counts.sum(axis=1))


def _summary(name: str, draws: np.ndarray) -> dict[str, float]:
    """A statistic, the first of its draws ``[1 + s]``, and the interval of the others."""
    low, high = interval(draws[1:], 0.95)
    return {name: float(draws[0]), f"{name}_low": low, f"{name}_high": high}


def _losses(facts: pd.DataFrame, permuted: np.ndarray, counts: np.ndarray) -> dict[str, float]:
    """What MAE and rank correlation lose with predictions ``[REPEATS, n]``."""
    tc, tc_pred = facts["tc"].to_numpy(), facts["tc_pred"].to_numpy()
    error = np.abs(permuted - tc).mean(axis=0) - np.abs(tc_pred - tc)
    blocks = [counts[start : start + BLOCK] for start in range(0, len(counts), BLOCK)]
    ranks = [
        spearman(tc, tc_pred, block) - np.mean([spearman(tc, p, block) for p in permuted], axis=0)
        for block in blocks
    ]
    return _with_interval("mae", error, counts) | _summary("spearman", np.concatenate(ranks))


def table_of_features(found: Explained) -> pd.DataFrame:
    """The features that contribute most.

    Columns: ``feature``, ``group``, ``contribution`` (√K, mean absolute) with its interval
    ``_low``, ``_high``, and ``direction``: the rank correlation of value and contribution; NaN
    where the value is.
    """
    size = found.contributions.abs()
    counts = _counts(found.facts["family"])
    rows = []
    for name in size.mean().sort_values(ascending=False).index[:TOP]:
        known = found.values[name].notna().to_numpy()
        value, added = (
            table[name][known].to_numpy() for table in (found.values, found.contributions)
        )
        once = np.ones((1, known.sum()))
        rows.append(
            {"feature": label_of(name), "group": group_of()[name]}
            | _with_interval("contribution", size[name].to_numpy(), counts)
            | {"direction": float(spearman(value, added, once)[0])}
        )
    return pd.DataFrame(rows)


def groups_text(groups: pd.DataFrame) -> str:
    """``table_of_groups`` as a Markdown table."""
    lines = [
        "| group | mean absolute contribution (√K) | loss of MAE (K) | loss of Spearman |",
        "|---|---|---|---|",
    ]
    for row in groups.to_dict("records"):
        cells = [_cell(row, "contribution", ".3f"), _cell(row, "mae", "+.2f")]
        lines.append(f"| {row['group']} | {' | '.join(cells)} | {_cell(row, 'spearman', '+.3f')} |")
    return "\n".join(lines)


def features_text(features: pd.DataFrame) -> str:
    """``table_of_features`` as a Markdown table."""
    lines = [
        "| feature | group | mean absolute contribution (√K) | rank correlation with its value |",
        "|---|---|---|---:|",
    ]
    for row in features.to_dict("records"):
        cells = [row["feature"], row["group"], _cell(row, "contribution", ".3f")]
        lines.append(f"| {' | '.join(cells)} | {row['direction']:+.2f} |")
    return "\n".join(lines)


def _cell(row: Mapping[Any, Any], name: str, digits: str) -> str:
    value, low, high = (format(row[key], digits) for key in (name, f"{name}_low", f"{name}_high"))
    return f"{value} ({low} to {high})"


def draw(groups: pd.DataFrame, features: pd.DataFrame) -> Figure:
    """Contributions and losses of the groups, and the features that contribute most."""
    colour_of = {group_of()[name]: BLUE for name in feature_names()}
    colour_of |= {group_of()[name]: RED for name in structure_feature_names()}
    shown = groups[~groups["group"].isin([COMPOSITION, STRUCTURE])]
    shown = shown[shown["contribution"] >= LEAST_CONTRIBUTION]
    colours = [colour_of.get(name, GREY) for name in shown["group"]]
    columns = {
        "contribution": "mean absolute contribution (√K)", "mae": "loss of MAE (K)",
        "spearman": "loss of Spearman",
    }  # fmt: skip
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(11, 8.6), layout="constrained")
        halves: Any = figure.subfigures(2, 1, height_ratios=(len(shown) + 3, TOP + 2))
        upper, lower = halves
        panels = upper.subplots(1, len(columns), sharey=True)
        for ax, (name, title) in zip(panels, columns.items(), strict=True):
            _bars(ax, shown, name, shown["group"], colours)
            ax.axvline(0, color=GREY, lw=0.8)
            ax.set_xlabel(title)
        panels[0].set_title("Groups: blue reads the composition, red the structure")
        ax = lower.subplots()
        named = features["feature"] + "  (" + features["group"] + ")"
        colours = [colour_of.get(name, GREY) for name in features["group"]]
        _bars(ax, features, "contribution", named, colours)
        ax.set(xlabel="mean absolute contribution (√K)", title=f"The {TOP} features used most")
    return figure


def _bars(
    ax: Any, table: pd.DataFrame, name: str, labels: pd.Series, colours: Sequence[str]
) -> None:
    """Horizontal bars of a column with its intervals, the first row on top."""
    value, place = table[name].to_numpy(), np.arange(len(table))
    reach = np.abs(table[[f"{name}_low", f"{name}_high"]].to_numpy().T - value)
    ax.barh(place, value, xerr=reach, color=colours, error_kw=ERROR_BARS)
    ax.set_yticks(place, labels, fontsize=9)
    ax.set_ylim(len(table) - 0.4, -0.6)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--run", required=True, help="a run of all folds of the structure family")
    parser.add_argument("--data", required=True, help="the 3DSC archive or folder")
    parser.add_argument("--out", type=Path, required=True, help="folder for explain_novel.png")
    return parser.parse_args()


if __name__ == "__main__":
    main()
