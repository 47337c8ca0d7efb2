"""The ladder: precision at a base rate, the expected hits, their intervals, and what is refused."""

import numpy as np
import pytest
import typer
from scipy.stats import binomtest
from typer.testing import CliRunner

from entrypoints.ladder import app
from entrypoints.options import add_command
from supervision.data.material_classes import CLASSES
from supervision.data.splits import SPLIT_KINDS
from supervision.design.theory.ladder import Families, LadderOptions, exact_interval, ladder
from supervision.design.theory.ladder_report import ladder_figure, ladder_rows, ladder_text
from supervision.evaluation.discovery import all_discovery_metrics, discovery_intervals
from supervision.release.out_of_fold import OutOfFold

OPTIONS = {"candidates": 10_000, "shortlist": 100, "final": 5, "without": ""}


def predictions(tc, tc_pred, family=None, classes=None, split="novel"):
    n = len(tc)
    kinds = np.full(n, SPLIT_KINDS.index(split))
    return OutOfFold(
        split=kinds, fold=np.ones(n, int),
        family=np.arange(n) if family is None else np.array(family),
        classes=np.zeros(n, int) if classes is None else np.array(classes),
        domain=np.zeros(n, int), tc=np.array(tc, float), tc_pred=np.array(tc_pred, float),
        constant=np.zeros(n),
    )  # fmt: skip


@pytest.fixture(scope="module")
def ranked():
    """400 families, 20 of them hits; 10 hits lead, then 10 others, then 10 hits."""
    tc = np.zeros(400)
    tc[:10], tc[20:30] = 30, 30
    return predictions(tc, np.arange(400)[::-1])


def test_a_family_counts_once_by_its_highest_member():
    found = Families.of(
        predictions([5, 30, 0], [12, 3, 8], family=[7, 7, 2]), without=()
    )  # fmt: skip
    order = np.argsort(found.tc)
    assert (found.tc[order].tolist(), found.score[order].tolist()) == ([0, 30], [8, 12])


def test_a_family_with_a_member_of_a_class_is_left_out():
    cuprate, iron = (1 << list(CLASSES).index(name) for name in ("cuprate", "iron"))
    given = predictions(
        [90, 0, 50, 20], [80, 9, 40, 15], family=[0, 0, 1, 2], classes=[cuprate, 0, iron, 0]
    )
    assert Families.of(given, ("cuprate", "iron")).tc.tolist() == [20]
    assert sorted(Families.of(given, ("iron",)).tc.tolist()) == [20, 90]


def test_other_splits_are_not_looked_at(ranked):
    more = predictions([500] * 3, [500] * 3, split="random")
    both = OutOfFold(**{k: np.concatenate([v, vars(more)[k]]) for k, v in vars(ranked).items()})
    assert Families.of(both).tc.max() == 30


def test_at_the_share_of_the_data_the_precision_is_that_of_the_discovery_metrics(ranked):
    families = Families.of(ranked)
    metrics = all_discovery_metrics(ranked.tc, ranked.tc_pred, ranked.family)
    bounds = discovery_intervals(ranked.tc, ranked.tc_pred, ranked.family)
    for percent in (1, 5):
        expected = metrics[f"precision_top{percent}pct_20"]
        found = families.precision_at(4 * percent, 20)
        assert found.value == pytest.approx(expected)
        low, high = bounds[f"precision_top{percent}pct_20"]
        assert found.low <= low and high <= found.high
    assert families.precision(20 / 400, 20, 20 / 400).value == pytest.approx(0.5)


def test_precision_at_a_base_rate_is_that_of_a_hand_worked_mixture(ranked):
    """Half of the hits come first: at 2% hits, a top of 1% holds nothing but these.

    A top of 3% holds them (1%) and 2% of candidates that are others: 10 of 380 weigh 2.58%.
    """
    families = Families.of(ranked)
    assert families.precision(0.01, 20, 0.02).value == pytest.approx(1)
    assert families.precision(0.03, 20, 0.02).value == pytest.approx(0.01 / 0.03)


def test_a_top_of_fewer_than_ten_families_has_the_precision_of_ten():
    tc = np.zeros(400)
    tc[:3] = 30
    families = Families.of(predictions(tc, np.arange(400)[::-1]))
    assert families.precision(1e-6, 20, 3 / 400).value == pytest.approx(0.3)


def test_a_base_rate_lowers_the_precision_and_no_shortlist_has_more_hits_than_there_are(ranked):
    found = ladder(ranked, LadderOptions(**OPTIONS))
    precisions = [p.value for p, _ in found.by_base_rate.values()]
    assert list(found.by_base_rate) == sorted(found.by_base_rate, reverse=True)
    assert precisions == sorted(precisions, reverse=True)
    for rate, (precision, end) in found.by_base_rate.items():
        assert precision.high * 100 <= rate * 10_000 + 1e-9
        assert end.value <= min(5, precision.value * 100)


def test_rungs_are_those_of_a_hand_worked_search(ranked):
    """Of 10,000 candidates 10 are hits; 5 of them, the first half, lead and are in the top 1%.

    The 10 families that follow stand for 2.6% of the candidates, so the other 95 of 100 are no
    hits. Theory takes 0.8 of the 5 and 0.1 of the 95: 13.5, of which 4 are hits; 5 are chosen.
    """
    options = LadderOptions(**OPTIONS, base_rate=0.001, predict_seconds=0.36, theory_hours=7)
    found = ladder(ranked, options)
    predict, calculate = found.rungs
    assert (predict.given, predict.kept, calculate.kept) == (10_000, 100, 5)
    assert predict.hits.value == pytest.approx(5)
    assert calculate.hits.value == pytest.approx(5 * 4 / 13.5)
    assert (predict.core_hours, calculate.core_hours) == (1, 700)
    assert predict.hits.low <= 5 <= predict.hits.high


def test_a_theory_that_confirms_fewer_than_are_made_leaves_the_rest_out(ranked):
    options = LadderOptions(**OPTIONS, base_rate=0.001, theory_recall=0.4, theory_false=0)
    assert ladder(ranked, options).rungs[1].hits.value == pytest.approx(2)


@pytest.mark.parametrize(("hits", "others"), [(0, 10), (10, 0), (3, 7), (50, 50)])
def test_the_exact_interval_is_that_of_scipy(hits, others):
    bounds = binomtest(hits, hits + others).proportion_ci(method="exact")
    assert exact_interval(hits, others) == pytest.approx((bounds.low, bounds.high))


def test_all_hits_at_the_top_do_not_make_it_sure():
    tc = np.repeat([30.0, 0.0], 100)
    found = Families.of(predictions(tc, np.arange(200)[::-1])).precision_at(10, 20)
    assert found == pytest.approx((1, 0.025**0.1, 1))  # the bootstrap interval has no width


def test_the_same_predictions_give_the_same_text_that_fits_a_terminal(ranked):
    texts = [ladder_text(ladder(ranked, LadderOptions(**OPTIONS))) for _ in range(2)]
    assert texts[0] == texts[1]
    assert max(map(len, texts[0].splitlines())) <= 100
    assert "Base rate 0.05: the share of the 400 families" in texts[0]
    given = ladder_text(ladder(ranked, LadderOptions(**OPTIONS, base_rate=0.001)))
    assert "Base rate 0.001, as given" in given


def test_table_and_figure_show_the_rungs(ranked):
    found = ladder(ranked, LadderOptions(**OPTIONS))
    assert [row["out"] for row in ladder_rows(found)] == [100, 5]
    figure = ladder_figure(found)
    figure.draw_without_rendering()
    labels = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert labels[0] == "candidates" and labels[1].startswith("predict: 100")


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ({"shortlist": 10_000}, "each rung must be smaller"),
        ({"final": 0}, "each rung must be smaller"),
        ({"base_rate": 1.5}, "base_rate must be 0 to 1"),
        ({"theory_recall": float("nan")}, "theory_recall must be 0 to 1"),
        ({"theory_hours": -1.0}, "theory_hours must be 0 or more"),
        ({"tc": -1.0}, "tc must be 0 or more"),
        ({"without": "cuprates"}, "class 'cuprates' is not one of cuprate, iron"),
    ],
)
def test_bad_options_are_refused(option, message):
    with pytest.raises(ValueError, match=message):
        LadderOptions(**OPTIONS | option)


def test_a_threshold_that_no_family_exceeds_is_refused(ranked):
    with pytest.raises(ValueError, match="0 of the 400 families have a Tc over 300 K"):
        ladder(ranked, LadderOptions(**OPTIONS, tc=300))


def test_the_command_prints_the_ladder_of_a_released_model(tmp_path):
    group = typer.Typer()
    add_command(group, "ladder", app)
    plot = tmp_path / "ladder.png"
    done = CliRunner().invoke(group, ["--base-rate", "0.001", "--plot", str(plot)])
    assert done.exit_code == 0, done.output
    assert "Model released ensemble" in done.output and "Base rate 0.001, as given" in done.output
    assert plot.stat().st_size > 10_000
    refused = CliRunner().invoke(group, ["--model", "no_such"])
    assert refused.exit_code == 2 and "is not one of the released models" in refused.output
