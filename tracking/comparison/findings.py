"""The findings of the comparison, in sentences."""

from collections.abc import Iterator, Sequence

from tracking.comparison.differences import (
    BASELINE_FAMILY,
    TRIVIAL_BASELINES,
    Difference,
    baseline_rows,
    best_of_families,
    best_on_validation,
    difference,
    difference_from_baseline,
    first_baseline_rows,
    has_epochs,
    mean_of,
    of_family,
    ranked,
    splits_of,
)
from tracking.comparison.results import ZERO_SHOT, Result
from tracking.comparison.tables import mae_of

BASELINE_NAME = "trees on the composition alone"


def findings(results: Sequence[Result]) -> list[str]:
    """What the numbers show; splits on which the baseline is first come first."""
    models_of = {split: ranked(results, split) for split in splits_of(results)}
    order = sorted(models_of, key=lambda split: not _is_baseline(models_of[split][0]))
    found = [_first_place(split, models_of[split]) for split in order]
    for split, models in models_of.items():
        for topic in (_pretraining, _families, _means_with_baseline, _zero_shot, _not_separable):
            found += [f"On `{split}`, {text}" for text in topic(models)]
    return found


def _first_place(split: str, models: Sequence[Result]) -> str:
    """The first model, its trivial baselines, and the difference to the baseline family or next."""
    first, baseline = models[0], best_on_validation(of_family(models, BASELINE_FAMILY))
    others = [model for model in models if not _is_baseline(model)]
    if _is_baseline(first):
        text = (
            f"**On `{split}`, {BASELINE_NAME} are first** at {mae_of(first):.2f} K ({first.name})"
        )
    else:
        text = f"**On `{split}`, {first.name} is first** at {mae_of(first):.2f} K"
    text += f"{_trivial_baselines(models)}."
    if baseline is None:
        return f"{text} No {BASELINE_NAME} were compared with it."
    if not others:
        return f"{text} Nothing else was compared."
    if _is_baseline(first):
        return f"{text} {_sentence(difference(others[0], first))}"
    return f"{text} {_sentence(difference(first, baseline))}"


def _trivial_baselines(models: Sequence[Result]) -> str:
    """The errors of the trivial baselines, and whether the first model is below them."""
    rows = first_baseline_rows(models)
    if not rows:
        return ""
    text = " and ".join(f"{row['predictor']} {row['mae']:.2f} K" for row in rows)
    if mae_of(models[0]) >= min(row["mae"] for row in rows):
        return f", **no better than the trivial baselines** ({text})"
    return f"; the trivial baselines: {text}"


def _pretraining(models: Sequence[Result]) -> Iterator[str]:
    """Per family, the best pretrained model and the best one that was trained from scratch."""
    for family in best_of_families(models):
        members = [m for m in of_family(models, family) if m.kind.adapt]
        pretrained = best_on_validation([m for m in members if m.kind.pretrained])
        scratch = best_on_validation(
            [m for m in members if not m.kind.pretrained and m.kind.adapt != "linear"]
        )
        if pretrained is None or scratch is None:
            continue
        d = difference(pretrained, scratch)
        details = f"({pretrained.name} minus {scratch.name}: {d.text})"
        if not d.is_shown:
            yield f"pretraining shows no gain for the {family} family {details}."
        else:
            verb = "improves" if d.high < 0 else "worsens"
            yield f"pretraining {verb} the {family} family {details}."


def _families(models: Sequence[Result]) -> Iterator[str]:
    """The families that learn from pretrained weights, each by its best model on validation."""
    best = [model for name, model in best_of_families(models).items() if has_epochs(name)]
    if len(best) > 1:
        one, other, *_ = sorted(best, key=models.index)
        yield (
            "of the model families that are trained by epochs, each represented by its best model "
            f"on validation, {one.name} is first. {_sentence(difference(one, other))}"
        )


def _means_with_baseline(models: Sequence[Result]) -> Iterator[str]:
    """Whether the best model of each family adds to the baseline."""
    best = best_of_families(models)
    baseline = best.pop(BASELINE_FAMILY, None)
    if baseline is None:
        return
    for model in best.values():
        d = difference(mean_of(model, baseline), baseline)
        verb = "adds to the baseline" if d.high < 0 else "is not shown to add to the baseline"
        yield f"{model.name} {verb} (the mean of both minus {baseline.name} alone: {d.text})."


def _zero_shot(models: Sequence[Result]) -> Iterator[str]:
    for model in of_family(models, ZERO_SHOT):
        rows = {row["predictor"]: row for row in baseline_rows(model)}
        d = difference_from_baseline(model, rows[TRIVIAL_BASELINES[0]], "the constant median")
        yield _sentence(d, capital=False)


def _not_separable(models: Sequence[Result]) -> Iterator[str]:
    """The models that are not shown to differ from the first; other pairs are in their table."""
    first = models[0]
    names = [other.name for other in models[1:] if not difference(first, other).is_shown]
    if names:
        yield f"no difference is shown between {first.name} and any of: {'; '.join(names)}."


def _sentence(d: Difference, *, capital: bool = True) -> str:
    one = d.one[:1].upper() + d.one[1:] if capital else d.one
    if not d.is_shown:
        return f"{one} and {d.other} are not shown to differ ({d.text})."
    return f"{one} is {'better' if d.high < 0 else 'worse'} than {d.other} ({d.text})."


def _is_baseline(model: Result) -> bool:
    return model.kind.model_family == BASELINE_FAMILY
