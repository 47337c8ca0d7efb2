"""Explanations: features, sites, views, the doping series, and the page that shows them."""

import json
import re
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest
import torch
from example_structures import la2cuo4, mgb2, nb3sn, triclinic
from logged import log_untrained, untrained
from pymatgen.core import Structure
from pymatgen.core.operations import SymmOp

from entrypoints import explain as entry_point
from supervision.answer.answer import Answer
from supervision.answer.answerer import ANSWER_FOLDER, Answerer
from supervision.answer.known import KnownMaterials, Neighbour
from supervision.data.cif_writer import structure_to_cif
from supervision.data.crystals import Crystal, Material, group_materials
from supervision.data.datasets import load_dataset
from supervision.data.element_tables import cgcnn
from supervision.data.errors import CrystalError
from supervision.explain import views
from supervision.explain.contributions import contributions
from supervision.explain.doping import doping_series
from supervision.explain.explanation import Explanation, explain
from supervision.explain.feature_groups import CLIPPED, FIRST_STAGE, features_by_group, group_of
from supervision.explain.page import write_page
from supervision.explain.sites import site_worth
from supervision.explain.views import view_heat
from supervision.models.composition.config import CompositionConfig
from supervision.models.composition.features import feature_names
from supervision.models.composition.predictor import CompositionPredictor
from supervision.models.ensemble.predictor import EnsemblePredictor
from supervision.models.ensemble.stacking import Stack
from supervision.models.structure.config import StructureConfig
from supervision.models.structure.features import structure_feature_names
from supervision.models.structure.predictor import StructurePredictor
from supervision.models.trees.regression import predict_trees
from supervision.models.vision import model as vision_model
from supervision.training.target import TargetTransform
from tracking.serving.models import load_answerer, load_model

RNG = np.random.default_rng(0)
TARGET = TargetTransform("sqrt", 4.0, 2.0)  # untrained models answer about 16 K, far from 0 K


def crystal_of(structure, name="crystal"):
    return Crystal(name, structure.formula, structure_to_cif(structure))


NB3SN, MGB2, CUPRATE = (crystal_of(s) for s in (nb3sn(), mgb2(), la2cuo4(0.1)))
HELD_OUT = {"mgb2", "lsco0.15"}


@pytest.fixture(scope="module")
def materials():
    found = group_materials(load_dataset("classics").crystals)
    return [m for m in found if not any(c.id in HELD_OUT for c in m.crystals)]


@pytest.fixture(scope="module")
def composition(materials):
    config = CompositionConfig(model="boosting", trees=40, calibrate=False)
    predictor = CompositionPredictor(config, quiet=True)
    predictor.fit(materials, materials[:10])
    return predictor


@pytest.fixture(scope="module")
def structure(materials):
    config = StructureConfig(model="boosting", trees=40, calibrate=True)
    predictor = StructurePredictor(config, quiet=True)
    predictor.fit(materials, materials[:10])
    return predictor


@pytest.fixture(scope="module")
def graph():
    predictor = untrained("graph")
    predictor.target = TARGET
    return predictor


@pytest.fixture(scope="module")
def vision():
    predictor = untrained("vision")
    predictor.target = TARGET
    return predictor


@pytest.fixture(scope="module")
def answerer(composition, materials):
    return Answerer(composition, KnownMaterials.of(materials), None, "run")


# --- features


def test_each_feature_is_in_exactly_one_group():
    names = [name for group in features_by_group().values() for name in group]
    expected = [*feature_names(), *structure_feature_names(), FIRST_STAGE, CLIPPED]
    assert sorted(names) == sorted(expected)
    assert len(group_of()) == len(names)


@pytest.mark.parametrize("crystal", [MGB2, NB3SN, CUPRATE], ids=["MgB2", "Nb3Sn", "cuprate"])
def test_contributions_to_a_composition_model_add_up_to_its_prediction(composition, crystal):
    found = contributions(composition, crystal)
    raw = predict_trees(composition.trees, composition.features.of([crystal]))[0]
    expected = raw * composition.target.scale + composition.target.centre
    assert found.base + sum(found.features.values()) == pytest.approx(expected, abs=1e-9)
    assert sum(found.groups.values()) == pytest.approx(sum(found.features.values()))
    assert found.tc_kelvin == pytest.approx(composition.predict([crystal])[0], abs=1e-9)


@pytest.mark.parametrize("crystal", [MGB2, NB3SN, CUPRATE], ids=["MgB2", "Nb3Sn", "cuprate"])
def test_contributions_to_both_stages_add_up_to_their_prediction(structure, crystal):
    found, given = contributions(structure, crystal), structure.inputs([crystal])
    correction = predict_trees(structure.correction, given.corrected)
    target = structure.composition.target
    raw = (given.first + given.novelty * correction)[0]
    expected = raw * target.scale + target.centre
    assert found.base + sum(found.features.values()) == pytest.approx(expected, abs=1e-9)
    assert found.tc_kelvin == pytest.approx(structure.predict([crystal])[0], abs=1e-9)


def test_a_new_composition_is_explained_by_its_structure_and_calibrated(structure):
    found = contributions(structure, crystal_of(triclinic()))
    assert any(found.features[name] for name in structure_feature_names())
    assert found.factor == pytest.approx(structure.scale)  # it is as new as can be


def test_a_first_stage_below_0_kelvin_is_explained_as_it_is_read(structure, monkeypatch):
    low = TargetTransform("sqrt", -9.0, structure.composition.target.scale)
    monkeypatch.setattr(structure.composition, "target", low)
    found = contributions(structure, MGB2)
    assert found.features[CLIPPED] > 0
    given = structure.inputs([MGB2])
    correction = given.novelty * predict_trees(structure.correction, given.corrected)
    assert found.prediction == pytest.approx(float(correction[0]) * low.scale, abs=1e-9)


def test_the_feature_that_alone_sets_tc_contributes_most():
    others = ["Mg", "Al", "Si", "Nb", "Sn", "V", "Ga"]
    share = RNG.uniform(0.05, 0.95, 300).round(3)
    rest = RNG.choice(others, (300, 2))
    formulas = [f"Cu{x}{a}{1 - x:.3f}{b}0.4" for x, (a, b) in zip(share, rest, strict=True)]
    crystals = [Crystal(str(n), formula, "") for n, formula in enumerate(formulas)]
    copper = [c.composition.get_atomic_fraction("Cu") for c in crystals]
    rows = [replace(c, tc=100 * x) for c, x in zip(crystals, copper, strict=True)]
    predictor = CompositionPredictor(
        CompositionConfig(model="boosting", trees=100, max_features=1.0, calibrate=False),
        quiet=True,
    )
    predictor.fit(group_materials(rows), group_materials(rows[:10]))
    found = contributions(predictor, rows[int(np.argmax(copper))])
    (group, value), *_ = found.groups.items()
    assert group == "which elements" and value > 0
    assert found.largest(group, 1) == ["fraction Cu"]


def test_extra_trees_are_refused_with_one_sentence(materials):
    with pytest.raises(ValueError, match=r"^The contributions of extra trees .*boosting\.$"):
        contributions(untrained("composition"), MGB2)


# --- sites


def test_equivalent_sites_are_worth_the_same(graph):
    found = site_worth(graph, NB3SN)
    symbols = [site.species_string for site in found.structure]
    assert [o.species for o in found.orbits] in (["Sn", "Nb"], ["Nb", "Sn"])
    for symbol in ("Sn", "Nb"):
        kelvin = found.kelvin[[s == symbol for s in symbols]]
        assert np.ptp(kelvin) == 0 and kelvin[0] != 0
    assert found.tc_kelvin == pytest.approx(graph.predict([NB3SN])[0], abs=1e-3)


@pytest.mark.parametrize("structure", [nb3sn(), la2cuo4(0.1), triclinic()])
def test_sites_are_worth_the_same_after_a_rotation_of_the_cell(graph, structure):
    turned = structure.copy()
    turned.apply_operation(SymmOp.from_axis_angle_and_translation([1, 2, 3], 41), fractional=False)
    supercell = Structure.from_sites(sorted(structure.copy() * (2, 1, 1), key=str))
    found, rotated, doubled = (
        site_worth(graph, crystal_of(s)) for s in (structure, turned, supercell)
    )
    np.testing.assert_allclose(rotated.kelvin, found.kelvin, atol=1e-3)
    expected = np.repeat(np.sort(found.kelvin), 2)
    np.testing.assert_allclose(np.sort(doubled.kelvin), expected, atol=1e-3)


def test_the_site_of_the_element_that_alone_sets_tc_is_worth_most(graph, monkeypatch):
    table = cgcnn()
    others = table[[7, 37, 56]]  # O, Sr, La
    (of_copper, *_) = np.flatnonzero((table[28] > 0) & (others == 0).all(axis=0))
    monkeypatch.setattr(graph.model, "regress", lambda features: 3 * features[:, of_copper])
    first, *rest = site_worth(graph, CUPRATE).orbits
    assert first.species == "Cu" and first.kelvin > 0
    assert max(abs(orbit.kelvin) for orbit in rest) < 1e-3


def explanation_of(predictor, crystal=CUPRATE):
    """The numbers of an explanation by a network."""
    if predictor.model_family == "graph":
        return site_worth(predictor, crystal).kelvin
    return view_heat(predictor, crystal).heat


@pytest.mark.parametrize("family", ["graph", "vision"])
def test_other_weights_give_another_explanation(family, request):
    """The sanity check of Adebayo et al., NeurIPS 2018."""
    predictor = request.getfixturevalue(family)
    state = {k: v.clone() for k, v in predictor.model.state_dict().items()}
    before = explanation_of(predictor)
    torch.manual_seed(1)
    with torch.no_grad():
        for matrix in (p for p in predictor.model.parameters() if p.ndim > 1):
            matrix.copy_(matrix.flatten()[torch.randperm(matrix.numel())].view_as(matrix))
    after = explanation_of(predictor)
    predictor.model.load_state_dict(state)
    assert np.corrcoef(before.ravel(), after.ravel())[0, 1] < 0.9
    np.testing.assert_array_equal(explanation_of(predictor), before)


# --- views


def black_patches(found):
    """Whether each patch of each view is black, ``[views, grid, grid]``."""
    grid = found.heat.shape[1]
    patches = found.images.reshape(-1, grid, 224 // grid, grid, 224 // grid, 3)
    return patches.max(axis=(2, 4, 5)) == 0


def test_black_patches_have_no_heat_and_the_tc_of_the_views_is_the_prediction(vision):
    found = view_heat(vision, MGB2)
    black = black_patches(found)
    assert found.heat.shape == black.shape and found.images.shape == (2, 224, 224, 3)
    assert (found.heat[black] == 0).all() and (found.heat >= 0).all()
    assert (found.heat[~black] > 0).any()
    assert found.tc_kelvin.mean() == pytest.approx(vision.predict([MGB2])[0], rel=0.02)


def test_the_patch_that_alone_sets_tc_is_the_hottest(vision, monkeypatch):
    chosen = 40

    def reads_one_patch(tokens, visible, read_mask):
        row = tokens[-1][chosen]
        return [value for x in tokens for value in (row.expand(1, -1), 0 * x[:1])]

    def grows_with_all_features(model, features):
        return features.square().sum(dim=1)

    monkeypatch.setattr(vision_model, "pool", reads_one_patch)
    monkeypatch.setattr(vision_model.VisionRegressor, "regress", grows_with_all_features)
    found = view_heat(vision, MGB2)
    for heat, visible in zip(found.heat, ~black_patches(found), strict=True):
        assert heat.argmax() == np.flatnonzero(visible)[chosen]


def test_attention_that_keeps_its_maps_gives_the_same_output(vision):
    images = views.to_tensor(vision.images(MGB2))
    with torch.no_grad():
        copy = views._recording_copy(vision.model.eval())
        np.testing.assert_allclose(copy(images), vision.model.float()(images), atol=1e-4)


@pytest.mark.parametrize("family", ["graph", "vision"])
def test_a_predictor_is_the_same_after_it_was_explained_from_two_threads(family, request):
    predictor = request.getfixturevalue(family)
    crystals = [MGB2, NB3SN]
    before, training = predictor.predict(crystals), predictor.model.training
    state = {k: v.clone() for k, v in predictor.model.state_dict().items()}
    with ThreadPoolExecutor(3) as threads:
        explaining = [threads.submit(explanation_of, predictor, crystal) for crystal in crystals]
        predicting = threads.submit(predictor.predict, crystals)
        assert all(job.result().any() for job in explaining)
    np.testing.assert_array_equal(predicting.result(), before)
    np.testing.assert_array_equal(predictor.predict(crystals), before)
    assert predictor.model.training == training
    assert all(torch.equal(v, state[k]) for k, v in predictor.model.state_dict().items())
    assert all(p.grad is None for p in predictor.model.parameters())


@pytest.mark.parametrize("family", ["graph", "vision"])
def test_a_crystal_that_cannot_be_read_is_one_sentence_with_its_name(family, request):
    predictor = request.getfixturevalue(family)
    with pytest.raises(CrystalError, match=r"^bad: [^\n]+\.$"):
        explanation_of(predictor, Crystal("bad", "", "data_x\n_cell_length_a 3\n"))


# --- the doping series


def known(tc, **facts):
    return KnownMaterials.of(
        [Material(name, name, value, (), **facts) for name, value in tc.items()]
    )


def test_a_doping_series_is_in_the_order_of_its_dopant():
    tc = {
        "La1.8Sr0.2CuO4": 30.0, "La2CuO4": 0.0, "La1.9Sr0.1CuO4": 28.0, "La1.9Ba0.1CuO4": 25.0,
        "Nb3Sn": 18.0, "La1.6Sr0.4CaCu2O6": 60.0,
    }  # fmt: skip
    found = doping_series(known(tc), CUPRATE, lambda crystals: np.arange(len(crystals)))
    assert found.element == "Sr" and found.fraction == pytest.approx(0.2 / 7)
    assert [p.formula for p in found.points] == [
        "La2CuO4", "La1.9Sr0.1CuO4", "La1.8Sr0.2CuO4", "La1.6Sr0.4CaCu2O6",
    ]  # fmt: skip
    assert [p.tc_kelvin for p in found.points] == [0, 28, 30, 60]
    assert [p.tc_predicted for p in found.points] == [0, 1, 2, 3]


def test_there_is_no_series_of_one_material_or_of_computed_ones():
    assert doping_series(known({"La2CuO4": 0.0, "Nb": 9.0}), CUPRATE, len) is None
    computed = known({"La2CuO4": 0.0, "La1.9Sr0.1CuO4": 28.0}, is_computed=True)
    assert doping_series(computed, CUPRATE, len) is None


# --- the page


def test_an_explanation_has_the_parts_whose_models_are_given(answerer, graph, vision):
    alone = explain(answerer, MGB2)
    assert alone.contributions and alone.series
    assert alone.sites is None and alone.views is None
    assert alone.answer == answerer.answer([MGB2])[0]
    more = explain(answerer, MGB2, graph=graph, vision=vision)
    assert more.sites and more.views


def test_a_formula_without_a_structure_is_explained_by_a_model_that_reads_it(answerer, graph):
    formula = Crystal("MgB2", "MgB2", "")
    assert explain(answerer, formula).contributions.features == pytest.approx(
        explain(answerer, MGB2).contributions.features
    )
    with pytest.raises(CrystalError, match=r"^MgB2: [^\n]+\.$"):
        explain(answerer, formula, graph=graph)


def test_an_ensemble_is_explained_by_its_members(answerer, composition, graph):
    members = {"trees": composition, "graph": graph}
    ensemble = EnsemblePredictor(members, Stack((0.5, 0.5)))
    found = explain(replace(answerer, predictor=ensemble), MGB2)
    assert found.contributions.tc_kelvin == pytest.approx(found.answer.members["trees"])
    assert found.sites.tc_kelvin == pytest.approx(found.answer.members["graph"], abs=1e-3)


def test_a_model_without_a_formula_reader_shows_measured_points_alone(answerer, graph):
    found = explain(replace(answerer, predictor=graph), CUPRATE)
    assert found.contributions is None
    assert all(np.isnan(p.tc_predicted) and p.tc_kelvin >= 0 for p in found.series.points)


def test_the_page_needs_no_other_file_and_shows_untrusted_names_as_text(
    answerer, graph, vision, tmp_path
):
    found = explain(answerer, MGB2, graph=graph, vision=vision)
    hostile = replace(found.answer, nearest=(Neighbour("<script>", 1.0, 0.1),))
    image = write_page(replace(found, answer=hostile), tmp_path / "why.html")
    page = (tmp_path / "why.html").read_text()
    assert image.read_bytes().startswith(b"\x89PNG")
    assert "<script>" not in page and "&lt;script&gt;" in page
    assert not re.search(r"https?:|//\w|<link|@import", re.sub(r"base64,[^\"]+", "", page))
    for heading in ("features contribute", "sites are worth", "Doping series", "Nearest known"):
        assert heading in page


def test_a_page_without_models_shows_the_answer(tmp_path):
    found = Explanation(Answer("a", formula="MgB2", tc_kelvin=39.0), None, None, None, None)
    assert write_page(found, tmp_path / "why.html").is_file()
    assert "MgB2" in (tmp_path / "why.html").read_text()


def saved(predictor, folder, materials=None):
    predictor.save(folder)
    if materials:
        (folder / ANSWER_FOLDER).mkdir()
        KnownMaterials.of(materials).save(folder / ANSWER_FOLDER)
    return str(folder)


def run(capsys, *arguments):
    try:
        entry_point.app([*map(str, arguments)], standalone_mode=False)
    except SystemExit as stopped:
        return stopped.code, " ".join(capsys.readouterr().err.split())
    return 0, capsys.readouterr().out


def test_the_command_writes_the_page_and_its_figure(
    composition, graph, materials, tmp_path, capsys
):
    (tmp_path / "a.cif").write_text(MGB2.cif)
    trees = saved(composition, tmp_path / "trees", materials)
    sites = saved(graph, tmp_path / "graph")
    out = tmp_path / "why.html"
    code, said = run(capsys, tmp_path / "a.cif", "--model", trees, "--graph", sites, "--out", out)
    assert code == 0 and "MgB2" in said
    assert out.is_file() and out.with_suffix(".png").is_file()


def test_a_logged_model_can_be_explained(own_store, tmp_path):
    location = log_untrained("composition", tmp_path / "predictor")
    (expected,) = load_model(location).predict([MGB2.cif]).tc_kelvin
    assert load_answerer(location).answer([MGB2])[0].tc_kelvin == expected


def test_mistakes_are_one_sentence(composition, tmp_path, capsys):
    (tmp_path / "a.cif").write_text(MGB2.cif)
    (tmp_path / "b.cif").write_text("prose")
    trees = saved(composition, tmp_path / "trees")
    crystal, out = tmp_path / "a.cif", tmp_path / "why.html"
    for arguments, sentence in (
        ([tmp_path / "b.cif", "--model", trees], "The text is not a CIF file"),
        ([tmp_path, "--model", trees], "holds 2 structures"),
        ([crystal, "--model", trees, "--graph", trees], "needs a model of the family graph"),
        ([crystal, "--model", tmp_path], "cannot be loaded"),
        ([crystal, "--model", trees, "--out", tmp_path / "no" / "a.html"], "There is no folder"),
        ([crystal, "--model", trees, "--out", tmp_path / "a.png"], "an .html file, got a.png"),
    ):
        code, said = run(capsys, "--out", out, *arguments)
        assert code == 2 and sentence in said and said.count("error:") == 1, said
    assert not out.exists()
    assert json.loads((tmp_path / "trees" / "config.json").read_text())["model_family"]
