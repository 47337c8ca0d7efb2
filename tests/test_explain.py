"""Explanations: features, sites, views, the doping series, and the page that shows them."""

import base64
import json
import re
import subprocess
from concurrent.futures import ThreadPoolExecutor
from copy import copy, deepcopy
from dataclasses import replace
from itertools import pairwise
from types import SimpleNamespace

import mlflow
import numpy as np
import pytest
import torch
from described import description_of
from example_structures import la2cuo4, mgb2, nb3sn, niobium, triclinic
from logged import log_untrained, untrained
from projects import command_of
from pymatgen.core import Element, Lattice, Structure
from pymatgen.core.operations import SymmOp

from entrypoints import explain as entry_point
from supervision.answer.answer import Answer
from supervision.answer.answerer import ANSWER_FOLDER, Answerer
from supervision.answer.known import KnownMaterials, Neighbour
from supervision.data.cif_writer import structure_to_cif
from supervision.data.crystals import Crystal, Material, group_materials
from supervision.data.datasets import load_dataset
from supervision.data.element_tables import cgcnn, magpie, magpie_names
from supervision.data.errors import CrystalError
from supervision.explain import sites, views
from supervision.explain.contributions import DECIMALS, contributions, shapley_values
from supervision.explain.doping import doping_series
from supervision.explain.explanation import Explanation, explain
from supervision.explain.feature_groups import CLIPPED, FIRST_STAGE, features_by_group, group_of
from supervision.explain.feature_labels import PROPERTIES, with_value
from supervision.explain.figure import draw_explanation, draw_parts
from supervision.explain.page import PAGE_FILE, html, write_page
from supervision.explain.sites import site_worth
from supervision.explain.views import view_heat
from supervision.models.composition.config import CompositionConfig
from supervision.models.composition.features import feature_names
from supervision.models.composition.predictor import CompositionPredictor
from supervision.models.ensemble.predictor import EnsemblePredictor
from supervision.models.ensemble.stacking import Stack
from supervision.models.graph.model import N_COMPOSITION_FEATURES
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
    predictor.model.feature_mean[N_COMPOSITION_FEATURES - 1] = 1  # occupancy of the average site
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
    rounding = 10**-DECIMALS * low.scale  # of what is clipped
    assert found.prediction == pytest.approx(float(correction[0]) * low.scale, abs=rounding)


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


def test_contributions_for_several_crystals_are_those_for_each(structure):
    crystals = [MGB2, crystal_of(triclinic())]
    found = shapley_values(structure, crystals)
    for row, crystal in enumerate(crystals):
        alone = contributions(structure, crystal)
        np.testing.assert_allclose(found.added[row], list(alone.features.values()), atol=1e-12)
        assert found.base[row] == pytest.approx(alone.base)


def test_trees_with_other_leaves_have_other_contributions(composition):
    """The sanity check of Adebayo et al., NeurIPS 2018: the same splits, shuffled leaf values."""
    shuffled, before = copy(composition), contributions(composition, CUPRATE)
    shuffled.trees = deepcopy(composition.trees)
    rng = np.random.default_rng(1)
    for tree, info in enumerate(shuffled.trees.dump_model()["tree_info"]):
        leaves = info["num_leaves"]
        values = [shuffled.trees.get_leaf_output(tree, leaf) for leaf in range(leaves)]
        for leaf, value in enumerate(rng.permutation(values)):
            shuffled.trees.set_leaf_output(tree, leaf, value)
    after = contributions(shuffled, CUPRATE)
    one, other = (list(found.features.values()) for found in (before, after))
    assert np.corrcoef(one, other)[0, 1] < 0.5
    assert after.tc_kelvin == pytest.approx(shuffled.predict([CUPRATE])[0], abs=1e-9)


def test_what_the_second_stage_reads_of_the_first_is_shown_in_kelvin(structure):
    first = structure.composition.predict([MGB2])[0]
    found = contributions(structure, MGB2)
    assert found.values[FIRST_STAGE] == pytest.approx(first)
    assert found.described(FIRST_STAGE) == f"{FIRST_STAGE} {first:.3g} K"
    assert CLIPPED not in found.values


def test_nothing_is_clipped_from_a_prediction_above_0_kelvin(structure):
    assert contributions(structure, CUPRATE).features[CLIPPED] == 0


def test_features_are_shown_in_words_with_their_units():
    assert set(PROPERTIES) == set(magpie_names())
    assert with_value("mean MeltingT", 563.12) == "mean melting point 563 K"
    assert with_value("range MeltingT", 1421.3) == "range melting point 1421 K"
    assert with_value("Cu-O distance", 1.8912) == "Cu-O distance 1.89 Å"
    assert with_value("volume per atom", 13.57) == "volume per atom 13.6 Å³"
    assert with_value("mass per volume", 4.0) == "mass per volume 4 u/Å³"
    assert with_value("mean shell distance", 1.1) == "mean shell distance 1.1"
    assert with_value("holes per Cu", np.nan) == "no holes per Cu"


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


def test_a_site_is_worth_what_the_average_atom_in_its_place_changes(graph, monkeypatch):
    """Where the average atom is vanadium, occluding Nb in Nb3Sn is predicting V3Sn."""
    vanadium = Element("V").Z - 1
    average = graph.model.feature_mean.clone()
    own = np.concatenate([cgcnn()[vanadium], magpie()[vanadium], [1]])
    average[:N_COMPOSITION_FEATURES] = torch.tensor(own)
    monkeypatch.setitem(graph.model._buffers, "feature_mean", average)
    v3sn = nb3sn()
    v3sn.replace_species({"Nb": "V"})
    expected = np.subtract(*graph.predict([NB3SN, crystal_of(v3sn)]))
    (worth,) = [o.kelvin for o in site_worth(graph, NB3SN).orbits if o.species == "Nb"]
    assert worth == pytest.approx(expected, abs=1e-3) and abs(expected) > 0.01


def test_in_a_cell_of_many_kinds_of_sites_those_of_one_species_are_occluded_together(
    graph, monkeypatch
):
    apart = site_worth(graph, CUPRATE)
    assert [o.label for o in apart.orbits if o.main == "O"] == ["O (O1)", "O (O2)"]
    monkeypatch.setattr(sites, "MAX_ORBITS", 2)
    together = site_worth(graph, CUPRATE)
    assert {o.label: len(o.sites) for o in together.orbits} == {
        "O": 8, "Cu": 2, "La0.9Sr0.1": 4,
    }  # fmt: skip
    for name in ("Cu", "La0.9Sr0.1"):
        (one,), (other,) = ([o for o in f.orbits if o.label == name] for f in (apart, together))
        assert other.kelvin == pytest.approx(one.kelvin, abs=1e-3)


def test_the_sites_of_a_large_cell_without_symmetry_are_drawn(graph, tmp_path):
    rng = np.random.default_rng(0)
    grid = np.stack(np.meshgrid(*[np.arange(4) / 4] * 3), axis=-1).reshape(-1, 3)
    large = Structure(
        Lattice.from_parameters(10, 11, 12, 80, 85, 95),
        rng.choice(["Cu", "O", "La"], len(grid)).tolist(),
        grid + rng.normal(0, 0.01, grid.shape),
    )
    found = site_worth(graph, crystal_of(large))
    assert len(found.kelvin) == 64 and sorted(o.label for o in found.orbits) == ["Cu", "La", "O"]
    shown = Explanation(Answer("a", formula="x", tc_kelvin=1.0), None, found, None, None)
    assert write_page(shown, tmp_path / "why.html").is_file()


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


def test_relevance_flows_through_the_attention_of_all_blocks_below(vision):
    """Eq. 5 and 6 of Chefer, Gur and Wolf (ICCV 2021) as products of whole matrices."""
    image = views.to_tensor(vision.images(MGB2)[:1])
    model = views._recording_copy(vision.model.eval())
    for block in model.backbone.blocks:  # else attention counts nothing in an untrained model
        for scale in (block.ls1, block.ls2):
            scale.gamma.data.fill_(1.0)
        block.attn.qkv.weight.data *= 40
    heat, _ = views._heat(model, image)
    tokens = model.tokens(image)
    output = model.regress(model.pool_tokens(image, tokens))
    maps = [block.attn.maps[0] for block in model.backbone.blocks]
    gradients = torch.autograd.grad(output.sum(), [*tokens, *maps])
    of_tokens, of_maps = gradients[: len(tokens)], gradients[len(tokens) :]
    identity, prefix = torch.eye(len(maps[0][0])), model.backbone.num_prefix_tokens
    expected = torch.zeros(len(identity))
    for block, x, dx in zip(model.feature_blocks, tokens, of_tokens, strict=True):
        start = torch.zeros(len(identity))
        start[prefix:] = (x * dx).sum(dim=1).clamp_min(0)  # an untrained model has the mean 0
        rollout = identity
        for attention, d in list(zip(maps, of_maps, strict=True))[: block + 1]:
            rollout = (identity + (attention * d).clamp_min(0).mean(dim=0)) @ rollout
        expected += start @ rollout
    visible = ~black_patches(view_heat(vision, MGB2))[0].ravel()
    np.testing.assert_allclose(heat.ravel()[visible], expected[prefix:].detach(), rtol=1e-3)


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
    assert [p.formula for p in found.points] == ["La2CuO4", "La1.9Sr0.1CuO4", "La1.8Sr0.2CuO4"]
    assert [p.tc_kelvin for p in found.points] == [0, 28, 30]
    assert [p.tc_predicted for p in found.points] == [0, 1, 2]


def test_the_series_of_a_compound_without_a_dopant_is_that_with_most_materials():
    tc = {
        "MgB2": 39.0, "Mg0.98B2": 38.0, "Mg0.9Al0.1B2": 33.0, "Mg0.8Al0.2B2": 28.0,
        "Mg0.7Al0.3B2": 20.0, "MgB1.9C0.1": 34.0, "Mg0.9Al0.1B1.9C0.1": 30.0,
    }  # fmt: skip
    found = doping_series(known(tc), MGB2, None)
    assert found.element == "Al" and found.fraction == 0
    assert [p.tc_kelvin for p in found.points] == [39, 38, 33, 28, 20]
    assert np.isnan([p.tc_predicted for p in found.points]).all()


def test_the_series_of_a_compound_whose_own_elements_vary_has_no_further_dopant():
    tc = {f"YBa2Cu3O{6 + x}": 100 * x for x in (0.2, 0.4, 0.6, 0.8)}
    tc |= {"Y0.9Pr0.1Ba2Cu3O7": 80.0, "Y0.8Pr0.2Ba2Cu3O7": 70.0, "Ba2Cu3O6": 0.0}
    found = doping_series(known(tc), Crystal("a", "YBa2Cu3O6.9", ""), None)
    assert found.element == "O"
    assert [p.tc_kelvin for p in found.points] == pytest.approx([20, 40, 60, 80])


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
    assert "graph 1" in html(found) and "trees " in html(found)


def test_a_formula_is_explained_by_the_members_of_an_ensemble_that_read_it(
    answerer, composition, structure, graph
):
    members = {"first": structure, "second": composition, "third": graph}
    ensemble = replace(answerer, predictor=EnsemblePredictor(members, Stack((0.4, 0.3, 0.3))))
    found = explain(ensemble, Crystal("MgB2", "MgB2", ""))
    assert found.contributions.tc_kelvin == pytest.approx(found.answer.tc_kelvin)
    assert found.sites is None and found.left_out()[0].startswith("Sites: ")
    whole = explain(ensemble, MGB2)
    assert whole.contributions.tc_kelvin == pytest.approx(whole.answer.members["first"])


def test_extra_trees_leave_the_features_to_boosted_ones(answerer, composition):
    extra_trees = untrained("composition")
    alone = explain(replace(answerer, predictor=extra_trees), MGB2)
    assert alone.contributions is None and alone.series
    assert "Features: no model of boosted trees (--trees)." in alone.left_out(" (--{})")
    assert "Features: no model of boosted trees." in html(alone) and "--trees" not in html(alone)
    both = EnsemblePredictor({"one": extra_trees, "two": composition}, Stack((0.5, 0.5)))
    for found in (
        explain(replace(answerer, predictor=both), MGB2),
        explain(replace(answerer, predictor=extra_trees), MGB2, trees=composition),
    ):
        assert found.contributions.tc_kelvin == pytest.approx(composition.predict([MGB2])[0])


def test_a_model_without_lightgbm_has_a_series_and_leaves_the_features_to_boosted_trees(
    answerer, composition
):
    distilled = SimpleNamespace(model_family="distilled", predict=composition.predict)
    found = explain(replace(answerer, predictor=distilled), MGB2)
    assert found.contributions is None and found.left_out()[0].startswith("Features: ")
    assert np.isfinite([p.tc_predicted for p in found.series.points]).all()
    assert explain(replace(answerer, predictor=distilled), MGB2, trees=composition).contributions


def test_a_model_without_a_formula_reader_shows_measured_points_alone(answerer, graph):
    found = explain(replace(answerer, predictor=graph), CUPRATE)
    assert found.contributions is None
    assert all(np.isnan(p.tc_predicted) and p.tc_kelvin >= 0 for p in found.series.points)
    assert "nan" not in re.sub(r'base64,[^"]+', "", html(found))


def test_a_model_without_answer_data_claims_neither_interval_nor_neighbours(answerer):
    found = explain(replace(answerer, known=None), MGB2)
    page = re.sub(r'base64,[^"]+', "", html(found))
    assert found.contributions and found.series is None
    for absent in ("nan", "90% interval", "domain", "Nearest", "probability", "ensemble"):
        assert absent not in page
    assert "Doping series: " in page


def test_ordered_elements_mixed_sites_and_vacancies_are_explained(answerer, structure, graph):
    vacant = la2cuo4(0.1, oxygen=0.9)
    for cell in (niobium(), la2cuo4(0.1), vacant, triclinic()):
        found = explain(replace(answerer, predictor=structure), crystal_of(cell), graph=graph)
        assert found.contributions.tc_kelvin == pytest.approx(found.answer.tc_kelvin, abs=1e-6)
        assert len(found.sites.kelvin) == len(cell) and np.isfinite(found.sites.kelvin).all()
        assert html(found)
    species = [orbit.species for orbit in site_worth(graph, crystal_of(vacant)).orbits]
    assert sorted(species) == ["Cu", "La0.9Sr0.1", "O", "O0.9"]


HOSTILE = "<script>alert(1)</script>\"'&$\\frac{$"


def test_the_page_needs_no_other_file_and_shows_untrusted_names_as_text(
    answerer, graph, vision, tmp_path
):
    found = explain(answerer, MGB2, graph=graph, vision=vision)
    hostile = replace(
        found.answer, name=f"{HOSTILE}\x1b.cif", formula=HOSTILE, remarks=(HOSTILE,),
        domain=HOSTILE, model_version=HOSTILE, members={HOSTILE: 1.0},
        nearest=(Neighbour(HOSTILE, 1.0, 0.1),),
    )  # fmt: skip
    points = tuple(point._replace(formula=HOSTILE) for point in found.series.points)
    series = replace(found.series, points=points, element=HOSTILE)
    image = write_page(replace(found, answer=hostile, series=series), tmp_path / "why.html")
    page = (tmp_path / "why.html").read_text()
    assert image.read_bytes().startswith(b"\x89PNG")
    for figure in re.findall(r'svg\+xml;base64,([^"]+)', page):
        assert b"<script" not in base64.b64decode(figure)
    text = re.sub(r'base64,[^"]+', "", page)
    assert "<script" not in text and "\x1b" not in text
    assert text.count("&lt;script&gt;alert(1)&lt;/script&gt;&quot;&#x27;&amp;$") > 7
    assert not re.search(r"https?:|//\w|<link|@import", text)
    for heading in ("features contribute", "sites are worth", "Doping series", "Nearest known"):
        assert heading in page


def test_amounts_of_formulas_are_subscripts_without_ones():
    neighbours = (Neighbour("Cu1La1.85Sr0.15O4", 0.0, 0.1), Neighbour("Mg(B2)", 39.0, 0.2))
    answer = Answer("a", formula="YBa2Cu3O6.93", tc_kelvin=90.0, nearest=neighbours)
    page = html(Explanation(answer, None, None, None, None))
    assert "YBa<sub>2</sub>Cu<sub>3</sub>O<sub>6.93</sub>" in page
    assert "<td>CuLa<sub>1.85</sub>Sr<sub>0.15</sub>O<sub>4</sub></td><td>none</td>" in page
    assert "<td>Mg(B2)</td><td>39</td>" in page


def test_labels_lie_in_the_figure_and_do_not_overlap(structure, graph, vision, answerer):
    found = explain(
        replace(answerer, predictor=structure), crystal_of(triclinic()), graph=graph, vision=vision
    )
    for figure in (draw_explanation(found), *draw_parts(found).values()):
        figure.draw_without_rendering()
        width, height = figure.bbox.size
        for text in texts_of(figure):
            box = text.get_window_extent()
            assert min(box.x0, box.y0) > -1, text.get_text()
            assert box.x1 < width + 1 and box.y1 < height + 1, text.get_text()
        for ax in (ax for ax in figure.axes if ax.axison):
            for labels in (ax.get_xticklabels(), ax.get_yticklabels()):
                boxes = [label.get_window_extent() for label in labels]
                assert not any(one.overlaps(other) for one, other in pairwise(boxes))


def texts_of(figure):
    """All that a figure says."""
    titles = [title for part in (figure, *figure.subfigs) if (title := part._suptitle)]
    found = [*titles, *(text for part in (figure, *figure.subfigs) for text in part.texts)]
    for ax in figure.axes:
        found += [ax.title, *ax.texts, *(ax.get_legend().texts if ax.get_legend() else ())]
        if ax.axison:
            found += [ax.xaxis.label, *ax.get_xticklabels(), *ax.get_yticklabels()]
    return found


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


def test_the_command_explains_a_formula_and_says_what_is_left_out(
    composition, materials, tmp_path, capsys
):
    trees = saved(composition, tmp_path / "trees", materials)
    out = tmp_path / "why.html"
    code, said = run(capsys, "--formula", "MgB2", "--model", trees, "--out", out)
    assert code == 0 and "Sites: a formula has none." in said and out.is_file()


def test_without_a_run_nothing_is_logged_and_in_one_page_figure_and_numbers_are(
    composition, materials, own_store, tmp_path, capsys, monkeypatch
):
    trees = saved(composition, tmp_path / "trees", materials)
    assert run(capsys, "--formula", "MgB2", "--model", trees)[0] == 0
    assert (tmp_path / PAGE_FILE).is_file()
    assert mlflow.search_runs(search_all_experiments=True, output_format="list") == []
    (tmp_path / PAGE_FILE).unlink()
    created = mlflow.MlflowClient().create_run("0").info.run_id
    monkeypatch.setenv("MLFLOW_RUN_ID", created)
    assert run(capsys, "--formula", "MgB2", "--model", trees)[0] == 0
    (found,) = mlflow.search_runs(search_all_experiments=True, output_format="list")
    assert found.info.run_id == created and found.info.status == "FINISHED"
    artifacts = [item.path for item in mlflow.MlflowClient().list_artifacts(created)]
    assert artifacts == [PAGE_FILE, "explanation.png"] and not (tmp_path / PAGE_FILE).exists()
    expected = Answerer.load(tmp_path / "trees").answer([Crystal("MgB2", "MgB2", "")])[0]
    assert found.data.metrics == {"tc_kelvin": pytest.approx(expected.tc_kelvin)}
    assert found.data.tags["formula"] == "MgB2" and found.data.tags["domain"] == expected.domain
    description_of(created, "for MgB2", f"Tc {expected.tc_kelvin:.1f} K", PAGE_FILE)


def test_a_mistake_fails_the_run(composition, own_store, tmp_path, capsys, monkeypatch):
    trees = saved(composition, tmp_path / "trees")
    created = mlflow.MlflowClient().create_run("0").info.run_id
    monkeypatch.setenv("MLFLOW_RUN_ID", created)
    code, said = run(capsys, "missing.cif", "--model", trees)
    assert code == 2 and "missing.cif" in said
    assert mlflow.get_run(created).info.status == "FAILED"
    description_of(created, "failed", "missing.cif", "failure.txt")


@pytest.mark.slow
def test_mlflow_run_explains_a_file(composition, materials, store, tmp_path):
    (tmp_path / "a b.cif").write_text(MGB2.cif)
    trees = saved(composition, tmp_path / "trees", materials)
    command = command_of("explain", path=tmp_path / "a b.cif", model=trees)
    done = subprocess.run(
        command, cwd=store[0], env=store[1], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    (found,) = mlflow.search_runs(search_all_experiments=True, output_format="list")
    assert found.info.status == "FINISHED" and found.data.metrics["tc_kelvin"] > 0
    artifacts = [item.path for item in mlflow.MlflowClient().list_artifacts(found.info.run_id)]
    assert PAGE_FILE in artifacts


def test_a_logged_model_can_be_explained(own_store, tmp_path):
    location = log_untrained("composition", tmp_path / "predictor")
    (expected,) = load_model(location).predict([MGB2.cif]).tc_kelvin
    assert load_answerer(location).answer([MGB2])[0].tc_kelvin == expected


def test_mistakes_are_one_sentence(composition, tmp_path, capsys):
    (tmp_path / "a.cif").write_text(MGB2.cif)
    (tmp_path / "b.cif").write_text("prose")
    (tmp_path / "two").mkdir()
    for name in ("a", "b"):
        (tmp_path / "two" / f"{name}.cif").write_text(MGB2.cif)
    trees = saved(composition, tmp_path / "trees")
    extra = saved(untrained("composition"), tmp_path / "extra")
    crystal, out = tmp_path / "a.cif", tmp_path / "why.html"
    for arguments, sentence in (
        ([tmp_path / "b.cif", "--model", trees], "b.cif: The text is not a CIF file"),
        (["--model", trees], "Name one structure file, or give --formula MgB2."),
        ([crystal, "--formula", "MgB2", "--model", trees], "Name one structure file"),
        (["--formula", "Xx2", "--model", trees], "Xx2: "),
        ([tmp_path / "two", "--model", trees], "holds 2 structures"),
        ([crystal, "--model", trees, "--graph", trees], "needs a model of the family graph"),
        ([crystal, "--model", trees, "--trees", extra], "--trees needs a model of boosted trees"),
        ([crystal, "--model", tmp_path], "cannot be loaded"),
        ([crystal, "--model", trees, "--out", tmp_path / "no" / "a.html"], "There is no folder"),
        ([crystal, "--model", trees, "--out", tmp_path / "a.png"], "a .html file, got a.png"),
    ):
        code, said = run(capsys, "--out", out, *arguments)
        assert code == 2 and sentence in said and said.count("error:") == 1, said
    assert not out.exists()
    assert json.loads((tmp_path / "trees" / "config.json").read_text())["model_family"]
