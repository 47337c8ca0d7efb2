"""The diagnosis of a transfer, against numbers worked out by hand."""

import numpy as np
import pytest

from supervision.evaluation.domain_shift import distributions, overlap, story, transfer_metrics

TC = np.array([0.0, 2.0, 10.0, 30.0, 50.0, 60.0, 90.0])
SHRUNK = np.array([3.0, 3.0, 4.0, 4.0, 5.0, 5.0, 25.0])
NB, FE_SE, CU_O = frozenset({"Nb"}), frozenset({"Fe", "Se"}), frozenset({"Cu", "O"})


def test_moments_tails_and_correlations_by_hand():
    found = transfer_metrics(TC, SHRUNK)
    assert (found["pred_min"], found["pred_max"]) == (3, 25)
    assert found["pred_mean"] == 7
    assert found["bias"] == pytest.approx(7 - 242 / 7)
    assert found["variance_ratio"] == pytest.approx(np.var(SHRUNK) / np.var(TC))
    assert found["true_above_20"] == pytest.approx(4 / 7)
    assert found["pred_above_20"] == pytest.approx(1 / 7)
    assert found["pred_above_40"] == 0
    # 50, 60, 90 against 5, 5, 25: cov / (std std)
    assert found["hot_correlation"] == pytest.approx(np.corrcoef([50, 60, 90], [5, 5, 25])[0, 1])
    assert found["hot_rank_correlation"] == pytest.approx(np.sqrt(3) / 2)  # one tie


def test_what_does_not_vary_has_no_correlation():
    found = transfer_metrics(TC, np.full(7, 4.0))
    assert found["variance_ratio"] == 0
    assert np.isnan(found["rank_correlation"]) and np.isnan(found["hot_correlation"])


def test_few_hot_materials_have_no_correlation():
    assert np.isnan(transfer_metrics(TC[:6], SHRUNK[:6])["hot_correlation"])


def test_overlap_by_hand():
    test = [NB, FE_SE, FE_SE, CU_O]
    learned = [NB, frozenset({"Nb", "Fe"}), frozenset({"Se"})]
    found = overlap(test, learned, np.array([9.0, 8, 8, 90]), np.array([8.0, 6, 10, 0]))
    assert found["elements_learned"] == 3 and found["elements_of_test"] == 5
    assert found["share_of_known_elements"] == 0.75
    assert found["share_of_known_element_sets"] == 0.25
    assert found["mae_known_elements"] == pytest.approx(5 / 3)
    assert found["mae_new_elements"] == 90
    assert found["mae_known_element_set"] == 1


def test_distributions_have_a_row_a_set():
    table = distributions({"measured": TC, "predicted": SHRUNK}).set_index("Tc")
    assert table.loc["measured", ["n", "min", "median", "max"]].tolist() == [7, 0, 30, 90]
    assert table.loc["predicted", "above 20 K"] == pytest.approx(1 / 7)


def told(tc, tc_pred, constant=30.0, learned=None, chemistry=None):
    return story("It", tc, tc_pred, constant, learned, chemistry or {})


def test_words_follow_the_numbers():
    said = told(TC, SHRUNK, learned=np.array([1.0, 12.0]))
    assert "from 3.0 to 25.0 K" in said and "is compressed: 6% of" in said
    assert "57.1% of these lie above anything it has seen" in said
    assert "of its error comes from the 3 materials of 40+ K" in said
    said = told(TC, TC + 0.5)
    assert "is as wide: 100% of the parse_bool's variance" in said
    assert "better than" in said and "What it learned from is not known" in said


def test_what_does_not_vary_is_not_called_narrow():
    said = told(np.full(5, 3.0), np.full(5, 3.0))
    assert "nan" not in said and "compressed" not in said and "It makes no error." in said


@pytest.mark.parametrize(
    ("tc_pred", "verdict"),
    [(TC + 1, "better than"), (TC + 200, "worse than"), (np.full(7, 29.9), "not to be told from")],
    ids=["good", "bad", "a constant"],
)
def test_the_verdict_is_that_of_the_paired_interval(tc_pred, verdict):
    assert verdict in told(TC, tc_pred)
