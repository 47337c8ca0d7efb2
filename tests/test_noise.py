"""The noise of the labels: differences by distance and the limit of the MAE, by hand, simulated."""

import numpy as np
import pytest

from benchmarks import noise
from supervision.data.composition_distance import fraction_matrix
from supervision.data.crystals import Crystal, group_materials
from supervision.evaluation.metrics import mae

CUPRATES = ["La2CuO4", "La1.999Sr0.001CuO4", "La1.99Sr0.01CuO4"]
FORMULAS = [*CUPRATES, "Nb3Sn", "Nb3Sn0.99", "Al", "FeSe", "FeSe0.995"]
TC = np.array([0.0, 30.0, 10.0, 18.0, 17.0, 1.2, 8.0, 10.0])
CLASSES = np.array(["cuprates"] * 3 + ["others"] * 3 + ["iron compounds"] * 2)
FAMILIES = np.array(["La"] * 3 + ["Nb"] * 2 + ["Al"] + ["Fe"] * 2)


@pytest.fixture(scope="module")
def pairs():
    return noise.near_pairs(fraction_matrix(FORMULAS), TC)


def twins(tc):
    """Pairs of materials, 0 and 1, 2 and 3, ..., of nearly the same composition."""
    n = len(tc) // 2
    share = np.repeat(np.linspace(0, 1, n), 2) + np.tile([0, 1e-5], n)
    return noise.near_pairs(np.column_stack([share, 1 - share]), tc)


def limit(pairs, n):
    """The difference of near materials, where all are of one class and their own family."""
    found = noise.limits_by_class(pairs, np.full(n, "others"), np.arange(n))
    return found.set_index("class").loc["others"]


def test_pairs_of_a_small_example(pairs):
    pairs = pairs.sort_values(["material", "distance"])
    assert pairs["material"].tolist() == [0, 0, 1, 1, 2, 2, 3, 4, 6, 7]
    np.testing.assert_allclose(pairs["distance"][:2], [2 * 0.001 / 7, 2 * 0.01 / 7], atol=1e-9)
    assert pairs["difference"].tolist() == [30, 10, 30, 20, 20, 10, 1, 1, 2, 2]
    assert pairs["reported"].tolist() == [False] * 3 + [True, True, False] + [True] * 4


def test_differences_of_a_small_example(pairs):
    found = noise.differences_by_distance(pairs, CLASSES, FAMILIES).set_index(["class", "bin"])
    nearest = found.loc[("cuprates", "0 to 0.002")]
    assert (nearest["materials"], nearest["mean"], nearest["reported_materials"]) == (2, 30, 0)
    near = found.loc[("cuprates", "0.002 to 0.005")]  # 10 K, 20 K, and 15 K: the mean of both
    assert (near["materials"], near["mean"], near["median"]) == (3, 15, 15)
    assert (near["reported_materials"], near["reported_mean"]) == (2, 20)
    assert found.loc[("others", "0.002 to 0.005"), "mean"] == 1
    assert found.loc[("others", "0.2 to 0.5"), "materials"] == 0


def test_limit_of_all_is_the_mean_over_classes_by_their_share(pairs):
    found = noise.limits_by_class(pairs, CLASSES, FAMILIES).set_index("class")
    assert found["materials"].tolist() == [3, 2, 3, 8]
    assert found["near"].tolist() == [3, 2, 2, 7]
    expected = [20, 2, 1, (3 * 20 + 2 * 2 + 3 * 1) / 8]
    np.testing.assert_allclose(found["difference"], expected)


def test_limit_of_gaussian_labels_is_the_error_of_their_mean():
    labels = np.random.default_rng(0).normal(20, 5, 1000)
    found = limit(twins(labels), 1000)
    error = mae(labels, np.full(1000, 20.0))
    assert found["low"] / np.sqrt(2) < error < found["high"] / np.sqrt(2)


@pytest.mark.parametrize("rare", [0.5, 0.1, 0.01])
def test_no_prediction_of_one_tc_per_composition_is_better_than_half_the_difference(rare):
    """Also where few labels are far from all others, as Tc = 0 among cuprates."""
    labels = 90.0 * (np.random.default_rng(1).random(2000) > rare)
    half = limit(twins(labels), 2000)["difference"] / 2
    best = np.repeat(np.median(labels.reshape(-1, 2), axis=1), 2)
    assert mae(labels, best) >= half - 1e-9
    assert mae(labels, np.full(2000, np.median(labels))) >= half - 1e-9


def test_classes_are_told_by_elements():
    formulas = ["YBa2Cu3O7", "LaFeAsO0.9F0.1", "Nb3Sn", "CuS", "FeSe"]
    crystals = [Crystal(f"{i}", formula, "", 1.0) for i, formula in enumerate(formulas)]
    found = noise.classes_of(sorted(group_materials(crystals), key=lambda m: m.crystals[0].id))
    assert found.tolist() == ["cuprates", "iron compounds", "others", "others", "iron compounds"]


def test_report_names_every_class_and_the_limit(pairs):
    bins = noise.differences_by_distance(pairs, CLASSES, FAMILIES)
    limits = noise.limits_by_class(pairs, CLASSES, FAMILIES)
    assert len(noise.bins_table(bins).splitlines()) == 2 + 3 * (len(noise.EDGES) - 1)
    assert len(noise.limits_table(limits).splitlines()) == 2 + 4
    assert [ax.get_title(loc="left") for ax in noise.draw(bins).axes] == list(noise.CLASSES)
    assert "The 7 materials" in noise.conclusion(pairs, limits)
