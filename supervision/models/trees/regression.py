"""Ensembles of regression trees: fit, predict, and save without pickles.

- extra_trees: the mean over randomised trees (Geurts, Ernst and Wehenkel, Mach. Learn. 63, 3,
  2006), by scikit-learn.
- boosting: the sum of trees, each fitted to what those before it leave (Friedman, Ann. Stat. 29,
  1189, 2001), also with random thresholds, by LightGBM (Ke et al., NeurIPS 2017).

Both minimise squared errors, take features that are not known (NaN), and give the same numbers for
the same seed, whatever the number of cores. Only extra trees import scikit-learn and skops: the
latter imports torch.
"""

from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import lightgbm
import numpy as np

from supervision.models.trees.config import TreeConfig

if TYPE_CHECKING:
    from sklearn.ensemble import ExtraTreesRegressor

EXTRA_TREES_FILE = "model.skops"
BOOSTING_FILE = "model.txt"
TRUSTED = ["sklearn.tree._tree.Tree"]  # in the file, besides scikit-learn's plain classes
BOOSTING = {
    "objective": "regression",  # squared errors
    "extra_trees": True,  # random thresholds: lower errors in families that are not trained on
    "lambda_l2": 1.0,
    "max_bin": 127,
    "deterministic": True,
    "force_row_wise": True,  # else the order of a sum depends on which way was faster
    "num_threads": 1,  # takes seconds; two threads wait for each other on a busy machine
    "verbosity": -1,
}

Trees: TypeAlias = "ExtraTreesRegressor | lightgbm.Booster"


def fit_trees(
    config: TreeConfig, features: np.ndarray, target: np.ndarray, weight: np.ndarray
) -> Trees:
    """Trees fitted to features ``[n, f]``, which may be NaN, and targets ``[n]``."""
    fit = _fit_boosting if config.model == "boosting" else _fit_extra_trees
    return fit(config, features, target, weight)


def predict_trees(trees: Trees, features: np.ndarray) -> np.ndarray:
    """The targets of features ``[n, f]``, as ``[n]``."""
    if isinstance(trees, lightgbm.Booster):
        return np.asarray(trees.predict(features, num_threads=1))
    return trees.predict(features)


def save_trees(trees: Trees, folder: Path) -> None:
    """Write a file that ``load_trees`` reads: LightGBM's text, or skops' archive."""
    if isinstance(trees, lightgbm.Booster):
        (folder / BOOSTING_FILE).write_text(trees.model_to_string())
    else:
        import skops.io

        skops.io.dump(trees, folder / EXTRA_TREES_FILE)


def load_trees(folder: Path, model: str) -> Trees:
    """The trees that ``save_trees`` wrote; they give the same numbers.

    Args:
        model: ``TreeConfig.model``.
    """
    if model == "boosting":
        return lightgbm.Booster(model_file=folder / BOOSTING_FILE)
    import skops.io

    return skops.io.load(folder / EXTRA_TREES_FILE, trusted=TRUSTED)


def _fit_extra_trees(
    config: TreeConfig, features: np.ndarray, target: np.ndarray, weight: np.ndarray
) -> "ExtraTreesRegressor":
    from sklearn.ensemble import ExtraTreesRegressor

    trees = ExtraTreesRegressor(
        config.trees,
        max_features=config.max_features,
        min_samples_leaf=config.leaf,
        n_jobs=-1,
        random_state=config.seed,
    )
    trees.fit(features, target, sample_weight=weight)
    return trees.set_params(n_jobs=1)  # threads would sum the trees in varying order


def _fit_boosting(
    config: TreeConfig, features: np.ndarray, target: np.ndarray, weight: np.ndarray
) -> lightgbm.Booster:
    parameters = BOOSTING | {
        "feature_fraction": config.max_features,
        "min_data_in_leaf": config.leaf,
        "num_leaves": config.leaves,
        "learning_rate": config.learning_rate,
        "seed": config.seed,
    }
    data = lightgbm.Dataset(features, target, weight=weight, params=parameters)
    return lightgbm.train(parameters, data, num_boost_round=config.trees)
