"""The distilled family: what it is taught, invariances, formulas, and its imports."""

import subprocess
import sys
from dataclasses import replace
from typing import ClassVar

import numpy as np
import pytest
from pymatgen.core import Composition

from supervision.data.cif_writer import structure_to_cif
from supervision.data.crystals import Crystal, group_materials
from supervision.data.datasets import load_dataset
from supervision.data.errors import CrystalError
from supervision.models.composition.config import CompositionConfig
from supervision.models.composition.predictor import CompositionPredictor
from supervision.models.distilled.distil import distil
from supervision.models.distilled.variants import neighbours, variants
from supervision.models.families import load_predictor

CRYSTALS = load_dataset("classics").crystals
LEARNED, TAUGHT, ASKED = CRYSTALS[:60], CRYSTALS[60:220], CRYSTALS[220:270]


@pytest.fixture(scope="module")
def base():
    trees = CompositionPredictor(
        CompositionConfig(model="boosting", trees=15, calibrate=True), quiet=True
    )
    materials = group_materials(LEARNED)
    trees.fit(materials, materials[:5])
    return trees


class DensityTeacher:
    """Adds to a model of the composition what depends on the volume per atom alone."""

    size: ClassVar = {}

    def __init__(self, base):
        self.base = base

    def predict(self, crystals):
        tc = self.base.predict(crystals)
        volume = [c.structure.volume / c.structure.composition.num_atoms if c.cif else 20
                  for c in crystals]  # fmt: skip
        return tc + 0.5 * np.clip(np.array(volume) - 10, 0, 20)


@pytest.fixture(scope="module")
def fast(base):
    return distil(DensityTeacher(base), base, TAUGHT)


def test_it_learns_what_its_teacher_sees_in_the_structure(base, fast):
    expected = DensityTeacher(base).predict(ASKED)
    error = np.abs(fast.predict(ASKED) - expected).mean()
    assert error < 0.6 * np.abs(base.predict(ASKED) - expected).mean()


def test_known_compositions_are_answered_by_the_first_stage(base, fast):
    np.testing.assert_allclose(fast.predict(LEARNED), base.predict(LEARNED), atol=1e-9)


def test_the_same_numbers_after_saving(fast, tmp_path):
    fast.save(tmp_path)
    np.testing.assert_array_equal(load_predictor(tmp_path).predict(ASKED), fast.predict(ASKED))


def test_a_crystal_does_not_depend_on_the_others(fast):
    single = [fast.predict([crystal])[0] for crystal in ASKED[:10]]
    np.testing.assert_array_equal(fast.predict(ASKED)[:10], single)


def test_supercell_and_order_of_sites_change_nothing(fast):
    for crystal in ASKED[:5]:
        doubled, turned = crystal.structure.copy(), crystal.structure.copy()
        doubled.make_supercell([2, 1, 1])
        turned = turned.from_sites(list(turned)[::-1])
        others = [Crystal("x", "", structure_to_cif(s)) for s in (doubled, turned)]
        np.testing.assert_allclose(
            fast.predict(others), fast.predict([crystal]).repeat(2), rtol=1e-6
        )


def test_a_formula_is_answered(fast):
    tc = fast.predict([Crystal("x", "YBa2Cu3O7", "")])
    assert np.isfinite(tc).all()


def test_an_error_names_the_crystal(fast):
    with pytest.raises(CrystalError, match="bad"):
        fast.predict([ASKED[0], Crystal("bad", "", "data_bad")])


def test_nothing_new_to_teach_is_refused(base):
    with pytest.raises(ValueError, match="known compositions"):
        distil(base, base, LEARNED)


def test_the_first_stage_must_be_calibrated_boosting(base):
    other = CompositionPredictor(replace(base.config, calibrate=False), quiet=True)
    with pytest.raises(ValueError, match="boosted and calibrated"):
        distil(base, other, TAUGHT)


def test_variants_keep_the_geometry_and_replace_by_neighbours():
    made = variants(TAUGHT, seed=3)
    assert len(made) > 0.9 * len(TAUGHT)
    assert [v.cif for v in variants(TAUGHT, seed=3)] == [v.cif for v in made]
    by_id = {crystal.id: crystal for crystal in TAUGHT}
    for variant in made[:20]:
        parent = by_id[variant.id.removesuffix(" variant")].structure
        np.testing.assert_allclose(variant.structure.lattice.abc, parent.lattice.abc)
        assert len(variant.structure) == len(parent)
        before, after = (
            {e.symbol for e in s.composition.elements} for s in (parent, variant.structure)
        )
        assert after != before
        near = {other for symbol in before for other in neighbours(symbol)}
        assert after - before <= near


def test_neighbours_are_beside_an_element_in_the_periodic_table():
    assert set(neighbours("Nb")) == {"V", "Ta", "Zr", "Mo"}
    assert set(neighbours("Nd")) == {"Ce", "Pr", "Sm"}  # of Pm there are no solids of use
    assert "Ne" not in neighbours("F") and Composition("F").elements


def test_asking_imports_no_heavy_library(fast, tmp_path):
    fast.save(tmp_path)
    code = (
        "import sys; from pathlib import Path; from supervision.models.families import "
        "load_predictor; from supervision.data.crystals import Crystal\n"
        f"load_predictor(Path({str(tmp_path)!r})).predict([Crystal('x', 'MgB2', '')])\n"
        "print([n for n in ('torch', 'mlflow', 'lightgbm', 'sklearn') if n in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
