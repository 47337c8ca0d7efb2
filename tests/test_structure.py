"""The structure family: trees on composition features and structural descriptors."""

from dataclasses import replace

import numpy as np
import pytest
from example_structures import nb3sn

from supervision.data.crystals import Crystal, Material, group_materials
from supervision.data.datasets import load_dataset
from supervision.data.errors import CrystalError
from supervision.data.featurize import featurize
from supervision.evaluation.prediction import predict_materials
from supervision.models.composition.features import composition_features, feature_names
from supervision.models.families import load_predictor
from supervision.models.structure.config import StructureConfig
from supervision.models.structure.features import structure_feature_names, structure_features
from supervision.models.structure.featurize import STRUCTURE_FEATURIZER
from supervision.models.structure.predictor import StructurePredictor
from supervision.models.trees.config import KINDS

COMPOSITION = len(feature_names())


@pytest.fixture(scope="module")
def materials():
    return group_materials(load_dataset("classics").crystals)[::3]


@pytest.fixture(scope="module", params=KINDS)
def fitted(request, materials):
    predictor = StructurePredictor(StructureConfig(model=request.param, trees=20), quiet=True)
    predictor.fit(training(materials), materials[1::4])
    return predictor


def training(materials):
    return [m for i, m in enumerate(materials) if i % 4 != 3]


def formula_of(crystal):
    return replace(crystal, id=f"{crystal.id}, formula", cif="")


# --- features


def test_features_are_those_of_the_composition_and_of_the_structure():
    crystal = Crystal("nb3sn", "Nb3Sn", nb3sn().to(fmt="cif"))
    features = STRUCTURE_FEATURIZER.compute(crystal).features
    composition = composition_features([crystal.composition])[0]
    np.testing.assert_array_equal(features[:COMPOSITION], composition)
    np.testing.assert_array_equal(features[COMPOSITION:], structure_features(crystal.structure))
    assert len(features) == COMPOSITION + len(structure_feature_names())


def test_descriptors_of_a_formula_are_nan_and_cached_by_the_formula(own_cache):
    formulas = [Crystal(formula, formula, "") for formula in ("Nb3Sn", "NbN")]
    for _ in range(2):  # computed, then read from the cache
        found, rejects = featurize(STRUCTURE_FEATURIZER, formulas)
        for crystal in formulas:
            features = found[crystal.id].features
            composition = composition_features([crystal.composition])[0]
            np.testing.assert_array_equal(features[:COMPOSITION], composition)
            assert np.isnan(features[COMPOSITION:]).all()
    assert not rejects


# --- trees


def test_trees_learn_what_the_composition_does_not_tell(own_cache):
    """Nb3Sn in cells of 4.8 to 5.8 angstrom, whose Tc rises with the length of the cell."""

    def material(length):
        structure = nb3sn()
        structure.scale_lattice(length**3)
        crystal = Crystal(f"{length:.4f}", "Nb3Sn", structure.to(fmt="cif"))
        return Material(crystal.id, "Nb3Sn", 30 * (length - 4.8), (crystal,))

    train = [material(length) for length in np.linspace(4.8, 5.8, 41)]
    between = [material(length) for length in (5.01, 5.36, 5.64)]
    for kind in KINDS:
        predictor = StructurePredictor(StructureConfig(model=kind, leaf=1), quiet=True)
        predictor.fit(train, between)
        for row in predict_materials(predictor, {"test": between}):
            assert row.tc_pred == pytest.approx(row.tc, abs=1.5)


def test_a_saved_predictor_loads_equal(fitted, materials, tmp_path):
    fitted.save(tmp_path)
    loaded = load_predictor(tmp_path)
    assert isinstance(loaded, StructurePredictor)
    crystals = [m.crystals[0] for m in materials[:20]]
    assert np.array_equal(loaded.predict(crystals), fitted.predict(crystals))


def test_predictions_depend_on_the_structure(fitted):
    one = nb3sn()
    other = one.copy()
    other.scale_lattice(1.3 * one.volume)
    cifs = [s.to(fmt="cif") for s in (one, one * (2, 1, 1), other)]
    first, supercell, expanded = fitted.predict(
        [Crystal(str(i), "", cif) for i, cif in enumerate(cifs)]
    )
    assert supercell == pytest.approx(first)
    assert expanded != pytest.approx(first, abs=0.01)


def test_formulas_without_structures_are_trained_on(fitted, materials):
    """The same rows as formulas, with Tc = 100 K: the trees tell them by the missing structure."""
    train = training(materials)
    formulas = [replace(m, tc=100.0, crystals=(formula_of(m.crystals[0]),)) for m in train]
    predictor = StructurePredictor(fitted.config, quiet=True)
    predictor.fit([*train, *formulas], materials[1::4])
    found = predict_materials(predictor, {"train": train})
    assert np.mean([row.tc_pred for row in found]) < 50


def test_a_crystal_without_a_structure_is_refused(fitted, materials):
    formula = formula_of(materials[0].crystals[0])
    with pytest.raises(CrystalError, match="formula: It has no structure; give the content of a"):
        fitted.predict([formula])


def test_an_unreadable_structure_is_rejected(fitted):
    bad = Crystal("bad.cif", "NbN", "data_x")
    assert [reject.name for reject in fitted.prepare([bad])] == ["bad.cif"]
    with pytest.raises(CrystalError, match=r"^bad\.cif: "):
        fitted.predict([bad])
