"""Domain shift metrics and summary, compared with values computed by hand."""

import numpy as np
import pytest

from supervision.evaluation.domain_shift import (
    distributions,
    domain_shift_metrics,
    overlap,
    summarise,
)

TC = np.array([0.0, 2.0, 10.0, 30.0, 50.0, 60.0, 90.0])
COMPRESSED = np.array([3.0, 3.0, 4.0, 4.0, 5.0, 5.0, 25.0])
NB, FE_SE, CU_O = frozenset({"Nb"}), frozenset({"Fe", "Se"}), frozenset({"Cu", "O"})


def test_moments_threshold_fractions_and_correlations():
    found = domain_shift_metrics(TC, COMPRESSED)
    assert (found["pred_min"], found["pred_max"]) == (3, 25)
    assert found["pred_mean"] == 7
    assert found["bias"] == pytest.approx(7 - 242 / 7)
    assert found["variance_ratio"] == pytest.approx(np.var(COMPRESSED) / np.var(TC))
    assert found["true_above_20"] == pytest.approx(4 / 7)
    assert found["pred_above_20"] == pytest.approx(1 / 7)
    assert found["pred_above_40"] == 0
    # 50, 60, 90 against 5, 5, 25: cov / (std std)
    assert found["hot_correlation"] == pytest.approx(np.corrcoef([50, 60, 90], [5, 5, 25])[0, 1])
    assert found["hot_rank_correlation"] == pytest.approx(np.sqrt(3) / 2)  # one tie


def test_constant_predictions_have_no_correlation():
    found = domain_shift_metrics(TC, np.full(7, 4.0))
    assert found["variance_ratio"] == 0
    assert np.isnan(found["rank_correlation"]) and np.isnan(found["hot_correlation"])


def test_fewer_than_three_high_tc_materials_have_no_correlation():
    assert np.isnan(domain_shift_metrics(TC[:6], COMPRESSED[:6])["hot_correlation"])


def test_overlap_of_element_sets():
    test = [NB, FE_SE, FE_SE, CU_O]
    train = [NB, frozenset({"Nb", "Fe"}), frozenset({"Se"})]
    found = overlap(test, train, np.array([9.0, 8, 8, 90]), np.array([8.0, 6, 10, 0]))
    assert found["elements_learned"] == 3 and found["elements_of_test"] == 5
    assert found["share_of_known_elements"] == 0.75
    assert found["share_of_known_element_sets"] == 0.25
    assert found["mae_known_elements"] == pytest.approx(5 / 3)
    assert found["mae_new_elements"] == 90
    assert found["mae_known_element_set"] == 1


def test_distributions_have_one_row_per_set():
    table = distributions({"measured": TC, "predicted": COMPRESSED}).set_index("Tc")
    assert table.loc["measured", ["n", "min", "median", "max"]].tolist() == [7, 0, 30, 90]
    assert table.loc["predicted", "above 20 K"] == pytest.approx(1 / 7)


def summary(tc, tc_pred, constant=30.0, train_tc=None, chemistry=None):
    return summarise("It", tc, tc_pred, constant, train_tc, chemistry or {})


def test_summary_states_the_numbers():
    text = summary(TC, COMPRESSED, train_tc=np.array([1.0, 12.0]))
    assert "from 3.0 to 25.0 K" in text and "are compressed: 6% of" in text
    assert "57.1% of the test materials are above it." in text
    assert "of its error comes from the 3 materials in the band 40+ K" in text
    text = summary(TC, TC + 0.5)
    assert "are as wide as the targets: 100% of the targets' variance" in text
    assert "better than" in text and "Its training materials are unknown" in text


def test_summary_of_constant_targets_makes_no_statement_about_variance():
    text = summary(np.full(5, 3.0), np.full(5, 3.0))
    assert "nan" not in text and "compressed" not in text and "It has no error." in text


@pytest.mark.parametrize(
    ("tc_pred", "comparison"),
    [
        (TC + 1, "better than"),
        (TC + 200, "worse than"),
        (np.full(7, 29.9), "not significantly different from"),
    ],
    ids=["good", "bad", "a constant"],
)
def test_comparison_with_the_constant_follows_the_paired_interval(tc_pred, comparison):
    assert comparison in summary(TC, tc_pred)
