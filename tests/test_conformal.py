"""Conformal predictive systems, against crepes and by the coverage that they promise."""

import numpy as np
import pytest
from crepes import ConformalPredictiveSystem

from supervision.evaluation.conformal import PredictiveSystem, fewest_scores

RNG = np.random.default_rng(0)
N = 700
Y_PRED, SCALE = RNG.gamma(2, 3, N), RNG.uniform(0.5, 3, N)
Y = Y_PRED + SCALE * RNG.standard_t(4, N)
CATEGORY = RNG.integers(0, 3, N)
NEW_PRED, NEW_SCALE = RNG.gamma(2, 3, 50), RNG.uniform(0.5, 3, 50)
NEW_CATEGORY = RNG.integers(0, 3, 50)
SYSTEM = PredictiveSystem.fit(Y, Y_PRED, SCALE, CATEGORY)


def oracle():
    return ConformalPredictiveSystem().fit(Y - Y_PRED, sigmas=SCALE, bins=CATEGORY)


@pytest.mark.parametrize("level", [0.5, 0.75, 0.9, 0.95])
def test_intervals_are_those_of_crepes(level):
    expected = oracle().predict_int(NEW_PRED, NEW_SCALE, NEW_CATEGORY, confidence=level)
    found = SYSTEM.interval(NEW_PRED, NEW_SCALE, NEW_CATEGORY, level)
    np.testing.assert_allclose(found, expected, rtol=1e-12)


@pytest.mark.parametrize("threshold", [-5.0, 0.0, 4.0, 10.0, 40.0])
def test_probabilities_are_those_of_crepes_on_average_over_its_random_ties(threshold):
    asked = {"y_hat": NEW_PRED, "y": np.full(50, threshold), "sigmas": NEW_SCALE,
             "bins": NEW_CATEGORY}  # fmt: skip
    below = np.mean([oracle().predict_p(**asked, seed=seed) for seed in range(300)], axis=0)
    found = SYSTEM.probability_above(threshold, NEW_PRED, NEW_SCALE, NEW_CATEGORY)
    np.testing.assert_allclose(found, 1 - below, atol=6e-4)


def test_intervals_of_new_materials_hold_what_they_promise():
    inside = []
    for seed in range(40):
        rng = np.random.default_rng(seed)
        pred, scale = rng.gamma(2, 3, 200), rng.uniform(0.5, 3, 200)
        y, same = pred + scale * rng.standard_t(4, 200), np.zeros(200, dtype=int)
        system = PredictiveSystem.fit(y[:100], pred[:100], scale[:100], same[:100])
        found = system.interval(pred[100:], scale[100:], same[100:], 0.9)
        inside.append((y[100:] >= found[:, 0]) & (y[100:] <= found[:, 1]))
    assert np.mean(inside) == pytest.approx(0.9, abs=0.015)


def test_a_category_needs_a_number_of_scores_for_a_finite_interval():
    assert fewest_scores(0.9) == 19
    zeros = np.zeros(40)
    for count in (18, 19):
        system = PredictiveSystem.fit(
            np.arange(count, dtype=float), zeros[:count], zeros[:count] + 1, zeros[:count]
        )
        interval = system.interval(zeros[:1], zeros[:1] + 1, zeros[:1].astype(int), 0.9)
        assert np.isfinite(interval).all() == (count == 19)


def test_probabilities_fall_with_the_threshold_and_do_not_reach_certainty():
    levels = np.linspace(-20, 60, 81)
    found = [SYSTEM.probability_above(t, NEW_PRED, NEW_SCALE, NEW_CATEGORY) for t in levels]
    assert (np.diff(found, axis=0) <= 0).all()
    assert np.min(found) > 0 and np.max(found) < 1


def test_a_threshold_at_a_score_counts_as_half():
    system = PredictiveSystem.fit(
        np.array([0.0, 1.0, 2.0]), np.zeros(3), np.ones(3), np.zeros(3, dtype=int)
    )
    found = system.probability_above(1.0, np.zeros(1), np.ones(1), np.zeros(1, dtype=int))
    assert found[0] == pytest.approx((1 + 1) / 4)  # one above, one equal, one place of its own
