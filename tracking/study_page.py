"""What a study found: Optuna's plots on one page, tables, and the run's description."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import mlflow
import optuna
import optuna.visualization as optuna_plots
import pandas as pd
from optuna.trial import FrozenTrial, TrialState

from tracking import runs
from tracking.compare import Difference, difference
from tracking.results import Result
from tracking.study import Board
from tracking.trials import RUN, Plan

PAGE = "study.html"
HEIGHT = 460  # pixels of a plot
STYLE = """<style>
body { font: 16px/1.5 system-ui, sans-serif; color: #1b2a3a; max-width: 80rem; margin: 2rem auto; }
</style>"""


def publish(plan: Plan, board: Board, best: FrozenTrial, trained: Mapping[str, str]) -> None:
    """Trials and importances as tables, the plots, default against tuned, and a description."""
    runs.log_table(trial_table(board), "trials.csv")
    weights = importances(board, plan)
    if weights:
        rows = pd.DataFrame(weights.items(), columns=["setting", "importance"])
        runs.log_table(rows, "importance.csv")
    mlflow.log_text(page(plan, board), PAGE)
    said = [_found(plan, board, best), _mattered(weights)]
    if len(trained) == 2:
        default, tuned = (Result.read(trained[role]) for role in ("default", "tuned"))
        table = against(default, tuned)
        runs.log_table(table, "default_against_tuned.csv")
        said += [table.to_markdown(index=False), verdict(difference(tuned, default))]
        metrics = {"tuned_test_mae": tuned.metrics["test_mae"]}
        runs.log_metrics(metrics | {"default_test_mae": default.metrics["test_mae"]})
    text = "\n\n".join(filter(None, said))
    mlflow.set_tag("mlflow.note.content", text)
    print(text, flush=True)


def trial_table(board: Board) -> pd.DataFrame:
    """A row a trial, in order: what became of it, its values and settings, its run."""
    rows = [
        {"trial": t.number, "state": t.state.name.lower(), "run": t.user_attrs.get(RUN, "")}
        | dict(zip(("val_mae", "milliseconds"), t.values or (), strict=False))
        | t.params
        | {"why": t.user_attrs.get("failure", t.user_attrs.get("lost", ""))}
        for t in board.trials()
    ]
    return pd.DataFrame(rows)


def importances(board: Board, plan: Plan) -> dict[str, float]:
    """How much of the validation MAE's variation each setting explains; none by a few trials."""
    try:
        found = optuna.importance.get_param_importances(board.study, target=_mae(plan))
    except (RuntimeError, ValueError):  # fewer than two complete trials, or all alike
        return {}
    return {name: float(share) for name, share in found.items()}


def _mae(plan: Plan) -> Callable[[FrozenTrial], float] | None:
    """Which value plots show; there is no choice where there is one."""
    return (lambda trial: float(trial.values[0])) if len(plan.objectives) > 1 else None


def page(plan: Plan, board: Board) -> str:
    """Optuna's interactive plots, below each other, as one HTML page that needs no network."""
    parts = [f"<meta charset='utf-8'><title>{plan.study}</title>{STYLE}<h1>Study {plan.study}</h1>"]
    for number, (name, figure) in enumerate(_figures(plan, board)):
        figure.update_layout(title=name, template="plotly_white", height=HEIGHT, width=None)
        parts.append(figure.to_html(full_html=False, include_plotlyjs=number == 0))
    return "\n".join(parts)


def _figures(plan: Plan, board: Board) -> Iterator[tuple[str, Any]]:
    study, mae = board.study, _mae(plan)
    told: dict[str, Any] = {"target": mae, "target_name": "validation MAE (K)"}
    yield "Validation MAE (K) trial by trial", optuna_plots.plot_optimization_history(study, **told)
    if plan.prunes:
        curves = optuna_plots.plot_intermediate_values(study)
        curves.update_layout(xaxis_title="epoch", yaxis_title="validation MAE (K)")
        yield "Validation MAE (K) by epoch", curves
    if importances(board, plan):
        yield "What mattered", optuna_plots.plot_param_importances(study, **told)
    yield "Settings and validation MAE (K)", optuna_plots.plot_parallel_coordinate(study, **told)
    yield "Setting by setting", optuna_plots.plot_slice(study, **told)
    if mae:
        names = ["validation MAE (K)", "milliseconds a crystal"]
        yield "Error against time", optuna_plots.plot_pareto_front(study, target_names=names)


def _found(plan: Plan, board: Board, best: FrozenTrial) -> str:
    counted = board.counted()
    numbers = {
        state.name.lower(): len([t for t in counted if t.state == state])
        for state in (TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL)
    }
    told = ", ".join(f"{count} {name}" for name, count in numbers.items() if count)
    settings = ", ".join(f"{name} {_short(value)}" for name, value in best.params.items())
    return (
        f"Study {plan.study} of {plan.pipeline}: {len(counted)} trials ({told}). Best: trial "
        f"{best.number}, validation MAE {best.values[0]:.3f} K, with {settings}."
    )


def _short(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def _mattered(weights: Mapping[str, float]) -> str:
    if not weights:
        return "Too few trials to say what mattered."
    first = list(weights.items())[:3]
    return "What mattered: " + ", ".join(f"{name} {share:.0%}" for name, share in first) + "."


def against(default: Result, tuned: Result) -> pd.DataFrame:
    """Validation and test MAE of both, trained to the end."""
    keys = {"validation MAE (K)": "val_mae_final", "test MAE (K)": "test_mae"}
    rows = [
        {"": role, **{name: f"{result.metrics[key]:.3f}" for name, key in keys.items()}}
        for role, result in (("default", default), ("tuned", tuned))
    ]
    return pd.DataFrame(rows)


def verdict(found: Difference) -> str:
    """Tuned minus default on test, in a sentence."""
    shown = "" if found.shows else ": no difference is seen"
    return f"On test, tuned minus default: {found.text}, p {found.p:.3f}{shown}."
