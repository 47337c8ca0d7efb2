"""Requests of rows: answers, errors of rows, refused requests and limits."""

import json
import threading
import warnings

import numpy as np
import pytest
from example_structures import mgb2, nb3sn
from logged import untrained
from pymatgen.core import Element
from pymatgen.io.vasp import Poscar

from supervision.answer import request
from supervision.answer.answerer import Answerer
from supervision.answer.request import MAX_ROWS, PREDICTION_LOCK, RequestError, answer_request
from supervision.answer.warm_up import EXAMPLE, warm_up
from supervision.data.cif import parse_cif
from supervision.data.cif_writer import structure_to_cif
from supervision.data.crystals import MAX_FORMULA_CHARACTERS, Crystal
from supervision.data.datasets import load_dataset
from supervision.data.errors import CrystalError
from supervision.models.constant.config import ConstantConfig
from supervision.models.constant.predictor import ConstantPredictor
from supervision.runtime.deadline import call_within

NB3SN, MGB2 = (structure_to_cif(make()) for make in (nb3sn, mgb2))
FAST_ENOUGH = Answerer(ConstantPredictor(ConstantConfig(), 7.0), None, None, "test")


class EndlessForBoron:
    """A model that never answers for a crystal with boron; it counts the crystals it is asked."""

    model_family = "constant"

    def __init__(self):
        self.asked = 0

    def predict(self, crystals):
        for crystal in crystals:
            self.asked += 1
            while "B" in crystal.composition:
                self.asked += 0
        return np.full(len(crystals), 7.0)


def test_the_answers_are_those_of_the_model_in_the_order_of_the_rows():
    crystals = load_dataset("classics").crystals[::20]
    answerer = Answerer(untrained("composition"), None, None, "test")
    rows = [{"id": crystal.id, "cif": crystal.cif} for crystal in crystals]
    together = answerer.answer([Crystal(crystal.id, "", crystal.cif) for crystal in crystals])
    assert answer_request(answerer, rows) == [answer.to_row() for answer in together]


def test_a_poscar_has_the_answer_of_its_cif():
    answerer = Answerer(untrained("composition"), None, None, "test")
    of_cif, of_poscar = answer_request(
        answerer, [{"id": "a", "cif": MGB2}, {"id": "a", "cif": Poscar(mgb2()).get_str()}]
    )
    assert of_poscar == of_cif and of_cif["formula"] == "MgB2"


BAD = {
    "missing": ({"cif": None}, "The CIF text is empty; give the content of a .cif file."),
    "NaN": ({"cif": float("nan")}, "The CIF text is empty; give the content of a .cif file."),
    "a list": ({"cif": ["x"]}, "A CIF must be text, not ['x']."),
    "prose": ({"cif": "of my dreams"}, "The text is not a CIF file: it has no data_ block; nor"),
    "a broken CIF": ({"cif": "data_x\n"}, "The CIF could not be read: it has no _atom_site_fract"),
    "a broken POSCAR": ({"cif": "c\n1\n1 0 0\n0 1 0\n0 0 1\n"}, "The POSCAR is incomplete"),
    "a long text": ({"cif": "x" * 2_000_001}, "The CIF text is longer than 2 MB."),
    "no formula": ({"formula": "Xy3"}, "'Xy3' is not a chemical formula."),
    "a variable": (
        {"formula": "YBa2Cu3O7-x"},
        "'YBa2Cu3O7-x' is not a chemical formula; give x a number.",
    ),
    "a dictionary": ({"formula": {"Mg": 1}}, "'{'Mg': 1}' is not a chemical formula."),
    "no characters": ({"formula": "\ud800"}, r"'\ud800' is not a chemical formula."),
    "a long formula": (
        {"formula": "H" * (MAX_FORMULA_CHARACTERS + 1)},
        "The formula is longer than 1,000 characters.",
    ),
}


@pytest.mark.parametrize("name", list(BAD))
def test_a_bad_row_has_one_sentence_and_costs_no_other(name):
    row, said = BAD[name]
    first, bad, last = answer_request(FAST_ENOUGH, [{"cif": NB3SN}, row, {"formula": "Nb"}])
    assert bad["error"].startswith(said) and bad["error"].endswith(".")
    assert bad["tc_kelvin"] is None
    assert first["error"] == last["error"] == ""
    json.dumps(bad, ensure_ascii=False, allow_nan=False).encode()  # as servers send it


def test_ids_name_the_answers_and_rows_are_numbered_without():
    rows = [{"id": id, "formula": "Nb"} for id in ("a", 7, 0, None, "", "two\nlines", "\ud800")]
    names = [row["name"] for row in answer_request(FAST_ENOUGH, rows)]
    assert names == ["a", "7", "0", "Row 3", "Row 4", r"two\nlines", r"\ud800"]


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ([], r"^The input has no rows\.$"),
        ([{"cfi": NB3SN}, {}], "^The input has neither a column 'cif' nor 'formula'; send"),
        ([{"formula": "Nb"}] * (MAX_ROWS + 1), r"^The input has 257 rows, more than 256; send it"),
    ],
    ids=["no rows", "no column", "too many"],
)
def test_a_request_is_refused_as_a_whole(rows, said):
    with pytest.raises(RequestError, match=said):
        answer_request(FAST_ENOUGH, rows)


def test_as_many_rows_as_are_allowed_are_answered():
    found = answer_request(FAST_ENOUGH, [{"formula": "Nb"}] * MAX_ROWS)
    assert [row["tc_kelvin"] for row in found] == [7.0] * MAX_ROWS


def test_a_strict_request_ends_at_its_first_bad_row():
    predictor = EndlessForBoron()
    rows = [{"cif": NB3SN}, {"id": "b", "formula": "Xy"}, {"formula": "MgB2"}]
    with pytest.raises(RequestError, match=r"^b: 'Xy' is not a chemical formula\.$"):
        answer_request(Answerer(predictor, None, None, ""), rows, strict=True)
    assert predictor.asked == 1
    assert len(answer_request(FAST_ENOUGH, rows[:1], strict=True)) == 1


def test_a_crystal_that_takes_too_long_is_given_up_and_costs_no_other(monkeypatch):
    monkeypatch.setattr(request, "MAX_CRYSTAL_SECONDS", 0.1)
    predictor = EndlessForBoron()
    rows = [{"cif": NB3SN}, {"id": "slow", "cif": MGB2}, {"cif": NB3SN}]
    first, slow, last = answer_request(Answerer(predictor, None, None, ""), rows)
    assert slow["name"] == "slow" and slow["tc_kelvin"] is None
    assert slow["error"] == (
        "The prediction took over 0.1 s and was given up; give a smaller cell of the crystal."
    )
    assert first == last | {"name": "Row 0"} and first["tc_kelvin"] == 7
    assert predictor.asked == 3


def test_rows_after_the_time_of_the_request_say_so(monkeypatch):
    monkeypatch.setattr(request, "MAX_CRYSTAL_SECONDS", 0.1)
    monkeypatch.setattr(request, "MAX_REQUEST_SECONDS", 0.05)
    rows = [{"cif": MGB2}, {"cif": NB3SN}, {"cif": NB3SN}]
    found = answer_request(Answerer(EndlessForBoron(), None, None, ""), rows)
    late = "The request took over 0.05 s before this row; send fewer rows."
    assert [row["error"] for row in found][1:] == [late, late]


@pytest.fixture
def busy():
    """Another request computes until the event is set."""
    over, begun = threading.Event(), threading.Event()

    def compute():
        with PREDICTION_LOCK:
            begun.set()
            over.wait()

    thread = threading.Thread(target=compute)
    thread.start()
    begun.wait()
    yield over
    over.set()
    thread.join()


def test_waiting_for_another_request_is_not_the_time_of_a_crystal(monkeypatch, busy):
    monkeypatch.setattr(request, "MAX_CRYSTAL_SECONDS", 0.1)
    threading.Timer(0.3, busy.set).start()
    (row,) = answer_request(FAST_ENOUGH, [{"formula": "Nb"}])
    assert row["tc_kelvin"] == 7


def test_a_request_does_not_wait_longer_than_its_time(monkeypatch, busy):
    monkeypatch.setattr(request, "MAX_REQUEST_SECONDS", 0.05)
    (row,) = answer_request(FAST_ENOUGH, [{"formula": "Nb"}])
    assert row["error"].startswith("The request took over 0.05 s")


def test_a_limit_around_a_waiting_request_leaves_the_turn_to_others(busy):
    threading.Timer(0.2, busy.set).start()
    with pytest.raises(TimeoutError):
        call_within(0.05, lambda: answer_request(FAST_ENOUGH, [{"formula": "Nb"}]))
    answered = []
    other = threading.Thread(
        target=lambda: answered.extend(answer_request(FAST_ENOUGH, [{"formula": "Nb"}]))
    )
    other.start()
    other.join()
    assert answered[0]["tc_kelvin"] == 7


# --- the first answer


def test_the_example_is_a_crystal_with_symmetry_and_a_mixed_site():
    found = parse_cif(EXAMPLE)
    assert found.composition.reduced_formula == "Mg0.9Al0.1B2"
    assert len(found) == 3 and not found.is_ordered


@pytest.mark.parametrize("model_family", ["composition", "graph"])
def test_models_of_formulas_and_of_structures_answer_at_the_start(model_family):
    warm_up(Answerer(untrained(model_family), None, None, ""))


def test_an_element_without_electronegativity_fills_no_log_of_a_server(monkeypatch):
    monkeypatch.delitem(Element("Og").__dict__, "X", raising=False)  # it warns once
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warm_up(FAST_ENOUGH)
        (row,) = answer_request(FAST_ENOUGH, [{"formula": "Og2"}])
    assert row["formula"] == "Og2" and row["error"] == ""


def test_a_model_that_cannot_answer_does_not_start():
    class Broken:
        model_family = "constant"

        def predict(self, crystals):
            raise CrystalError(f"{crystals[0].id}: It has no features.")

    with pytest.raises(
        ValueError, match=r"gives no answer for Mg0.9Al0.1B2: It has no features\.$"
    ):
        warm_up(Answerer(Broken(), None, None, ""))
