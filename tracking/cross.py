"""How good models are on materials of other sources, by their distance to what was learned."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from supervision.data.crystals import Crystal, Reject
from supervision.data.sources import SOURCES
from supervision.data.splits import APART
from supervision.evaluation.by_distance import ALL, FEWEST, errors_by_distance
from supervision.experiment.cross import OtherMaterials, fit_to_all, predict_others
from supervision.experiment.sources import SourceSpec, load_rows
from supervision.experiment.spec import Experiment, split_materials
from supervision.models.families import get_family
from supervision.models.setup import Featurize, MakeSetup, ModelSetup
from supervision.runtime.plot_style import GREY, PALETTE, STYLE, TEXT_COLOUR
from tracking import runs
from tracking.comparison.html_page import Page
from tracking.description import describe_run
from tracking.evaluation_report import CONSTANT, NEAREST

TITLE = "Models on materials of other sources"
EXPLANATION = (
    "Every model is trained on the whole data set, and on nothing else; networks keep a part of it "
    "to choose their epoch. Materials of another source whose composition is in the data set are "
    "left out. The distance is that of the composition to the nearest material of the data set "
    "(docs/protocol.md): below 0.05 it is mostly another doping of a known compound, from 0.2 on "
    "another compound. New families share no element set with the data set and are at least 0.2 "
    "away. Intervals are bootstraps over families. Labels of a source with computed Tc are those "
    "of the computation."
)


def cross(
    models: Mapping[str, MakeSetup],
    experiment: Experiment,
    sources: Sequence[SourceSpec],
    out: Path | None,
) -> None:
    """Train every model, test it on the sources that it can read, and log tables and a page.

    Args:
        models: what makes an untrained model, by its name.
        out: also write the page there (.md).
    """
    setups = {name: make() for name, make in models.items()}
    splits = split_materials(experiment, _featurize_for(setups), runs.log_rejects)
    for name, setup in setups.items():
        fit_to_all(setup, splits)
        print(f"{name} is trained.", flush=True)
    page, rejects, found = Page(TITLE), list(splits.dataset.rejects), []
    page.text(EXPLANATION)
    for source in sources:
        able = {name: setup for name, setup in setups.items() if _reads(setup, source.name)}
        for name in setups.keys() - able.keys():
            print(f"{source.name} has formulas without structures, which {name} needs.", flush=True)
        if able:
            rows, rejected = load_rows(source, _featurize_for(able))
            rejects += rejected
            runs.log_rejects(rejects)
            others = OtherMaterials.beside(splits.materials, rows)
            found.append(f"{source.name}: {_report(source.name, others, able, page)}")
            page.log("cross.md")  # after every source: what is done is saved
            what = f"{', '.join(models)} trained on {splits.dataset.name}, tested on other sources."
            look = {"cross.html": "errors by distance, tables and figures on one page"}
            describe_run(what, "\n".join(found), look)
    if out:
        page.write(out)
    print(f"Run {runs.run_id()}", flush=True)


def _featurize_for(setups: Mapping[str, ModelSetup]) -> Featurize:
    """Featurises crystals for all models; what one of them rejects, none reads."""

    def featurize(crystals: Sequence[Crystal]) -> list[Reject]:
        rejects = [reject for setup in setups.values() for reject in setup.featurize(crystals)]
        return list({reject.name: reject for reject in rejects}.values())

    return featurize


def _reads(setup: ModelSetup, source: str) -> bool:
    return get_family(setup.model_family).predicts_formulas or SOURCES[source].has_structures


def _report(
    source: str, others: OtherMaterials, setups: Mapping[str, ModelSetup], page: Page
) -> str:
    """Predict the materials of a source; log the predictions, and add tables and a figure.

    Returns the errors on all its materials in one sentence.
    """
    kind = "computed" if SOURCES[source].is_computed else "measured"
    page.heading(f"{source}: {len(others.materials)} materials with {kind} Tc")
    if len(others.materials) < FEWEST:
        text = f"{source} has fewer than {FEWEST} materials that the data set does not have."
        print(text, flush=True)
        page.text(text)
        return text
    predictions = {CONSTANT: others.constant, NEAREST: others.nearest}
    predictions |= {name: predict_others(setup, others.materials) for name, setup in setups.items()}
    facts = {
        "material_id": [m.id for m in others.materials],
        "formula": [m.formula for m in others.materials],
        "family": others.families, "is_new": others.is_new, "distance": others.distance,
        "tc": others.tc,
    }  # fmt: skip
    runs.log_table(pd.DataFrame(facts | predictions), f"cross_{source}.csv")
    is_new = others.is_new & (others.distance >= APART)
    table = errors_by_distance(others.distance, is_new, others.tc, predictions, others.families)
    runs.log_table(table, f"errors_{source}.csv")
    page.image(f"cross_{source}", figure(table, f"{source}, {kind} Tc"), f"MAE on {source}")
    page.text("MAE in kelvin:")
    page.table(shown_table(table, _mae))
    page.text("Rank correlation (Spearman):")
    page.table(shown_table(table, _spearman))
    print(f"{source}:\n{shown_table(table, _mae).to_string(index=False)}", flush=True)
    of_all = table[table["bin"] == ALL].to_dict("records")
    return "MAE in K: " + ", ".join(f"{row['model']} {_mae(row)}" for row in of_all) + "."


def shown_table(table: pd.DataFrame, show: Callable[[Mapping[Any, Any]], str]) -> pd.DataFrame:
    """One row per bin, one column per model."""
    rows = []
    for name, of_bin in table.groupby("bin", sort=False):
        first = of_bin.iloc[0]
        facts = {"distance": name, "materials (families)": f"{first['n']} ({first['groups']})"}
        rows.append(facts | {row["model"]: show(row) for row in of_bin.to_dict("records")})
    return pd.DataFrame(rows)


def _mae(row: Mapping[Any, Any]) -> str:
    return f"{row['mae']:.2f} ({row['mae_low']:.2f} to {row['mae_high']:.2f})"


def _spearman(row: Mapping[Any, Any]) -> str:
    return "–" if np.isnan(row["spearman"]) else f"{row['spearman']:.2f}"


def figure(table: pd.DataFrame, title: str) -> Figure:
    """The MAE of every model by bin of distance, with its interval."""
    names, bins = list(dict.fromkeys(table["model"])), list(dict.fromkeys(table["bin"]))
    colours = dict(zip(names, (GREY, TEXT_COLOUR, *PALETTE), strict=False))
    with matplotlib.rc_context(STYLE):
        drawn = Figure(figsize=(8, 4), layout="constrained")
        ax = drawn.subplots()
        for index, name in enumerate(names):
            rows = table[table["model"] == name].set_index("bin").loc[bins]
            x = np.arange(len(bins)) + (index - (len(names) - 1) / 2) * 0.6 / len(names)
            ax.vlines(x, rows["mae_low"], rows["mae_high"], color=colours[name], lw=1.5)
            ax.plot(x, rows["mae"], "o", color=colours[name], ms=5, label=name)
        ax.set_xticks(range(len(bins)), bins)
        ax.set(xlabel="distance in composition to the data set", ylabel="MAE (K)", title=title)
        ax.set_ylim(bottom=0)
        drawn.legend(loc="outside lower center", ncols=len(names), frameon=False, fontsize=9)
    return drawn
