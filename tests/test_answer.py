"""Answers: domain, neighbours, interval, probabilities, remarks, and how they are shown."""

import json
import math

import numpy as np
import pytest
from example_structures import nb3sn
from logged import untrained

from supervision.answer import calibration
from supervision.answer.answer import Answer
from supervision.answer.answerer import ANSWER_FOLDER, Answerer
from supervision.answer.calibration import Calibration
from supervision.answer.domain import DOMAINS, KNOWN, NEW_ELEMENTS, NEW_FAMILY, SERIES, domains
from supervision.answer.known import KnownMaterials, Neighbour
from supervision.answer.text import answers_text
from supervision.data.cif_writer import structure_to_cif
from supervision.data.composition_distance import fraction_matrix, nearest_distance
from supervision.data.crystals import Crystal, Material
from supervision.models.constant.config import ConstantConfig
from supervision.models.constant.predictor import ConstantPredictor
from supervision.models.ensemble.predictor import EnsemblePredictor
from supervision.models.ensemble.stacking import Stack

RNG = np.random.default_rng(0)
NB3SN = structure_to_cif(nb3sn())
TC = {"Nb3Sn": 18.0, "Nb3Al": 19.0, "La1.85Sr0.15CuO4": 38.0, "MgB2": 39.0, "NaCl": 0.0}


def materials(tc=TC, **facts):
    return [Material(name, name, value, (), **facts) for name, value in tc.items()]


KNOWN_MATERIALS = KnownMaterials.of(materials())


def of(*formulas):
    return fraction_matrix(list(formulas))


# --- what is known


def test_distances_are_those_of_the_matrix():
    asked = of("Nb3Sn", "La1.9Sr0.1CuO4", "FeSe", "Mg")
    expected = nearest_distance(asked, of(*TC))
    np.testing.assert_allclose(KNOWN_MATERIALS.distance(asked), expected, atol=1e-6)


def test_the_domain_follows_from_distance_and_elements():
    asked = of("Nb3Sn", "La1.84Sr0.16CuO4", "La1.95Sr0.05CuO4", "MgCu", "FeSe")
    assert KNOWN_MATERIALS.domain_names(asked) == [
        "known", "known", "series", "new family", "new elements",
    ]  # fmt: skip
    edges = np.array([0.0, 0.02, 0.021, 0.2, 0.201, 2.0])
    assert domains(edges, np.zeros(6, dtype=bool)).tolist() == [0, 0, 1, 1, 2, 2]


def test_neighbours_are_the_nearest_measured_materials_with_the_nearest_first():
    found = KNOWN_MATERIALS.nearest(of("Nb3Sn0.9Al0.1")[0])
    assert [n.formula for n in found[:2]] == ["Nb3Sn", "Nb3Al"]
    assert found[0].tc_kelvin == 18 and found[0].distance == pytest.approx(0.05)
    assert [n.distance for n in found] == sorted(n.distance for n in found)
    computed = KnownMaterials.of([*materials(), *materials({"Nb": 9.0}, is_computed=True)])
    assert "Nb" not in [n.formula for n in computed.nearest(of("Nb")[0])]
    assert computed.domain_names(of("Nb")) == ["known"]  # it was learned from


@pytest.mark.parametrize("formula", ["Nb3Sn", "Nb3Sn0.9Al0.1", "MgB2", "Og2Nb"])
def test_one_search_finds_the_same_domain_and_neighbours(formula):
    (fractions,) = of(formula)
    found = KNOWN_MATERIALS.surroundings(fractions)
    assert [found.domain] == KNOWN_MATERIALS.domain(of(formula)).tolist()
    assert list(found.nearest) == KNOWN_MATERIALS.nearest(fractions)


def test_known_materials_are_the_same_after_saving(tmp_path):
    KNOWN_MATERIALS.save(tmp_path)
    found = KnownMaterials.load(tmp_path)
    assert found.formulas == list(TC)
    for name in ("tc", "is_computed", "fractions"):
        np.testing.assert_array_equal(getattr(found, name), getattr(KNOWN_MATERIALS, name))


def test_a_union_has_each_composition_once_and_prefers_what_was_measured():
    computed = KnownMaterials.of(materials({"FeSe": 3.0, "Nb": 9.0}, is_computed=True))
    more = KnownMaterials.of(materials({"Mg2B4": 1.0, "FeSe": 8.0}))
    found = KnownMaterials.union([KNOWN_MATERIALS, computed, more])
    assert found.formulas == [*TC, "Nb", "FeSe"]
    assert found.tc.tolist() == [*TC.values(), 9.0, 8.0]  # the measured FeSe
    assert found.is_computed.tolist() == [*[False] * len(TC), True, False]
    np.testing.assert_allclose(found.fractions, of(*TC, "Nb", "FeSe"), atol=1e-7)


def test_names_of_materials_are_kept_whatever_they_hold(tmp_path):
    KnownMaterials.of(materials({"Mg0.8\nAl0.2B2": 28.0, "Nb": 9.2})).save(tmp_path)
    assert KnownMaterials.load(tmp_path).formulas == ["Mg0.8\nAl0.2B2", "Nb"]


# --- how sure it is


def errors(count, domain, *, spread=0.4):
    """Predictions whose errors in sqrt(Tc) grow with 1 + sqrt(prediction)."""
    root = RNG.gamma(2, 1.2, count)
    measured = np.maximum(root + spread * (1 + root) * RNG.normal(size=count), 0)
    return measured**2, root**2, np.full(count, domain)


def calibration_of(*parts):
    return Calibration(*(np.concatenate(columns) for columns in zip(*parts, strict=True)))


FULL = calibration_of(
    errors(900, KNOWN, spread=0.1), errors(900, SERIES, spread=0.3), errors(2000, NEW_FAMILY)
)


@pytest.mark.parametrize(("domain", "spread"), [(KNOWN, 0.1), (SERIES, 0.3), (NEW_FAMILY, 0.4)])
def test_ninety_percent_are_in_the_interval_in_every_domain(domain, spread):
    tc, tc_pred, of_domain = errors(4000, domain, spread=spread)
    low, high = FULL.interval(tc_pred, of_domain).T
    assert np.mean((tc >= low) & (tc <= high)) == pytest.approx(0.9, abs=0.025)
    assert (low >= 0).all() and (low <= high).all()


def test_probabilities_are_reliable_and_ordered():
    tc, tc_pred, domain = errors(4000, NEW_FAMILY)
    found = {t: FULL.probability_above(t, tc_pred, domain) for t in (10, 20, 40)}
    for threshold, probability in found.items():
        assert probability.mean() == pytest.approx(np.mean(tc > threshold), abs=0.02)
        sure = probability > 0.7
        if sure.sum() > 300:
            hits = np.mean(tc[sure] > threshold)
            assert hits == pytest.approx(probability[sure].mean(), abs=0.06)
    assert (np.diff(list(found.values()), axis=0) <= 0).all()


def unreported(count):
    """Materials without a reported Tc, the fewer the higher the prediction, among good others."""
    tc, tc_pred, domain = errors(count, NEW_FAMILY, spread=0.2)
    is_reported = RNG.random(count) < 0.4 + 0.5 * np.minimum(tc_pred / 20, 1)
    return np.where(is_reported, np.maximum(tc, 0.1), 0.0), tc_pred, domain


def test_materials_without_a_tc_are_within_the_interval_and_counted_by_the_probability():
    calibrated = Calibration(*unreported(3000))
    tc, tc_pred, domain = unreported(6000)
    low, high = calibrated.interval(tc_pred, domain).T
    assert np.mean((tc >= low) & (tc <= high)) == pytest.approx(0.9, abs=0.025)
    assert not ((low > 0) & (low < calibration.REPORTED)).any()
    probability = calibrated.probability_reported(tc_pred, domain)
    for band in (tc_pred < 3, (tc_pred > 3) & (tc_pred < 12), tc_pred > 12):
        assert probability[band].mean() == pytest.approx(np.mean(tc[band] > 0), abs=0.04)


def test_a_domain_of_few_is_compared_with_the_next_farther_one():
    few = calibration_of(errors(10, KNOWN), errors(500, SERIES), errors(500, NEW_FAMILY, spread=2))
    asked = np.array([5.0])
    intervals = {d: few.interval(asked, np.array([d])) for d in range(len(DOMAINS))}
    np.testing.assert_array_equal(intervals[KNOWN], intervals[SERIES])
    np.testing.assert_array_equal(intervals[NEW_ELEMENTS], intervals[NEW_FAMILY])
    assert np.ptp(intervals[NEW_FAMILY]) > np.ptp(intervals[SERIES])


def test_new_families_do_not_have_the_errors_of_known_materials():
    """Forty are few, but they say what the others do not; ten say nothing."""
    asked, new, series = np.array([5.0]), np.array([NEW_FAMILY]), np.array([SERIES])
    for count in (40, 10):
        near = [errors(600, KNOWN, spread=0.05), errors(200, SERIES, spread=0.1)]
        found = calibration_of(*near, errors(count, NEW_FAMILY, spread=1))
        assert np.ptp(found.interval(asked, series)) < 8
        if count == 40:
            assert np.ptp(found.interval(asked, new)) > 20
        else:
            assert np.isnan(found.interval(asked, new)).all()
            assert np.isnan(found.probability_reported(asked, new)).all()


def test_every_band_has_enough_materials():
    for domain in (KNOWN, SERIES, NEW_FAMILY):
        edges = [0, *FULL._edges[domain], np.inf]
        counts, _ = np.histogram(FULL.tc_pred[FULL.domain == domain], edges)
        assert counts.min() >= calibration.FEWEST_IN_BAND


def test_too_few_materials_give_no_interval_instead_of_a_wrong_one():
    few = calibration_of(errors(18, NEW_FAMILY))
    assert np.isnan(few.interval(np.array([5.0]), np.array([NEW_FAMILY]))).all()
    assert np.isnan(few.probability_above(10, np.array([5.0]), np.array([NEW_FAMILY]))).all()


def test_the_error_of_a_domain_is_the_mean_over_its_materials_if_there_are_enough():
    tc, tc_pred, domain = errors(30, KNOWN)
    one = (np.array([90.0]), np.array([2.0]), np.array([NEW_ELEMENTS]))
    found = calibration_of((tc, tc_pred, domain), one).error(np.arange(len(DOMAINS)))
    assert found[KNOWN] == pytest.approx(np.abs(tc - tc_pred).mean())
    assert np.isnan(found[1:]).all()


def test_a_calibration_gives_the_same_numbers_after_saving(tmp_path):
    FULL.save(tmp_path)
    asked, domain = np.linspace(0, 90, 50), RNG.integers(0, 4, 50)
    np.testing.assert_array_equal(
        Calibration.load(tmp_path).interval(asked, domain), FULL.interval(asked, domain)
    )


# --- the answer


def answerer(predictor=None, known=KNOWN_MATERIALS):
    predictor = predictor or ConstantPredictor(ConstantConfig(), 7.0)
    return Answerer(predictor, known, FULL, "test")


def test_an_answer_has_everything(tmp_path):
    (answer,) = answerer().answer([Crystal("a.cif", "", NB3SN)])
    assert (answer.name, answer.formula, answer.atoms) == ("a.cif", "Nb3Sn", 8)
    assert not answer.is_disordered
    assert answer.tc_lower < answer.tc_kelvin == 7 < answer.tc_upper
    chain = (answer.p_superconducting, answer.p_above_10, answer.p_above_20, answer.p_above_40)
    assert 1 > chain[0] > chain[1] > chain[2] >= chain[3] > 0
    assert answer.domain == "known" and answer.domain_error > 0
    assert answer.nearest[0] == Neighbour("Nb3Sn", 18.0, 0.0)
    assert answer.remarks == ("In the training data: a Tc of 18 K was reported.",)
    assert answer.model_version == "test" and answer.error == ""


@pytest.mark.parametrize(
    ("formula", "expected"),
    [
        ("NaCl", "In the training data: no Tc was reported."),
        ("LaH10", "A hydride: those that superconduct near room temperature"),
        ("NiSe", "No training material has Ni, Se."),
        ("NbNa", "No training material has just these elements: Na, Nb."),
        ("MgB2", "From the formula alone, without a structure."),
    ],
)
def test_remarks_say_what_limits_the_answer(formula, expected):
    (answer,) = answerer(untrained("composition")).answer([Crystal("x", formula, "")])
    assert any(remark.startswith(expected) for remark in answer.remarks), answer.remarks


def test_a_bad_crystal_is_an_error_of_its_own_row():
    good, bad = Crystal("good", "", NB3SN), Crystal("bad", "", "data_x\n")
    found = answerer().answer([good, bad, good])
    assert [a.name for a in found] == ["good", "bad", "good"]
    assert [a.error == "" for a in found] == [True, False, True]
    assert found[1].error.startswith("The CIF could not be read: ")
    assert math.isnan(found[1].tc_kelvin) and found[0] == found[2]


def test_a_model_without_answer_data_still_answers(tmp_path):
    untrained("composition").save(tmp_path)
    (answer,) = Answerer.load(tmp_path).answer([Crystal("a", "", NB3SN)])
    assert answer.tc_kelvin > 0 and math.isnan(answer.tc_lower)
    assert answer.domain == "" and answer.nearest == ()


def test_a_saved_model_answers_the_same(tmp_path):
    predictor = untrained("composition")
    predictor.save(tmp_path)
    (tmp_path / ANSWER_FOLDER).mkdir()
    KNOWN_MATERIALS.save(tmp_path / ANSWER_FOLDER)
    FULL.save(tmp_path / ANSWER_FOLDER)
    asked = [Crystal("a", "", NB3SN), Crystal("b", "MgB2", "")]
    loaded, before = Answerer.load(tmp_path), answerer(predictor)
    for one, other in zip(loaded.answer(asked), before.answer(asked), strict=True):
        assert one.to_row() == other.to_row() | {"model_version": ""}


def test_members_answer_beside_the_ensemble_and_for_formulas_those_that_can():
    needs_structure = ConstantPredictor(ConstantConfig(), 1.0)
    needs_structure.model_family = "structure"
    members = {"composition": untrained("composition"), "structure": needs_structure}
    ensemble = EnsemblePredictor(members, Stack((0.5, 0.5)))
    whole, formula = answerer(ensemble).answer([Crystal("a", "", NB3SN), Crystal("b", "Nb3Sn", "")])
    assert whole.members["structure"] == 1
    assert whole.tc_kelvin == pytest.approx((whole.members["composition"] + 1) / 2)
    assert math.isnan(formula.members["structure"])
    assert formula.tc_kelvin == formula.members["composition"] == whole.members["composition"]
    alone = "Answered by the composition model alone; the interval is that of the whole ensemble."
    assert alone in formula.remarks and alone not in whole.remarks


def test_no_member_for_a_formula_is_one_sentence():
    needs_structure = ConstantPredictor(ConstantConfig(), 1.0)
    needs_structure.model_family = "structure"
    ensemble = EnsemblePredictor({"structure": needs_structure}, Stack((1.0,)))
    (answer,) = answerer(ensemble).answer([Crystal("b", "Nb3Sn", "")])
    assert answer.error == "There is no structure, and no model here reads a formula alone."
    assert answer.formula == "Nb3Sn"


def test_an_answer_is_valid_json_and_comes_back():
    (answer,) = answerer().answer([Crystal("a.cif", "", NB3SN)])
    failed = Answer("b", error="It has no atoms.")
    for one in (answer, failed):
        text = json.dumps(one.to_row(), allow_nan=False)
        back = Answer.of_row(json.loads(text))
        assert back.to_row() == one.to_row()
    assert Answer.of_row({"name": "a", "tc_kelvin": 3.0, "of a later version": 1}).tc_kelvin == 3


# --- as text


def shown(**fields):
    return answers_text([Answer("a.cif", formula="Nb3Sn", **fields)]).splitlines()


def test_decimals_are_those_that_mean_something():
    assert " 17 " in shown(tc_kelvin=16.71, tc_lower=2.0, tc_upper=31.0)[1]
    assert " 1.7  0.2 to 4.1" in shown(tc_kelvin=1.71, tc_lower=0.2, tc_upper=4.1)[1]


def test_a_table_fits_a_terminal_whatever_the_names_are():
    long = Answer(
        "a/very/long/path/to/a/folder/of/structures/La1.85Sr0.15CuO4.cif",
        formula="Hg0.8Tl0.2Ba2Ca2Cu3O8.33", tc_kelvin=120, tc_lower=90, tc_upper=135,
        p_superconducting=1, p_above_10=1, p_above_20=1, p_above_40=1, domain="new elements",
        nearest=(Neighbour("Hg0.8Tl0.2Ba2Ca2Cu3O8.3", 138.0, 0.01),),
        remarks=("A long remark " * 20,),
    )  # fmt: skip
    lines = answers_text([long, Answer("b", error="It has no atoms.")]).splitlines()
    assert max(map(len, lines)) <= 100
    name = lines[1].split()[0]
    assert name == "a/ver…O4.cif"
    assert lines[-1] == "b: It has no atoms."


def test_a_remark_that_rows_share_is_said_once_and_every_error_is_said():
    shared, own = "From the formula alone.", "A hydride."
    rows = [Answer(name, remarks=(shared,)) for name in "abcd"]
    rows += [Answer("e", remarks=(own, shared)), *(Answer(n, error="It is empty.") for n in "fg")]
    notes = answers_text(rows).partition("\n\n")[2].splitlines()
    assert notes == [
        f"a, b and 3 others: {shared}", f"e: {own}", "f: It is empty.", "g: It is empty.",
    ]  # fmt: skip
    assert answers_text(rows[:3]).endswith(f"a, b, c: {shared}")


def test_what_is_not_known_is_a_dash():
    assert shown(tc_kelvin=7.0)[1].split()[2:] == ["7.0", *["–"] * 7]


def test_the_figure_of_an_answer_shows_its_numbers_and_neighbours():
    (answer,) = answerer().answer([Crystal("a.cif", "", NB3SN)])
    (ax,) = answer.plot().axes
    labels = [label.get_text() for label in ax.get_yticklabels()]
    assert labels[0] == "predicted, 90% interval"
    assert labels[1:] == [f"{n.formula}, {n.distance:.3f} away" for n in answer.nearest]
    bar, point, *neighbours = (line.get_xdata() for line in ax.lines)
    np.testing.assert_allclose(bar**2, [answer.tc_lower, answer.tc_upper])
    np.testing.assert_allclose(np.concatenate([point, *neighbours]) ** 2,
                               [7, *(n.tc_kelvin for n in answer.nearest)])  # fmt: skip
    low, high = ax.get_xlim()
    assert low < bar[0] and bar[1] < high and max(neighbours) < high


def test_an_answer_with_an_error_has_no_figure():
    (answer,) = answerer().answer([Crystal("a.cif", "", "broken")])
    with pytest.raises(ValueError, match="nothing to draw"):
        answer.plot()
