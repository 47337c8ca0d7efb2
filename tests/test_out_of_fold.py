"""Predictions of families that are left out in turn, and the scale that is fitted to them."""

import json
from collections import Counter
from dataclasses import replace
from typing import ClassVar

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from supervision.data.composition_distance import fraction_matrix, nearest_distance
from supervision.data.crystals import group_materials
from supervision.data.datasets import load_dataset
from supervision.data.families import families
from supervision.data.splits import APART, distances_to
from supervision.evaluation.prediction import predict_materials
from supervision.models.composition.config import CompositionConfig
from supervision.models.composition.predictor import CompositionPredictor
from supervision.models.families import default_configs, get_family, load_predictor
from supervision.models.structure.config import StructureConfig
from supervision.models.structure.predictor import StructurePredictor
from supervision.models.trees.known import KnownCompositions
from supervision.models.trees.out_of_fold import (
    FOLDS,
    PRIOR_FAMILIES,
    calibration_scale,
    family_folds,
    out_of_fold,
)

SETTINGS = {"model": "boosting", "trees": 15, "leaves": 15, "leaf": 3}


@pytest.fixture(scope="module")
def materials():
    return group_materials(load_dataset("classics").crystals)


def others(materials):
    """A row of another source for each material, of the same composition."""
    return [replace(m, id=f"x/{m.id}", source="x") for m in materials]


class Number:
    """Predicts how many models were fitted before it."""

    size: ClassVar = {}

    def __init__(self, number):
        self.number = number

    def predict(self, crystals):
        return np.full(len(crystals), float(self.number))


def test_no_model_learns_from_a_family_that_it_predicts_or_from_what_is_near_to_it(materials):
    family, learned = families(materials), []

    def fit(train):
        learned.append(train)
        return Number(len(learned) - 1)

    train, folds = [*materials, *others(materials)], family_folds(materials, seed=42)
    found = out_of_fold(fit, train, materials, folds)
    assert len(learned) == len(folds) == FOLDS
    assert set(found) == set(range(FOLDS))
    for number, part in enumerate(learned):
        held_out = [m for m, of in zip(materials, found, strict=True) if of == number]
        seen = {family[m.id.removeprefix("x/")] for m in part}
        assert not seen & {family[m.id] for m in held_out}
        assert distances_to(part, held_out).min() > APART
        assert any(m.source for m in part) and any(not m.source for m in part)


def test_a_single_family_cannot_be_left_out(materials):
    family = families(materials)
    name = Counter(family.values()).most_common(1)[0][0]
    one = [m for m in materials if family[m.id] == name]
    assert len(one) > 5 and family_folds(one, seed=42) == []
    other = next(m for m in materials if distances_to([m], one)[0] > 1)
    assert len(family_folds([*one, other], seed=42)) == 2


def test_boosting_is_trained_on_a_single_family_without_a_scale(materials):
    one = [replace(materials[0], id=f"{i}", tc=float(i)) for i in range(4)]
    model = CompositionPredictor(CompositionConfig(**SETTINGS, calibrate=True), quiet=True)
    model.fit(one, one)
    assert model.scale == 1


def test_structures_of_a_single_family_are_refused_in_a_sentence(materials):
    one = [replace(materials[0], id=f"{i}", tc=float(i)) for i in range(4)]
    model = StructurePredictor(StructureConfig(**SETTINGS), quiet=True)
    with pytest.raises(ValueError, match="structures of 2 families or more"):
        model.fit(one, one)


def test_the_scale_minimises_squared_errors_in_kelvin():
    tc, tc_pred = np.array([4.0, 10.0, 39.0]), np.array([3.0, 9.0, 20.0])
    weight = np.array([1.0, 0.5, 2.0])
    scale = calibration_scale(tc, tc_pred, weight, 10**9)
    assert scale == pytest.approx((12 + 45 + 1560) / (9 + 40.5 + 800))
    error = [(weight * (tc - s * tc_pred) ** 2).sum() for s in (0.99 * scale, scale, 1.01 * scale)]
    assert error[1] < min(error[0], error[2])


@given(st.floats(0.1, 10), st.integers(0, 1000))
def test_few_families_leave_the_scale_near_1(factor, count):
    tc = np.array([1.0, 5.0, 20.0])
    scale = calibration_scale(tc, tc / factor, np.ones(3), count)
    share = count / (count + PRIOR_FAMILIES)
    assert scale == pytest.approx(share * factor + 1 - share)


def test_predictions_of_zero_are_not_scaled():
    assert calibration_scale(np.array([1.0, 2.0]), np.zeros(2), np.ones(2), 100) == 1.0


@pytest.fixture(scope="module", params=[CompositionPredictor, StructurePredictor])
def pair(request, materials):
    """The same model with and without calibration."""
    config_class = {CompositionPredictor: CompositionConfig, StructurePredictor: StructureConfig}
    fitted = []
    for calibrate in (True, False):
        config = config_class[request.param](**SETTINGS, calibrate=calibrate)
        predictor = request.param(config, quiet=True)
        predictor.fit(materials[::2], materials[1::2])
        fitted.append(predictor)
    return fitted


def test_a_calibrated_model_is_the_same_model_times_its_scale_where_compositions_are_new(
    pair, materials
):
    calibrated, plain = pair
    crystals = [m.crystals[0] for m in materials[1::2]]
    assert plain.scale == 1 and calibrated.scale != 1
    novelty = calibrated.known.novelty(fraction_matrix([c.formula for c in crystals])[:, :94])
    assert len(set(novelty)) > 5
    scale = 1 + (calibrated.scale - 1) * novelty
    np.testing.assert_allclose(
        calibrated.predict(crystals), scale * plain.predict(crystals), rtol=1e-4
    )


def test_a_calibrated_model_is_saved_with_its_scale(pair, materials, tmp_path):
    calibrated, _ = pair
    calibrated.save(tmp_path)
    assert json.loads((tmp_path / "config.json").read_text())["scale"] == calibrated.scale
    crystals = [m.crystals[0] for m in materials[1::10]]
    loaded = load_predictor(tmp_path).predict(crystals)
    np.testing.assert_array_equal(loaded, calibrated.predict(crystals))


def test_the_scale_is_that_of_out_of_fold_predictions(pair, materials):
    """Of both stages, where there are two: none of the trees has seen what it predicts."""
    calibrated, plain = pair
    train = materials[::2]
    folds, found = family_folds(train, seed=42), []
    for split in folds:
        model = type(plain)(replace(plain.config), quiet=True)
        model.fit(split.apart_from_test(train), train)
        rows = predict_materials(model, {"test": split.select(train, "test")})
        found += [(row.tc, row.tc_pred) for row in rows]
    tc, tc_pred = np.array(found).T
    number = len(set(families(train).values()))
    scale = calibration_scale(tc, tc_pred, np.ones(len(train)), number)
    # Second stages differ in their data. Trees that have seen what they predict give 2.4.
    assert calibrated.scale == pytest.approx(scale, abs=0.4)
    if isinstance(calibrated, CompositionPredictor):
        predicted = out_of_fold(plain.fit_another, train, train, folds)
        assert calibrated.scale == calibrated.scale_of(train, predicted)


def test_other_sources_are_learned_from_and_do_not_set_the_scale(materials):
    config = CompositionConfig(**SETTINGS, calibrate=True)
    train = materials[::2]
    high = [replace(m, tc=500.0) for m in others(materials[1::2])]
    with_others, alone = (CompositionPredictor(config, quiet=True) for _ in range(2))
    with_others.fit([*train, *high], train)
    alone.fit(train, train)
    assert with_others.scale < alone.scale  # they raise the predictions, not the Tc to reach


@pytest.mark.parametrize(("model", "expected"), [("boosting", True), ("extra_trees", False)])
def test_boosting_is_calibrated_by_default(model, expected):
    (config,) = default_configs(get_family("composition"), "classics", 42, {"model": model})
    assert config.calibrate is expected


# --- how new a composition is


def test_novelty_is_the_distance_in_units_of_that_of_new_families():
    known = KnownCompositions.of(fraction_matrix(["NbN", "Nb3Sn", "Nb3Sn"]))
    assert known.fractions.shape[0] == 2
    every = fraction_matrix([f"La{2 - x}Sr{x}CuO4" for x in (0.1, 0.2)] + ["MgB2", "Nb3Sn", "NbTi"])
    expected = np.minimum(nearest_distance(every, known.fractions) / APART, 1)
    np.testing.assert_allclose(known.novelty(every), expected, atol=1e-6)
    asked = fraction_matrix(["NbN", "Nb0.7Sn0.3", "MgB2"])
    np.testing.assert_allclose(known.novelty(asked), [0, 0.1 / APART, 1], atol=1e-6)


def test_known_compositions_are_saved_exactly(tmp_path):
    known = KnownCompositions.of(fraction_matrix(["La1.85Sr0.15CuO4", "MgB2"]))
    known.save(tmp_path)
    np.testing.assert_array_equal(KnownCompositions.load(tmp_path).fractions, known.fractions)


def test_a_known_composition_is_neither_scaled_nor_corrected(pair, materials):
    calibrated, plain = pair
    crystals = [m.crystals[0] for m in materials[::2]]
    for model in pair:
        first = getattr(model, "composition", plain).predict(crystals)
        np.testing.assert_allclose(model.predict(crystals), first, rtol=1e-5, atol=1e-6)
    assert calibrated.scale != 1
