"""What carries the predictions for new families: contributions and losses of groups of features."""

import numpy as np
import pandas as pd
import pytest

from benchmarks import explain_novel
from benchmarks.explain_novel import COMPOSITION, STRUCTURE, Explained
from supervision.data.crystals import group_materials
from supervision.data.datasets import load_dataset
from supervision.evaluation.metrics import mae
from supervision.evaluation.prediction import predict_materials
from supervision.explain.contributions import contributions
from supervision.explain.feature_groups import features_by_group
from supervision.models.structure.config import StructureConfig
from supervision.models.structure.predictor import StructurePredictor


@pytest.fixture(scope="module")
def split():
    materials = group_materials(load_dataset("classics").crystals)
    return materials[::2], materials[1::2]


@pytest.fixture(scope="module")
def predictor(split):
    config = StructureConfig(model="boosting", trees=40, calibrate=True)
    predictor = StructurePredictor(config, quiet=True)
    predictor.fit(split[0], split[0][:10])
    return predictor


@pytest.fixture(scope="module")
def found(predictor, split):
    fold = explain_novel.explain_fold(predictor, split[1], seed=1)
    fold.facts["family"] = [m.chemsys for m in split[1]]
    return fold


def test_predictions_and_contributions_are_the_means_over_the_structures(predictor, split, found):
    expected = [p.tc_pred for p in predict_materials(predictor, {"test": split[1]})]
    np.testing.assert_allclose(found.facts["tc_pred"], expected, atol=1e-9)
    row, material = max(enumerate(split[1]), key=lambda pair: len(pair[1].crystals))
    each = [contributions(predictor, crystal).features for crystal in material.crystals]
    for name in ("holes per Cu", "fraction Cu", "volume per atom"):
        mean = np.mean([features[name] for features in each])
        assert found.contributions[name][row] == pytest.approx(mean, abs=1e-9)


def test_without_a_group_the_model_reads_that_of_other_materials(predictor, split, found):
    assert set(found.permuted) == {*features_by_group(), COMPOSITION, STRUCTURE}
    crystals = [c for m in split[1] for c in m.crystals]
    given = predictor.inputs(crystals)
    order = np.arange(len(crystals))[::-1]
    same = explain_novel._without(predictor, given, set(), order)
    np.testing.assert_array_equal(predictor.tc_of(same), predictor.tc_of(given))
    layers = explain_novel._without(predictor, given, {"empty slab"}, order)
    (changed,) = np.flatnonzero((layers.corrected != given.corrected).any(axis=0) & _known(given))
    np.testing.assert_array_equal(layers.corrected[:, changed], given.corrected[order, changed])
    copper = explain_novel._without(predictor, given, {"fraction Cu"}, order)
    assert (copper.first != given.first).any()
    np.testing.assert_array_equal(copper.corrected[:, -1], copper.first)
    np.testing.assert_array_equal(copper.novelty, given.novelty)


def _known(given):
    return ~np.isnan(given.corrected).any(axis=0)


def test_all_structures_of_a_material_get_the_features_of_one_other_material():
    owner = np.array([0, 0, 0, 1, 2, 2])
    order = explain_novel._exchange(owner, np.random.default_rng(0))
    donors = [set(owner[order[owner == m]]) for m in range(3)]
    assert all(len(donor) == 1 for donor in donors)
    assert set().union(*donors) == {0, 1, 2}


def made_up(n=300):
    """A model that reads one feature of two groups: ``fraction Cu`` sets Tc, ``dome`` nothing."""
    rng = np.random.default_rng(0)
    tc = rng.uniform(0, 100, n)
    facts = pd.DataFrame({"tc": tc, "tc_pred": tc + 1, "family": np.arange(n) // 3})
    names = [*explain_novel.feature_names(), *explain_novel.structure_feature_names()]
    own = pd.DataFrame(0.0, np.arange(n), names)
    own["fraction Cu"], own["dome"] = tc / 50 - 1, -0.1
    permuted = {name: np.tile(tc + 1, (2, 1)) for name in (*features_by_group(), COMPOSITION)}
    permuted[STRUCTURE] = permuted["layers"]
    permuted["which elements"] = np.stack([rng.permutation(tc + 1) for _ in range(2)])
    return Explained(facts, own, own.assign(**{"fraction Cu": tc}), permuted)


def test_the_group_that_alone_sets_tc_contributes_and_costs_most():
    given = made_up()
    table = explain_novel.table_of_groups(given).set_index("group")
    first, tc = table.iloc[0], given.facts["tc"]
    assert first.name == "which elements"
    assert first["contribution"] == pytest.approx(np.abs(tc / 50 - 1).mean())
    lost = [mae(tc, p) - 1 for p in given.permuted["which elements"]]
    assert first["mae"] == pytest.approx(np.mean(lost))
    assert first["mae_low"] < first["mae"] < first["mae_high"]
    assert first["spearman"] == pytest.approx(1, abs=0.15)
    dome = table.loc["ionic charge and doping"]
    assert dome["contribution"] == pytest.approx(0.1)
    assert dome[["mae", "mae_low", "mae_high", "spearman"]].tolist() == [0, 0, 0, 0]


def test_features_are_in_the_order_of_their_contributions_with_a_direction():
    table = explain_novel.table_of_features(made_up())
    assert len(table) == explain_novel.TOP
    assert table["feature"][:2].tolist() == ["fraction Cu", "dome"]
    assert table["direction"][0] == pytest.approx(1)


def test_tables_and_figure_can_be_made_of_a_real_model(found):
    groups = explain_novel.table_of_groups(found)
    features = explain_novel.table_of_features(found)
    assert groups["group"].tolist()[-2:] == [COMPOSITION, STRUCTURE]
    assert len(explain_novel.groups_text(groups).splitlines()) == 2 + len(groups)
    assert "| rank correlation" in explain_novel.features_text(features)
    explain_novel.draw(groups, features).draw_without_rendering()
