"""Metrics, intervals and baselines, compared with scikit-learn, loops and values by hand."""

import math

import numpy as np
import pytest
from sklearn import metrics as sklearn_metrics

from supervision.evaluation import metrics

RNG = np.random.default_rng(7)
TC = np.round(RNG.exponential(10, 200), 2) * (RNG.random(200) > 0.3)
PRED = np.abs(TC + RNG.normal(0, 4, 200))
FAMILIES = np.array([f"family {i}" for i in RNG.integers(0, 40, 200)])


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


def test_msle_equals_that_of_scikit_learn():
    assert metrics.msle(TC, PRED) == pytest.approx(sklearn_metrics.mean_squared_log_error(TC, PRED))
    assert metrics.msle([0.0, math.e - 1], [0.0, 0.0]) == pytest.approx(0.5)


@pytest.mark.parametrize(("tc", "pred"), [([1.0], [-1.0]), ([-2.0], [1.0])], ids=["pred", "tc"])
def test_msle_refuses_a_tc_without_a_logarithm(tc, pred):
    with pytest.raises(ValueError, match="no log error; set negative predictions to 0 K"):
        metrics.msle(tc, pred)


def test_macro_mae_weights_families_equally():
    assert metrics.macro_mae([0, 0, 0, 10], [1, 2, 3, 4], ["a", "a", "a", "b"]) == 4.0
    single = [f"material {i}" for i in range(TC.size)]
    assert metrics.macro_mae(TC, PRED, single) == pytest.approx(metrics.mae(TC, PRED))


MEASURES = [
    metrics.mae,
    metrics.rmse,
    metrics.r2,
    metrics.all_metrics,
    metrics.bootstrap_intervals,
    metrics.band_table,
    metrics.spread,
    lambda tc, pred: metrics.paired_bootstrap(tc, pred, pred),
    metrics.msle,
    lambda tc, pred: metrics.macro_mae(tc, pred, ["a"] * len(tc)),
]
NAMES = ["mae", "rmse", "r2", "all", "bootstrap", "bands", "spread", "paired", "msle", "macro"]


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


# --- groups


def drawn_materials(groups, samples, seed):
    """The materials in each resample of groups, by a loop: groups in the order of appearance."""
    names = list(dict.fromkeys(groups))
    draws = np.random.default_rng(seed).integers(0, len(names), size=(samples, len(names)))
    return [np.concatenate([np.flatnonzero(groups == names[i]) for i in row]) for row in draws]


def test_intervals_over_groups_agree_with_a_loop_over_resamples():
    found = metrics.bootstrap_intervals(TC, PRED, groups=FAMILIES, samples=300, level=0.9, seed=3)
    values = [metrics.all_metrics(TC[r], PRED[r]) for r in drawn_materials(FAMILIES, 300, 3)]
    for name, interval in found.items():
        assert interval == pytest.approx(tuple(np.percentile([v[name] for v in values], [5, 95])))


def test_differences_over_groups_agree_with_a_loop_over_resamples():
    other = np.abs(TC + np.random.default_rng(5).normal(0.2, 4, TC.size))
    found = metrics.paired_bootstrap(TC, PRED, other, groups=FAMILIES, samples=300, seed=4)
    gaps = np.array(
        [
            metrics.mae(TC[r], PRED[r]) - metrics.mae(TC[r], other[r])
            for r in drawn_materials(FAMILIES, 300, 4)
        ]
    )
    assert found["difference"] == metrics.paired_bootstrap(TC, PRED, other)["difference"]
    assert (found["low"], found["high"]) == pytest.approx(tuple(np.percentile(gaps, [2.5, 97.5])))
    assert found["p"] == pytest.approx(2 * min((gaps > 0).mean(), (gaps < 0).mean()))


def test_groups_of_one_material_give_exactly_the_intervals_over_materials():
    single = [f"material {i}" for i in np.random.default_rng(0).permutation(TC.size)]
    assert metrics.bootstrap_intervals(TC, PRED, groups=single) == metrics.bootstrap_intervals(
        TC, PRED
    )
    assert metrics.paired_bootstrap(TC, PRED, TC + 1, groups=single) == metrics.paired_bootstrap(
        TC, PRED, TC + 1
    )


def test_intervals_over_materials_are_those_of_the_first_release():
    """Bit-equal, so that logged intervals of earlier runs can be compared."""
    found = metrics.bootstrap_intervals(TC, PRED)
    rows = np.random.default_rng(0).integers(0, TC.size, size=(2000, TC.size))
    error, tc = (TC - PRED)[rows], TC[rows]
    total = ((tc - tc.mean(1, keepdims=True)) ** 2).sum(1)
    draws = {
        "mae": np.abs(error).mean(1),
        "rmse": np.sqrt((error**2).mean(1)),
        "r2": 1 - (error**2).sum(1) / total,
    }
    assert found == {name: tuple(np.percentile(v, [2.5, 97.5])) for name, v in draws.items()}


def test_errors_shared_by_a_family_widen_the_interval_over_families():
    families = np.repeat(np.arange(20), 10)
    error = np.repeat(np.random.default_rng(0).exponential(5, 20), 10)
    narrow = metrics.bootstrap_intervals(np.zeros(200), error)["mae"]
    wide = metrics.bootstrap_intervals(np.zeros(200), error, groups=families)["mae"]
    assert wide[1] - wide[0] > 2.5 * (narrow[1] - narrow[0])


def test_r2_over_groups_of_equal_targets_is_nan():
    tc, families = np.full(9, 0.1), ["a"] * 3 + ["b"] * 6
    low, high = metrics.bootstrap_intervals(tc, tc + 1, groups=families, samples=50)["r2"]
    assert math.isnan(low)
    assert math.isnan(high)


def test_interval_of_one_group_is_a_point():
    low, high = metrics.bootstrap_intervals(TC, PRED, groups=["a"] * TC.size)["mae"]
    assert low == high == pytest.approx(metrics.mae(TC, PRED))


@pytest.mark.parametrize("groups", [["a"] * 199, [["a"]] * 200], ids=["lengths", "table"])
def test_every_material_needs_a_group(groups):
    for measure in (
        lambda: metrics.bootstrap_intervals(TC, PRED, groups=groups),
        lambda: metrics.paired_bootstrap(TC, PRED, PRED, groups=groups),
        lambda: metrics.macro_mae(TC, PRED, groups),
    ):
        with pytest.raises(ValueError, match="one group for each of 200 materials"):
            measure()


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
