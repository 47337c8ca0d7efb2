"""Predictions of families that are left out in turn, and the scale that is fitted to them."""

import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from supervision.data.composition_distance import fraction_matrix
from supervision.data.crystals import group_materials
from supervision.data.datasets import load_dataset
from supervision.data.families import families
from supervision.data.splits import APART, distances_to
from supervision.models.composition.config import CompositionConfig
from supervision.models.composition.predictor import CompositionPredictor
from supervision.models.constant.config import ConstantConfig
from supervision.models.constant.predictor import ConstantPredictor
from supervision.models.families import default_configs, get_family, load_predictor
from supervision.models.structure.config import StructureConfig
from supervision.models.structure.predictor import StructurePredictor
from supervision.models.trees.known import KnownCompositions
from supervision.models.trees.out_of_fold import FOLDS, out_of_fold, scale_to

SETTINGS = {"model": "boosting", "trees": 15, "leaves": 15, "leaf": 3}


@pytest.fixture(scope="module")
def materials():
    return group_materials(load_dataset("classics").crystals)


def others(materials):
    """A row of another source for each material, of the same composition."""
    return [replace(m, id=f"x/{m.id}", source="x") for m in materials]


def test_no_model_learns_from_a_family_that_it_predicts_or_from_what_is_near_to_it(materials):
    family, learned = families(materials), []

    def fit(train):
        learned.append(train)
        model = ConstantPredictor(ConstantConfig())
        model.fit(train, train)
        return model

    train = [*materials, *others(materials)]
    found = out_of_fold(fit, train, materials, seed=42)
    assert len(learned) == FOLDS and np.isfinite(found).all() and found.shape == (len(materials),)
    medians = [np.median([m.tc for m in part]) for part in learned]
    for median, part in zip(medians, learned, strict=True):
        held_out = [m for m, tc in zip(materials, found, strict=True) if tc == median]
        seen = {family[m.id.removeprefix("x/")] for m in part}
        if medians.count(median) == 1:
            assert not seen & {family[m.id] for m in held_out}
            assert distances_to(part, held_out).min() > APART


def test_the_scale_minimises_squared_errors_in_kelvin():
    tc, tc_pred = np.array([4.0, 10.0, 39.0]), np.array([3.0, 9.0, 20.0])
    scale = scale_to(tc, tc_pred)
    assert scale == pytest.approx((12 + 90 + 780) / (9 + 81 + 400))
    error = [((tc - s * tc_pred) ** 2).sum() for s in (0.99 * scale, scale, 1.01 * scale)]
    assert error[1] < min(error[0], error[2])


@given(st.floats(0.1, 10))
def test_predictions_that_are_too_low_by_a_factor_are_scaled_by_it(factor):
    tc = np.array([1.0, 5.0, 20.0])
    assert scale_to(tc, tc / factor) == pytest.approx(factor)


def test_predictions_of_zero_are_not_scaled():
    assert scale_to(np.array([1.0, 2.0]), np.zeros(2)) == 1.0


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


def test_the_scale_of_the_composition_is_that_of_its_out_of_fold_predictions(pair, materials):
    calibrated, plain = pair
    if isinstance(calibrated, CompositionPredictor):
        train = materials[::2]
        predicted = out_of_fold(plain.fit_another, train, train, seed=42)
        assert calibrated.scale == scale_to(np.array([m.tc for m in train]), predicted)


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
