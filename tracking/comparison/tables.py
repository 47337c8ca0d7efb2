"""What several runs say beside each other: the tables and the sentences of the report.

Every number is of test materials, one prediction a material. A difference counts as one where the
95% interval of the paired bootstrap leaves out zero; the sentences say so where it does not.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np
import pandas as pd
from scipy.stats import spearmanr

from supervision.evaluation.metrics import all_metrics, bootstrap_intervals, paired_bootstrap
from tracking.comparison.results import Result

SCRATCH = "from scratch"
BAR = "composition"  # the model_family that every other is held to
MODEL_FAMILIES = (BAR, "graph", "vision")
NULLS = ("constant median", "family mean")
PREDICTED = {"below 1": 1, "1 to 5": 5, "5 to 15": 15, "15 to 40": 40, "over 40": np.inf}  # K
PUBLISHED = (  # result, MAE in K, on what, source
    ("ALIGNN, alex_supercon_Tc", "0.88", "Tc computed with DFT, Alexandria", "alignn 2026.8.11"),
    (
        "BETE-NET, from the spectral function",
        "2.1",
        "Tc computed with DFT, 818 materials",
        "npj Comput. Mater. 11, 7 (2025)",
    ),
    (
        "boosted trees on composition",
        "RMSE 9.5",
        "SuperCon, superconductors only, with repeated entries",
        "arXiv:1803.10260; doi:10.3390/molecules26010008",
    ),
)
CLAIMED = (  # of the figures that this project set out from: a random split of 3DSC, not ours
    ("a vision transformer", "4.85"),
    ("ALIGNN, fine-tuned", "5.34"),
    ("ALIGNN, zero-shot", "9.49"),
)


@dataclass(frozen=True)
class Difference:
    """MAE of one model minus that of another on the same materials, K."""

    one: str
    other: str
    difference: float
    low: float
    high: float
    p: float

    @property
    def shows(self) -> bool:
        """Whether zero is left out."""
        return self.low > 0 or self.high < 0

    @property
    def text(self) -> str:
        """The difference with its interval."""
        return f"{self.difference:+.2f} K, {self.low:+.2f} to {self.high:+.2f}"


def ranked(results: Sequence[Result], split: str) -> list[Result]:
    """The models of a split, the lowest test MAE first."""
    chosen = [r for r in results if r.split == split]
    return sorted(chosen, key=lambda r: (r.test["tc"] - r.test["tc_pred"]).abs().mean())


def splits_of(results: Sequence[Result]) -> list[str]:
    """The splits, in the order of their first run."""
    return list(dict.fromkeys(result.split for result in results))


def names_of(results: Sequence[Result]) -> list[str]:
    """The models, in the order of the first split, those of other splits after them."""
    order = [r.name for split in splits_of(results) for r in ranked(results, split)]
    return list(dict.fromkeys(order))


def difference(one: Result, other: Result) -> Difference:
    """Of two models on one split."""
    tc = one.test["tc"].to_numpy()
    paired = paired_bootstrap(tc, one.test["tc_pred"].to_numpy(), other.test["tc_pred"].to_numpy())
    return Difference(one.name, other.name, **paired)


def differences(results: Sequence[Result], split: str) -> list[Difference]:
    """Of every pair on a split, and of each model and the nulls."""
    models = ranked(results, split)
    found = [difference(one, other) for one, other in combinations(models, 2)]
    for model in models:
        for row in _null_rows(model):
            found.append(_from_null(model, row, str(row["predictor"])))
    return found


def _from_null(model: Result, row: dict, null: str) -> Difference:
    """Of a model and the null whose row its run logged."""
    keys = ("difference", "low", "high", "p")
    return Difference(model.name, null, *(float(row[f"model_minus_null_{key}"]) for key in keys))


def _null_rows(result: Result) -> list[dict]:
    if result.comparison.empty:
        return []
    rows = result.comparison[result.comparison["predictor"].isin(NULLS)]
    return rows.to_dict("records")


# --- tables


def main_table(results: Sequence[Result]) -> pd.DataFrame:
    """A row a model, MAE with its interval, RMSE and R2 on each split; the nulls first."""
    rows: dict[str, dict[str, str]] = {name: {} for name in (*NULLS, *names_of(results))}
    for split in splits_of(results):
        models = ranked(results, split)
        for model in models:
            rows[model.name] |= _cells(split, _judged(model))
        for null in next((_null_rows(model) for model in models if _null_rows(model)), []):
            rows[str(null["predictor"])] |= _cells(split, null)
    table = pd.DataFrame.from_dict(rows, orient="index").fillna("–")
    return table.rename_axis("model").reset_index()


def _judged(result: Result) -> dict[str, float]:
    tc, tc_pred = result.test["tc"].to_numpy(), result.test["tc_pred"].to_numpy()
    found = all_metrics(tc, tc_pred)
    for name, (low, high) in bootstrap_intervals(tc, tc_pred).items():
        found |= {f"{name}_low": low, f"{name}_high": high}
    return found


def _cells(split: str, row: Mapping[str, float]) -> dict[str, str]:
    def cell(name: str, digits: int) -> str:
        low, high = row[f"{name}_low"], row[f"{name}_high"]
        return f"{row[name]:.{digits}f} ({low:.{digits}f} to {high:.{digits}f})"

    return {
        f"{split}: MAE (K)": cell("mae", 2),
        f"{split}: RMSE (K)": cell("rmse", 1),
        f"{split}: R²": cell("r2", 2),
    }


def band_table(results: Sequence[Result], split: str) -> pd.DataFrame:
    """MAE and bias of each model in each band of measured Tc."""
    models = ranked(results, split)
    counted = models[0].bands[models[0].bands["n"] > 0]
    columns = {f"{row.band}, n = {row.n}": row.band for row in counted.itertuples()}
    rows = []
    for model in models:
        bands = model.bands.set_index("band").to_dict("index")
        cells = {
            title: f"{bands[band]['mae']:.2f} ({bands[band]['bias']:+.1f})"
            for title, band in columns.items()
        }
        rows.append({"MAE (and bias), K": model.name} | cells)
    return pd.DataFrame(rows)


def expectation_table(result: Result) -> pd.DataFrame:
    """What was measured where the model said so much: for who has nothing but a prediction."""
    test = result.test
    bands = pd.cut(test["tc_pred"], [-np.inf, *PREDICTED.values()], labels=list(PREDICTED))
    rows = []
    for band, part in test.groupby(bands, observed=True):
        low, high = part["tc"].quantile([0.1, 0.9])
        rows.append(
            {
                "predicted (K)": band,
                "n": len(part),
                "middle 80% of measured (K)": f"{low:.1f} to {high:.1f}",
                "none reported": f"{(part['tc'] == 0).mean():.0%}",
                "median error (K)": f"{(part['tc'] - part['tc_pred']).abs().median():.1f}",
            }
        )
    return pd.DataFrame(rows)


def rank_correlation(result: Result) -> float:
    """Spearman's, over the test materials: how well a list is in order."""
    return float(spearmanr(result.test["tc"], result.test["tc_pred"]).statistic)


def pair_table(results: Sequence[Result], split: str) -> pd.DataFrame:
    """Every pair: difference, interval, p, and whether it shows."""
    rows = [
        {
            "MAE of": d.one,
            "minus that of": d.other,
            "difference (K)": f"{d.difference:+.2f}",
            "95% interval": f"{d.low:+.2f} to {d.high:+.2f}",
            "p": "< 0.001" if d.p < 0.001 else f"{d.p:.3f}",
            "shows": "yes" if d.shows else "",
        }
        for d in differences(results, split)
    ]
    return pd.DataFrame(rows)


def joint_table(results: Sequence[Result], split: str) -> pd.DataFrame:
    """Whether a model knows what the bar does not: the plain mean of both, against the bar."""
    models = ranked(results, split)
    bar = chosen(models, BAR)
    if bar is None:
        return pd.DataFrame()
    rows = []
    for model in (m for m in models if m is not bar):
        joint = with_bar(model, bar)
        d = difference(joint, bar)
        rows.append(
            {
                f"mean of {bar.name} and": model.name,
                "MAE (K)": f"{_judged(joint)['mae']:.2f}",
                "less the bar's (K)": f"{d.difference:+.2f}",
                "95% interval": f"{d.low:+.2f} to {d.high:+.2f}",
                "shows": "yes" if d.shows else "",
            }
        )
    return pd.DataFrame(rows)


def with_bar(model: Result, bar: Result) -> Result:
    """What comes of saying the mean of what a model and the bar say; nothing is fitted."""
    tc_pred = (model.test["tc_pred"] + bar.test["tc_pred"]) / 2
    return replace(model, test=model.test.assign(tc_pred=tc_pred))


def cost_table(results: Sequence[Result], milliseconds: Mapping[str, str]) -> pd.DataFrame:
    """What each run took: size, share trained, epochs, minutes, milliseconds a crystal."""
    rows = []
    for result in results:
        if not result.id:
            continue
        parameters = int(result.params.get("parameters", 0))
        trained = int(result.params.get("trained_parameters", 0))
        trees = f"{result.params['trees']} trees" if "trees" in result.params else "–"
        rows.append(
            {
                "model": result.name,
                "split": result.split,
                "parameters": f"{parameters / 1e6:.2f} M" if parameters else trees,
                "trained": f"{trained / parameters:.1%}" if trained else "–",
                "epochs (best)": f"{max(result.curve)} ({result.best_epoch})"
                if result.curve
                else "–",
                "minutes": _minutes(result),
                "ms a crystal": milliseconds.get(result.id, "–"),
                "run": f"`{result.id[:8]}`",
            }
        )
    return pd.DataFrame(rows)


def _minutes(result: Result) -> str:
    minutes = result.metrics.get("train_minutes")
    return "–" if minutes is None else f"{minutes:.1f}"


def published_table() -> pd.DataFrame:
    """What others report, on other data or another split: for orientation, not for comparison."""
    on = "3DSC, a random split that is not ours"
    rows = [(what, mae, on, "claimed, unpublished") for what, mae in CLAIMED]
    columns = ["published elsewhere", "MAE (K)", "on", "source"]
    return pd.DataFrame([*rows, *PUBLISHED], columns=columns)


# --- sentences


def sentences(results: Sequence[Result]) -> list[str]:
    """What the numbers say, splits on which the bar stands first before all else."""
    by_split = {split: ranked(results, split) for split in splits_of(results)}
    verdicts = [(_bar_wins(models), _verdict(split, models)) for split, models in by_split.items()]
    said = [text for _, text in sorted(verdicts, key=lambda pair: not pair[0])]
    for split, models in by_split.items():
        for sentences_of in (_pretraining, _paradigms, _joint, _zero_shot, _alike):
            said += [f"On `{split}`, {text}" for text in sentences_of(models)]
    return said


def _bar_wins(models: Sequence[Result]) -> bool:
    return models[0].model_family == BAR


def _verdict(split: str, models: Sequence[Result]) -> str:
    """Who is first, how that one lies to the nulls, and to the bar, or to the next behind it."""
    first, bar = models[0], chosen(models, BAR)
    said = f"**On `{split}`, {first.name} is first** at {_judged(first)['mae']:.2f} K"
    if _bar_wins(models):
        said = f"**On `{split}`, trees on composition alone are first** at "
        said += f"{_judged(first)['mae']:.2f} K ({first.name})"
    said += f"{_against_nulls(models)}."
    others = [model for model in models if model.model_family != BAR]
    if bar is None:
        return f"{said} No trees on composition were compared with it."
    if not others:
        return f"{said} Nothing else was compared."
    if _bar_wins(models):
        return f"{said} {_sentence(difference(others[0], first))}"
    return f"{said} {_sentence(difference(first, bar))}"


def _against_nulls(models: Sequence[Result]) -> str:
    """What the nulls score, and whether the first model is below them."""
    nulls = next((_null_rows(model) for model in models if _null_rows(model)), [])
    if not nulls:
        return ""
    said = " and ".join(f"{null['predictor']} {null['mae']:.2f} K" for null in nulls)
    if _judged(models[0])["mae"] >= min(null["mae"] for null in nulls):
        return f", **no better than the nulls** ({said})"
    return f"; the nulls: {said}"


def _sentence(d: Difference, *, capital: bool = True) -> str:
    one = d.one[:1].upper() + d.one[1:] if capital else d.one
    if not d.shows:
        return f"{one} and {d.other} cannot be told apart ({d.text})."
    return f"{one} is {'better' if d.high < 0 else 'worse'} than {d.other} ({d.text})."


def preferred(results: Sequence[Result], split: str) -> list[Result | None]:
    """Of each of MODEL_FAMILIES the model that validation prefers on a split."""
    models = ranked(results, split)
    return [chosen(models, model_family) for model_family in MODEL_FAMILIES]


def chosen(models: Sequence[Result], model_family: str, ending: str = "") -> Result | None:
    """Of a model_family's models, the one that validation prefers: test is not there to choose."""
    suited = [
        m
        for m in models
        if m.model_family == model_family and m.name.endswith(ending) and m.metrics
    ]
    return min(suited, key=lambda m: m.metrics["val_mae_final"], default=None)


def _pretraining(models: Sequence[Result]) -> Iterator[str]:
    for model_family in ("graph", "vision"):
        trained = chosen([m for m in models if SCRATCH not in m.name], model_family)
        scratch = chosen(models, model_family, SCRATCH)
        if scratch and trained:
            d = difference(trained, scratch)
            said = f"({trained.name} less {scratch.name}: {d.text})"
            if not d.shows:
                yield f"no gain from pretraining shows on the {model_family} path {said}."
            else:
                verb = "helps" if d.high < 0 else "harms"
                yield f"pretraining {verb} the {model_family} path {said}."


def _paradigms(models: Sequence[Result]) -> Iterator[str]:
    graph, vision = chosen(models, "graph"), chosen(models, "vision")
    if graph and vision:
        one, other = sorted((graph, vision), key=models.index)
        yield (
            f"of the two model families, each by the model that validation prefers, {one.name} is "
            f"ahead. {_sentence(difference(one, other))}"
        )


def _joint(models: Sequence[Result]) -> Iterator[str]:
    """Of each paradigm, by the model that validation prefers: does it add to the bar?"""
    bar = chosen(models, BAR)
    for model in (
        chosen(models, model_family) for model_family in MODEL_FAMILIES if model_family != BAR
    ):
        if bar and model:
            d = difference(with_bar(model, bar), bar)
            adds = "adds to the bar" if d.high < 0 else "adds nothing that shows to the bar"
            yield f"{model.name} {adds} (the mean of both less {bar.name} alone: {d.text})."


def _zero_shot(models: Sequence[Result]) -> Iterator[str]:
    for model in models:
        if model.model_family != "zero_shot":
            continue
        row = next(r for r in _null_rows(model) if r["predictor"] == NULLS[0])
        yield _sentence(_from_null(model, row, "the same Tc for all"), capital=False)


def _alike(models: Sequence[Result]) -> Iterator[str]:
    """Who cannot be told from the first; the other pairs are in their table."""
    first = models[0]
    alike = [other.name for other in models[1:] if not difference(first, other).shows]
    if alike:
        yield f"no difference shows between {first.name} and any of: {'; '.join(alike)}."
