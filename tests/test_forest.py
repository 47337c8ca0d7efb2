"""Trees as arrays, against LightGBM."""

import numpy as np
import pytest

from supervision.models.trees.config import TreeConfig
from supervision.models.trees.forest import Forest
from supervision.models.trees.regression import fit_trees, predict_trees

RNG = np.random.default_rng(0)
FEATURES = RNG.normal(size=(500, 12))
FEATURES[RNG.random(FEATURES.shape) < 0.1] = np.nan
FEATURES[:, 3] = RNG.integers(0, 3, 500)  # never unknown in training
TARGET = np.nan_to_num(FEATURES[:, 0]) * 3 + (FEATURES[:, 3] > 1) + RNG.normal(size=500)
CONFIG = TreeConfig(model="boosting", trees=40, leaf=3, max_features=0.5)


@pytest.fixture(scope="module")
def booster():
    return fit_trees(CONFIG, FEATURES, TARGET, np.ones(500))


def test_predictions_are_those_of_lightgbm(booster):
    new = RNG.normal(size=(1000, 12)) * 2
    new[RNG.random(new.shape) < 0.2] = np.nan  # also where training had none
    np.testing.assert_allclose(
        Forest.of(booster).predict(new), predict_trees(booster, new), rtol=0, atol=1e-12
    )


def test_thresholds_themselves_go_left_as_in_lightgbm(booster):
    forest = Forest.of(booster)
    at = np.zeros((len(forest.threshold), 12))
    at[np.arange(len(at)), forest.feature] = forest.threshold
    at = at[np.abs(forest.threshold) > 1e-30]  # LightGBM prints its zero with nine digits
    np.testing.assert_allclose(forest.predict(at), predict_trees(booster, at), rtol=0, atol=1e-12)


def test_a_row_does_not_depend_on_the_others(booster):
    forest = Forest.of(booster)
    together = forest.predict(FEATURES)
    single = [forest.predict(row[None])[0] for row in FEATURES[:20]]
    np.testing.assert_array_equal(together[:20], single)
    assert forest.predict(FEATURES[:0]).shape == (0,)


def test_the_same_numbers_after_saving(booster, tmp_path):
    forest = Forest.of(booster)
    forest.save(tmp_path)
    np.testing.assert_array_equal(Forest.load(tmp_path).predict(FEATURES), forest.predict(FEATURES))


def test_trees_of_one_leaf_are_constants():
    flat = fit_trees(CONFIG, FEATURES, np.full(500, 2.5), np.ones(500))
    np.testing.assert_allclose(Forest.of(flat).predict(FEATURES), 2.5)
