"""Features of compositions, and the predictor of trees on them."""

import dataclasses
import zipfile

import numpy as np
import pandas as pd
import pytest
import skops.io
from example_structures import mgb2, nb3sn
from lightgbm.basic import LightGBMError
from pymatgen.core import Composition, DummySpecies, Element
from skops.io.exceptions import UntrustedTypesFoundException

from supervision.data.crystals import Crystal, group_materials
from supervision.data.datasets import load_dataset
from supervision.data.element_tables import cgcnn, magpie, magpie_names
from supervision.data.errors import CrystalError
from supervision.data.featurize import featurize
from supervision.evaluation.metrics import constant_median, mae
from supervision.evaluation.prediction import predict_materials
from supervision.models.composition import charge
from supervision.models.composition.config import CompositionConfig
from supervision.models.composition.features import composition_features, feature_names
from supervision.models.composition.featurize import COMPOSITION_FEATURIZER
from supervision.models.composition.predictor import CompositionPredictor
from supervision.models.families import default_configs, get_family, load_predictor
from supervision.models.predictor import CONFIG_FILE
from supervision.models.trees.config import KINDS
from supervision.models.trees.regression import BOOSTING_FILE, EXTRA_TREES_FILE


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
    rows = composition_features([Composition(f) for f in ("Nd2CuO4", "O8Cu2Nd4", "Nd0.5Cu0.25O")])
    np.testing.assert_allclose(rows, rows[[0, 0, 0]], rtol=1e-12)
    assert rows.shape == (3, len(feature_names()))


def test_deuterium_has_the_features_of_hydrogen():
    rows = composition_features([Composition(f) for f in ("PdD", "PdH")])
    assert np.array_equal(*rows, equal_nan=True)


@pytest.mark.parametrize("species", ["Am", "Lr", DummySpecies("X")], ids=str)
def test_an_element_without_features_is_named(species):
    with pytest.raises(CrystalError, match=f"no features for {species}"):
        composition_features([Composition({species: 1, "O": 1})])


# --- charges


@pytest.mark.parametrize(
    ("formula", "name", "value"),
    [
        ("La1.85Sr0.15CuO4", "holes per Cu", 0.15),
        ("La2CuO4", "holes per Cu", 0),
        ("La2CuO4", "charge balance", 0),
        ("La2CuO4", "dome", 0),
        ("La1.84Sr0.16CuO4", "dome", 1),
        ("La1.9Sr0.1CuO4", "dome", 1 - 82.6 * 0.06**2),
        ("YBa2Cu3O7", "valence Cu", 7 / 3),
        ("Nd1.85Ce0.15CuO4", "holes per Cu", -0.15),
        ("HgBa2CuO4.1", "holes per Cu", 0.2),
        ("BaFe2As2", "valence Fe", 2),
        ("Ba0.6K0.4Fe2As2", "valence Fe", 2.2),
        ("CeFeAsO0.9F0.1", "valence Fe", 1.9),
        ("Ca4Al2O6Fe2As2", "valence Fe", 2),
        ("Nd0.8Sr0.2NiO2", "valence Ni", 1.2),
        ("CuSO4", "valence Cu", 2),
        ("LaFeAsO", "anion fraction", 0.5),
    ],
)
def test_charge_features_have_the_values_computed_by_hand(formula, name, value):
    assert feature(formula, name) == pytest.approx(value, abs=1e-6)


@pytest.mark.parametrize(
    ("formula", "name"),
    [
        ("BaFe2As2", "valence Cu"),
        ("CuS", "holes per Cu"),
        ("CuS", "dome"),
        ("CeCu2Si2", "valence Cu"),  # an intermetallic compound: it would be -6
    ],
)
def test_what_charges_cannot_tell_is_nan(formula, name):
    assert np.isnan(feature(formula, name))


def test_charges_are_common_oxidation_states():
    tables = [(el, q) for q, symbols in charge.CHARGES.items() for el in symbols.split()]
    tables += [*charge.CUPRATE_CHARGES.items(), *charge.OXOANION_CHARGES.items()]
    assert [(el, q) for el, q in tables if q not in Element(el).common_oxidation_states] == []


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
    (file,) = (path for path in tmp_path.iterdir() if path.name != CONFIG_FILE)
    if fitted.config.model == "boosting":
        assert file.read_text().startswith("tree\n")
    else:
        with zipfile.ZipFile(file) as archive:
            assert {name.rpartition(".")[2] for name in archive.namelist()} == {"json", "npy"}


def test_a_file_with_other_content_is_refused(fitted, tmp_path):
    fitted.save(tmp_path)
    skops.io.dump(CompositionConfig(), tmp_path / EXTRA_TREES_FILE)
    (tmp_path / BOOSTING_FILE).write_text("tree of another kind")
    with pytest.raises((UntrustedTypesFoundException, LightGBMError)):
        load_predictor(tmp_path)


def test_the_same_seed_gives_the_same_trees(fitted, materials):
    again = CompositionPredictor(fitted.config)
    again.fit(materials[::2], materials[1::4])
    tables = [predict_materials(p, {"val": materials[1::2]}) for p in (fitted, again)]
    assert tables[0] == tables[1]


def test_another_seed_gives_other_trees(fitted, materials):
    other = CompositionPredictor(dataclasses.replace(fitted.config, seed=1))
    other.fit(materials[::2], materials[1::4])
    crystals = [m.crystals[0] for m in materials[:20]]
    assert not np.array_equal(other.predict(crystals), fitted.predict(crystals))


@pytest.mark.parametrize(
    ("changes", "unreported_weight", "tc"),
    [
        ({}, 1.0, 25),
        ({"weight": 3.0}, 1.0, 6.25),
        ({}, 1 / 3, 56.25),
        ({"is_computed": True}, 1 / 3, 25),
    ],
    ids=["equal", "a heavier 0 K", "0 K unreported", "0 K computed"],
)
def test_weights_decide_between_two_equal_materials(
    fitted, materials, changes, unreported_weight, tc
):
    """The weighted mean of sqrt(0 K) and sqrt(100 K), squared."""
    zero = [dataclasses.replace(m, tc=0.0, **changes) for m in materials[:40]]
    hundred = [dataclasses.replace(m, tc=100.0) for m in materials[:40]]
    config = dataclasses.replace(fitted.config, unreported_weight=unreported_weight)
    predictor = CompositionPredictor(config)
    predictor.fit([*zero, *hundred], materials[40:50])
    predicted = predictor.predict([m.crystals[0] for m in materials[:40]])
    assert predicted == pytest.approx([tc] * 40)


def test_formulas_without_structures_are_trained_on_and_predicted(fitted, materials):
    def without_structures(m):
        crystals = [dataclasses.replace(c, id=f"{c.id}, formula", cif="") for c in m.crystals]
        return dataclasses.replace(m, crystals=tuple(crystals))

    formulas = [without_structures(m) for m in materials]
    predictor = CompositionPredictor(fitted.config)
    predictor.fit(formulas[::2], materials[1::4])
    table = pd.DataFrame(predict_materials(predictor, {"test": formulas[3::4]}))
    other = pd.DataFrame(predict_materials(fitted, {"test": materials[3::4]}))
    assert mae(other["tc_pred"], table["tc_pred"]) < 3


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
    newer = dataclasses.replace(COMPOSITION_FEATURIZER, version="v999")
    monkeypatch.setattr(CompositionPredictor, "featurizer", newer)
    with pytest.raises(ValueError, match=r"version v2; this code makes version v999"):
        load_predictor(tmp_path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"model": "oracle"}, "'oracle'"),
        ({"trees": 0}, "trees"),
        ({"leaves": 1}, "leaves must be 2 or more, got 1"),
        ({"max_features": 2}, "got 2"),
        ({"learning_rate": 0.0}, "learning_rate must be above 0"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_an_invalid_setting_is_named_with_its_value(change, message):
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(CompositionConfig(), **change)


def test_the_defaults_of_boosting_differ_from_those_of_extra_trees():
    family = get_family("composition")
    (trees,) = default_configs(family, "classics", 42)
    (boosting,) = default_configs(family, "classics", 42, {"model": "boosting"})
    assert trees == CompositionConfig()
    assert boosting == CompositionConfig(
        model="boosting", max_features=0.5, leaf=3, unreported_weight=0.5, calibrate=True
    )
