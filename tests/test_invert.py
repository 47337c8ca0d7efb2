"""The search for a target Tc: what is an answer, their order, and what it says of its limits."""

import pytest
import typer
from example_structures import mgb2, nb3sn
from typer.testing import CliRunner

import supervision
from entrypoints.invert import app
from entrypoints.options import add_command
from supervision.answer.answer import Answer
from supervision.answer.known import Neighbour
from supervision.answer.released import find_released
from supervision.data.cif_writer import structure_to_cif
from supervision.design.substitutions.found import Found
from supervision.design.substitutions.goals import Hit, TargetTc
from supervision.design.substitutions.search import Asked, SearchOptions, load_calibrated
from supervision.generation.replacements import Replacement
from supervision.generation.variants import Parent, Variant
from tracking.substitution_search import search

OPTIONS = SearchOptions(fractions="0.1,0.5,1", plausibility=0.02)


@pytest.fixture(scope="module")
def answerer():
    return load_calibrated(find_released("fast"))


@pytest.fixture(scope="module")
def found(answerer):
    parents = [Parent("mgb2", mgb2()), Parent("nb3sn", nb3sn())]
    return search(answerer, TargetTc(25), parents, {}, OPTIONS)


def test_the_interval_of_each_answer_contains_the_target(found):
    assert found.is_complete and 0 < len(found.hits) < found.asked - found.known
    assert all(hit.answer.tc_lower <= 25 <= hit.answer.tc_upper for hit in found.hits)


def test_answers_are_ranked_by_difference_width_and_plausibility(found):
    order = [
        (round(abs(h.answer.tc_kelvin - 25)), h.width, -h.variant.plausibility) for h in found.hits
    ]
    assert order == sorted(order)


def test_each_answer_says_how_far_it_is_from_what_is_known(found):
    text = str(found)
    for hit in found.shown:
        near = hit.answer.nearest[0]
        said = f"nearest {near.formula}, {near.tc_kelvin:.3g} K, {near.distance:.2f} away"
        assert said in " ".join(text.split())


def hit(tc, low, high, domain="series", plausibility=0.1, error=2.0):
    variant = Variant(
        Parent("p", mgb2()), ((Replacement("Mg", "Ca", plausibility, "group"), round(tc) / 100),)
    )
    near = (Neighbour("MgB2", 39, 0.1),)
    answer = Answer(
        variant.id, "X", tc_kelvin=tc, tc_lower=low, tc_upper=high, domain=domain, nearest=near,
        domain_error=error,
    )  # fmt: skip
    return Hit(variant, answer, 0.5)


def result(answerer, hits, target=40.0):
    asked = Asked(answerer, TargetTc(target), with_known=False)
    asked.hits = {(number,): one for number, one in enumerate(hits)}
    return Found.of(asked, SearchOptions(), 1, {}, is_complete=True)


def test_a_hand_worked_order(answerer):
    near_wide, near_narrow = hit(40.2, 0, 90), hit(39.7, 20, 60)
    plausible, far, outside = hit(39.9, 20, 60, plausibility=0.3), hit(50, 30, 70), hit(60, 45, 75)
    found = result(answerer, [outside, far, near_wide, near_narrow, plausible])
    assert list(found.hits) == [plausible, near_narrow, near_wide, far]


@pytest.mark.parametrize(
    ("domains", "is_said"),
    [
        (["new family", "new elements", "series"], True),
        (["new family", "series", "series"], False),
    ],
)
def test_most_answers_far_from_what_is_known_are_said_in_two_sentences(answerer, domains, is_said):
    found = result(answerer, [hit(40 + n, 0, 90, d) for n, d in enumerate(domains)])
    text = " ".join(str(found).split())
    assert ("2 of the 3 shown are far from all that the model has learned from" in text) is is_said
    assert ("its errors (2 K on average) are largest there" in text) is is_said


def test_a_target_above_every_prediction_is_said(answerer):
    text = " ".join(str(result(answerer, [hit(30, 0, 90), hit(25, 0, 50)], target=60)).split())
    assert "The target of 60 K is above the 30 K that the model predicts at most" in text
    assert "neither found nor excluded" in text


def test_a_target_that_nothing_reaches_is_no_error(answerer):
    parents = [Parent("nb3sn", nb3sn())]
    found = search(answerer, TargetTc(300), parents, {}, OPTIONS)
    assert list(found.hits) == [] and "The target of 300 K is above" in str(found)


def test_the_function_inverts_with_a_model_by_its_name(tmp_path):
    found = supervision.invert(mgb2(), 30, "released:fast", tmp_path / "out", fractions="0.25,0.5")
    assert found.hits and (tmp_path / "out" / "front.png").is_file()


def command(*arguments):
    group = typer.Typer()
    add_command(group, "invert", app)
    return CliRunner().invoke(group, list(map(str, arguments)))


def test_the_command_writes_what_it_prints(tmp_path):
    (tmp_path / "a.cif").write_text(structure_to_cif(mgb2()))
    out = tmp_path / "out"
    done = command(
        tmp_path / "a.cif", "--tc", 30, "--model", "released:fast", "--out", out, "--top", 2
    )
    assert done.exit_code == 0, done.output
    assert (out / "ranked.txt").read_text().strip() in done.output
    assert len(list(out.glob("*.cif"))) == 2


def test_a_target_that_is_no_temperature_is_one_sentence(tmp_path):
    done = command(tmp_path, "--tc", 0)
    assert done.exit_code == 2 and "error: tc must be over 0 K, got 0." in done.output
