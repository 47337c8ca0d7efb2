"""Stacking: the predictions of several models become one, by weights fitted to held-out materials.

Wolpert, Neural Networks 5, 241 (1992); weights that are not negative: Breiman, Mach. Learn. 24, 49
(1996). Three methods:

- mean: equal weights. Squared errors in kelvin are those of a few families of high Tc; where the
  held-out materials have few of them, fitted weights are worse.
- nnls: one sum of the predictions, fitted to squared errors in kelvin. In families that models have
  not seen, their predictions are drawn to the mean, so the weights add up to more than 1.
- levels: that sum where Tc is high. Where it is low, squared errors in kelvin are nearly blind, and
  a sum fitted to errors of log(1 + Tc) takes over, as the geometric mean of both, whose share goes
  from one to the other around ``LEVEL_KELVIN``.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from supervision.evaluation.bootstrap import Groups

METHODS = ("mean", "nnls", "levels")
STACK_FILE = "stack.json"
LEVEL_KELVIN = 8.0
PARTS = 5  # of the held-out materials, in a cross-fit
PRIOR_FAMILIES = 10  # with as many families of evidence, weights are half-way to equal ones


@dataclass(frozen=True)
class Stack:
    """Combines the predictions of models.

    Attributes:
        weights: of each model, in kelvin.
        log_weights: of each model, for log(1 + Tc); empty for ``mean`` and ``nnls``.
    """

    weights: tuple[float, ...]
    log_weights: tuple[float, ...] = ()

    @classmethod
    def fit(cls, method: str, tc_pred: np.ndarray, tc: np.ndarray, groups: Groups) -> "Stack":
        """Fit to predictions ``[n, m]`` of m models and the measured Tc ``[n]``, in kelvin.

        ``groups`` [n] are the families of the materials: with few, weights stay near equal ones.
        """
        count = tc_pred.shape[1]
        if method == "mean":
            return cls((1 / count,) * count)
        prior = PRIOR_FAMILIES / len(set(groups))
        weights = _fit_weights(tc_pred, tc, prior)
        if method == "nnls":
            return cls(weights)
        return cls(weights, _fit_weights(np.log1p(tc_pred), np.log1p(tc), prior))

    def predict(self, tc_pred: np.ndarray) -> np.ndarray:
        """Predictions ``[n, m]`` of the models -> one ``[n]``, in kelvin."""
        high = tc_pred @ np.array(self.weights)
        if not self.log_weights:
            return high
        low = np.log1p(tc_pred) @ np.array(self.log_weights)
        share = 1 / (1 + (high / LEVEL_KELVIN) ** 2)  # of the low level
        return np.expm1((1 - share) * np.log1p(high) + share * low)

    def save(self, folder: Path) -> None:
        """Write the file that ``load`` reads."""
        (folder / STACK_FILE).write_text(json.dumps(asdict(self), indent=1))

    @classmethod
    def load(cls, folder: Path) -> "Stack":
        """What ``save`` wrote; it gives the same numbers."""
        content: Mapping[str, list[float]] = json.loads((folder / STACK_FILE).read_text())
        return cls(**{name: tuple(values) for name, values in content.items()})


def cross_fit(method: str, tc_pred: np.ndarray, tc: np.ndarray, groups: Groups) -> np.ndarray:
    """What a stack predicts for materials that it was not fitted to, in kelvin, [n].

    The groups ``[n]`` (families) are divided into PARTS; each part is predicted by a stack that is
    fitted to the others. With fewer groups than parts, every group is a part. Raises ValueError
    where there is only one.
    """
    names, group = np.unique(np.asarray(groups), return_inverse=True)
    if len(names) < 2:
        raise ValueError(
            f"A stack needs validation materials of 2 families or more, got {len(names)}: use more "
            "materials, or a higher limit."
        )
    part = np.random.default_rng(0).permutation(len(names))[group] % min(PARTS, len(names))
    predicted = np.empty(len(tc))
    for held_out in np.unique(part):
        rows = part == held_out
        stack = Stack.fit(method, tc_pred[~rows], tc[~rows], np.asarray(groups)[~rows])
        predicted[rows] = stack.predict(tc_pred[rows])
    return predicted


def _fit_weights(inputs: np.ndarray, target: np.ndarray, prior: float) -> tuple[float, ...]:
    """Weights of ``inputs`` [n, m] that are not negative, [m].

    Rows are added that ask for equal weights; together they count as ``prior`` times the others.
    """
    from scipy.optimize import nnls

    count = inputs.shape[1]
    scale = np.sqrt(prior * (inputs**2).sum() / count)
    rows = np.vstack([inputs, scale * np.eye(count)])
    found, _ = nnls(rows, np.concatenate([target, np.full(count, scale / count)]))
    return tuple(map(float, found))
