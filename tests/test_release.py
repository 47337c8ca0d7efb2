"""Figures, calibration and cards of released models, and what ships with this clone."""

import json
import re
from dataclasses import replace

import numpy as np
import pytest

from supervision.answer.domain import KNOWN, NEW_FAMILY, SERIES
from supervision.answer.known import KnownMaterials
from supervision.answer.released import MANIFEST_FILE
from supervision.data.composition_distance import fraction_matrix
from supervision.data.crystals import group_materials
from supervision.data.datasets import load_dataset
from supervision.data.splits import SPLIT_KINDS
from supervision.experiment.spec import Experiment, split_of
from supervision.release.card import BOTH_SPLITS, CardInfo, body, model_card
from supervision.release.figures import class_table, coverage_table, error_table
from supervision.release.manifest import hashes
from supervision.release.out_of_fold import HeldOutAnswers, OutOfFold
from supervision.runtime.version import ROOT

RANDOM, NOVEL = SPLIT_KINDS.index("random"), SPLIT_KINDS.index("novel")
SIZE = 2000  # materials, each in both splits


def made_up() -> OutOfFold:
    """Two splits of the same materials; errors on novel are twice those on random."""
    rng = np.random.default_rng(1)
    family = rng.integers(0, 300, SIZE)
    tc = rng.gamma(0.8, 12, SIZE) * (rng.random(SIZE) < 0.7)
    errors = rng.normal(size=(2, SIZE)) * [[1], [2]] * (1 + np.sqrt(tc))
    domain = np.where(rng.random(SIZE) < 0.3, NEW_FAMILY, rng.integers(KNOWN, SERIES + 1, SIZE))
    return OutOfFold(
        split=np.repeat([RANDOM, NOVEL], SIZE).astype(np.uint8),
        fold=np.concatenate([rng.integers(1, 6, SIZE), 1 + family % 5]).astype(np.uint8),
        family=np.tile(family, 2).astype(np.int32),
        classes=np.tile(rng.integers(0, 2, SIZE), 2).astype(np.uint16),
        domain=np.concatenate([domain, np.full(SIZE, NEW_FAMILY)]).astype(np.uint8),
        tc=np.tile(tc, 2),
        tc_pred=np.maximum(np.tile(tc, 2) + errors.ravel(), 0),
        constant=np.full(2 * SIZE, 2.0),
    )


PREDICTIONS = made_up()


def test_predictions_are_the_same_after_saving(tmp_path):
    PREDICTIONS.save(tmp_path)
    loaded = OutOfFold.load(tmp_path)
    for name, values in vars(PREDICTIONS).items():
        np.testing.assert_array_equal(getattr(loaded, name), values)


def test_new_families_are_calibrated_by_novel_alone():
    """What is far from all others on random has relatives that were learned from."""
    calibration = PREDICTIONS.calibration()
    novel = PREDICTIONS.of(["novel"])
    far = calibration.domain == NEW_FAMILY
    np.testing.assert_array_equal(np.sort(calibration.tc_pred[far]), np.sort(novel.tc_pred))
    near = PREDICTIONS.of(["random"])
    assert (~far).sum() == np.isin(near.domain, (KNOWN, SERIES)).sum()


def test_the_answers_of_a_family_do_not_depend_on_its_own_tc():
    before = HeldOutAnswers.cross_fit(PREDICTIONS)
    own = PREDICTIONS.family == 7
    changed = replace(PREDICTIONS, tc=np.where(own, 100, PREDICTIONS.tc))
    after = HeldOutAnswers.cross_fit(changed)
    assert own.sum() > 4
    np.testing.assert_array_equal(before.interval[own], after.interval[own])
    np.testing.assert_array_equal(before.reported[own], after.reported[own])
    assert not np.array_equal(before.interval[~own], after.interval[~own])


def test_made_up_intervals_cover_what_they_say():
    found = HeldOutAnswers.cross_fit(PREDICTIONS)
    inside = (PREDICTIONS.tc >= found.interval[:, 0]) & (PREDICTIONS.tc <= found.interval[:, 1])
    novel = PREDICTIONS.split == NOVEL
    assert 0.88 < inside[novel].mean() < 0.92
    assert inside[~novel].mean() > 0.9  # its new families are given the wider intervals of novel


def test_errors_by_class_are_those_of_its_members():
    table = class_table(PREDICTIONS).set_index("class")
    of = PREDICTIONS.of(["novel"])
    cuprates = of.rows(of.classes == 1)
    expected = np.abs(cuprates.tc_pred - cuprates.tc).mean()
    assert table.loc["Cuprates", "`novel`: MAE (K)"] == f"{expected:.1f}"
    assert list(table.index) == ["Cuprates", "Others"]


def card_info() -> CardInfo:
    return CardInfo(
        name="made_up", reads="nothing", version="1.2.3", commit="0123abc", sources=["3dsc"],
        learned=SIZE, made="", weights="none", weights_license="none", settings={"trees": 3},
        hashes={"config.json": "00ff"},
    )  # fmt: skip


def test_a_card_has_what_a_hub_reads():
    card = model_card(card_info(), PREDICTIONS)
    _, header, text = card.split("---\n", 2)
    assert text.strip().startswith(body(card)) and "To cite" in body(card)
    assert "license: mit" in header and 'name: "supervision-made_up"' in header
    values = [float(value) for value in re.findall(r"value: ([\d.]+)", header)]
    of = [PREDICTIONS.of([split]) for split in ("random", "novel")]
    assert values == [round(float(np.abs(o.tc - o.tc_pred).mean()), 2) for o in of]
    for part in ("Intended use", "CC BY 4.0", "0123abc", "00ff", "To cite"):
        assert part in text


# --- what ships with this clone


RELEASED = ROOT / "released"
MANIFEST = RELEASED / MANIFEST_FILE
shipped = pytest.mark.skipif(not MANIFEST.is_file(), reason="no released models in this clone")
MODELS = json.loads(MANIFEST.read_text())["models"] if MANIFEST.is_file() else {}
RESULTS = ROOT / "results" / "answer.md"


@pytest.fixture(params=MODELS, ids=str)
def model(request):
    """The folder of a released model and its predictions."""
    folder = RELEASED / MODELS[request.param]["path"]
    return folder, OutOfFold.load(folder)


@shipped
def test_every_file_is_listed_with_its_hash_and_all_are_small():
    files = json.loads(MANIFEST.read_text())["files"]
    assert files == hashes(RELEASED)
    assert sum(p.stat().st_size for p in RELEASED.rglob("*") if p.is_file()) < 40e6
    assert not [name for name in files if not name.endswith((".json", ".txt", ".safetensors"))]


@shipped
def test_no_family_of_a_test_fold_is_in_another_fold(model):
    """A fold's model has learned from the other folds: a family in two would be reported leaked."""
    _, predictions = model
    for split in {"family", "novel"} & set(predictions.splits):
        of = predictions.of([split])
        folds = {(family, fold) for family, fold in zip(of.family, of.fold, strict=True)}
        assert len(folds) == len(np.unique(of.family))
    novel = predictions.of(["novel"])
    assert not (novel.domain == KNOWN).any()
    assert (novel.domain == SERIES).mean() < 0.005  # at a distance of 0.2, but for rounding


@shipped
def test_every_material_is_tested_once_on_each_split(model):
    _, predictions = model
    sizes = {split: len(predictions.of([split]).tc) for split in predictions.splits}
    assert set(sizes.values()) == {5812}


@shipped
def test_intervals_cover_nine_in_ten_of_materials_in_families_that_were_not_calibrated_on(model):
    _, predictions = model
    answers = HeldOutAnswers.cross_fit(predictions)
    of, low, high = answers.of, *answers.interval.T
    inside = (of.tc >= low) & (of.tc <= high)
    for split in ("random", "novel"):
        rows = of.split == SPLIT_KINDS.index(split)
        if rows.any():
            assert 0.86 <= inside[rows].mean() <= 0.94, split
    for domain in np.unique(of.domain):
        if (of.domain == domain).sum() >= 500:
            assert 0.86 <= inside[of.domain == domain].mean() <= 0.94, domain


@shipped
def test_probabilities_are_reliable(model):
    _, predictions = model
    for name, (happened, probability) in HeldOutAnswers.cross_fit(predictions).events().items():
        assert abs(happened.mean() - probability.mean()) < 0.03, name
        assert np.mean((probability - happened) ** 2) < happened.mean() * (1 - happened.mean())


@shipped
def test_the_figures_of_a_card_are_those_of_its_predictions_and_of_the_results(model):
    folder, predictions = model
    card, results = (folder / "README.md").read_text(), RESULTS.read_text()
    errors = error_table(predictions)
    for value in errors["MAE (K)"]:
        assert value in card and value in results
    answers = HeldOutAnswers.cross_fit(predictions)
    for _, count, covered, *_ in coverage_table(answers).itertuples(index=False):
        assert re.search(rf"\| +{count} \| +{re.escape(covered)} \|", card)
    assert (BOTH_SPLITS in card) == (len(answers.of.splits) == 2)


@shipped
@pytest.mark.long
@pytest.mark.shared
def test_folds_and_domains_of_a_release_are_those_of_the_data(shared_data):
    """The graph model has learned from 3DSC alone: its materials, folds and domains, made again."""
    data = str(shared_data / "3dsc" / "3DSC_MP.tar.xz")
    found = OutOfFold.load(RELEASED / "graph").of(["novel"])
    materials = [m for m in group_materials(load_dataset("3dsc", data).crystals)
                 if "Am" not in m.chemsys]  # which has no features  # fmt: skip
    row = {m.id: i for i, m in enumerate(sorted(materials, key=lambda m: m.id))}
    np.testing.assert_allclose(found.tc, [m.tc for m in sorted(materials, key=lambda m: m.id)])
    for fold in range(1, 6):
        split = split_of(materials, Experiment(dataset="3dsc", split="novel", folds=5, fold=fold))
        tested = split.select(materials, "test")
        rows = [row[m.id] for m in tested]
        assert (found.fold[rows] == fold).all() and (found.fold == fold).sum() == len(rows)
        known = KnownMaterials.of(split.apart_from_test(materials))
        domain = known.domain(fraction_matrix([m.formula for m in tested]))
        np.testing.assert_array_equal(found.domain[rows], domain)
