"""A stack per fold, fitted to its validation materials, and what each member adds."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from supervision.evaluation.discovery import paired_discovery
from supervision.evaluation.metrics import mae, paired_bootstrap
from supervision.models.ensemble.stacking import METHODS, Stack, cross_fit

WORTH = ("spearman", "ap_20")  # ranking metrics beside the MAE


def fit_stacks(table: pd.DataFrame, names: Sequence[str], method: str) -> dict[int, Stack]:
    """The stack of each fold. ``table`` comes from ``member_predictions``; names are of members."""
    val = table[table["split"] == "val"]
    folds = {fold: val[val["fold"] == fold] for fold in sorted(set(val["fold"]))}
    return {fold: Stack.fit(method, *_arrays(rows, names)) for fold, rows in folds.items()}


def stacked(table: pd.DataFrame, names: Sequence[str], method: str) -> pd.DataFrame:
    """The table with ``tc_pred``.

    Test materials are predicted by the stack of their fold; validation materials by stacks that are
    fitted to other families (``cross_fit``).
    """
    parts = []
    for fold, stack in fit_stacks(table, names, method).items():
        rows = table[table["fold"] == fold]
        val, test = (rows[rows["split"] == part] for part in ("val", "test"))
        parts += [
            val.assign(tc_pred=cross_fit(method, *_arrays(val, names))),
            test.assign(tc_pred=stack.predict(test[list(names)].to_numpy())),
        ]
    return pd.concat(parts, ignore_index=True)


def choose_method(table: pd.DataFrame, names: Sequence[str]) -> str:
    """Equal weights, unless validation shows that a fitted stack is better.

    Of the methods whose paired difference in MAE to ``mean`` has its whole interval below zero, the
    one of the lowest MAE. The errors are those of cross-fits within each fold, since a stack is
    fitted to one fold; the bootstrap is over what the split keeps together.
    """
    found = {method: _of_part(stacked(table, names, method), "val") for method in METHODS}
    plain = found["mean"]
    tc, groups = plain["tc"].to_numpy(), plain["group"].to_numpy()
    gains = {}
    for method, rows in found.items():
        tc_pred, equal = rows["tc_pred"].to_numpy(), plain["tc_pred"].to_numpy()
        pair = paired_bootstrap(tc, tc_pred, equal, groups=groups)
        if pair["high"] < 0:
            gains[method] = pair["difference"]
    return min(gains, key=lambda method: gains[method]) if gains else "mean"


def worth_of_members(table: pd.DataFrame, names: Sequence[str], method: str) -> pd.DataFrame:
    """What each member adds on the test materials: the ensemble minus the ensemble without it.

    One row per member: its own MAE, its mean weight over folds, and the paired differences in MAE,
    Spearman and average precision with their 95% intervals over what the split keeps together. A
    negative difference in MAE and positive ones in the others favour the member.
    """
    stacks = fit_stacks(table, names, method)
    whole = _of_part(stacked(table, names, method), "test")
    rows = []
    for index, name in enumerate(names):
        row = {"member": name, "mae": mae(whole["tc"].to_numpy(), whole[name].to_numpy())}
        row["weight"] = sum(s.weights[index] for s in stacks.values()) / len(stacks)
        others = [other for other in names if other != name]
        if others:
            row |= _differences(whole, _of_part(stacked(table, others, method), "test"))
        rows.append(row)
    return pd.DataFrame(rows)


def _differences(whole: pd.DataFrame, without: pd.DataFrame) -> dict[str, float]:
    tc, one, other = (
        column.to_numpy() for column in (whole["tc"], whole["tc_pred"], without["tc_pred"])
    )
    found = {"mae": paired_bootstrap(tc, one, other, groups=whole["group"].to_numpy())}
    ranking = paired_discovery(tc, one, other, whole["family"].to_numpy())
    found |= {name: ranking[name] for name in WORTH}
    return {
        f"{metric}_{key}": value for metric, pair in found.items() for key, value in pair.items()
    }


def _arrays(table: pd.DataFrame, names: Sequence[str]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The members' predictions ``[n, m]``, the measured Tc [n] and the groups [n]."""
    inputs = table[list(names)].to_numpy()
    return inputs, table["tc"].to_numpy(), table["group"].to_numpy()


def _of_part(table: pd.DataFrame, part: str) -> pd.DataFrame:
    """The rows of ``val`` or ``test``, in an order that does not depend on the members."""
    rows = table[table["split"] == part]
    return rows.sort_values(["fold", "material_id"], ignore_index=True)
