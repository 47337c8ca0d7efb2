"""Ensembles: the stack, what members are worth, and a model that is served from its folder."""

import json
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from scipy.optimize import nnls

from supervision.data.crystals import Crystal
from supervision.data.datasets import load_dataset
from supervision.data.errors import CrystalError
from supervision.evaluation.metrics import mae, paired_bootstrap
from supervision.models.constant.config import ConstantConfig
from supervision.models.constant.predictor import ConstantPredictor
from supervision.models.ensemble import stacking
from supervision.models.ensemble.predictor import write_ensemble
from supervision.models.ensemble.stacking import METHODS, Stack, cross_fit
from supervision.models.families import get_family, load_predictor
from tracking.ensemble import members
from tracking.ensemble.members import check_members
from tracking.ensemble.stack_folds import choose_method, fit_stacks, stacked, worth_of_members

RNG = np.random.default_rng(0)
N = 400
TC = RNG.gamma(0.6, 12, N)
GOOD, POOR = (np.maximum(TC + RNG.normal(0, error, N), 0) for error in (1.0, 6.0))
PREDICTED = np.stack([GOOD, POOR], axis=1)
GROUPS = np.array([f"family {i % 80}" for i in range(N)])


def table(folds=2):
    """Validation and test materials of each fold, with two members."""
    fold = np.arange(N) % folds + 1
    return pd.DataFrame(
        {
            "material_id": [f"m{i}" for i in range(N)],
            "split": np.where(np.arange(N) % 4 < 2, "val", "test"),
            "fold": fold,
            "tc": TC,
            "family": GROUPS,
            "group": GROUPS,
            "good": GOOD,
            "poor": POOR,
        }
    )


# --- the stack


def test_weights_are_those_of_non_negative_least_squares_without_a_prior(monkeypatch):
    monkeypatch.setattr(stacking, "PRIOR_FAMILIES", 0)
    found = Stack.fit("levels", PREDICTED, TC, GROUPS)
    np.testing.assert_allclose(found.weights, nnls(PREDICTED, TC)[0], atol=1e-9)
    expected, _ = nnls(np.log1p(PREDICTED), np.log1p(TC))
    np.testing.assert_allclose(found.log_weights, expected, atol=1e-9)


def test_the_better_model_has_the_higher_weight_and_the_stack_beats_the_plain_mean():
    found = Stack.fit("nnls", PREDICTED, TC, GROUPS)
    assert found.weights[0] > 2 * found.weights[1] >= 0
    assert mae(TC, found.predict(PREDICTED)) < mae(TC, PREDICTED.mean(axis=1))


def test_levels_are_the_kelvin_sum_where_tc_is_high_and_the_log_sum_where_it_is_low():
    found = Stack((1.0, 0.0), (0.0, 1.0))
    one, other = 800.0, 0.1
    np.testing.assert_allclose(found.predict(np.array([[one, other]])), [one], rtol=0.01)
    low, lower = 0.01, 0.02
    np.testing.assert_allclose(found.predict(np.array([[low, lower]])), [lower], rtol=0.01)
    middle = np.sqrt((1 + 8) * (1 + 2)) - 1  # half of each at 8 K
    np.testing.assert_allclose(found.predict(np.array([[8.0, 2.0]])), [middle])


def test_the_mean_has_equal_weights_whatever_the_materials():
    assert Stack.fit("mean", PREDICTED, TC, GROUPS) == Stack((0.5, 0.5))
    np.testing.assert_allclose(cross_fit("mean", PREDICTED, TC, GROUPS), PREDICTED.mean(axis=1))


def test_a_model_that_is_opposed_to_the_others_gets_no_negative_weight():
    found = Stack.fit("nnls", np.stack([GOOD, TC.max() - GOOD], axis=1), TC, GROUPS)
    assert min(found.weights) >= 0


def test_few_families_keep_the_weights_near_equal_ones():
    many = Stack.fit("nnls", PREDICTED, TC, GROUPS)
    few = Stack.fit("nnls", PREDICTED, TC, np.array(["a", "b"] * (N // 2)))
    assert abs(few.weights[0] - 0.5) < abs(many.weights[0] - 0.5)


def test_predictions_that_are_drawn_to_the_mean_are_scaled():
    shrunk = (0.7 * TC)[:, None]
    found = Stack.fit("nnls", shrunk, TC, np.arange(N).astype(str))
    assert mae(TC, found.predict(shrunk)) < 0.1 * mae(TC, shrunk[:, 0])


@pytest.mark.parametrize("method", METHODS)
def test_a_saved_stack_gives_the_same_numbers(tmp_path, method):
    found = Stack.fit(method, PREDICTED, TC, GROUPS)
    found.save(tmp_path)
    loaded = Stack.load(tmp_path)
    np.testing.assert_array_equal(loaded.predict(PREDICTED), found.predict(PREDICTED))
    assert loaded == found


@pytest.mark.parametrize("method", ["nnls", "levels"])
def test_a_cross_fit_does_not_learn_from_the_family_that_it_predicts(method):
    before = cross_fit(method, PREDICTED, TC, GROUPS)
    own = GROUPS == "family 3"
    after = cross_fit(method, PREDICTED, np.where(own, 100.0, TC), GROUPS)
    np.testing.assert_array_equal(before[own], after[own])
    assert (before[~own] != after[~own]).any()


def test_one_family_is_too_few():
    with pytest.raises(ValueError, match="of 2 families or more, got 1"):
        cross_fit("nnls", PREDICTED, TC, np.array(["one"] * N))


# --- folds, and what members are worth


def test_test_materials_choose_nothing():
    """Another measured Tc of the test materials changes no prediction, weight or method."""
    one = table()
    other = one.assign(tc=np.where(one["split"] == "test", 50.0, one["tc"]))
    names = ["good", "poor"]
    assert choose_method(one, names) == choose_method(other, names)
    assert fit_stacks(one, names, "nnls") == fit_stacks(other, names, "nnls")
    predicted = [stacked(t, names, "nnls")["tc_pred"] for t in (one, other)]
    pd.testing.assert_series_equal(*predicted)


def test_the_method_is_the_best_one_that_cross_fits_show_to_be_better_than_equal_weights():
    one, names = table(), ["good", "poor"]
    found = {}
    for method in METHODS:
        rows = stacked(one, names, method)
        found[method] = rows[rows["split"] == "val"].sort_values(["fold", "material_id"])
    tc, groups = found["mean"]["tc"].to_numpy(), found["mean"]["group"].to_numpy()
    errors = {m: mae(tc, rows["tc_pred"].to_numpy()) for m, rows in found.items()}
    assert choose_method(one, names) == min(errors, key=errors.get) == "levels"
    best, equal = (found[m]["tc_pred"].to_numpy() for m in ("levels", "mean"))
    assert paired_bootstrap(tc, best, equal, groups=groups)["high"] < 0


def test_weights_are_equal_where_no_fitted_stack_is_shown_to_be_better():
    one, other = TC * RNG.uniform(0.7, 1.3, (2, N))
    alike = table().assign(good=one, poor=other)
    assert choose_method(alike, ["good", "poor"]) == "mean"


def test_a_method_is_evaluated_by_what_it_predicts_for_families_that_it_has_not_seen():
    one, names = table(), ["good", "poor"]
    for fold in (1, 2):
        val = one[(one["split"] == "val") & (one["fold"] == fold)]
        expected = cross_fit(
            "nnls", val[names].to_numpy(), val["tc"].to_numpy(), val["family"].to_numpy()
        )
        found = stacked(one, names, "nnls").set_index("material_id").loc[val["material_id"]]
        np.testing.assert_array_equal(found["tc_pred"], expected)


def test_the_domain_is_that_of_the_member_that_knows_most(monkeypatch):
    def predictions(run):
        domain = {"a": ["new family", "new elements"], "b": ["known", "new family"]}[run]
        rows = table().iloc[:2].assign(tc_pred=1.0, domain=domain)
        return rows.set_index(members.KEYS)

    monkeypatch.setattr(members, "_predictions", predictions)
    joined = members.member_predictions({n: SimpleNamespace(id=n) for n in ("a", "b")})
    assert joined["domain"].tolist() == ["known", "new family"]


def test_every_fold_has_a_stack_of_its_own_validation_materials():
    one = table()
    stacks = fit_stacks(one, ["good", "poor"], "nnls")
    changed = one.assign(poor=np.where(one["fold"] == 2, 1.0, one["poor"]))
    again = fit_stacks(changed, ["good", "poor"], "nnls")
    assert stacks[1] == again[1] and stacks[2] != again[2]
    assert sorted(stacked(one, ["good", "poor"], "nnls")["material_id"]) == sorted(
        one["material_id"]
    )


def test_leaving_out_the_better_member_costs_more():
    found = worth_of_members(table(), ["good", "poor"], "nnls").set_index("member")
    assert found.loc["good", "mae_high"] < 0  # shown to help
    assert found.loc["good", "mae_difference"] < found.loc["poor", "mae_difference"]
    assert found.loc["good", "mae"] < found.loc["poor", "mae"]
    assert found.loc["good", "weight"] > found.loc["poor", "weight"]


def test_an_ensemble_of_one_member_has_nothing_to_leave_out():
    (row,) = worth_of_members(table(), ["good"], "nnls").to_dict("records")
    assert "mae_difference" not in row


@pytest.mark.parametrize(
    ("names", "message"),
    [(["graph", "sound"], "members: 'sound' is not one of"), (["graph", "graph"], "graph twice")],
)
def test_members_that_are_unknown_or_named_twice_are_refused(names, message):
    with pytest.raises(ValueError, match=message):
        check_members(names)


# --- the model


@pytest.fixture
def ensemble(tmp_path):
    """Two constants, 4 K and 9 K, with weights 1 and 2: 22 K."""
    folders = {}
    for name, tc in (("low", 4.0), ("high", 9.0)):
        folders[name] = tmp_path / name
        ConstantPredictor(ConstantConfig(), tc).save(folders[name])
    write_ensemble(tmp_path / "ensemble", folders, Stack((1.0, 2.0)))
    return tmp_path / "ensemble"


def test_a_saved_ensemble_combines_its_members(ensemble):
    predictor = load_predictor(ensemble)
    crystals = load_dataset("classics").crystals[:2]
    np.testing.assert_allclose(predictor.predict(crystals), [22.0, 22.0])
    assert predictor.model_family == "ensemble" and predictor.size == {"members": 2}
    assert json.loads((ensemble / "config.json").read_text())["config"]["members"] == [
        "low",
        "high",
    ]


def test_a_crystal_that_no_member_reads_is_one_sentence(ensemble):
    with pytest.raises(CrystalError, match=r"^broken: "):
        load_predictor(ensemble).predict([Crystal("broken", "", "no CIF")])


def test_an_ensemble_is_not_trained():
    family = get_family("ensemble")
    assert not family.is_trained and family.model_name == "supervision"
    with pytest.raises(ValueError, match=r"combine runs with python -m entrypoints\.ensemble"):
        family.setup("none", "cpu")
