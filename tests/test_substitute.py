"""Substitutions: plausible replacements, variants of a parent, and the search among them."""

import csv
from dataclasses import replace

import mlflow
import numpy as np
import pytest
import typer
from example_structures import la2cuo4, mgb2, nb3sn, niobium
from pymatgen.core import Composition, Element, Lattice, Structure
from pymatgen.core.operations import SymmOp
from pymatgen.core.structure_prediction.substitution_probability import SubstitutionProbability
from typer.testing import CliRunner

import supervision
from entrypoints.options import add_command
from entrypoints.substitute import app
from supervision.answer.released import find_released
from supervision.data.cif import parse_cif
from supervision.data.cif_writer import structure_to_cif
from supervision.data.composition_distance import atomic_fractions
from supervision.data.errors import CrystalError, DatasetError
from supervision.data.formulas import structure_formula
from supervision.design.substitutions.folder import write_found
from supervision.design.substitutions.goals import HighTc
from supervision.design.substitutions.parents import given_crystals, read_parents
from supervision.design.substitutions.search import SearchOptions, Space, load_calibrated
from supervision.generation.replacements import (
    BY_MENDELEEV_NUMBERS,
    BY_PERIODS,
    Replacement,
    data_mined,
    replacements,
)
from supervision.generation.variants import Parent, Variant, VariantOptions, variants
from tracking.substitution_search import search


@pytest.fixture(scope="module")
def probabilities():
    return SubstitutionProbability()


@pytest.fixture(scope="module")
def answerer():
    return load_calibrated(find_released("fast"))


def of(formula, host, least=0.0):
    found = replacements(Composition(formula), least)
    return {r.dopant: (r.plausibility, r.source) for r in found if r.host == host}


# --- replacements


def test_a_data_mined_plausibility_is_the_probability_of_pymatgen(probabilities):
    """Of La3+ by ions with one charge it is one number; Na+ and Sr2+ have no other charge."""
    found = of("La2CuO4", "La")
    for dopant, ion in (("Sr", "Sr2+"), ("Na", "Na+"), ("Y", ("Y2+", "Y3+"))):
        ions = [ion] if isinstance(ion, str) else ion
        expected = sum(probabilities.cond_prob(one, "La3+") for one in ions)
        assert found[dopant] == (pytest.approx(expected), "data-mined")


def test_data_mined_probabilities_of_all_elements_sum_to_one(probabilities):
    beyond = sum(probabilities.cond_prob(s, "O2-") for s in probabilities.species if s.Z > 94)
    assert sum(data_mined("O", -2).values()) + beyond == pytest.approx(1)
    assert data_mined("As", -3) == {}  # an ion that is not among the data


def test_neighbours_of_a_metal_are_those_of_its_group_and_of_pettifors_scale():
    """Niobium is 53 on the scale, between Ta 52 and V 54, which its group has, too."""
    assert of("Nb3Sn", "Nb") == {
        "Ta": (BY_MENDELEEV_NUMBERS[1], "Pettifor"),
        "V": (BY_MENDELEEV_NUMBERS[1], "Pettifor"),
        "Ti": (BY_MENDELEEV_NUMBERS[2], "Pettifor"),  # 51
        "W": (BY_MENDELEEV_NUMBERS[2], "Pettifor"),  # 55
    }
    assert of("Nb3Sn", "Sn")["Si"] == (BY_PERIODS[2], "group")
    assert of("MgB2", "Mg")["Ca"] == (BY_PERIODS[1], "group")
    assert of("MgB2", "B")["Al"] == (BY_PERIODS[1], "group")


def test_hydrogen_is_no_alkali_metal():
    assert "Li" not in of("LaH10", "H")


def test_an_ion_without_data_has_neighbours_beside_others_that_are_mined():
    assert of("LaFeAsO", "As")["P"][1] == "Pettifor"
    assert of("LaFeAsO", "La")["Nd"][1] == "data-mined"


def test_the_plausibility_of_neighbours_is_the_mean_of_the_data(probabilities):
    sums = {}
    for host in probabilities.species:
        if host.Z > 94:
            continue
        weight = probabilities.get_px(host)
        for dopant, probability in data_mined(host.element.symbol, host.oxi_state).items():
            one, other = host.element, Element(dopant)
            if one == other:
                continue
            keys = [("mendeleev", abs(one.mendeleev_no - other.mendeleev_no))]
            if one.group == other.group and "H" not in (one.symbol, other.symbol):
                keys.append(("periods", abs(one.row - other.row)))
            for key in keys:
                total, count = sums.get(key, (0, 0))
                sums[key] = (total + weight * probability, count + weight)
    for name, table in (("mendeleev", BY_MENDELEEV_NUMBERS), ("periods", BY_PERIODS)):
        for apart, plausibility in table.items():
            total, count = sums[name, apart]
            assert plausibility == pytest.approx(total / count, abs=6e-4)


def test_replacements_are_of_elements_that_models_read_and_at_least_as_plausible():
    for formula in ("YBa2Cu3O7", "UPt3", "PuCoGa5"):
        found = replacements(Composition(formula), 0.02)
        assert all(Element(r.dopant).Z <= 94 and 0.02 <= r.plausibility <= 1 for r in found)
        assert all(r.host != r.dopant for r in found)


# --- variants


def formula_of(variant):
    return variant.structure.composition.reduced_formula


def rotated_supercell(structure):
    found = structure * (1, 2, 1)
    found.apply_operation(SymmOp.from_axis_angle_and_translation([1, 2, 3], 33, False, [1, 1, 1]))
    return found


@pytest.mark.parametrize("make", [mgb2, la2cuo4, lambda: la2cuo4(0.1)])
def test_a_rotated_supercell_has_the_same_variants(make):
    options = VariantOptions(replacements=2, plausibility=0.06)
    one, other = (
        list(variants(Parent("p", s), options)) for s in (make(), rotated_supercell(make()))
    )
    assert [v.id for v in one] == [v.id for v in other]
    assert [v.key for v in one] == [v.key for v in other]
    assert [v.plausibility for v in one] == [v.plausibility for v in other]


def test_a_fraction_is_that_of_the_host_which_is_replaced():
    """Of La1.8Sr0.2CuO4 a quarter of the lanthanum: 1.35 are left."""
    parent = Parent("lsco", la2cuo4(0.1))
    variant = Variant(parent, ((Replacement("La", "Sr", 0.1, "data-mined"), 0.25),))
    amounts = variant.structure.composition.get_reduced_composition_and_factor()[0]
    ratio = amounts["La"] / amounts["Cu"]
    assert ratio == pytest.approx(1.35)


def test_a_partial_replacement_keeps_the_cell_and_a_full_one_scales_it():
    """By the volumes of Mg, Ca and B in their ground states, in cubic angstrom (Magpie)."""
    part, whole = (
        Variant(Parent("p", mgb2()), ((Replacement("Mg", "Ca", 0.1, "group"), fraction),))
        for fraction in (0.5, 1)
    )
    assert part.structure.volume == pytest.approx(mgb2().volume)
    boron, magnesium, calcium = 7.1725, 22.89, 37.77
    expected = (calcium + 2 * boron) / (magnesium + 2 * boron)
    assert whole.structure.volume / mgb2().volume == pytest.approx(expected, rel=1e-3)
    assert whole.id == "p_Mg-Ca" and part.id == "p_Mg-Ca0.5"


def test_variants_of_an_ionic_compound_are_nearly_neutral():
    """Na for all La of La2CuO4 would lack 4/7 of a charge per atom, for a tenth 0.06."""
    found = {variant.id for variant in variants(Parent("p", la2cuo4()), VariantOptions())}
    assert "p_La-Na0.1" in found and "p_La-Na" not in found


def test_pairs_are_of_different_hosts_and_neither_undoes_the_other():
    options = VariantOptions(replacements=2, fractions="1", plausibility=0.0)
    pairs = [v for v in variants(Parent("p", nb3sn()), options) if len(v.changes) == 2]
    assert pairs
    for variant in pairs:
        (one, _), (other, _) = variant.changes
        assert {one.host, other.host} == {"Nb", "Sn"}
        assert not {one.host, other.host} & {one.dopant, other.dopant}
        assert variant.plausibility == one.plausibility * other.plausibility


def test_a_parent_without_symmetry_to_be_found_is_one_sentence():
    twice = Structure(Lattice.cubic(3), ["Nb", "Nb"], [[0, 0, 0], [0, 0, 1e-7]])
    with pytest.raises(CrystalError, match="check that no two atoms coincide"):
        list(variants(Parent("p", twice), VariantOptions()))


@pytest.mark.parametrize(
    "wrong",
    [
        {"fractions": "0.5,2"}, {"fractions": "half"}, {"replacements": 3}, {"plausibility": 2},
        {"trials": 0}, {"seed": -1}, {"top": 0},
    ],
)  # fmt: skip
def test_a_wrong_option_is_named(wrong):
    with pytest.raises(ValueError, match=f"{next(iter(wrong))} must be"):
        SearchOptions(**wrong)


# --- the search

SMALL = {"fractions": "0.1,0.5,1", "plausibility": 0.02}


@pytest.fixture(scope="module")
def crystals():
    return [mgb2(), nb3sn(), niobium()]


@pytest.fixture(scope="module")
def parents(crystals):
    return [Parent(f"parent {n}", structure) for n, structure in enumerate(crystals)]


@pytest.fixture(scope="module")
def found(answerer, parents):
    return search(answerer, HighTc(20), parents, {}, SearchOptions(**SMALL, top=3))


def test_a_small_space_is_asked_in_full_and_ranked_by_the_probability(found, parents, answerer):
    assert found.is_complete
    every = list(Space(parents, found.options).all())
    assert found.asked == len(every) == len({variant.key for variant in every})
    assert len(found.hits) + found.known == found.asked
    ranks = [(-round(h.p_above, 2), -h.variant.plausibility, h.width) for h in found.hits]
    assert ranks == sorted(ranks)
    for hit in found.hits[:3]:
        assert hit.p_above == pytest.approx(hit.answer.p_above_20)


def test_the_front_is_what_no_other_candidate_dominates(found):
    points = [(round(h.p_above, 2), h.variant.plausibility) for h in found.hits]
    for row, (own, is_front) in enumerate(zip(points, found.front, strict=True)):
        better = any(p >= own[0] and q >= own[1] and (p, q) != own for p, q in points)
        assert is_front is (not better and own not in points[:row])


def test_known_materials_are_left_out_or_labelled(found, answerer, parents):
    assert found.known > 0
    assert "known" not in {hit.answer.domain for hit in found.hits}
    options = replace(found.options, known=True)
    with_known = search(answerer, HighTc(20), parents, {}, options)
    assert len(with_known.hits) == found.asked and with_known.known == 0
    labelled = [hit for hit in with_known.hits if hit.answer.domain == "known"]
    assert len(labelled) == found.known
    for hit in labelled:
        fractions = atomic_fractions(hit.variant.structure.composition)
        assert answerer.known.distance(fractions[None])[0] <= 0.02
        assert hit.answer.nearest[0].distance <= 0.02 or hit.answer.nearest


def test_a_rotated_supercell_gives_the_same_candidates_with_the_same_answers(found, answerer):
    parents = [
        Parent(f"parent {n}", rotated_supercell(structure))
        for n, structure in enumerate((mgb2(), nb3sn(), niobium()))
    ]
    other = search(answerer, HighTc(20), parents, {}, found.options)
    assert [h.variant.id for h in other.hits] == [h.variant.id for h in found.hits]
    assert [h.answer.tc_kelvin for h in other.hits] == pytest.approx(
        [h.answer.tc_kelvin for h in found.hits], abs=0.05
    )


@pytest.fixture(scope="module")
def sampled(answerer, parents):
    """A search of a larger space, and all of it."""
    options = SearchOptions(fractions="0.25,1", replacements=2, plausibility=0.02, trials=120)
    every = search(answerer, HighTc(20), parents, {}, replace(options, trials=1_000))
    return every, search(answerer, HighTc(20), parents, {}, options)


def test_a_sampled_search_finds_the_best_of_the_enumerated_space(sampled):
    every, found = sampled
    assert every.is_complete and not found.is_complete
    assert found.asked <= 120 < every.asked
    assert found.hits[0].variant.id == every.hits[0].variant.id


def test_a_sampled_search_has_all_single_replacements(sampled):
    every, found = sampled
    singles = {h.variant.id for h in every.hits if len(h.variant.changes) == 1}
    assert singles <= {h.variant.id for h in found.hits}


def test_sampled_pairs_hold_more_of_the_best_than_chance_does(sampled, answerer, parents):
    """The 40 trials after the 50 single replacements; chance would find 3 of the best 20."""
    every, _ = sampled
    best = {h.variant.id for h in _pairs(every)[:20]}
    found = search(answerer, HighTc(20), parents, {}, replace(every.options, trials=90))
    assert 20 * len(_pairs(found)) / len(_pairs(every)) < 4
    assert len(best & {h.variant.id for h in _pairs(found)}) > 2 * 4


def _pairs(found):
    return [hit for hit in found.hits if len(hit.variant.changes) == 2]


def test_the_same_seed_gives_the_same_bytes(sampled, answerer, parents, tmp_path):
    _, found = sampled
    again = search(answerer, HighTc(20), parents, {}, found.options)
    folders = [tmp_path / "one", tmp_path / "other"]
    for result, folder in zip((found, again), folders, strict=True):
        folder.mkdir()
        write_found(result, folder)
    one, other = ({p.name: p.read_bytes() for p in folder.iterdir()} for folder in folders)
    assert one == other


# --- what is written


def test_cif_files_are_read_back_with_the_composition_that_is_stated(found, tmp_path):
    write_found(found, tmp_path)
    with (tmp_path / "ranked.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == len(found.hits) and len(list(tmp_path.glob("*.cif"))) == 3
    for row, hit in zip(rows[:3], found.hits, strict=False):
        read = parse_cif((tmp_path / row["file"]).read_text())
        assert structure_formula(read) == row["formula"] == hit.answer.formula
        assert row["id"] == hit.variant.id and row["parent"] in row["id"]
        assert float(row["p_above"]) == hit.p_above and row["above_kelvin"] == "20"
        assert float(row["plausibility"]) == hit.variant.plausibility
        assert (row["source"], row["domain"]) == (hit.variant.source, hit.answer.domain)
        assert float(row["nearest_distance"]) == hit.answer.nearest[0].distance
    again = supervision.load("released:fast").predict(tmp_path)
    assert list(again["tc_kelvin"]) == pytest.approx([h.answer.tc_kelvin for h in found.hits[:3]])


def test_the_table_fits_a_terminal_and_says_where_each_candidate_is_from(found):
    lines = str(found).splitlines()
    assert max(map(len, lines)) <= 100
    text = str(found)
    assert f"{found.known} known materials are left out" in text
    best = found.hits[0]
    assert f"{best.variant.parent.id}: {best.variant.description}; nearest " in text


def test_parents_that_cannot_be_read_are_said_and_cost_no_other(answerer, tmp_path):
    (tmp_path / "bad.cif").write_text("data_x\n_cell_length_a 1\n")
    (tmp_path / "MgB2.cif").write_text(structure_to_cif(mgb2()))
    parents, refused = read_parents(given_crystals(tmp_path))
    assert [parent.id for parent in parents] == ["MgB2"] and list(refused) == ["bad.cif"]
    options = SearchOptions(fractions="1", plausibility=0.05)
    assert "bad.cif: " in str(search(answerer, HighTc(20), parents, refused, options))


def test_structures_in_memory_are_parents_and_formulas_are_not(crystals):
    parents, _ = read_parents(given_crystals(crystals))
    assert [parent.structure.composition for parent in parents] == [
        structure.composition for structure in crystals
    ]
    with pytest.raises(DatasetError, match="No parent crystal can be read"):
        read_parents(given_crystals([]))


# --- the function and the command


def test_the_function_searches_with_a_model_by_its_name(tmp_path):
    out = tmp_path / "out"
    found = supervision.substitute(mgb2(), 30, "released:fast", out, fractions="1", top=2)
    assert len(list(out.glob("*.cif"))) == 2 and found.goal.above == 30
    with pytest.raises(DatasetError, match="is not an empty folder"):
        supervision.substitute(mgb2(), 30, "released:fast", out)
    with pytest.raises(ValueError, match="'colour' is not a setting of a search"):
        supervision.substitute(mgb2(), 30, "released:fast", colour="red")


def command(*arguments):
    group = typer.Typer()
    add_command(group, "substitute", app)
    return CliRunner().invoke(group, list(map(str, arguments)))


def test_the_command_logs_a_search_in_the_run_that_it_is_given(own_store, tmp_path, monkeypatch):
    (tmp_path / "MgB2.cif").write_text(structure_to_cif(mgb2()))
    with mlflow.start_run() as run:
        done = command("MgB2.cif", "--model", "released:fast", "--fractions", "1", "--top", 2)
    assert done.exit_code == 0, done.output
    logged = mlflow.MlflowClient()
    files = {file.path for file in logged.list_artifacts(run.info.run_id)}
    assert {"ranked.csv", "ranked.txt", "front.png"} < files and len(files) == 5
    metrics = logged.get_run(run.info.run_id).data.metrics
    assert metrics["ranked"] + metrics["known"] == metrics["asked"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "Nothing to search: name parent crystals, or a data set by --dataset."),
        (["missing.cif"], "missing.cif is neither a file nor a folder."),
        (["note.txt"], "No parent crystal can be read"),
        (["note.txt", "--fractions", "0"], "fractions must be numbers over 0 up to 1, got '0'."),
        (["note.txt", "--above", "-1"], "above must be 0 K or more, got -1."),
        (["--dataset", "3dcs"], "dataset '3dcs' is unknown"),
    ],
)
def test_a_bad_input_is_one_sentence(arguments, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "note.txt").write_text("text")
    done = command(*arguments, "--model", "released:fast")
    assert done.exit_code == 2
    (line,) = [line for line in done.output.splitlines() if line.startswith("error: ")]
    assert message in line


def test_a_data_set_gives_one_crystal_of_each_parent(tmp_path):
    parent, doped = la2cuo4(), la2cuo4(0.1)
    rows = [("La2CuO4", 0, parent, "mp-1"), ("La1.8Sr0.2CuO4", 30, doped, "mp-1")]
    with (tmp_path / "a.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["formula", "tc", "cif", "parent_id"])
        writer.writerows([f, tc, structure_to_cif(s), id] for f, tc, s, id in reversed(rows))
    done = command(
        "--dataset", tmp_path / "a.csv", "--model", "released:fast", "--fractions", 1,
        "--plausibility", 0.05,
    )  # fmt: skip
    assert done.exit_code == 0 and "from 1 parent, all of the space" in done.output, done.output
    assert "mp-1: " in done.output and np.all(parent.is_ordered)
