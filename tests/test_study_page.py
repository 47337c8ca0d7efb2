"""What a study says it found: importances, tables, its page."""

import optuna
import pytest
from optuna.distributions import FloatDistribution
from optuna.samplers import RandomSampler

from supervision.experiment.spec import Experiment
from tracking.comparison.tables import Difference
from tracking.tuning.study import TrialQueue
from tracking.tuning.study_page import HEIGHT, _found, importances, page, trial_table, verdict
from tracking.tuning.trials import OBJECTIVES, StudyPlan

optuna.logging.set_verbosity(optuna.logging.WARNING)


def board_of(count, *, seed=0, directions=1):
    """A study of ``count`` trials, whose MAE hangs on ``a`` a thousand times more than on ``b``."""
    study = optuna.create_study(
        sampler=RandomSampler(seed=seed), directions=["minimize"] * directions
    )

    def mae(trial):
        a, b, c = (trial.suggest_float(name, 0, 1) for name in "abc")
        trial.set_user_attr("run", f"run {trial.number}")
        return [10 * a + 0.01 * b, 100 * c][:directions]

    study.optimize(mae, n_trials=count)
    return TrialQueue(study, study._storage, lambda number: RandomSampler(seed=number))


def plan_of(**chosen):
    return StudyPlan("a study", "journal", "composition", Experiment(), **chosen)


@pytest.mark.parametrize("seed", range(5))
def test_what_mattered_comes_first(seed):
    weights = importances(board_of(20, seed=seed), plan_of())
    assert next(iter(weights)) == "a" and weights["a"] > 0.8
    assert sum(weights.values()) == pytest.approx(1)


def test_with_two_objectives_it_is_the_error_that_counts():
    weights = importances(board_of(20, directions=2), plan_of(objectives=OBJECTIVES))
    assert next(iter(weights)) == "a"


def test_few_trials_say_nothing_nor_do_equal_ones():
    assert importances(board_of(19), plan_of()) == {}
    equal = board_of(0)
    for _ in range(24):
        trial = optuna.trial.create_trial(
            value=1.0, params={"a": 0.5}, distributions={"a": FloatDistribution(0, 1)}
        )
        equal.study.add_trial(trial)
    assert importances(equal, plan_of()) == {}


def test_a_table_has_a_row_a_trial():
    board = board_of(2)
    board.study.add_trial(
        optuna.trial.create_trial(
            state=optuna.trial.TrialState.FAIL, user_attrs={"failure": "ValueError: no"}
        )
    )
    table = trial_table(board)
    assert list(table["state"]) == ["complete", "complete", "fail"]
    assert list(table["run"]) == ["run 0", "run 1", ""]
    assert table["val_mae"][0] == board.trials()[0].values[0]
    assert table["why"][2] == "ValueError: no"


def test_a_lost_trial_names_the_one_in_its_place_and_one_that_waits_is_left_out():
    board = board_of(1)
    board.want(4)
    board.study.tell(0, 1.0, skip_if_finished=True)
    lost = board.claim()
    board.give_back(lost)
    board.recover()
    table = trial_table(board)
    assert list(table["state"]) == ["complete", "lost"]
    assert table["why"][1] == "its worker was stopped; tried again as trial 4"


def test_what_is_better_in_error_or_time_is_named():
    board = board_of(5, directions=2)
    board.want(7)
    first, second, third = _found(plan_of(objectives=OBJECTIVES), board, board.trials()[0])
    assert "5 trials (5 complete)" in first
    assert second == "Time was up: of 7 trials 5 were begun."
    best = min(board.counted(), key=lambda trial: trial.values[0])
    assert f"trial {best.number} ({best.values[0]:.3f} K, {best.values[1]:.1f} ms)" in third


@pytest.mark.parametrize(
    ("low", "high", "said"),
    [
        (
            0.07,
            2.2,
            "are worse than the default (tuned minus default +1.00 K, 95% +0.07 to +2.20, p 0.030)",
        ),
        (-0.5, 0.2, "no difference is seen"),
        (-0.5, -0.2, "are better"),
    ],
)
def test_the_verdict_says_what_to_do(low, high, said):
    middle = 1.0 if low > 0 else -0.3
    text = verdict(Difference("tuned", "default", middle, low, high, 0.03))
    assert said in text
    assert ("keep the default" in text) == (high > 0)


def test_a_page_shows_every_plot_and_needs_no_network():
    board = board_of(24, directions=2)
    html = page(plan_of(objectives=OBJECTIVES), board, ["Tuned < default."], trial_table(board))
    assert "<p>Tuned &lt; default.</p>" in html and "<td>run 7</td>" in html
    for title in ("trial by trial", "What mattered", "Setting by setting", "Error against time"):
        assert title in html
    assert html.count("plotly.js v") == 1
    assert "<script src=" not in html
    assert f'"height":{HEIGHT}' in html
