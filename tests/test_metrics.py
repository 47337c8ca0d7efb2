"""Metrics, intervals and baselines, compared with scikit-learn, loops and values by hand."""

import math

import numpy as np
import pytest
from sklearn import metrics as sklearn_metrics

from supervision.evaluation import metrics

RNG = np.random.default_rng(7)
TC = np.round(RNG.exponential(10, 200), 2) * (RNG.random(200) > 0.3)
PRED = np.abs(TC + RNG.normal(0, 4, 200))


def test_metrics_equal_those_of_scikit_learn():
    assert metrics.mae(TC, PRED) == pytest.approx(sklearn_metrics.mean_absolute_error(TC, PRED))
    assert metrics.rmse(TC, PRED) == pytest.approx(
        sklearn_metrics.root_mean_squared_error(TC, PRED)
    )
    assert metrics.r2(TC, PRED) == pytest.approx(sklearn_metrics.r2_score(TC, PRED))


def test_metrics_of_a_small_example():
    found = metrics.all_metrics([0, 2, 4], [1, 2, 7])
    assert found == pytest.approx({"mae": 4 / 3, "rmse": math.sqrt(10 / 3), "r2": 1 - 10 / 8})


def test_perfect_and_constant_predictions():
    assert metrics.all_metrics(TC, TC) == {"mae": 0, "rmse": 0, "r2": 1}
    assert metrics.r2(TC, np.full(TC.size, TC.mean())) == pytest.approx(0)


@pytest.mark.parametrize("tc", [[0.0], [5.0, 5.0], [0.1, 0.1, 0.1], [0.7] * 7], ids=str)
def test_r2_of_equal_targets_is_nan(tc):
    assert math.isnan(metrics.r2(tc, np.add(tc, 1.0)))
    assert math.isnan(metrics.spread(tc, np.add(tc, 1.0))["variance_ratio"])
    low, high = metrics.bootstrap_intervals(tc, np.add(tc, 1.0), samples=50)["r2"]
    assert math.isnan(low)
    assert math.isnan(high)


MEASURES = [
    metrics.mae,
    metrics.rmse,
    metrics.r2,
    metrics.all_metrics,
    metrics.bootstrap_intervals,
    metrics.band_table,
    metrics.spread,
    lambda tc, pred: metrics.paired_bootstrap(tc, pred, pred),
]
NAMES = ["mae", "rmse", "r2", "all", "bootstrap", "bands", "spread", "paired"]


@pytest.mark.parametrize("measure", MEASURES, ids=NAMES)
@pytest.mark.parametrize(
    ("tc", "pred", "message"),
    [
        ([], [], "at least one"),
        ([1.0, 2.0], [1.0], r"\(2,\) and \(1,\)"),
        ([[1.0, 2.0]], [[1.0, 2.0]], r"\(1, 2\)"),
        ([1.0, np.nan, np.inf], [1.0, 2.0, 3.0], "tc has 2 non-finite values"),
        ([1.0, 2.0], [np.nan, 3.0], "tc_pred has 1 non-finite values"),
    ],
    ids=["empty", "lengths", "table", "target not finite", "prediction not finite"],
)
def test_invalid_input_is_refused(measure, tc, pred, message):
    with pytest.raises(ValueError, match=message):
        measure(tc, pred)


# --- intervals


def test_intervals_contain_the_estimate():
    intervals = metrics.bootstrap_intervals(TC, PRED)
    for name, value in metrics.all_metrics(TC, PRED).items():
        low, high = intervals[name]
        assert low < value < high


def test_intervals_agree_with_a_loop_over_resamples():
    samples, level, seed = 300, 0.9, 3
    fast = metrics.bootstrap_intervals(TC, PRED, samples=samples, level=level, seed=seed)
    draws = np.random.default_rng(seed).integers(0, TC.size, size=(samples, TC.size))
    slow = [
        (
            sklearn_metrics.mean_absolute_error(TC[rows], PRED[rows]),
            sklearn_metrics.root_mean_squared_error(TC[rows], PRED[rows]),
            sklearn_metrics.r2_score(TC[rows], PRED[rows]),
        )
        for rows in draws
    ]
    expected = np.percentile(slow, [5, 95], axis=0).T
    np.testing.assert_allclose([fast["mae"], fast["rmse"], fast["r2"]], expected)


def test_intervals_agree_with_the_standard_error():
    """For the mean of many values the percentile interval is close to +-1.96 standard errors."""
    rng = np.random.default_rng(0)
    error = rng.exponential(1.0, 4000)
    low, high = metrics.bootstrap_intervals(np.zeros(4000), error)["mae"]
    half = 1.96 * error.std() / math.sqrt(4000)
    assert (high - low) / 2 == pytest.approx(half, rel=0.08)


def test_intervals_are_reproducible_and_depend_on_the_seed():
    assert metrics.bootstrap_intervals(TC, PRED) == metrics.bootstrap_intervals(TC, PRED)
    assert metrics.bootstrap_intervals(TC, PRED) != metrics.bootstrap_intervals(TC, PRED, seed=1)


def test_higher_level_gives_a_wider_interval():
    narrow = metrics.bootstrap_intervals(TC, PRED, level=0.5)["mae"]
    wide = metrics.bootstrap_intervals(TC, PRED, level=0.99)["mae"]
    assert wide[0] < narrow[0] < narrow[1] < wide[1]


def test_interval_of_one_material_is_a_point():
    assert metrics.bootstrap_intervals([3.0], [5.0])["mae"] == (2.0, 2.0)


# --- comparisons


def test_equal_predictions_have_no_difference():
    found = metrics.paired_bootstrap(TC, PRED, PRED)
    assert found == {"difference": 0, "low": 0, "high": 0, "p": 1}


def test_clearly_better_predictions_are_significant():
    found = metrics.paired_bootstrap(TC, PRED, PRED + 5)
    assert found["high"] < 0
    assert found["p"] == pytest.approx(1 / metrics.BOOTSTRAP_SAMPLES)


def test_equally_good_predictions_are_not_significantly_different():
    rng = np.random.default_rng(1)
    found = metrics.paired_bootstrap(TC, TC + rng.normal(0, 3, 200), TC + rng.normal(0, 3, 200))
    assert found["low"] < 0 < found["high"]
    assert found["p"] > 0.05


def test_comparison_is_symmetric():
    other = np.abs(TC + np.random.default_rng(2).normal(0.4, 4, TC.size))
    one = metrics.paired_bootstrap(TC, PRED, other)
    two = metrics.paired_bootstrap(TC, other, PRED)
    assert two["p"] == one["p"]
    assert two["difference"] == pytest.approx(-one["difference"])
    assert (two["low"], two["high"]) == pytest.approx((-one["high"], -one["low"]))


def test_difference_is_the_difference_of_maes():
    other = PRED + 1.5
    found = metrics.paired_bootstrap(TC, PRED, other)
    assert found["difference"] == pytest.approx(metrics.mae(TC, PRED) - metrics.mae(TC, other))


def test_paired_difference_is_significant_where_intervals_overlap():
    better = PRED + 0.3 * np.sign(TC - PRED)
    low, high = metrics.bootstrap_intervals(TC, PRED)["mae"]
    assert low < metrics.mae(TC, better) < high
    assert metrics.paired_bootstrap(TC, better, PRED)["high"] < 0


def test_p_agrees_with_a_loop():
    other = np.abs(TC + np.random.default_rng(5).normal(0.2, 4, TC.size))
    draws = np.random.default_rng(4).integers(0, TC.size, size=(400, TC.size))
    gaps = np.array([metrics.mae(TC[r], PRED[r]) - metrics.mae(TC[r], other[r]) for r in draws])
    found = metrics.paired_bootstrap(TC, PRED, other, samples=400, seed=4)
    assert found["p"] == pytest.approx(2 * min((gaps > 0).mean(), (gaps < 0).mean()))
    assert (found["low"], found["high"]) == pytest.approx(tuple(np.percentile(gaps, [2.5, 97.5])))


# --- bands


@pytest.mark.parametrize(
    ("tc", "band"),
    [
        *[(0, "0-5"), (4.999, "0-5"), (5, "5-15"), (14.999, "5-15"), (15, "15-40")],
        *[(39.99, "15-40"), (40, "40+"), (250, "40+")],
    ],
)
def test_band_includes_its_lower_edge(tc, band):
    assert metrics.band_labels([tc]).tolist() == [band]


@pytest.mark.parametrize("tc", [-0.1, np.nan, np.inf], ids=str)
def test_negative_or_non_finite_tc_has_no_band(tc):
    with pytest.raises(ValueError, match="0 K or more"):
        metrics.band_labels([1.0, tc])


def test_band_table_of_a_small_example():
    table = metrics.band_table([0, 4, 5, 50], [1, 2, 5, 40]).set_index("band")
    assert table["n"].to_dict() == {
        "all": 4,
        "Tc > 0": 3,
        "0-5": 2,
        "5-15": 1,
        "15-40": 0,
        "40+": 1,
    }
    assert table["mae"]["all"] == pytest.approx(13 / 4)
    assert table["mae"]["Tc > 0"] == pytest.approx(4)
    assert table["mae"]["0-5"] == pytest.approx(1.5)
    assert table["bias"]["0-5"] == pytest.approx(-0.5)
    assert table["bias"]["40+"] == pytest.approx(-10)
    assert table["share_of_error"]["40+"] == pytest.approx(10 / 13)
    assert table.loc["15-40", ["mae", "rmse", "r2", "bias", "share_of_error"]].isna().all()


def test_bands_add_up_to_all_materials_and_all_error():
    table = metrics.band_table(TC, PRED).set_index("band").drop(index="Tc > 0")
    bands = table.drop(index="all")
    assert bands["n"].sum() == table["n"]["all"] == TC.size
    assert bands["share_of_error"].sum() == pytest.approx(1)
    mean = (bands["n"] * bands["mae"]).sum() / TC.size
    assert mean == pytest.approx(metrics.mae(TC, PRED))


def test_band_table_of_a_perfect_prediction():
    assert (metrics.band_table(TC, TC)["share_of_error"].dropna() == 0).all()


def test_spread_of_compressed_predictions():
    found = metrics.spread(TC, TC.mean() + 0.5 * (TC - TC.mean()))
    assert found["variance_ratio"] == pytest.approx(0.25)
    assert found["pred_min"] >= TC.min()
    assert found["pred_max"] <= TC.max()


# --- baselines


def test_constant_median():
    assert metrics.constant_median([0, 1, 10], 2).tolist() == [1, 1]
    assert metrics.constant_median([0, 1, 2, 10], 1).tolist() == [1.5]


def test_median_is_the_best_constant_on_the_training_set():
    best = metrics.mae(TC, metrics.constant_median(TC, TC.size))
    assert all(best <= metrics.mae(TC, np.full(TC.size, c)) for c in np.linspace(0, 60, 121))


def test_family_mean_uses_the_median_for_unseen_families():
    found = metrics.family_mean([1, 3, 100], ["a", "a", "b"], ["b", "a", "new", "a"])
    assert found.tolist() == [100, 2, 3, 2]


@pytest.mark.parametrize("train", [[], [1.0, np.nan]], ids=["empty", "nan"])
def test_baselines_need_finite_training_tc(train):
    with pytest.raises(ValueError, match="training Tc"):
        metrics.constant_median(train, 3)
    with pytest.raises(ValueError, match="training Tc"):
        metrics.family_mean(train, ["a"] * len(train), ["a"])


def test_family_mean_needs_a_family_for_every_training_material():
    with pytest.raises(ValueError, match="shorter"):
        metrics.family_mean([1, 2, 3], ["a", "b"], ["a"])
