"""What a study found: Optuna's plots on one page, tables, and the run's description."""

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
from tracking.comparison.results import Result
from tracking.comparison.tables import Difference, difference
from tracking.tuning.study import AGAIN, ENDED, FAILURE, LOST, RUN, TrialQueue, is_lost
from tracking.tuning.trials import StudyPlan

PAGE, BEST = "study.html", "best.json"
ENOUGH = 20  # complete trials, to say what mattered
HEIGHT = 460  # pixels of a plot
STYLE = """<style>
body { font: 16px/1.5 system-ui, sans-serif; color: #1b2a3a; max-width: 80rem; margin: 2rem auto; }
table { border-collapse: collapse; } td, th { padding: 0.2rem 1rem; text-align: right; }
</style>"""


def publish(
    plan: StudyPlan, board: TrialQueue, best: FrozenTrial, trained: Mapping[str, str]
) -> None:
    """Trials and importances as tables, the plots, default against tuned, and a description."""
    runs.log_table(trial_table(board), "trials.csv")
    weights = importances(board, plan)
    if weights:
        rows = pd.DataFrame(weights.items(), columns=["setting", "importance"])
        runs.log_table(rows, "importance.csv")
    said, table = _found(plan, board, best), None
    if list(trained) == ["default"]:
        said.append("No trial had a lower MAE than the default settings: keep them.")
    elif trained:
        default, tuned = (Result.read(trained[role]) for role in ("default", "tuned"))
        table = against(default, tuned)
        runs.log_table(table, "default_against_tuned.csv")
        said.append(verdict(difference(tuned, default)))
        metrics = {"tuned_test_mae": tuned.metrics["test_mae"]}
        runs.log_metrics(metrics | {"default_test_mae": default.metrics["test_mae"]})
    said.append(_mattered(weights, board))
    mlflow.log_text(page(plan, board, said, table), PAGE)
    shown = [] if table is None else [table.to_markdown(index=False)]
    text = "\n\n".join([*said, *shown])
    mlflow.set_tag("mlflow.note.content", text)
    print(f"{text}\n\nRun {runs.run_id()}: {PAGE}, trials.csv, best.json.", flush=True)


def trial_table(board: TrialQueue) -> pd.DataFrame:
    """A row a trial that was begun, in order: what became of it, its values and settings, its run.

    A lost one says which was tried in its place.
    """
    began = board.trials(*ENDED, TrialState.RUNNING)
    instead = {t.user_attrs[AGAIN]: t.number for t in board.trials() if AGAIN in t.user_attrs}
    rows = [
        {"trial": t.number, "state": "lost" if is_lost(t) else t.state.name.lower()}
        | {"run": t.user_attrs.get(RUN, "")}
        | dict(zip(("val_mae", "milliseconds"), t.values or (), strict=False))
        | t.params
        | {"why": _why(t, instead)}
        for t in began
    ]
    return pd.DataFrame(rows)


def _why(trial: FrozenTrial, instead: Mapping[int, int]) -> str:
    if is_lost(trial):
        again = instead.get(trial.number)
        return f"{trial.user_attrs[LOST]}; tried again as trial {again}"
    return str(trial.user_attrs.get(FAILURE, ""))


def importances(board: TrialQueue, plan: StudyPlan) -> dict[str, float]:
    """How much of the validation MAE's variation each setting explains; none by a few trials.

    By functional ANOVA of a random forest (Hutter, Hoos and Leyton-Brown, ICML 2014): Optuna's
    default looks at the best tenth of the trials alone, which is two of twenty.
    """
    if not _enough(board):
        return {}
    found = optuna.importance.get_param_importances(
        board.study, evaluator=_evaluator(plan), target=_mae(plan)
    )
    return {name: float(share) for name, share in found.items()}


def _enough(board: TrialQueue) -> bool:
    """Whether there are trials enough to say what mattered, and they differ."""
    complete = board.trials(TrialState.COMPLETE)
    return len(complete) >= ENOUGH and len({trial.values[0] for trial in complete}) > 1


def _evaluator(plan: StudyPlan) -> FanovaImportanceEvaluator:
    return FanovaImportanceEvaluator(seed=plan.experiment.seed % 2**32)


def _mae(plan: StudyPlan) -> Callable[[FrozenTrial], float] | None:
    """Which value plots show; there is no choice where there is one."""
    return (lambda trial: float(trial.values[0])) if len(plan.objectives) > 1 else None


def page(
    plan: StudyPlan, board: TrialQueue, said: Sequence[str] = (), table: pd.DataFrame | None = None
) -> str:
    """What was found and Optuna's interactive plots, as one HTML page that needs no network."""
    name = escape(plan.study)
    parts = [f"<meta charset='utf-8'><title>{name}</title>{STYLE}<h1>Study {name}</h1>"]
    parts += [f"<p>{escape(text)}</p>" for text in said]
    if table is not None:
        parts.append(table.to_html(index=False, border=0))
    for number, (title, figure) in enumerate(_figures(plan, board)):
        figure.update_layout(title=title, template="plotly_white", height=HEIGHT, width=None)
        parts.append(figure.to_html(full_html=False, include_plotlyjs=number == 0))
    return "\n".join(parts)


def _figures(plan: StudyPlan, board: TrialQueue) -> Iterator[tuple[str, Any]]:
    study, mae = board.study, _mae(plan)
    of_mae: dict[str, Any] = {"target": mae, "target_name": "validation MAE (K)"}
    yield (
        "Validation MAE (K) trial by trial",
        optuna_plots.plot_optimization_history(study, **of_mae),
    )
    if plan.prunes:
        curves = optuna_plots.plot_intermediate_values(study)
        curves.update_layout(xaxis_title="epoch", yaxis_title="best validation MAE so far (K)")
        yield "Best validation MAE (K) by epoch", curves
    if _enough(board):
        shares = optuna_plots.plot_param_importances(study, evaluator=_evaluator(plan), **of_mae)
        yield "What mattered", shares
    yield "Settings and validation MAE (K)", optuna_plots.plot_parallel_coordinate(study, **of_mae)
    yield "Setting by setting", optuna_plots.plot_slice(study, **of_mae)
    if mae:
        names = ["validation MAE (K)", "milliseconds a crystal"]
        yield "Error against time", optuna_plots.plot_pareto_front(study, target_names=names)


def _found(plan: StudyPlan, board: TrialQueue, best: FrozenTrial) -> list[str]:
    """How many trials came to what, and which was best."""
    counted = board.counted()
    numbers = {
        state.name.lower(): len([t for t in counted if t.state == state])
        for state in (TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL)
    } | {"lost and tried again": len([t for t in board.trials() if is_lost(t)])}
    ends = ", ".join(f"{count} {name}" for name, count in numbers.items() if count)
    said = [
        f"Study {plan.study} of {plan.model_family}: {len(counted)} trials ({ends}). Best: trial "
        f"{best.number}, validation MAE {best.values[0]:.3f} K, with {told(best.params)}."
    ]
    if len(counted) < board.wanted():
        said.append(f"Time was up: of {board.wanted()} trials {len(counted)} were begun.")
    if len(plan.objectives) > 1:
        front = ", ".join(
            f"trial {t.number} ({t.values[0]:.3f} K, {t.values[1]:.1f} ms)"
            for t in sorted(board.study.best_trials, key=lambda t: t.values[0])
        )
        said.append(f"No other is better than these in error and in time a crystal: {front}.")
    return said


def told(settings: Mapping[str, Any]) -> str:
    """Settings as text."""
    return ", ".join(f"{name} {_short(value)}" for name, value in settings.items())


def _short(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def _mattered(weights: Mapping[str, float], board: TrialQueue) -> str:
    complete = len(board.trials(TrialState.COMPLETE))
    if not weights:
        return f"Too few complete trials, {complete} of {ENOUGH}, to say which setting mattered."
    first = ", ".join(f"{name} {share:.0%}" for name, share in list(weights.items())[:3])
    return f"What mattered, by {complete} complete trials: {first}."


def against(default: Result, tuned: Result) -> pd.DataFrame:
    """Validation and test MAE of both, trained to the end."""
    keys = {"validation MAE (K)": "val_mae_final", "test MAE (K)": "test_mae"}
    rows = [
        {"": role, **{name: f"{result.metrics[key]:.3f}" for name, key in keys.items()}}
        for role, result in (("default", default), ("tuned", tuned))
    ]
    return pd.DataFrame(rows)


def verdict(found: Difference) -> str:
    """Whether the search was worth it, from tuned minus default on test, and what to do."""
    interval = f"95% {found.low:+.2f} to {found.high:+.2f}"
    paired = f"tuned minus default {found.difference:+.2f} K, {interval}, p {found.p:.3f}"
    if not found.shows:
        return f"On test no difference is seen ({paired}): keep the default settings."
    if found.difference > 0:
        return (
            f"On test the tuned settings are worse than the default ({paired}): keep the default. "
            "The search has fitted the validation materials."
        )
    return f"On test the tuned settings are better ({paired}): train with config={BEST}."
