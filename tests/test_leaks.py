"""Rows of other sources: what is near to a held-out material is not trained on."""

from dataclasses import replace

import numpy as np
import pytest

from supervision.data.composition_distance import fraction_matrix, nearest_distance, nearest_index
from supervision.data.crystals import Crystal, Material, material_key
from supervision.data.leaks import KNOWN, check_sources, is_near, source_parts
from supervision.data.sources import SOURCES
from supervision.data.splits import NEAR, LeakError, Split


def material(formula, tc=1.0, source=""):
    id = material_key(formula)
    return Material(f"{source}/{id}" if source else id, formula, tc, (), source)


DATASET = {"MgB2": "test", "La1.85Sr0.15CuO4": "val", "Nb3Sn": "train", "V3Si": "train"}
MATERIALS = [material(formula) for formula in DATASET]


def split_of(kind="novel", apart=0.2):
    return Split(
        kind,
        0,
        {material_key(formula): part for formula, part in DATASET.items()},
        "",
        apart if kind == "novel" else 0.0,
    )


# --- distance


def test_distances_are_sums_of_absolute_differences_of_atomic_fractions():
    formulas = ["La2CuO4", "NbN", "MgB2", "D2O"]
    others = ["La1.85Sr0.15CuO4", "NbC", "Mg2B4", "H2O"]
    one, other = fraction_matrix(formulas), fraction_matrix(others)
    expected = [0.3 / 7, 1.0, 0.0, 0.0]
    np.testing.assert_allclose(nearest_distance(one, other), expected, atol=1e-12)
    assert nearest_index(one, other).tolist() == [0, 1, 2, 3]
    assert np.isinf(nearest_distance(one, other[:0])).all()
    assert nearest_distance(one[:0], other).shape == (0,)


def test_distance_does_not_depend_on_the_scale_of_a_formula_or_the_order_of_elements():
    one = fraction_matrix(["YBa2Cu3O7", "O14Cu6Ba4Y2"])
    np.testing.assert_allclose(one[0], one[1])


# --- which rows may be trained on


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize(
    ("formula", "expected"),
    [
        ("MgB2", KNOWN),
        ("Mg0.95Al0.05B2", NEAR["test"]),  # 0.03 from MgB2
        ("La1.9Ba0.1CuO4", NEAR["val"]),  # 0.07 from La1.85Sr0.15CuO4
        ("La2SrCu2O6", NEAR["val"]),  # of its element set, if 0.34 from it
        ("Nb3Al", "train"),
        ("NbB2", "train"),
    ],
)
def test_a_leak_planted_in_any_source_is_caught(source, formula, expected):
    row = material(formula, source=source)
    assert source_parts([row], MATERIALS, split_of()) == {row.id: expected}
    if expected in NEAR.values():
        with pytest.raises(LeakError, match=f"of {source} is near to a "):
            check_sources([row], MATERIALS, split_of())
    elif expected == "train":
        check_sources([row], MATERIALS, split_of())


def test_random_keeps_near_duplicates_away_and_nothing_else():
    rows = [material(f) for f in ("Mg0.98B2", "Mg0.95Al0.05B2", "MgB4")]
    assert is_near(rows, MATERIALS[:1], split_of("random")).tolist() == [True, False, False]
    assert is_near(rows, MATERIALS[:1], split_of("family")).tolist() == [True, False, True]
    assert is_near(rows, MATERIALS[:1], split_of("novel")).tolist() == [True, True, True]


def test_a_row_near_to_a_test_and_a_validation_material_is_near_the_test():
    parts = dict(split_of().parts) | {material_key("Mg0.9Al0.1B2"): "val"}
    materials = [*MATERIALS, material("Mg0.9Al0.1B2")]
    row = material("Mg0.95Al0.05B2", source="supercon")
    found = source_parts([row], materials, replace(split_of(), parts=parts))
    assert found == {row.id: NEAR["test"]}


def test_a_formula_without_a_structure_has_a_composition_and_a_cache_entry_of_its_own():
    one, other = Crystal("a", "Nb3Sn", ""), Crystal("b", "Nb3Al", "")
    assert one.composition.reduced_formula == "Nb3Sn"
    assert one.content_hash != other.content_hash
    assert one.content_hash == Crystal("c", "Nb3Sn", "").content_hash
