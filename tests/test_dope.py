"""Tc over the fractions of dopants: points, measured materials, support, and the command."""

import csv
import math

import mlflow
import numpy as np
import pytest
import typer
from example_structures import la2cuo4, mgb2
from logged import log_untrained
from pymatgen.core import Composition
from typer.testing import CliRunner

import supervision
from entrypoints.dope import app
from entrypoints.options import add_command
from supervision.answer.answer import Answer
from supervision.answer.answerer import ANSWER_FOLDER
from supervision.answer.known import KnownMaterials, Neighbour
from supervision.answer.loaded import LoadedModel
from supervision.data.cif_writer import structure_to_cif
from supervision.data.crystals import Crystal, Material
from supervision.data.errors import CrystalError
from supervision.data.substitution import Substitution
from supervision.design.doping.curve import doped
from supervision.design.doping.dope import DopeOptions, dope
from supervision.design.doping.report import doping_rows

LA_SR, CU_ZN = Substitution("La", "Sr"), Substitution("Cu", "Zn")


@pytest.fixture(scope="module")
def fast():
    return supervision.load("released:fast")


@pytest.fixture(scope="module")
def lsco(fast):
    return dope(fast, la2cuo4(), DopeOptions("La:Sr", max_fraction="0.5", points=11))


@pytest.fixture(scope="module")
def lsco_map(fast):
    return dope(fast, la2cuo4(), DopeOptions("La:Sr,Cu:Zn", max_fraction="0.5,0.1", points=11))


def temperatures(found):
    return [point.answer.tc_kelvin for point in found.points]


def made_model(tc_of, known=(), **fields):
    """A model whose Tc is a function of the composition; it has learned from these formulas."""

    def ask(inputs):
        compositions = [Crystal("", "", given.cif).composition for given in inputs]
        return [
            Answer("", c.reduced_formula, tc_kelvin=tc_of(c), **fields)
            if tc_of(c) is not None
            else Answer("", error="It is too odd.")
            for c in compositions
        ]

    materials = [Material(formula, formula, tc, ()) for formula, tc in known]
    return LoadedModel("made", "", "", "", ask, KnownMaterials.of(materials) if materials else None)


# --- points


def test_fractions_0_and_1_are_the_pure_end_members(fast):
    found = dope(fast, mgb2(), DopeOptions("Mg:Al", points=3))
    alb2 = mgb2()
    alb2.replace_species({"Mg": "Al"})
    ends = [fast.answer(mgb2()).tc_kelvin, fast.answer(alb2).tc_kelvin]
    assert [temperatures(found)[0], temperatures(found)[-1]] == ends
    assert [point.formula for point in found.points] == ["MgB2", "Mg0.5Al0.5B2", "AlB2"]


def test_the_curve_does_not_depend_on_the_supercell(fast):
    options = DopeOptions("Mg:Al", points=5)
    found, larger = (dope(fast, cell, options) for cell in (mgb2(), mgb2() * (1, 2, 1)))
    assert temperatures(larger) == pytest.approx(temperatures(found), abs=1e-9)
    assert [p.formula for p in larger.points] == [p.formula for p in found.points]
    assert [m.formula for m in larger.measured] == [m.formula for m in found.measured]


def test_a_doped_crystal_begins_undoped_and_has_its_own_fraction(fast, lsco):
    options = DopeOptions("La:Sr", max_fraction="0.5", points=11)
    found = dope(fast, la2cuo4(strontium=0.075), options)
    assert temperatures(found) == pytest.approx(temperatures(lsco))
    assert (found.own, lsco.own) == ((pytest.approx(0.075),), (0,))


def test_a_map_without_the_second_dopant_is_the_curve_of_the_first(fast, lsco, lsco_map):
    tc = lsco_map.grid(temperatures(lsco_map))
    assert tc[:, 0].tolist() == temperatures(lsco)
    zinc = dope(fast, la2cuo4(), DopeOptions("Cu:Zn", max_fraction="0.1", points=11))
    assert tc[0].tolist() == temperatures(zinc)


def test_a_point_of_a_map_is_the_crystal_with_both_dopants(fast, lsco_map):
    point = lsco_map.points[11 * 2 + 5]
    assert point.fractions == (0.1, 0.05)
    assert Composition(point.formula) == Composition("La1.8 Sr0.2 Cu0.95 Zn0.05 O4")
    crystal = doped(Crystal("", "", structure_to_cif(la2cuo4())), [LA_SR, CU_ZN], (0.1, 0.05))
    assert fast.answer(crystal.cif).tc_kelvin == point.answer.tc_kelvin


# --- measured materials


def test_measured_materials_are_at_the_fraction_of_their_formula(lsco, lsco_map):
    curve = {m.formula: m for m in lsco.measured}
    plain, oxygen = curve["La1.85Sr0.15CuO4"], curve["La1.85Sr0.15CuO4.05"]
    assert (plain.fractions, plain.is_exact) == ((0.075,), True)
    assert (oxygen.fractions, oxygen.is_exact) == ((0.075,), False)
    both = {m.formula: m.fractions for m in lsco_map.measured}
    assert both["La1.92Sr0.08Cu0.96Zn0.04O4"] == (0.04, 0.04)
    assert not {"Zn"} & {el.symbol for f in curve for el in Composition(f)}


def test_measured_materials_do_not_depend_on_the_points(fast, lsco):
    coarse = dope(fast, la2cuo4(), DopeOptions("La:Sr", max_fraction="0.5", points=2))
    assert coarse.measured == lsco.measured


def test_measured_materials_beyond_the_highest_fraction_are_left_out(fast, lsco):
    short = dope(fast, la2cuo4(), DopeOptions("La:Sr", max_fraction="0.1", points=2))
    assert short.measured == tuple(m for m in lsco.measured if m.fractions[0] <= 0.1)


# --- what is said


def near(distance):
    return (Neighbour("Mg0.9Al0.1B2", 34.0, distance),)


def test_text_says_where_the_highest_tc_is_and_what_holds_the_curve():
    model = made_model(
        lambda c: 30 - 100 * abs(c["Al"] / (c["Al"] + c["Mg"]) - 0.25),
        known=[("MgB2", 39.0), ("Mg0.9Al0.1B2", 34.0), ("Mg0.5Al0.5B2", 0.0)],
        tc_lower=20.0, tc_upper=40.0, domain="known", nearest=near(0.01),
    )  # fmt: skip
    text = " ".join(str(dope(model, mgb2(), DopeOptions("Mg:Al", points=5))).split())
    assert "Highest predicted Tc: 30 K (90% interval 20 to 40 K), Mg0.75Al0.25B2 at 0.25" in text
    assert "3 of them on it, at 0 to 0.1, 0.5; elsewhere the curve is extrapolated." in text
    assert "Highest measured Tc: 39 K, MgB2 at 0." in text
    assert "Every point has a measured material within 0.2" in text and "Flat" not in text


def test_text_says_where_the_model_has_no_support():
    model = made_model(
        lambda c: c["Al"], known=[("Nb3Sn", 18.0)], domain="new family", nearest=near(0.3)
    )
    text = str(dope(model, mgb2(), DopeOptions("Mg:Al", points=5)))
    assert "No support at 0 to 1: no measured material" in text
    assert "No measured material is within 0.02 of the curve: all of it is extrapolated" in text
    assert "It is extrapolated: no known material is within 0.02 of it" in text


def test_text_says_where_the_prediction_is_flat():
    steps = made_model(lambda c: float(c["Al"] > 0.4 * (c["Al"] + c["Mg"])))
    text = str(dope(steps, mgb2(), DopeOptions("Mg:Al", points=11)))
    assert "Flat (steps under 0.01 K) at 0 to 1" in text
    slope = made_model(lambda c: max(c["Al"], 0.5) / (c["Al"] + c["Mg"]))
    text = str(dope(slope, mgb2(), DopeOptions("Mg:Al", points=11)))
    assert "Flat (steps under 0.01 K) at 0 to 0.5" in text


def test_a_model_without_known_materials_has_no_measured_points_and_is_drawn():
    found = dope(made_model(lambda c: c["Al"]), mgb2(), DopeOptions("Mg:Al", points=5))
    assert found.measured == ()
    assert "its support is not known" in str(found)
    assert found.plot().axes


def test_points_without_a_prediction_are_named_and_the_others_stay():
    model = made_model(lambda c: None if c["Al"] > c["Mg"] else 10.0)
    found = dope(model, mgb2(), DopeOptions("Mg:Al", points=5))
    assert np.isnan(temperatures(found)).tolist() == [False, False, False, True, True]
    assert "2 points have no prediction; the first, Mg0.25Al0.75B2: It is too odd." in str(found)
    assert found.plot().axes
    with pytest.raises(CrystalError, match=r"It is too odd\."):
        dope(made_model(lambda c: None), mgb2(), DopeOptions("Mg:Al"))


def test_text_fits_a_terminal(lsco, lsco_map):
    for found in (lsco, lsco_map):
        assert max(map(len, str(found).splitlines())) <= 100


# --- what is refused


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"replace": ""}, "Nothing to replace: name host and dopant"),
        ({"replace": "LaSr"}, "replace must be HOST:DOPANT, such as La:Sr"),
        ({"replace": "La:Sr,Cu:Zn,O:F"}, "or two of them as in La:Sr,Cu:Zn; got 'La:Sr,Cu:Zn,O:F'"),
        ({"replace": "La:Sr,La:Ba"}, "names one of them twice"),
        ({"replace": "La:Sr", "max_fraction": "1.5"}, "over 0 and at most 1, got '1.5'"),
        ({"replace": "La:Sr", "max_fraction": "some"}, "over 0 and at most 1, got 'some'"),
        ({"replace": "La:Sr", "max_fraction": "0.5,0.1"}, "has 2 values and replace 1 subst"),
        ({"replace": "La:Sr", "points": 1}, "points must be 2 or more, got 1"),
    ],
)
def test_options_that_are_no_doping_get_one_sentence(settings, message):
    with pytest.raises(ValueError, match=message):
        DopeOptions(**settings)


@pytest.mark.parametrize(
    ("replace", "message"),
    [
        ("Fe:Co", "The crystal has no 'Fe' to replace; it has Cu, La, O"),
        ("La:La", "'La' cannot replace La; name another element"),
        ("La:Xx", "'Xx' cannot replace La; name another element"),
    ],
)
def test_elements_that_cannot_replace_each_other_get_one_sentence(fast, replace, message):
    with pytest.raises(CrystalError, match=message):
        dope(fast, la2cuo4(), DopeOptions(replace))


def test_what_has_no_structure_gets_one_sentence(fast, tmp_path):
    (tmp_path / "a.cif").write_text("no crystal")
    (tmp_path / "formulas.csv").write_text("formula\nMgB2\n")
    for name, message in (("a.cif", "data_ block|no atoms"), ("formulas.csv", "is a formula")):
        with pytest.raises(CrystalError, match=message):
            dope(fast, tmp_path / name, DopeOptions("Mg:Al"))


# --- the command


def command(*arguments):
    group = typer.Typer()
    add_command(group, "dope", app)
    return CliRunner().invoke(group, list(map(str, arguments)))


def test_the_command_prints_a_table_and_writes_figure_and_points(tmp_path, lsco):
    file, plot, out = (tmp_path / name for name in ("La2CuO4.cif", "dope.png", "dope.csv"))
    file.write_text(structure_to_cif(la2cuo4()))
    given = ("--model", "released:fast", "--replace", "La:Sr", "--max-fraction", "0.5")
    done = command(file, *given, "--points", "11", "--plot", plot, "--out", out)
    assert done.exit_code == 0, done.output
    assert "Model released fast" in done.output and str(lsco) in done.output
    assert plot.stat().st_size > 10_000
    rows = list(csv.DictReader(out.open()))
    assert [float(row["tc_kelvin"]) for row in rows[:11]] == pytest.approx(temperatures(lsco))
    measured = [row for row in rows if row["tc_measured"]]
    assert [float(row["fraction_Sr"]) for row in measured] == [
        m.fractions[0] for m in lsco.measured
    ]


def test_a_map_is_drawn_and_has_a_column_for_each_dopant(lsco_map):
    assert len(lsco_map.plot().axes) == 2  # the map and its colours
    rows = doping_rows(lsco_map)
    assert {(row["fraction_Sr"], row["fraction_Zn"]) for row in rows[:121]} == {
        point.fractions for point in lsco_map.points
    }
    assert all(math.isnan(row["tc_measured"]) for row in rows[:121])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "Nothing to dope: name a structure file."),
        (("no.cif", "--replace", "La:Sr"), "no.cif is neither a file nor a folder."),
        (("a.cif", "--replace", "La:Sr", "--plot", "a.gif"), "must name a .png, .pdf or .svg file"),
        (("a.cif", "--replace", "La:Sr", "--out", "no/a.csv"), "There is no folder no"),
    ],
)
def test_a_wrong_command_gets_one_sentence(arguments, message):
    if not arguments:
        arguments = ("--replace", "La:Sr")
    done = command(*arguments, "--model", "released:fast")
    assert done.exit_code == 2
    assert message in done.output and "Traceback" not in done.output


# --- in MLflow


def test_a_run_has_the_figure_the_points_and_the_highest_tc(own_store, tmp_path, monkeypatch):
    (tmp_path / "MgB2.cif").write_text(structure_to_cif(mgb2()))
    created = mlflow.MlflowClient().create_run("0").info.run_id
    monkeypatch.setenv("MLFLOW_RUN_ID", created)
    done = command("MgB2.cif", "--replace", "Mg:Al", "--points", "3", "--model", "released:fast")
    assert done.exit_code == 0, done.output
    found = mlflow.get_run(created)
    artifacts = [item.path for item in mlflow.MlflowClient().list_artifacts(created)]
    assert artifacts == ["doping.csv", "doping.png", "doping.txt"]
    assert found.data.metrics["fraction_Al"] == 0 and found.data.metrics["tc_kelvin"] > 10
    assert found.data.params["replace"] == "Mg:Al" and found.data.tags["formula"] == "MgB2"


@pytest.mark.slow
def test_a_logged_model_brings_the_materials_that_it_has_learned_from(own_store, tmp_path):
    folder = tmp_path / "predictor"
    (folder / ANSWER_FOLDER).mkdir(parents=True)
    KnownMaterials.of([Material("", "Mg0.5Al0.5B2", 12.0, ())]).save(folder / ANSWER_FOLDER)
    model = supervision.load(log_untrained("composition", folder))
    found = dope(model, mgb2(), DopeOptions("Mg:Al", points=3))
    assert [(m.formula, m.fractions) for m in found.measured] == [("Mg0.5Al0.5B2", (0.5,))]
    assert found.points[1].distance == pytest.approx(0, abs=1e-6)
