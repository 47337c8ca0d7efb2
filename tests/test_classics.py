"""The embedded data set: every entry is plausible, and deviations from 3DSC are documented."""

import csv
import io
import re
import tarfile
from collections import Counter, defaultdict
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from pymatgen.analysis.structure_matcher import (
    FrameworkComparator,
    OrderDisorderElementComparator,
    StructureMatcher,
)
from pymatgen.core import Composition, Element, PeriodicSite, Structure
from pymatgen.symmetry.analyzer import SpacegroupAnalyzer
from pymatgen.symmetry.groups import SpaceGroup

from supervision.data.cif import parse_cif
from supervision.data.crystals import material_key
from supervision.data.datasets.classics import Entry, build_structure, load_classics, read_table
from supervision.data.errors import CrystalError

ROOT = Path(__file__).parents[1]
ARCHIVE = ROOT.parent / "shared" / "data" / "3dsc" / "3DSC_MP.tar.xz"
PAGE = ROOT / "docs" / "classics.md"

ENTRIES = read_table()
each_entry = pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.id)

# Upper limit of Tc in kelvin per family at ambient pressure, a little above the record.
HIGHEST_TC = {
    "element": 9.5,
    "A15": 23.5,
    "B1": 18,
    "boride": 40,
    "Laves": 10,
    "Chevrel": 15.5,
    "borocarbide": 17,
    "heavy fermion": 19,
    "bismuthate": 34,
    "cuprate": 138,
    "iron": 57,
    "hydride": 17,
    "chalcogenide": 11,
    "oxide": 16,
    "carbon": 20,
    "intermetallic": 11,
    "alloy": 12,
    "metal": 0,
    "insulator": 0,
}


@pytest.fixture(scope="module")
def crystals():
    return {crystal.id: crystal for crystal in load_classics()}


def page_table(heading: str) -> list[list[str]]:
    """The rows of the table under a heading of docs/classics.md, without its two header lines."""
    section = PAGE.read_text(encoding="utf-8").split(f"## {heading}\n")[1].split("\n## ")[0]
    lines = [line for line in section.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


def test_set_is_large_enough():
    assert len(ENTRIES) >= 150
    assert sum(entry.tc == 0 for entry in ENTRIES) >= 25
    assert set(HIGHEST_TC) == {entry.family for entry in ENTRIES}


def test_ids_and_compositions_are_unique():
    for values in (
        [entry.id for entry in ENTRIES],
        [material_key(entry.formula) for entry in ENTRIES],
    ):
        assert [value for value, count in Counter(values).items() if count > 1] == []


def test_series_and_its_parent_are_one_family(crystals):
    series = defaultdict(set)
    for crystal in crystals.values():
        if crystal.parent_id:
            series[crystal.parent_id].add(crystal.id)
    assert all(parent in members and len(members) > 1 for parent, members in series.items())
    assert {"la2cuo4", "lsco0.15", "lbco0.125"} <= series["la2cuo4"]
    assert crystals["nacl"].parent_id is None


def test_doped_structures_resemble_their_parent(crystals):
    """Doping within a space group changes lengths by < 9% and sites by < 12% of the free length."""
    matcher = StructureMatcher(ltol=0.3, stol=0.12, comparator=FrameworkComparator())
    groups = {entry.id: entry.space_group for entry in ENTRIES}
    compared = 0
    for entry in ENTRIES:
        if entry.parent and groups[entry.parent] == entry.space_group:
            doped, parent = crystals[entry.id].structure, crystals[entry.parent].structure
            assert doped.lattice.abc == pytest.approx(parent.lattice.abc, rel=0.09)
            if len(doped) == len(parent):  # else an intercalated structure
                assert matcher.fit(doped, parent), entry.id
            compared += 1
    assert compared > 20


@each_entry
def test_every_tc_has_a_source(entry):
    year = re.search(r"\((19|20)\d\d\)", entry.source)
    assert year or entry.source in (
        "Kittel, Introduction to Solid State Physics",
        "source not verified; value as commonly quoted",
    )


@each_entry
def test_tc_is_below_the_limit_of_its_family(entry):
    assert 0 <= entry.tc <= HIGHEST_TC[entry.family]


@each_entry
def test_cif_text_holds_the_structure(entry, crystals):
    """Lattice, coordinates and partial occupancies are read back from the CIF text."""
    crystal = crystals[entry.id]
    assert (crystal.formula, crystal.tc) == (entry.formula, entry.tc)
    assert parse_cif(crystal.cif) == build_structure(entry)


@each_entry
def test_formula_equals_the_composition(entry):
    """To the 4 decimals of an atomic fraction that material_key keeps."""
    structure = build_structure(entry)
    contents = "".join(f"{el}{amount:.6f}" for el, amount in structure.composition.items())
    assert material_key(contents) == material_key(entry.formula)


@each_entry
def test_the_structure_has_the_stated_space_group(entry):
    """A wrong coordinate with the right multiplicity usually changes the symmetry."""
    found = SpacegroupAnalyzer(build_structure(entry), symprec=1e-3).get_space_group_number()
    assert found == SpaceGroup(entry.space_group).int_number


@each_entry
def test_distances_are_plausible(entry):
    """Nearest neighbours are at 0.7 to 1.3 times the sum of their atomic radii (Slater).

    Hydrogen's radius of 0.25 A is too small for this test, so two hydrogens must also be 2 A apart
    (Switendick's 2.1 A with a tolerance for imprecise coordinates).
    """
    structure = build_structure(entry)
    centres, others, _, distances = structure.get_neighbor_list(6.0)
    radii = np.array([atomic_radius(site) for site in structure])
    ratios = distances / (radii[centres] + radii[others])
    nearest = [ratios[centres == i].min() for i in range(len(structure))]
    assert min(nearest) >= 0.7
    assert max(nearest) <= 1.3
    is_hydrogen = np.array(["H" in site.species for site in structure])
    hydrogens = distances[is_hydrogen[centres] & is_hydrogen[others]]
    assert np.all(hydrogens >= 2.0)


def atomic_radius(site: PeriodicSite) -> float:
    """Mean over the species of a site, in angstrom."""
    radii = [float(el.atomic_radius) * share for el, share in site.species.items()]
    return sum(radii) / site.species.num_atoms


@each_entry
def test_density_is_plausible(entry):
    """Elements are within 3% of the measured density, others between 1.5 and 20 g/cm3."""
    density = build_structure(entry).density
    if len(Composition(entry.formula)) == 1:
        assert density == pytest.approx(element_density(entry), rel=0.03)
    else:
        assert 1.5 <= density <= 20


def element_density(entry: Entry) -> float:
    """Density in g/cm3, from pymatgen where it has the right solid."""
    others = {"diamond": 3.51, "hg": 14.46}  # pymatgen has graphite, and no solid mercury (77 K)
    if entry.id in others:
        return others[entry.id]
    return float(Element(entry.formula).density_of_solid) / 1000  # from kg/m3


def test_partial_occupancies_and_vacancies_are_kept(crystals):
    lsco = crystals["lsco0.15"].structure
    assert {"La": 0.925, "Sr": 0.075} in [site.species.as_dict() for site in lsco]
    ybco = crystals["yba2cu3o6.5"].structure
    assert ybco.composition["O"] == pytest.approx(6.5)
    assert len(ybco) == 13


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"sites": "Nb 6c 1/4 0 1/2; Sn 8e 0 0 0"}, "'Sn 8e 0 0 0' has multiplicity 2 in Pm-3n"),
        ({"sites": "Nb0.9Ti0.2 6c 1/4 0 1/2"}, "occupancies of site .* exceed 1"),
        ({"sites": "Nb 6c 1/4 0"}, "site 'Nb 6c 1/4 0' cannot be read"),
        ({"cell": {"a": 5.29, "c": 5.29}}, "a cubic cell takes a, not a, c"),
        ({"space_group": "Fd-3m"}, "has multiplicity"),
    ],
    ids=["multiplicity", "occupancy", "unreadable", "cell", "group"],
)
def test_invalid_row_is_named(change, reason):
    nb3sn = next(entry for entry in ENTRIES if entry.id == "nb3sn")
    with pytest.raises(CrystalError, match=f"classics row 'nb3sn': .*{reason}"):
        build_structure(replace(nb3sn, **change))


def test_documentation_counts_the_families():
    counted = []
    for family in HIGHEST_TC:
        tcs = [entry.tc for entry in ENTRIES if entry.family == family]
        counted.append([family, str(len(tcs)), str(tcs.count(0)), f"{max(tcs):g}"])
    assert [row[:4] for row in page_table("Families")] == counted


@pytest.mark.long
@pytest.mark.shared
def test_disagreements_with_3dsc_are_documented():
    """Tc agrees within 20% and the lattice within 3%, or docs/classics.md explains why not."""
    if not ARCHIVE.exists():
        pytest.skip(f"needs 3DSC at ../shared ({ARCHIVE.name})")
    documented = {
        (entry, what): ours for entry, what, ours, *_ in page_table("Disagreements with 3DSC")
    }
    assert disagreements(read_3dsc()) == documented


def read_3dsc() -> dict[str, list[tuple[str, float, Structure]]]:
    """(SuperCon formula, Tc in kelvin, structure) of the 3DSC rows with one of our compositions."""
    wanted = {material_key(entry.formula) for entry in ENTRIES}
    with tarfile.open(ARCHIVE) as archive:
        files = {
            member.name: archive.extractfile(member).read() for member in archive if member.isfile()
        }
    table = next(name for name in files if name.endswith("3DSC_MP.csv"))
    root = table.removesuffix("data/final/MP/3DSC_MP.csv")
    lines = files[table].decode().splitlines()[1:]  # the first is a comment
    rows = defaultdict(list)
    for row in csv.DictReader(io.StringIO("\n".join(lines))):
        key = material_key(row["formula_sc"])
        if key in wanted:
            structure = parse_cif(files[root + row["cif"]].decode())
            rows[key].append((row["supercon_formula"], float(row["tc"]), structure))
    return rows


def disagreements(
    rows: dict[str, list[tuple[str, float, Structure]]],
) -> dict[tuple[str, str], str]:
    """Our values where 3DSC differs, by entry and 'Tc', 'lattice' or 'structure'.

    A Tc of 0 in 3DSC means that none was reported, so it is not compared. Several structures of one
    composition are polymorphs: our lattice is compared with the closest one that is the same
    structure; 'structure' if there is none.
    """
    found = {}
    for entry in ENTRIES:
        reference = rows.get(material_key(entry.formula), [])
        if not reference:
            continue
        tc = np.mean(list({formula: tc for formula, tc, _ in reference}.values()))
        if tc > 0 and abs(entry.tc - tc) > 0.2 * tc:
            found[entry.id, "Tc"] = f"{entry.tc:g} K"
        cells = same_structures(
            build_structure(entry), [structure for _, _, structure in reference]
        )
        deviations = [np.abs(ours / other - 1).max() for ours, other in cells]
        if not deviations:
            found[entry.id, "structure"] = entry.space_group
        elif min(deviations) > 0.03:
            found[entry.id, "lattice"] = cell_text(entry)
    return found


def same_structures(
    ours: Structure, polymorphs: list[Structure]
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Lengths [3] in angstrom of our conventional cell and of each equal polymorph's cell.

    Equal: the same space group and number of sites, and no site displaced by more than 12% of the
    mean free length per atom (relaxed and measured layer spacings differ by nearly as much). A
    mixed site matches a site that shares an element.
    """
    matcher = StructureMatcher(ltol=0.3, stol=0.12, comparator=OrderDisorderElementComparator())
    group, sites, lengths = conventional(ours)
    cells = []
    for polymorph in polymorphs:
        other_group, other_sites, other_lengths = conventional(polymorph)
        if (group, sites) == (other_group, other_sites) and matcher.fit(ours, polymorph):
            cells.append((lengths, other_lengths))
    return cells


def cell_text(entry: Entry) -> str:
    return " ".join(f"{name}={value:g}" for name, value in entry.cell.items())


def conventional(structure: Structure) -> tuple[int, int, np.ndarray]:
    """Space group number, number of sites and lengths [3] in angstrom of the conventional cell.

    The symmetry tolerance is 0.1 A, so that relaxed structures do not count as distorted. Lengths
    are sorted where the choice of axes is free.
    """
    analyzer = SpacegroupAnalyzer(structure, symprec=0.1)
    group = analyzer.get_space_group_number()
    cell = analyzer.get_conventional_standard_structure()
    lengths = np.array(cell.lattice.abc)
    is_orthorhombic_or_lower = group < 75
    return group, len(cell), np.sort(lengths) if is_orthorhombic_or_lower else lengths
