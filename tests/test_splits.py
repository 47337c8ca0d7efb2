"""Splits: sizes of the parts, determinism, families, and detection of leaks."""

import csv
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from itertools import combinations
from pathlib import Path, PurePosixPath

import networkx as nx
import numpy as np
import pytest

from supervision.data.crystals import Crystal, Material, group_materials
from supervision.data.datasets import load_dataset
from supervision.data.families import families
from supervision.data.splits import (
    NEAR,
    PARTS,
    SPLIT_KINDS,
    LeakError,
    Split,
    check_disjoint,
    distances_to,
    groups_of,
    make_split,
)
from supervision.data.tc_bands import band_labels

ELEMENTS = ("Al", "B", "Cu", "Fe", "La", "Nb", "O", "Sn", "Ti", "Y")


def crystal(formula, tc=1.0, parent=None):
    return Crystal(f"{formula}-{parent}", formula, "", tc, parent)


def materials_of(*rows):
    return group_materials(crystal(*row) for row in rows)


def synthetic():
    """About 260 materials in 45 element sets; pairs of element sets share a parent."""
    rows = []
    for pair, (one, two) in enumerate(combinations(ELEMENTS, 2)):
        for k in range(6):
            tc = 0.0 if (pair + k) % 3 == 0 else (7 * pair + 11 * k) % 60 + 0.5
            parent = f"p{pair // 2}" if k == 0 else f"own{pair}"
            rows.append((f"{one}{k + 7}{two}{pair + 1}", tc, parent))
    return materials_of(*rows)


@pytest.fixture(scope="module")
def threedsc(shared_data):
    crystals = load_dataset("3dsc", str(shared_data / "3dsc/3DSC_MP.tar.xz")).crystals
    return group_materials(crystals)


def fractions_of_parts(split):
    counts = Counter(split.parts.values())
    return np.array([counts[part] for part in PARTS]) / len(split.parts)


# --- every kind


GROUPED = ("random", "chemsys", "family")  # kinds that use every material


@pytest.mark.parametrize("kind", GROUPED)
def test_every_material_is_in_one_part_and_parts_are_70_15_15(kind):
    materials = synthetic()
    split = make_split(materials, kind)
    assert set(split.parts) == {m.id for m in materials}
    np.testing.assert_allclose(fractions_of_parts(split), [0.7, 0.15, 0.15], atol=0.04)
    selected = [m for part in PARTS for m in split.select(materials, part)]
    assert sorted(selected, key=lambda m: m.id) == materials


@pytest.mark.parametrize("kind", SPLIT_KINDS)
def test_split_does_not_depend_on_the_order_of_materials(kind):
    materials = synthetic()
    split = make_split(materials, kind)
    for seed in range(3):
        shuffled = list(np.random.default_rng(seed).permutation(len(materials)))
        assert make_split([materials[i] for i in shuffled], kind).parts == split.parts


@pytest.mark.parametrize("kind", SPLIT_KINDS)
def test_split_depends_on_the_seed(kind):
    materials = synthetic()
    assert make_split(materials, kind, seed=1).hash != make_split(materials, kind, seed=2).hash


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("random", "f8d08a96feef12d5e2415e1b3b4ab005b9066d8c924f080d2593137aafd9dbdd"),
        ("chemsys", "263e96c7d86f89c8819e046edbf4f207e2736d937c1abdd11dda2b5e95a7f6c9"),
        ("family", "d516e89c28ec558b1bbe16c3f9a53554f967b281e502f27a12e928571c310dec"),
        ("novel", "d516e89c28ec558b1bbe16c3f9a53554f967b281e502f27a12e928571c310dec"),
    ],
)
def test_assignments_do_not_change_between_versions(kind, expected):
    """Published results refer to these splits; no family of this set is near to another one."""
    assert make_split(synthetic(), kind).hash == expected


@pytest.mark.slow
def test_other_processes_give_the_same_split():
    hashes = "(make_split(synthetic(), kind).hash for kind in SPLIT_KINDS)"
    code = f"from test_splits import *; print(*{hashes})"
    here = Path(__file__).parent
    path = f"{here}:{here.parent}"
    for hash_seed in ("1", "2"):
        done = subprocess.run(
            [sys.executable, "-c", code],
            env={"PYTHONPATH": path, "PYTHONHASHSEED": hash_seed},
            capture_output=True,
            text=True,
            check=True,
        )
        assert done.stdout.split() == [make_split(synthetic(), kind).hash for kind in SPLIT_KINDS]


def test_unknown_kind_is_refused():
    with pytest.raises(ValueError, match="'scaffold' is not one of random, chemsys, family"):
        make_split(synthetic(), "scaffold")


@pytest.mark.parametrize("kind", SPLIT_KINDS)
@pytest.mark.parametrize("count", [0, 1, 2])
def test_too_few_materials_are_refused(kind, count):
    with pytest.raises(ValueError, match=f"{count} materials in .* too few for a {kind} split"):
        make_split(synthetic()[:count], kind)


def test_one_family_cannot_be_split():
    materials = materials_of(*[(f"Nb{i}Sn", float(i)) for i in range(1, 40)])
    assert make_split(materials, "random")
    with pytest.raises(ValueError, match="39 materials in 1 groups are too few for a family split"):
        make_split(materials, "family")


# --- random


def test_random_is_stratified_within_each_band_and_tc_zero():
    materials = synthetic()
    split = make_split(materials, "random")
    tc = np.array([m.tc for m in materials])
    strata = np.where(tc == 0, "none", band_labels(tc).astype(str))
    for stratum in set(strata):
        inside = [m for m, s in zip(materials, strata, strict=True) if s == stratum]
        for part, share in zip(PARTS, (0.7, 0.15, 0.15), strict=True):
            assert abs(len(split.select(inside, part)) - share * len(inside)) <= 1


# --- families


def oracle_families(materials):
    """Families by networkx: a graph of materials, element sets and parents."""
    graph = nx.Graph()
    for m in materials:
        graph.add_edge(m.id, ("set", frozenset(m.chemsys.split("-"))))
        graph.add_edges_from((m.id, ("parent", p)) for p in m.parents)
    parts = [{n for n in part if isinstance(n, str)} for part in nx.connected_components(graph)]
    return {id: min(part) for part in parts for id in part}


def test_families_of_a_small_example():
    rows = [
        ("Nb3Sn", 18.0, "p1"),  # fractions_of_parts the element set of the next
        ("Nb5Sn", 9.0, "p2"),
        ("NbSn2Ti", 3.0, "p2"),  # fractions_of_parts the parent of the one before
        ("Ti2NbSn", 3.0, None),  # fractions_of_parts the element set of the one before
        ("V3Si", 17.0, "p9"),
        ("MgB2", 39.0, None),
    ]
    materials = materials_of(*rows)
    groups = {}
    names = {m.id: m.formula for m in materials}
    for id, family in families(materials).items():
        groups.setdefault(family, set()).add(names[id])
    assert sorted(groups.values(), key=len) == [
        *sorted([{"V3Si"}, {"MgB2"}], key=lambda g: list(groups.values()).index(g)),
        {"Nb3Sn", "Nb5Sn", "NbSn2Ti", "Ti2NbSn"},
    ]
    assert all(family in names for family in groups)


def test_parent_and_element_set_of_the_same_name_are_distinct():
    materials = materials_of(("Nb3Sn", 18.0, "B-Mg"), ("MgB2", 39.0, None))
    assert len(set(families(materials).values())) == 2


def test_families_are_connected_components():
    materials = synthetic()
    assert families(materials) == oracle_families(materials)
    assert families(materials[::-1]) == oracle_families(materials)


def test_without_parents_families_are_element_sets_and_grouped_by_states_it():
    orphans = group_materials(replace(c, parent_id=None) for m in synthetic() for c in m.crystals)
    family, chemsys = make_split(orphans, "family"), make_split(orphans, "chemsys")
    assert family.grouped_by == "element set (no parents)"
    assert len(set(families(orphans).values())) == len({m.chemsys for m in orphans})
    assert make_split(synthetic(), "family").grouped_by == "element set or parent structure"
    assert chemsys.grouped_by == "element set"


# --- leaks


def parts_by_key(split, materials, keys_of):
    found = {}
    for m in materials:
        for name in keys_of(m):
            found.setdefault(name, set()).add(split.parts[m.id])
    return found


def test_chemsys_keeps_element_sets_together():
    materials = synthetic()
    found = parts_by_key(make_split(materials, "chemsys"), materials, lambda m: [m.chemsys])
    assert max(len(parts) for parts in found.values()) == 1


def test_family_keeps_element_sets_and_parents_together():
    materials = synthetic()
    split = make_split(materials, "family")
    found = parts_by_key(split, materials, lambda m: [m.chemsys, *m.parents])
    assert max(len(parts) for parts in found.values()) == 1


def test_random_and_chemsys_splits_separate_what_they_need_not_keep_together():
    """The synthetic set can leak, so the two tests above can fail."""
    materials = synthetic()
    by_set = parts_by_key(make_split(materials, "random"), materials, lambda m: [m.chemsys])
    by_parent = parts_by_key(make_split(materials, "chemsys"), materials, lambda m: m.parents)
    assert max(len(parts) for parts in by_set.values()) > 1
    assert max(len(parts) for parts in by_parent.values()) > 1


PAIR = materials_of(("Nb3Sn", 18.0, "p1"), ("Nb5Sn", 9.0, "p2"), ("NbTi", 9.0, "p2"))


def leaking_split(kind, **parts):
    names = {m.formula: m.id for m in PAIR}
    return Split(kind, 0, {names[formula]: part for formula, part in parts.items()}, "")


@pytest.mark.parametrize("kind", ["chemsys", "family"])
def test_element_set_leak_is_detected(kind):
    leak = leaking_split(kind, Nb3Sn="train", Nb5Sn="test", NbTi="test")
    with pytest.raises(LeakError, match=r"element set Nb-Sn is in test \(Nb5Sn\) and train"):
        check_disjoint(leak, PAIR)


def test_parent_leak_is_detected():
    leak = leaking_split("family", Nb3Sn="train", Nb5Sn="train", NbTi="val")
    with pytest.raises(LeakError, match=r"parent p2 is in train \(Nb5Sn\) and val \(NbTi\)"):
        check_disjoint(leak, PAIR)
    check_disjoint(leaking_split("chemsys", Nb3Sn="train", Nb5Sn="train", NbTi="val"), PAIR)


@pytest.mark.parametrize("kind", SPLIT_KINDS)
def test_material_leak_is_detected(kind):
    """One composition with two ids, possible in a list that group_materials did not create."""
    twins = [
        Material("one", "Nb3Sn", 18.0, (crystal("Nb3Sn"),)),
        Material("two", "Nb6Sn2", 18.0, (crystal("Nb6Sn2"),)),
    ]
    with pytest.raises(LeakError, match="material"):
        check_disjoint(Split(kind, 0, {"one": "train", "two": "test"}, ""), twins)


@pytest.mark.parametrize("kind", SPLIT_KINDS)
def test_splits_of_make_split_have_no_leak(kind):
    materials = synthetic()
    check_disjoint(make_split(materials, kind), materials)


# --- novel: a distance between the parts


def test_novel_is_family_without_what_is_near_to_a_held_out_material():
    materials = synthetic()
    family = make_split(materials, "family", seed=7)
    novel = make_split(materials, "novel", apart=0.6, seed=7)
    assert {id for id, part in novel.parts.items() if part == "test"} == {
        id for id, part in family.parts.items() if part == "test"
    }
    moved = {id for id in novel.parts if novel.parts[id] != family.parts[id]}
    assert moved and {novel.parts[id] for id in moved} == set(NEAR.values())


def test_the_parts_of_a_novel_split_are_further_apart_than_its_distance():
    materials = synthetic()
    for apart in (0.05, 0.2, 0.6):
        split = make_split(materials, "novel", apart=apart)
        train, val, test = (split.select(materials, part) for part in PARTS)
        assert distances_to([*train, *val], test).min() > apart
        assert distances_to(train, val).min() > apart


def test_what_is_left_out_for_validation_alone_may_be_learned_from_before_the_test():
    materials = synthetic()
    split = make_split(materials, "novel", apart=0.6, seed=7)
    learned = split.apart_from_test(materials)
    assert distances_to(learned, split.select(materials, "test")).min() > split.apart
    assert set(split.select(materials, NEAR["val"])) <= set(learned)
    assert not set(split.select(materials, NEAR["test"])) & set(learned)


@pytest.mark.parametrize(("part", "other"), [("train", "test"), ("val", "test"), ("train", "val")])
def test_a_planted_neighbour_in_another_part_is_detected(part, other):
    materials = synthetic()
    split = make_split(materials, "novel")
    held_out = split.select(materials, other)[0]
    near = Material("near", f"{held_out.formula}Pu0.01", 1.0, ())  # of another element set
    planted = replace(split, parts=dict(split.parts) | {near.id: part})
    with pytest.raises(LeakError, match=rf"{near.formula} \({part}\) is within 0.2 of"):
        check_disjoint(planted, [*materials, near])


# --- folds


@pytest.mark.parametrize("kind", SPLIT_KINDS)
def test_every_material_is_in_the_test_set_of_one_fold(kind):
    materials = synthetic()
    splits = [make_split(materials, kind, folds=4, fold=fold) for fold in range(1, 5)]
    tested = Counter(m.id for split in splits for m in split.select(materials, "test"))
    assert tested == Counter(m.id for m in materials)
    for split in splits:
        check_disjoint(split, materials)
        assert all(split.select(materials, part) for part in PARTS)
    assert len({split.hash for split in splits}) == 4


def test_folds_are_of_similar_size_and_a_seventh_of_the_rest_is_validation():
    materials = synthetic()
    split = make_split(materials, "random", folds=5, fold=2)
    np.testing.assert_allclose(fractions_of_parts(split), [0.68, 0.12, 0.2], atol=0.02)


@pytest.mark.parametrize(("folds", "fold"), [(1, 0), (1, 2), (5, 0), (5, 6)])
def test_a_fold_that_does_not_exist_is_refused(folds, fold):
    with pytest.raises(ValueError, match=f"fold must be 1 to {folds}, got {fold}"):
        make_split(synthetic(), "random", folds=folds, fold=fold)


def test_intervals_are_over_what_a_split_keeps_together():
    materials = synthetic()
    assert groups_of(materials, "random") == {m.id: m.id for m in materials}
    assert groups_of(materials, "chemsys") == {m.id: m.chemsys for m in materials}
    assert groups_of(materials, "novel") == groups_of(materials, "family") == families(materials)


# --- files and hashes


def test_saved_csv_equals_the_split(tmp_path):
    split = make_split(synthetic(), "random")
    split.save(tmp_path / "split.csv")
    with (tmp_path / "split.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert {row["material_id"]: row["part"] for row in rows} == split.parts
    assert [row["material_id"] for row in rows] == sorted(split.parts)


def test_hash_depends_on_the_assignment_only():
    split = make_split(synthetic(), "random")
    reordered = dict(reversed(split.parts.items()))
    assert Split("family", 1, reordered, "x").hash == split.hash
    one = next(iter(reordered))
    moved = reordered | {one: "val" if reordered[one] != "val" else "test"}
    assert Split("random", 42, moved, "material").hash != split.hash


def test_parent_in_the_table_belongs_to_the_family_of_its_derivatives():
    """In a user's table the undoped crystal has no parent but is named as one."""
    parent = Crystal("La2CuO4.cif", "La2CuO4", "", 0.0)
    doped = Crystal("b.cif", "La1.85Sr0.15CuO4", "", 38.0, "La2CuO4")
    unrelated = Crystal("c.cif", "Nb3Sn", "", 18.0)
    found = families(group_materials([parent, doped, unrelated]))
    assert found[parent.material_id] == found[doped.material_id] != found[unrelated.material_id]
    others = [Crystal(f"{el}.cif", el, "", 1.0) for el in ("Al", "Pb", "Sn", "In", "Nb", "V")]
    materials = group_materials([parent, doped, unrelated, *others])
    split = Split("family", 0, {m.id: "train" for m in materials} | {doped.material_id: "test"}, "")
    with pytest.raises(LeakError, match="parent La2CuO4"):
        check_disjoint(split, materials)


@pytest.mark.parametrize("id", ["La2CuO4.cif", "LCO.CIF", "lab/LCO.cif", "row 3"])
def test_parent_can_be_named_by_file_name_or_formula(id):
    """A parent is named by its file name with or without suffix and folder, or by its formula."""
    named = "La4Cu2O8" if id == "row 3" else PurePosixPath(id).stem
    parent = Crystal(id, "La2CuO4", "", 0.0)
    doped = Crystal("b.cif", "La1.85Sr0.15CuO4", "", 38.0, named)
    found = families(group_materials([parent, doped]))
    assert found[parent.material_id] == found[doped.material_id]


# --- the real data


@pytest.mark.shared
def test_threedsc_families(threedsc):
    found = families(threedsc)
    assert found == oracle_families(threedsc)
    sizes = Counter(found.values())
    assert (len(sizes), max(sizes.values())) == (1738, 395)
    assert len({m.chemsys for m in threedsc}) == 2449


@pytest.mark.slow
@pytest.mark.shared
@pytest.mark.parametrize(
    ("kind", "expected", "tolerance"),
    [
        ("random", "9186f7641a1525017c7b698551beaa0c4d0763f6ad973a37dc73b5adbb13d18b", 0.001),
        ("chemsys", "7477446ca6cdd79b28d46e7dfe05cbe00271d4a24757dfcb86aa42d595259ddd", 0.01),
        ("family", "a4d43a1fdd395fa58725d72a543723d322050eaa5425c2e04e1927959a2e5396", 0.01),
    ],
    ids=GROUPED,
)
def test_threedsc_splits_do_not_change_and_are_disjoint(threedsc, kind, expected, tolerance):
    split = make_split(threedsc, kind)
    assert split.hash == expected
    np.testing.assert_allclose(fractions_of_parts(split), [0.7, 0.15, 0.15], atol=tolerance)
    kept_together = {
        "random": lambda m: [m.id],
        "chemsys": lambda m: [m.chemsys],
        "family": lambda m: [m.chemsys, *m.parents],
    }
    assert all(
        len(parts) == 1 for parts in parts_by_key(split, threedsc, kept_together[kind]).values()
    )


@pytest.mark.slow
@pytest.mark.shared
@pytest.mark.parametrize(
    ("kind", "tolerance"), [("random", 0.002), ("chemsys", 0.03), ("family", 0.10)], ids=GROUPED
)
def test_threedsc_parts_have_similar_tc_bands(threedsc, kind, tolerance):
    """Fractions of the Tc bands; groups limit how equal they can be."""
    split = make_split(threedsc, kind)
    band_fractions = {}
    for part in PARTS:
        labels = band_labels([m.tc for m in split.select(threedsc, part)])
        band_fractions[part] = [(labels == band).mean() for band in ("0-5", "5-15", "15-40", "40+")]
    for part in ("val", "test"):
        np.testing.assert_allclose(band_fractions[part], band_fractions["train"], atol=tolerance)
