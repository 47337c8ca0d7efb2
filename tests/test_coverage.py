"""Coverage, Brier score and reliability, against hand-worked values and scikit-learn."""

import numpy as np
import pytest
from sklearn.calibration import calibration_curve
from sklearn.metrics import brier_score_loss

from supervision.evaluation.coverage import brier, coverage, reliability

RNG = np.random.default_rng(0)
PROBABILITY = RNG.random(500)
HAPPENED = RNG.random(500) < PROBABILITY


def test_coverage_and_width_are_those_worked_by_hand():
    intervals = np.array([[0, 2], [1, 3], [5, 9], [0, 0]])
    found = coverage(np.array([2.0, 0.5, 6.0, 0.0]), intervals, ["a", "b", "c", "d"])
    assert (found.materials, found.coverage, found.width, found.median_width) == (4, 0.75, 2, 2)


def test_the_interval_of_a_coverage_is_over_families():
    """Materials of one family are alike: the same rows in one large family say less."""
    tc, intervals = np.repeat([0.0, 5.0], 50), np.tile([0.0, 1.0], (100, 1))
    alone = coverage(tc, intervals, np.arange(100).astype(str))
    together = coverage(tc, intervals, np.repeat(np.arange(4), 25).astype(str))
    assert alone.coverage == together.coverage == 0.5
    assert together.high - together.low > 2 * (alone.high - alone.low)


@pytest.mark.parametrize(
    ("tc", "intervals", "message"),
    [
        ([], np.empty((0, 2)), "at least one material"),
        ([1.0], [[0, np.nan]], "1 intervals are not"),
    ],
    ids=["none", "nan"],
)
def test_what_has_no_coverage_is_refused(tc, intervals, message):
    with pytest.raises(ValueError, match=message):
        coverage(np.array(tc), np.array(intervals), [])


def test_the_brier_score_is_that_of_scikit_learn():
    assert brier(HAPPENED, PROBABILITY) == pytest.approx(brier_score_loss(HAPPENED, PROBABILITY))


def test_the_reliability_curve_is_that_of_scikit_learn():
    fraction, probability = calibration_curve(HAPPENED, PROBABILITY, n_bins=10, strategy="quantile")
    np.testing.assert_allclose(reliability(HAPPENED, PROBABILITY), np.c_[probability, fraction])


def test_equal_probabilities_share_a_bin():
    points = reliability(np.array([0, 1, 1, 1]), np.array([0.2, 0.2, 0.7, 0.7]))
    np.testing.assert_allclose(points, [[0.2, 0.5], [0.7, 1.0]])
