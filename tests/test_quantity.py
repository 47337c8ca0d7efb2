"""Other quantities than Tc: from a column of a table to a registered model and its answers."""

import csv
import json
from itertools import product

import mlflow
import numpy as np
import pandas as pd
import pytest
from browser import chromium, opened, upload
from example_structures import nb3sn
from pymatgen.core import Element, Lattice, Structure
from servers import serving

import supervision
from entrypoints import hand_over, predict
from supervision.answer.answer import Answer
from supervision.answer.calibration import Calibration
from supervision.answer.domain import NEW_FAMILY
from supervision.answer.known import Neighbour
from supervision.answer.request import answer_request
from supervision.data.crystals import Crystal, group_materials
from supervision.data.datasets import load_dataset
from supervision.data.errors import DatasetError
from supervision.data.quantity import TC, Quantity
from supervision.data.splits import make_split
from supervision.data.tc_bands import fifths
from supervision.experiment.run import RunSpec, require_transform, run_training
from supervision.experiment.spec import Experiment, split_materials
from supervision.explain.explanation import explain
from supervision.models.families import default_configs, get_family
from supervision.screening.screen import configs_of, screen
from supervision.web.app import create_app
from supervision.web.page import render_page
from supervision.web.site import Site
from tracking import runs
from tracking.comparison.results import Result
from tracking.mlflow_logger import MLflowLogger
from tracking.serving.models import find_model, load_answerer
from tracking.serving.registry import best_version, signature
from tracking.serving.site import load_served

NB3SN = nb3sn().to(fmt="cif")
ENERGY = Quantity.of("formation_energy")
GAP = Quantity.of("band_gap")
NAME = "supervision-composition-formation_energy"
CATIONS = ("Li", "Na", "K", "Rb", "Cs", "Mg", "Ca", "Sr", "Ba", "Ti", "Mn", "Fe", "Ni", "Zn")
ANIONS = ("F", "Cl", "Br", "I", "O", "S", "Se", "Te", "N", "P")


def energy(cation, anion):
    """A made-up formation energy, eV/atom: 0.1 for equal electronegativities, else lower."""
    return round(0.1 - 0.4 * (Element(cation).X - Element(anion).X) ** 2, 4)


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    """140 compounds of the CsCl type with two quantities."""
    rows = []
    for cation, anion in product(CATIONS, ANIONS):
        structure = Structure(Lattice.cubic(4), [cation, anion], [[0, 0, 0], [0.5, 0.5, 0.5]])
        value = energy(cation, anion)
        rows.append((cation + anion, value, max(0, -value), structure.to(fmt="cif")))
    path = tmp_path_factory.mktemp("data") / "salts.csv"
    columns = ["formula", "formation_energy", "band_gap", "cif"]
    pd.DataFrame(rows, columns=columns).to_csv(path, index=False)
    return path


@pytest.fixture(scope="module")
def run(store, table):
    """The finished run of a composition model of formation energies."""
    folder, _ = store
    experiment = Experiment(dataset=str(table), quantity="formation_energy")
    family = get_family("composition")
    configs = default_configs(family, str(table), 42, {"trees": "30"}, experiment.learned)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        with runs.tracked_run("energy"):
            run_training(family.setup("none", "cpu", *configs), experiment, MLflowLogger())
            return mlflow.get_run(runs.run_id())


@pytest.fixture(scope="module")
def answerer(run):
    return load_answerer(NAME)


# --- names, units and the data


def test_known_quantities_have_their_unit_and_others_that_of_the_option():
    assert Quantity("formation_energy", "eV/atom", None) == ENERGY
    assert Quantity.of("band_gap", "meV") == Quantity("band_gap", "meV", 0)
    assert Quantity.of("hardness", "GPa") == Quantity("hardness", "GPa", None)
    assert (GAP.label, GAP.heading, TC.label) == ("band gap (eV)", "Band gap (eV)", "Tc (K)")
    assert Quantity.of("ratio").label == "ratio" and Quantity.of("ratio").with_unit("2") == "2"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"quantity": "Tc"}, "quantity 'Tc' is no name"),
        ({"quantity": "formula"}, "quantity 'formula' is no name"),
        ({"quantity": "band gap"}, "quantity 'band gap' is no name"),
        ({"unit": "meV"}, "unit=meV, but tc is in K"),
        ({"quantity": "band_gap", "extra": "supercon"}, "extra=supercon has Tc alone"),
    ],
    ids=lambda value: "",
)
def test_options_that_no_quantity_can_have_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        Experiment(**options)


@pytest.mark.parametrize("name", ["classics", "3dsc", "jarvis_supercon"])
def test_a_data_set_of_tc_alone_says_so(name):
    with pytest.raises(
        DatasetError, match=f"{name} has Tc alone: to learn band_gap, give a folder"
    ):
        load_dataset(name, quantity=GAP)


def test_a_table_without_the_column_says_which(table):
    with pytest.raises(DatasetError, match=r"salts.csv lacks the column\(s\) bulk_modulus"):
        load_dataset(str(table), quantity=Quantity.of("bulk_modulus"))


@pytest.mark.parametrize(
    ("text", "quantity", "reason"),
    [
        ("wide", GAP, "Its band_gap 'wide' is not a number."),
        ("", GAP, "Its band_gap '' is not a number."),
        ("inf", ENERGY, "Its formation_energy 'inf' is not a number."),
        ("-0.1", GAP, "Its band_gap -0.1 is below 0."),
    ],
)
def test_a_value_that_cannot_be_is_a_reject(tmp_path, text, quantity, reason):
    path = tmp_path / "own.csv"
    rows = [("Nb3Sn", text, NB3SN)]
    pd.DataFrame(rows, columns=["formula", quantity.name, "cif"]).to_csv(path, index=False)
    assert [r.reason for r in load_dataset(str(path), quantity=quantity).rejects] == [reason]


def test_a_folder_lists_other_quantities_in_properties_csv_and_may_hold_poscar_files(tmp_path):
    structure = nb3sn()
    structure.to(filename=str(tmp_path / "POSCAR-1"), fmt="poscar")
    (tmp_path / "tc.csv").write_text("cif,tc\nPOSCAR-1,18\n")
    with pytest.raises(DatasetError, match=r"has no properties.csv: .* and band_gap \(eV\)"):
        load_dataset(str(tmp_path), quantity=GAP)
    (tmp_path / "properties.csv").write_text("cif,band_gap,formation_energy\nPOSCAR-1,0,-0.2\n")
    values = [load_dataset(str(tmp_path), quantity=q).crystals[0].tc for q in (TC, GAP, ENERGY)]
    assert values == [18, 0, -0.2]
    (crystal,) = load_dataset(str(tmp_path), quantity=GAP).crystals
    assert crystal.structure.composition.reduced_formula == "Nb3Sn"


def test_splits_are_balanced_over_fifths_of_the_values(table):
    assert fifths(np.array([-3, -1, -1, 0, 7.0])) == ["0", "1", "1", "3", "4"]
    materials = group_materials(load_dataset(str(table), quantity=ENERGY).crystals, quantity=ENERGY)
    test = make_split(materials, "random").select(materials, "test")
    fifth = np.array(fifths(np.array([m.tc for m in materials])), dtype=int)
    tested = np.isin([m.id for m in materials], [m.id for m in test])
    expected = np.bincount(fifth) * tested.mean()
    np.testing.assert_allclose(np.bincount(fifth[tested]), expected, atol=1)


# --- what is learned


def test_a_quantity_is_learned_as_it_is_unless_another_transform_is_asked_for():
    family = get_family("composition")
    boosting = {"model": "boosting"}

    def settings(quantity, **given):
        (config,) = default_configs(family, "own", 42, boosting | given, quantity)
        return config.target, config.calibrate

    assert settings(TC) == ("sqrt", True)
    assert settings(GAP) == ("identity", True)
    assert settings(ENERGY) == ("linear", False)  # the factor is relative to 0
    assert settings(GAP, target="log1p") == ("log1p", True)


def test_a_transform_of_values_of_0_or_more_is_refused_for_negative_ones(table):
    materials = group_materials(load_dataset(str(table), quantity=ENERGY).crystals, quantity=ENERGY)
    with pytest.raises(ValueError, match=r"the lowest formation energy is -\S+ eV/atom: choose"):
        require_transform("log1p", ENERGY, materials)
    require_transform("linear", ENERGY, materials)
    with pytest.raises(ValueError, match="target=linear predicts negative values"):
        require_transform("linear", TC, materials)


def test_only_a_reported_tc_may_be_0_without_being_a_value():
    crystal = Crystal("a", "Nb3Sn", "", 0.0)
    (measured,), (metal,) = (group_materials([crystal], quantity=q) for q in (TC, GAP))
    assert measured.is_unreported and not metal.is_unreported


def test_intervals_of_any_sign_cover_and_end_at_the_minimum():
    rng = np.random.default_rng(0)
    predicted = rng.uniform(-2, 2, 4000)
    known = predicted + rng.normal(0, 0.3, 4000)
    domain = np.full(4000, NEW_FAMILY)
    half = slice(0, 2000), slice(2000, 4000)
    fitted = Calibration(known[half[0]], predicted[half[0]], domain[half[0]], quantity=ENERGY)
    low, high = fitted.interval(predicted[half[1]], domain[half[1]]).T
    assert np.mean((low <= known[half[1]]) & (known[half[1]] <= high)) == pytest.approx(
        0.9, abs=0.02
    )
    assert (low < 0).any()
    gaps = Calibration(np.abs(known), np.abs(predicted), domain, quantity=GAP)
    assert gaps.interval(np.array([0.05]), domain[:1])[0, 0] == 0


# --- a run and its model


def test_a_run_says_what_its_errors_are_of_and_has_no_metric_of_tc_alone(run):
    data = run.data
    shown = {name: data.params[name] for name in ("quantity", "unit", "target")}
    assert shown == {"quantity": "formation_energy", "unit": "eV/atom", "target": "linear"}
    assert (data.tags["quantity"], data.tags["unit"]) == ("formation_energy", "eV/atom")
    assert "of formation energy" in data.tags["mlflow.runName"]
    assert "Test MAE" in data.tags["mlflow.note.content"]
    assert (
        "eV/atom" in data.tags["mlflow.note.content"]
        and " K" not in data.tags["mlflow.note.content"]
    )
    assert data.metrics["test_mae"] < 0.7 * data.metrics["null_constant_median_test_mae"]
    assert data.metrics["test_spearman"] > 0.5
    assert not {"test_ap_20", "test_mae_positive", "test_msle"} & data.metrics.keys()
    found = {item.path for item in mlflow.MlflowClient().list_artifacts(run.info.run_id)}
    assert {"predictions.csv", "comparison.csv"} <= found and "bands.csv" not in found


def test_its_model_is_registered_under_a_name_of_its_own_and_never_the_default(run):
    client = mlflow.MlflowClient()
    assert [model.name for model in client.search_registered_models()] == [NAME]
    assert client.get_registered_model(NAME).description.startswith("Formation energy (eV/atom)")
    assert "Tc" not in client.get_registered_model(NAME).description
    assert best_version(client) is None


def test_an_answer_has_value_interval_unit_and_known_materials(answerer):
    cif = Structure(Lattice.cubic(4), ["K", "F"], [[0, 0, 0], [0.5] * 3]).to(fmt="cif")
    row, formula, bad = answer_request(
        answerer, [{"id": "KF", "cif": cif}, {"formula": "LiF"}, {"cif": "no structure"}]
    )
    assert (
        row["formation_energy"] == pytest.approx(energy("K", "F"), abs=0.8) and row["error"] == ""
    )
    assert row["formation_energy_lower"] < row["formation_energy"] < row["formation_energy_upper"]
    assert row["formation_energy_upper"] < 1 and row["domain"] == "known"
    assert (row["quantity"], row["unit"]) == ("formation_energy", "eV/atom")
    assert row["nearest"][0].keys() == {"formula", "formation_energy", "distance"}
    assert formula["remarks"][-1:] != [] and formula["formation_energy"] < 0
    assert bad["error"] and bad["formation_energy"] is None
    assert row.keys() == bad.keys() and not any(k.startswith(("tc_", "p_")) for k in row)
    known = answerer.known
    name = next(f for f, v in zip(known.formulas, known.tc, strict=True) if v < -1)
    (reported,) = answer_request(answerer, [{"formula": name}])
    assert (
        f"its formation energy is {reported['nearest'][0]['formation_energy']:.3g} eV/atom"
        in (reported["remarks"][0])
    )


def test_a_served_model_answers_as_its_signature_says(run, answerer):
    served = mlflow.pyfunc.load_model(f"models:/{NAME}/1")
    (row,) = served.predict(pd.DataFrame({"formula": ["LiF"]}))
    assert row == answer_request(answerer, [{"formula": "LiF", "id": "Row 0"}])[0]
    names = served.metadata.signature.outputs.input_names()
    assert set(names) == set(row)
    assert set(signature().outputs.input_names()) == set(Answer("").to_row())  # of Tc


def test_answers_are_the_same_after_a_request():
    answer = Answer(
        "a", "NaCl", 2, tc_kelvin=-1.234, tc_lower=-2.0, tc_upper=-0.5, quantity=ENERGY,
        nearest=(Neighbour("KCl", -1.1, 0.5),),
    )  # fmt: skip
    assert repr(Answer.of_row(json.loads(json.dumps(answer.to_row())))) == repr(answer)
    assert answer.decimals == 1 and Answer("b", tc_kelvin=-0.01234, quantity=ENERGY).decimals == 4


def test_predict_names_its_columns_after_the_quantity(run, tmp_path, capsys, monkeypatch):
    out = tmp_path / "energies.csv"
    predict.main(formula=["KF", "LiI"], model=NAME, out=out, paths=None, rank=True)
    text = capsys.readouterr().out
    assert "formation energy (eV/atom)" in text and "90% (eV/atom)" in text
    assert "P(sc)" not in text and "(K)" not in text
    assert text.index("LiI  ") < text.index("KF  "), "the highest comes first"
    (first, _) = csv.DictReader(out.open())
    assert float(first["formation_energy"]) < 0 and first["unit"] == "eV/atom"
    predict.check_out(out)  # it may be written again
    table = supervision.load(NAME).predict([NB3SN])
    assert {"formation_energy", "unit"} <= set(table.columns) and "tc_kelvin" not in table.columns
    table.answers[0].plot()


def test_the_page_shows_the_quantity_and_refuses_what_is_of_tc_alone(run):
    from fastapi.testclient import TestClient

    model = load_served(NAME)
    site = Site(model, model, {})
    page = render_page(site)
    assert "Formation energy" in page and "Least formation energy (eV/atom)" in page
    assert 'class="without-tc"' in page and "critical temperature" not in page.lower()
    with TestClient(create_app(site)) as client:
        body = {"name": "a", "text": NB3SN, "host": "Nb", "dopant": "V"}
        for route in ("/series", "/explain"):
            answer = client.post(route, json=body)
            assert answer.status_code == 400 and "is made for Tc" in answer.json()["error"]
        rows = {"dataframe_records": [{"id": "a", "formula": "KF"}]}
        (row,) = client.post("/predict", json=rows).json()["predictions"]
        assert row["formation_energy"] < 0


@pytest.mark.slow
def test_a_browser_shows_value_unit_and_table_and_leaves_out_what_is_of_tc_alone(
    run, store, tmp_path
):
    cifs = {
        pair: Structure(Lattice.cubic(4), list(pair), [[0, 0, 0], [0.5] * 3]).to(fmt="cif").encode()
        for pair in (("K", "F"), ("Li", "I"))
    }
    with (
        serving(NAME, store[1], tmp_path / "log", kind="app") as server,
        chromium() as browser,
        opened(browser, server.url) as page,
    ):
        upload(page, ("KF.cif", cifs["K", "F"]))
        page.wait_for_selector("#answer:not([hidden])[aria-busy=false]")
        assert page.inner_text("#tc").startswith("-") and "eV/atom" in page.inner_text("#tc")
        assert page.inner_text("#interval").endswith("eV/atom")
        assert "formation energy (eV/atom)" in page.inner_text("#scale")
        for part in ("#edit", "#chances", "#explain"):
            assert not page.locator(part).is_visible()
        upload(page, *((f"{''.join(pair)}.cif", cif) for pair, cif in cifs.items()))
        page.locator("#many-table tbody tr").nth(1).wait_for()
        heads = page.locator("#many-table th").all_inner_texts()
        assert [head.partition(" ")[0] for head in heads] == [
            "name", "formula", "formation", "90%", "domain",
        ]  # fmt: skip
        with page.expect_download() as download:
            page.click("#many-csv")
        rows = list(csv.DictReader(download.value.path().open(newline="")))
        assert sorted(float(row["formation_energy"]) < 0 for row in rows) == [True, True]
        assert " eV/atom (0." in rows[0]["nearest"] and rows[0]["unit"] == "eV/atom"


def test_tools_for_tc_refuse_the_model_with_one_sentence(run, answerer, tmp_path, capsys):
    sentence = "is made for Tc, and this model predicts formation energy"
    with pytest.raises(ValueError, match=sentence):
        screen("nowhere", tmp_path, find_model(NAME), *configs_of({}))
    with pytest.raises(ValueError, match=sentence):
        explain(answerer, Crystal("a", "", NB3SN))
    (tmp_path / "a.cif").write_text(NB3SN)
    with pytest.raises(SystemExit):
        hand_over.app([str(tmp_path / "a.cif"), "--model", NAME, "--out", str(tmp_path / "out")])
    assert f"hand_over {sentence}" in capsys.readouterr().err
    with pytest.raises(ValueError, match="is of formation_energy, and only runs of Tc"):
        Result.read(run.info.run_id)


# --- Tc is as it was


def test_a_run_of_tc_has_the_settings_tags_and_hashes_that_it_had():
    experiment = Experiment()
    assert experiment.settings() == {
        "dataset": "classics", "data": "", "split": "random", "apart": 0.2, "folds": 1, "fold": 0,
        "extra": "", "extra_data": "", "extra_weights": "", "refit": True, "limit": 0, "seed": 42,
        "register": True, "allow_loss": False, "checkpoint_dir": "", "resume": "auto",
        "parallel": False,
    }  # fmt: skip
    family = get_family("composition")
    setup = family.setup("none", "cpu", *default_configs(family, "classics", 42))
    spec = RunSpec.of(setup, experiment)
    splits = split_materials(experiment, lambda crystals: [], lambda rejects: None)
    assert splits.dataset.hash.startswith("7f8293fbb3d4e8a5")
    assert splits.split.hash.startswith("7cde48d9176a8354")
    assert not {"quantity", "unit"} & (spec.params().keys() | spec.tags().keys())
    assert "quantity" not in spec.provenance(splits, "run")
    assert spec.title("classics") == "composition · classics · random · extra_trees"
    assert spec.params()["target"] == "sqrt"
    assert family.model_name_of(TC) == "supervision-composition"
