"""The report of a study: importances, tables, page and recommendation."""

import optuna
import pytest
from optuna.distributions import FloatDistribution
from optuna.samplers import RandomSampler

from supervision.experiment.spec import Experiment
from tracking.comparison.differences import Difference
from tracking.tuning.study_page import (
    PLOT_HEIGHT_PIXELS,
    _summary,
    importances,
    recommendation,
    render_page,
    trial_table,
)
from tracking.tuning.trial_queue import TrialQueue
from tracking.tuning.trials import OBJECTIVES, StudyPlan

optuna.logging.set_verbosity(optuna.logging.WARNING)


def queue_of(count, *, seed=0, directions=1):
    """A study of ``count`` trials whose MAE depends 1000 times more on ``a`` than on ``b``."""
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
def test_the_most_important_setting_is_first(seed):
    weights = importances(queue_of(20, seed=seed), plan_of())
    assert next(iter(weights)) == "a" and weights["a"] > 0.8
    assert sum(weights.values()) == pytest.approx(1)


def test_with_two_objectives_importances_are_those_of_the_mae():
    weights = importances(queue_of(20, directions=2), plan_of(objectives=OBJECTIVES))
    assert next(iter(weights)) == "a"


def test_importances_are_empty_for_few_or_equal_trials():
    assert importances(queue_of(19), plan_of()) == {}
    equal = queue_of(0)
    for _ in range(24):
        trial = optuna.trial.create_trial(
            value=1.0, params={"a": 0.5}, distributions={"a": FloatDistribution(0, 1)}
        )
        equal.study.add_trial(trial)
    assert importances(equal, plan_of()) == {}


def test_the_trial_table_has_one_row_per_trial():
    queue = queue_of(2)
    queue.study.add_trial(
        optuna.trial.create_trial(
            state=optuna.trial.TrialState.FAIL, user_attrs={"failure": "ValueError: no"}
        )
    )
    table = trial_table(queue)
    assert list(table["state"]) == ["complete", "complete", "fail"]
    assert list(table["run"]) == ["run 0", "run 1", ""]
    assert table["val_mae"][0] == queue.trials()[0].values[0]
    assert table["why"][2] == "ValueError: no"


def test_the_trial_table_names_the_retry_of_a_lost_trial_and_omits_waiting_trials():
    queue = queue_of(1)
    queue.enqueue(4)
    queue.study.tell(0, 1.0, skip_if_finished=True)
    queue.release(queue.claim())
    queue.recover()
    table = trial_table(queue)
    assert list(table["state"]) == ["complete", "lost"]
    assert table["why"][1] == "its worker was stopped; run again as trial 4"


def test_the_summary_names_the_timeout_and_the_pareto_front():
    queue = queue_of(5, directions=2)
    queue.enqueue(7)
    first, _, second, third = _summary(plan_of(objectives=OBJECTIVES), queue, queue.trials()[0])
    assert "5 trials (5 complete)" in first
    assert second == "The timeout ended the study: 5 of 7 trials were run."
    best = min(queue.ended(), key=lambda trial: trial.values[0])
    assert f"trial {best.number} ({best.values[0]:.3f} K, {best.values[1]:.1f} ms)" in third


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (
            0.07,
            2.2,
            "are worse than the default (tuned minus default +1.00 K, 95% +0.07 to +2.20, p 0.030)",
        ),
        (-0.5, 0.2, "does not differ significantly"),
        (-0.5, -0.2, "are better"),
    ],
)
def test_the_recommendation_follows_from_the_interval(low, high, expected):
    middle = 1.0 if low > 0 else -0.3
    text = recommendation(Difference("tuned", "default", middle, low, high, 0.03))
    assert expected in text
    assert ("keep the default" in text) == (high > 0)


def test_the_page_has_all_plots_and_works_offline():
    queue = queue_of(24, directions=2)
    html = render_page(
        plan_of(objectives=OBJECTIVES), queue, ["Tuned < default."], trial_table(queue)
    )
    assert "<p>Tuned &lt; default.</p>" in html and "<td>run 7</td>" in html
    for title in ("MAE (K) by trial", "Importance of", "MAE (K) by setting", "Pareto front"):
        assert title in html
    assert html.count("plotly.js v") == 1
    assert "<script src=" not in html
    assert f'"height":{PLOT_HEIGHT_PIXELS}' in html
