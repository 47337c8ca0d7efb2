"""The model card of a released model, in the format of the Hugging Face hub.

Mitchell et al., Model Cards for Model Reporting, FAT* 2019.
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pandas as pd

from supervision.answer.calibration import LEVEL
from supervision.evaluation.metrics import mae
from supervision.release.figures import (
    class_table,
    coverage_table,
    error_table,
    probability_table,
)
from supervision.release.out_of_fold import PARTS, HeldOutAnswers, OutOfFold

FILES = "## Files"
BY_CLASS = "By class of material:"
BOTH_SPLITS = " A row that names no split counts the predictions of both splits together."
SHORT = ("## Data", "## Errors", "## Limits")  # sections
SOURCES = {
    "classics": "classics, the small embedded data set: the model is a demonstration",
    "3dsc": (
        "3DSC_MP, Sommer et al., Scientific Data 10, 816 (2023), CC BY 4.0: measured Tc from "
        "SuperCon, structures from the Materials Project"
    ),
    "supercon": (
        "SuperCon as listed by Stanev et al., npj Comput. Mater. 4, 29 (2018), CC BY 4.0: formulas "
        "and measured Tc, without structures"
    ),
    "jarvis_supercon": (
        "JARVIS, Choudhary and Garrity, npj Comput. Mater. 8, 244 (2022), public domain (NIST): "
        "structures; their computed Tc is not used"
    ),
}
LIMITS_OF_ALL = (
    "Intervals and probabilities hold on average over materials like those of the tables. They "
    "are measured on the data set, which has been selected by what people chose to measure.",
    "Pressure, magnetic order and strain are not in a crystal structure; elements beyond Pu are "
    "refused.",
)
LIMITS = (
    "Labels are what people reported. A Tc of 0 means that none was reported: three in ten "
    "materials, learned and scored as 0 K. A prediction does not say that a material does not "
    "superconduct.",
    "Errors are largest where they matter most: the Tc of a new family over 40 K is "
    "underestimated. Use the model to rank candidates, and read the interval.",
    *LIMITS_OF_ALL,
)


@dataclass(frozen=True)
class CardInfo:
    """What a card says besides figures.

    Attributes:
        name: of the released model.
        reads: what it reads, to be put after "a model that reads".
        version: of the package.
        commit: of the code that trained it.
        sources: names of what it has learned from; ``SOURCES`` says what some are.
        learned: the number of materials that it has learned from.
        made: how it was made, one sentence.
        weights, weights_license: name and licence of its pretrained weights, or ``none``.
        settings: all options of its training.
        hashes: sha256 of each of its files, by its path in the model's folder.
    """

    name: str
    reads: str
    version: str
    commit: str
    sources: Sequence[str]
    learned: int
    made: str
    weights: str
    weights_license: str
    settings: Mapping[str, object]
    hashes: Mapping[str, str]


def model_card(info: CardInfo, predictions: OutOfFold) -> str:
    """The text of the card, Markdown below a YAML header."""
    answers = HeldOutAnswers.cross_fit(predictions)
    parts = [
        _header(info, predictions),
        f"# SuperVision: {info.name}",
        f"Predicts the critical temperature Tc of a superconductor in kelvin. It reads "
        f"{info.reads}. {info.made}",
        "## Intended use",
        "Ranking candidate materials before they are made, with an interval and the distance to "
        "what is known. It does not decide whether a material superconducts, and it replaces "
        "neither a measurement nor a calculation.",
        _usage(info),
        "## Data",
        f"Trained on {info.learned:,} materials of:",
        "\n".join(f"- {SOURCES.get(name, name)}." for name in info.sources),
        "## Errors",
        "Each material is predicted once by a model that has not learned from its fold; the "
        "released model has learned from all folds, so that it has no figures of its own. "
        "`random` deals single materials, `family` families, and `novel` families with everything "
        "within 0.2 of a test material left out. 95% bootstrap intervals, over families except on "
        "`random`.",
        _markdown(error_table(predictions)),
        BY_CLASS,
        _markdown(class_table(predictions)),
        "## Intervals and probabilities",
        f"The {LEVEL:.0%} intervals come from the predictions of these folds. In these tables each "
        f"family is answered by others: families are dealt into {PARTS} parts."
        + (BOTH_SPLITS if len(answers.of.splits) > 1 else ""),
        _markdown(coverage_table(answers)),
        _markdown(probability_table(answers)),
        "## Limits",
        "\n".join(f"- {limit}" for limit in LIMITS),
        "## Licences",
        _licences(info),
        "## Version",
        f"Version {info.version}, trained by commit `{info.commit}`.",
        _settings(info.settings),
        "## To cite",
        "Cite this software (CITATION.cff), the data sets above and, of models with pretrained "
        "weights, their authors.",
        FILES,
        "Their sha256 is checked when the model is loaded.",
        _markdown(pd.DataFrame(info.hashes.items(), columns=["file", "sha256"])),
    ]
    return "\n\n".join(filter(None, parts)) + "\n"


def body(card: str) -> str:
    """A card without its YAML header and the list of files, as MLflow shows it."""
    return card.split("\n---\n", 1)[-1].partition(FILES)[0].strip()


def short(card: str) -> str:
    """What the model is, its data, its errors by split and its limits, as the registry shows it."""
    what, *sections = re.split(r"\n(?=## )", body(card))
    shown = (s.partition(BY_CLASS)[0].strip() for s in sections if s.startswith(SHORT))
    return "\n\n".join([what.partition("\n")[2].strip(), *shown])


def _header(info: CardInfo, predictions: OutOfFold) -> str:
    """The YAML that the hub reads; its values are numbers and quoted texts."""
    lines = ["---", "license: mit", "library_name: supervision-tc", "tags:"]
    lines += [f"- {tag}" for tag in ("superconductivity", "materials-science", "regression")]
    lines += ["datasets:", *(f"- {json.dumps(name)}" for name in info.sources)]
    lines += ["model-index:", f"- name: {json.dumps(f'supervision-{info.name}')}", "  results:"]
    for split in predictions.splits:
        of = predictions.of([split])
        lines += [
            "  - task:", "      type: regression", "      name: critical temperature",
            "    dataset:", f"      type: {json.dumps(info.sources[0])}",
            f"      name: {json.dumps(f'{info.sources[0]}, {split}, out of fold')}",
            "    metrics:", "    - type: mae", f"      value: {mae(of.tc, of.tc_pred):.2f}",
            "      name: MAE (K)",
        ]  # fmt: skip
    return "\n".join([*lines, "---"])


def _usage(info: CardInfo) -> str:
    return (
        "```python\nimport supervision\n\n"
        f'model = supervision.load("released:{info.name}")\nmodel.answer("crystal.cif")\n```'
    )


def _licences(info: CardInfo) -> str:
    text = "The model and the code: MIT. The data: as above."
    if info.weights != "none":
        text += (
            f" Pretrained weights: {info.weights}, {info.weights_license}; what training did not "
            "change is not in this folder, but fetched and checked when the model is loaded."
        )
    return text


def _settings(settings: Mapping[str, object]) -> str:
    said = ", ".join(f"`{name}={value}`" for name, value in settings.items())
    return f"Settings: {said}." if said else ""


def _markdown(table: pd.DataFrame) -> str:
    align = ("left", *["right"] * (table.columns.size - 1))
    return table.to_markdown(index=False, disable_numparse=True, colalign=align)
