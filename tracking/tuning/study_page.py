"""Reports a study: Optuna's plots on one HTML page, tables, and the description of its run."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from html import escape
from typing import Any

import mlflow
import optuna
import optuna.visualization as optuna_plots
import pandas as pd
from optuna.importance import FanovaImportanceEvaluator
from optuna.trial import FrozenTrial, TrialState

from tracking import runs
from tracking.comparison.differences import Difference, difference
from tracking.comparison.results import Result
from tracking.description import describe_run, result_in, run_link
from tracking.tuning.trial_queue import ENDED, FAILURE, LOST, RETRY_OF, RUN, TrialQueue, is_lost
from tracking.tuning.trials import StudyPlan

PAGE_FILE, BEST_FILE = "study.html", "best.json"
MIN_TRIALS_FOR_IMPORTANCE = 20  # complete trials
PLOT_HEIGHT_PIXELS = 460
STYLE = """<style>
body { font: 16px/1.5 system-ui, sans-serif; color: #1b2a3a; max-width: 80rem; margin: 2rem auto; }
table { border-collapse: collapse; } td, th { padding: 0.2rem 1rem; text-align: right; }
</style>"""


def publish(
    plan: StudyPlan, queue: TrialQueue, best: FrozenTrial, trained: Mapping[str, str]
) -> None:
    """Log the tables, the page and the description of a study to the active run.

    ``trained`` holds the run ids of the retrained settings by role; empty without retraining.
    """
    runs.log_table(trial_table(queue), "trials.csv")
    weights = importances(queue, plan)
    if weights:
        rows = pd.DataFrame(weights.items(), columns=["setting", "importance"])
        runs.log_table(rows, "importance.csv")
    what, *sentences = _summary(plan, queue, best)
    table = None
    if list(trained) == ["default"]:
        sentences.append("No trial had a lower MAE than the default settings: keep them.")
    elif trained:
        default, tuned = (Result.read(trained[role]) for role in ("default", "tuned"))
        table = comparison_table(default, tuned)
        runs.log_table(table, "default_against_tuned.csv")
        sentences.append(recommendation(difference(tuned, default)))
        metrics = {"tuned_test_mae": tuned.metrics["test_mae"]}
        runs.log_metrics(metrics | {"default_test_mae": default.metrics["test_mae"]})
    sentences.append(_importance_sentence(weights, queue))
    mlflow.log_text(render_page(plan, queue, [what, *sentences], table), PAGE_FILE)
    tables = [] if table is None else [table.to_markdown(index=False)]
    _describe(what, sentences, tables, trained)
    text = "\n\n".join([what, *sentences, *tables])
    print(f"{text}\n\nRun {runs.run_id()}: {PAGE_FILE}, trials.csv, {BEST_FILE}.", flush=True)


def _describe(
    what: str, sentences: Sequence[str], tables: Sequence[str], trained: Mapping[str, str]
) -> None:
    """Describe the study's run by the test errors of its trainings and what follows from them."""
    errors = [
        f"[{role}]({run_link(run)}): {result_in(runs.description(run))}"
        for role, run in trained.items()
    ]
    result = errors.pop() if errors else "Nothing was trained in full, so there is no test error."
    look = {
        PAGE_FILE: "the trials in Optuna's plots",
        "trials.csv": "every trial",
        BEST_FILE: "the best settings",
    }
    describe_run(what, result, look, more="\n\n".join([*errors, *sentences, *tables]))


def trial_table(queue: TrialQueue) -> pd.DataFrame:
    """One row per trial that has begun: its state, run, objectives and settings.

    The column ``why`` gives the reason of a failure; for a lost trial also the number of the trial
    that replaced it.
    """
    begun = queue.trials(*ENDED, TrialState.RUNNING)
    retries = {t.user_attrs[RETRY_OF]: t.number for t in queue.trials() if RETRY_OF in t.user_attrs}
    rows = [
        {"trial": t.number, "state": "lost" if is_lost(t) else t.state.name.lower()}
        | {"run": t.user_attrs.get(RUN, "")}
        | dict(zip(("val_mae", "milliseconds"), t.values or (), strict=False))
        | t.params
        | {"why": _reason(t, retries)}
        for t in begun
    ]
    return pd.DataFrame(rows)


def _reason(trial: FrozenTrial, retries: Mapping[int, int]) -> str:
    if is_lost(trial):
        return f"{trial.user_attrs[LOST]}; run again as trial {retries.get(trial.number)}"
    return str(trial.user_attrs.get(FAILURE, ""))


def importances(queue: TrialQueue, plan: StudyPlan) -> dict[str, float]:
    """The share of the validation MAE's variance that each setting explains, largest first.

    Empty with fewer than MIN_TRIALS_FOR_IMPORTANCE complete trials, or if all have equal values.
    Computed by functional ANOVA of a random forest (Hutter, Hoos and Leyton-Brown, ICML 2014).
    Optuna's default method evaluates the best tenth of the trials only, two of twenty.
    """
    if not _importance_is_defined(queue):
        return {}
    shares = optuna.importance.get_param_importances(
        queue.study, evaluator=_evaluator(plan), target=_mae(plan)
    )
    return {name: float(share) for name, share in shares.items()}


def _importance_is_defined(queue: TrialQueue) -> bool:
    complete = queue.trials(TrialState.COMPLETE)
    values = {trial.values[0] for trial in complete}
    return len(complete) >= MIN_TRIALS_FOR_IMPORTANCE and len(values) > 1


def _evaluator(plan: StudyPlan) -> FanovaImportanceEvaluator:
    return FanovaImportanceEvaluator(seed=plan.experiment.seed % 2**32)


def _mae(plan: StudyPlan) -> Callable[[FrozenTrial], float] | None:
    """The value that plots show, for Optuna's ``target``; None for a single objective."""
    return (lambda trial: float(trial.values[0])) if len(plan.objectives) > 1 else None


def render_page(
    plan: StudyPlan,
    queue: TrialQueue,
    sentences: Sequence[str] = (),
    table: pd.DataFrame | None = None,
) -> str:
    """The results and Optuna's interactive plots as one HTML page that works offline."""
    name = escape(plan.study)
    parts = [f"<meta charset='utf-8'><title>{name}</title>{STYLE}<h1>Study {name}</h1>"]
    parts += [f"<p>{escape(text)}</p>" for text in sentences]
    if table is not None:
        parts.append(table.to_html(index=False, border=0))
    for number, (title, figure) in enumerate(_figures(plan, queue)):
        figure.update_layout(
            title=title, template="plotly_white", height=PLOT_HEIGHT_PIXELS, width=None
        )
        parts.append(figure.to_html(full_html=False, include_plotlyjs=number == 0))
    return "\n".join(parts)


def _figures(plan: StudyPlan, queue: TrialQueue) -> Iterator[tuple[str, Any]]:
    """Titles and figures."""
    study, mae = queue.study, _mae(plan)
    target: dict[str, Any] = {"target": mae, "target_name": "validation MAE (K)"}
    yield (
        "Validation MAE (K) by trial",
        optuna_plots.plot_optimization_history(study, **target),
    )
    if plan.prunes:
        curves = optuna_plots.plot_intermediate_values(study)
        curves.update_layout(xaxis_title="epoch", yaxis_title="best validation MAE so far (K)")
        yield "Best validation MAE (K) by epoch", curves
    if _importance_is_defined(queue):
        shares = optuna_plots.plot_param_importances(study, evaluator=_evaluator(plan), **target)
        yield "Importance of the settings", shares
    yield "Settings and validation MAE (K)", optuna_plots.plot_parallel_coordinate(study, **target)
    yield "Validation MAE (K) by setting", optuna_plots.plot_slice(study, **target)
    if mae:
        names = ["validation MAE (K)", "milliseconds per crystal"]
        yield (
            "MAE and time (Pareto front)",
            optuna_plots.plot_pareto_front(study, target_names=names),
        )


def _summary(plan: StudyPlan, queue: TrialQueue, best: FrozenTrial) -> list[str]:
    """Sentences: trials by state, the best trial, the timeout and the Pareto front."""
    ended = queue.ended()
    counts = {
        state.name.lower(): len([t for t in ended if t.state == state])
        for state in (TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL)
    } | {"lost and run again": len([t for t in queue.trials() if is_lost(t)])}
    states = ", ".join(f"{count} {name}" for name, count in counts.items() if count)
    sentences = [
        f"Study {plan.study} of {plan.model_family}: {len(ended)} trials ({states}).",
        f"Best: trial {best.number}, validation MAE {best.values[0]:.3f} K, with "
        f"{format_settings(best.params)}.",
    ]
    if len(ended) < queue.target_count():
        sentences.append(
            f"The timeout ended the study: {len(ended)} of {queue.target_count()} trials were run."
        )
    if len(plan.objectives) > 1:
        front = ", ".join(
            f"trial {t.number} ({t.values[0]:.3f} K, {t.values[1]:.1f} ms)"
            for t in sorted(queue.study.best_trials, key=lambda t: t.values[0])
        )
        sentences.append(f"Pareto front of validation MAE and time per crystal: {front}.")
    return sentences


def format_settings(settings: Mapping[str, Any]) -> str:
    """Settings on one line, floats with three significant digits."""
    return ", ".join(f"{name} {_short(value)}" for name, value in settings.items())


def _short(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def _importance_sentence(weights: Mapping[str, float], queue: TrialQueue) -> str:
    complete = len(queue.trials(TrialState.COMPLETE))
    if not weights:
        return (
            "The importance of the settings is unknown: it needs "
            f"{MIN_TRIALS_FOR_IMPORTANCE} complete trials with different values, and the study "
            f"has {complete} complete trials."
        )
    first = ", ".join(f"{name} {share:.0%}" for name, share in list(weights.items())[:3])
    return f"Most important settings, from {complete} complete trials: {first}."


def comparison_table(default: Result, tuned: Result) -> pd.DataFrame:
    """Validation and test MAE of the default and the best settings, both trained in full."""
    keys = {"validation MAE (K)": "val_mae_final", "test MAE (K)": "test_mae"}
    rows = [
        {"": role, **{name: f"{result.metrics[key]:.3f}" for name, key in keys.items()}}
        for role, result in (("default", default), ("tuned", tuned))
    ]
    return pd.DataFrame(rows)


def recommendation(found: Difference) -> str:
    """Which settings to use, from the paired difference of the test MAE, tuned minus default."""
    interval = f"95% {found.low:+.2f} to {found.high:+.2f}"
    paired = f"tuned minus default {found.difference:+.2f} K, {interval}, p {found.p:.3f}"
    if not found.is_shown:
        return f"The test MAE does not differ significantly ({paired}): keep the default settings."
    if found.difference > 0:
        return (
            f"On test the tuned settings are worse than the default ({paired}): keep the default. "
            "The search has overfitted the validation materials."
        )
    return f"On test the tuned settings are better ({paired}): train with config={BEST_FILE}."
