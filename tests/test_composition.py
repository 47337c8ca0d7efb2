"""Features of compositions, and the predictor of trees on them."""

import dataclasses
import zipfile

import numpy as np
import pandas as pd
import pytest
from example_structures import mgb2, nb3sn
from pymatgen.core import Composition, DummySpecies

from supervision.data.crystals import Crystal, group_materials
from supervision.data.datasets import load_dataset
from supervision.data.element_tables import cgcnn, magpie, magpie_names
from supervision.data.errors import CrystalError
from supervision.data.featurize import featurize
from supervision.evaluation.metrics import constant_median, mae
from supervision.evaluation.prediction import predict_materials
from supervision.models.composition.config import KINDS, CompositionConfig
from supervision.models.composition.features import composition_features, feature_names
from supervision.models.composition.featurize import COMPOSITION_FEATURIZER
from supervision.models.composition.predictor import MODEL_FILE, CompositionPredictor
from supervision.models.families import load_predictor


def feature(composition, name):
    return composition_features([Composition(composition)])[0][feature_names().index(name)]


# --- tables


def test_tables_have_the_published_values():
    """Nb has the values of Magpie's own files; the table of CGCNN (Xie and Grossman) is binary."""
    nb, names = magpie()[40], magpie_names()
    published = {"Number": 41, "MendeleevNumber": 47, "MeltingT": 2750, "CovalentRadius": 164,
                 "Electronegativity": 1.6, "NdValence": 4, "NValence": 5, "GSvolume_pa": 18.18,
                 "SpaceGroupNumber": 229}  # fmt: skip
    assert {name: nb[names.index(name)] for name in published} == pytest.approx(published)
    assert set(np.unique(cgcnn())) == {0, 1}
    assert np.isfinite(magpie()).all() and (magpie() > -1000).all()


# --- features


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("mean Number", (3 * 41 + 50) / 4),
        ("deviation Number", 2 * 0.75 * 0.25 * 9),
        ("minimum Number", 41),
        ("maximum Number", 50),
        ("range Number", 9),
        ("mode Number", 41),
        ("fraction Nb", 0.75),
        ("fraction Sn", 0.25),
        ("fraction Al", 0),
    ],
)
def test_statistics_of_nb3sn_have_the_values_computed_by_hand(name, value):
    assert feature("Nb3Sn", name) == pytest.approx(value)


def test_mode_of_equal_fractions_is_the_mean_of_the_elements():
    assert feature("NbN", "mode Number") == pytest.approx((41 + 7) / 2)


def test_features_do_not_depend_on_scale_and_order_of_the_formula():
    rows = composition_features([Composition(f) for f in ("MgB2", "B4Mg2", "Mg0.5B")])
    np.testing.assert_allclose(rows, rows[[0, 0, 0]], rtol=1e-12)


def test_deuterium_has_the_features_of_hydrogen():
    rows = composition_features([Composition(f) for f in ("PdD", "PdH")])
    assert np.array_equal(*rows)


@pytest.mark.parametrize("species", ["Am", "Lr", DummySpecies("X")], ids=str)
def test_an_element_without_features_is_named(species):
    with pytest.raises(CrystalError, match=f"no features for {species}"):
        composition_features([Composition({species: 1, "O": 1})])


# --- trees


@pytest.fixture(scope="module")
def materials():
    return group_materials(load_dataset("classics").crystals)


@pytest.fixture(scope="module", params=KINDS)
def fitted(request, materials):
    predictor = CompositionPredictor(CompositionConfig(model=request.param, trees=20))
    predictor.fit(materials[::2], materials[1::4])
    return predictor


def test_trees_are_better_than_the_constant_baseline(fitted, materials):
    test = materials[3::4]
    table = pd.DataFrame(predict_materials(fitted, {"test": test}))
    tc = np.array([m.tc for m in materials[::2]])
    assert mae(table["tc"], table["tc_pred"]) < mae(table["tc"], constant_median(tc, len(test)))


def test_a_predictor_is_saved_without_pickles_and_loads_equal(fitted, materials, tmp_path):
    fitted.save(tmp_path)
    crystals = [m.crystals[0] for m in materials[:20]]
    assert np.array_equal(load_predictor(tmp_path).predict(crystals), fitted.predict(crystals))
    with zipfile.ZipFile(tmp_path / MODEL_FILE) as archive:
        assert {name.rpartition(".")[2] for name in archive.namelist()} == {"json", "npy"}


def test_a_file_with_other_types_is_refused(fitted, tmp_path):
    import skops.io
    from skops.io.exceptions import UntrustedTypesFoundException

    fitted.save(tmp_path)
    skops.io.dump(CompositionConfig(), tmp_path / MODEL_FILE)
    with pytest.raises(UntrustedTypesFoundException, match="CompositionConfig"):
        load_predictor(tmp_path)


def test_the_same_seed_gives_the_same_trees(materials):
    tables = []
    for _ in range(2):
        predictor = CompositionPredictor(CompositionConfig(trees=5))
        predictor.fit(materials[::2], materials[1::2])
        tables.append(predict_materials(predictor, {"val": materials[1::2]}))
    assert tables[0] == tables[1]


def test_predictions_do_not_depend_on_the_positions_of_the_atoms(fitted):
    one = nb3sn()
    other = one.copy()
    other.perturb(0.3)
    cifs = [s.to(fmt="cif") for s in (one, other, one * (2, 1, 1))]
    predicted = fitted.predict([Crystal(str(i), "", cif) for i, cif in enumerate(cifs)])
    np.testing.assert_allclose(predicted, predicted[0], rtol=1e-9)


def test_an_unreadable_crystal_is_named(fitted):
    good = Crystal("good", "", mgb2().to(fmt="cif"))
    bad = Crystal("bad.cif", "", "data_x")
    assert [reject.name for reject in featurize(COMPOSITION_FEATURIZER, [good, bad])[1]] == [
        "bad.cif"
    ]
    with pytest.raises(CrystalError, match=r"^bad\.cif: "):
        fitted.predict([good, bad])


def test_features_of_another_version_are_refused(fitted, tmp_path, monkeypatch):
    fitted.save(tmp_path)
    monkeypatch.setattr("supervision.models.composition.predictor.FEATURE_VERSION", 999)
    with pytest.raises(ValueError, match="version 999"):
        load_predictor(tmp_path)


@pytest.mark.parametrize(
    ("change", "message"),
    [({"model": "oracle"}, "'oracle'"), ({"trees": 0}, "trees"), ({"max_features": 2}, "got 2")],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_an_invalid_setting_is_named_with_its_value(change, message):
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(CompositionConfig(), **change)
