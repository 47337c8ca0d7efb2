"""The structure family: trees on the composition, corrected by structural descriptors."""

from dataclasses import replace

import numpy as np
import pytest
from example_structures import nb3sn

from supervision.data.crystals import Crystal, Material, group_materials
from supervision.data.datasets import load_dataset
from supervision.data.errors import CrystalError
from supervision.evaluation.prediction import predict_materials
from supervision.models.families import load_predictor
from supervision.models.structure.config import StructureConfig
from supervision.models.structure.predictor import StructurePredictor
from supervision.models.trees.config import KINDS


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


# --- what the structure adds


ELEMENTS = ("V", "Nb", "Ta", "Ti", "Zr"), ("Sn", "Ge", "Si", "Ga", "Al")


def a15(metal, other, stretch):
    """A material of A15 structure whose Tc rises with the length of its cell."""
    structure = nb3sn().replace_species({"Nb": metal, "Sn": other}, in_place=False)
    structure.scale_lattice(structure.volume * stretch)
    crystal = Crystal(f"{metal}{other}{stretch}", f"{metal}3{other}", structure.to(fmt="cif"))
    return Material(crystal.id, crystal.formula, 60 * (stretch - 0.8), (crystal,))


def test_the_correction_learns_what_the_composition_does_not_tell(own_cache):
    """In families that are not trained on, too."""
    stretches = np.linspace(0.85, 1.25, 8)
    pairs = [(m, o) for m in ELEMENTS[0] for o in ELEMENTS[1]]
    train = [a15(*pair, s) for pair in pairs[:-1] for s in stretches]
    unseen = [a15(*pairs[-1], s) for s in stretches]
    predictor = StructurePredictor(StructureConfig(trees=20), quiet=True)
    predictor.fit(train, unseen)
    found = predict_materials(predictor, {"test": unseen})
    first = predict_materials(predictor.composition, {"test": unseen})
    assert np.ptp([row.tc_pred for row in first]) == 0
    tc, tc_pred = zip(*((row.tc, row.tc_pred) for row in found), strict=True)
    assert np.corrcoef(tc, tc_pred)[0, 1] > 0.95
    errors = [np.mean([abs(r.tc - r.tc_pred) for r in rows]) for rows in (found, first)]
    assert errors[0] < 0.5 * errors[1]
    doubled = unseen[0].crystals[0].structure * (2, 1, 1)
    (tc_of_supercell,) = predictor.predict([Crystal("doubled", "", doubled.to(fmt="cif"))])
    assert tc_of_supercell == pytest.approx(found[0].tc_pred)


def test_a_saved_predictor_loads_equal(fitted, materials, tmp_path):
    fitted.save(tmp_path)
    loaded = load_predictor(tmp_path)
    assert isinstance(loaded, StructurePredictor)
    crystals = [m.crystals[0] for m in materials[:20]]
    assert np.array_equal(loaded.predict(crystals), fitted.predict(crystals))


def test_formulas_of_other_sources_are_learned_from_by_the_first_stage(fitted, materials):
    train = training(materials)
    formulas = [
        replace(m, id=f"x/{m.id}", tc=100.0, crystals=(formula_of(m.crystals[0]),), source="x")
        for m in train
    ]
    predictor = StructurePredictor(fitted.config, quiet=True)
    predictor.fit([*train, *formulas], materials[1::4])
    before, after = (
        np.mean([row.tc_pred for row in predict_materials(p.composition, {"train": train})])
        for p in (fitted, predictor)
    )
    assert after > before + 10


def test_a_crystal_without_a_structure_is_refused(fitted, materials):
    formula = formula_of(materials[0].crystals[0])
    with pytest.raises(CrystalError, match="It has no structure; give the content of a"):
        fitted.predict([formula])


def test_an_unreadable_structure_is_rejected(fitted):
    bad = Crystal("bad.cif", "NbN", "data_x")
    assert [reject.name for reject in fitted.prepare([bad])] == ["bad.cif"]
    with pytest.raises(CrystalError, match=r"^bad\.cif: "):
        fitted.predict([bad])
