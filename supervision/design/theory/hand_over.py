"""Crystals of high predicted Tc as folders of input for calculations, and an index of them."""

import csv
import io
import math
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pymatgen.core import Structure

from supervision.answer.answer import Answer
from supervision.answer.kelvin import kelvin
from supervision.data.crystals import Crystal
from supervision.data.errors import CrystalError, crystal_errors
from supervision.design.folders import make_empty_folder
from supervision.design.theory import espresso, vasp
from supervision.design.theory.meshes import MeshOptions
from supervision.design.theory.ordering import OrderedCell, OrderingOptions, ordered_cell
from supervision.runtime.options import option
from supervision.runtime.text import csv_cell, printable

INDEX_FILE, GUIDE_FILE = "index.csv", "README.md"
Write = Callable[[Structure, Path, MeshOptions], str]
CODES: Mapping[str, tuple[str, Write]] = {
    "espresso": (espresso.TITLE, espresso.write_espresso),
    "vasp": (vasp.TITLE, vasp.write_vasp),
}
COLUMNS = (
    "folder", "id", "formula", "tc_kelvin", "tc_lower", "tc_upper", "calculated_formula", "atoms",
    "primitive_cells", "composition_error", "arrangement", "problem",
)  # fmt: skip


@dataclass(frozen=True)
class HandOverOptions(OrderingOptions, MeshOptions):
    """What is handed over, and to which codes. Raises ValueError for a value that is refused."""

    to: str = option("espresso,vasp", f"codes: {', '.join(CODES)}")
    top: int = option(10, "crystals of the highest predicted Tc that are handed over")

    def __post_init__(self) -> None:
        MeshOptions.__post_init__(self)
        OrderingOptions.__post_init__(self)
        if self.top < 1:
            raise ValueError(f"top must be 1 or more, got {self.top}.")
        unknown = [code for code in self.codes if code not in CODES]
        if unknown or not self.codes:
            raise ValueError(f"to must name {' or '.join(CODES)}, got '{self.to}'.")

    @property
    def codes(self) -> tuple[str, ...]:
        """The codes without repetition, in the order that they are named in."""
        return tuple(dict.fromkeys(part.strip() for part in self.to.split(",") if part.strip()))


@dataclass(frozen=True)
class HandedOver:
    """A crystal and what became of it.

    Attributes:
        answer: the prediction.
        folder: the name of its folder; empty where it was refused.
        cell: what is calculated; None where it was refused.
        problem: why it was refused, one sentence; else empty.
    """

    answer: Answer
    folder: str = ""
    cell: OrderedCell | None = None
    problem: str = ""


def hand_over(
    crystals: Sequence[Crystal], answers: Sequence[Answer], out: Path, options: HandOverOptions
) -> list[HandedOver]:
    """Write a folder of input for each of the crystals of highest Tc, and ``index.csv``.

    Disordered crystals are ordered first (``ordered_cell``). One that cannot be handed over is
    refused with a sentence, and no other takes its place.

    Args:
        crystals, answers: in the same order.
        out: a folder that does not exist, or is empty.

    Returns them by predicted Tc, the highest first; what has no Tc stands at the end. Raises
    DatasetError for a folder that has content.
    """
    make_empty_folder(out)
    pairs = list(zip(crystals, answers, strict=True))
    ranked = [pair for pair in pairs if math.isfinite(pair[1].tc_kelvin)]
    ranked.sort(key=lambda pair: -pair[1].tc_kelvin)
    done = [
        _hand_over_one(number, crystal, answer, out, options)
        for number, (crystal, answer) in enumerate(ranked[: options.top], start=1)
    ]
    done += [HandedOver(a, problem=a.error) for _, a in pairs if math.isnan(a.tc_kelvin)]
    (out / INDEX_FILE).write_text(_index(done))
    return done


def _hand_over_one(
    number: int, crystal: Crystal, answer: Answer, out: Path, options: HandOverOptions
) -> HandedOver:
    folder = None
    try:
        with crystal_errors():
            if not crystal.cif:
                raise CrystalError("It is a formula without a structure; give a structure.")
            cell = ordered_cell(crystal.structure, options)
            reduced = cell.structure.composition.reduced_composition
            folder = out / f"{number:02d}_{reduced.formula.replace(' ', '')}"
            folder.mkdir()
            _write(folder, crystal, answer, cell, options)
    except CrystalError as error:
        if folder is not None:
            shutil.rmtree(folder)
        return HandedOver(answer, problem=str(error))
    return HandedOver(answer, folder.name, cell)


def _write(
    folder: Path, crystal: Crystal, answer: Answer, cell: OrderedCell, options: HandOverOptions
) -> None:
    """The folder of each code, and README.md."""
    parts = [f"# {cell.structure.composition.reduced_formula}", _prediction(answer)]
    parts.append(_origin(crystal, cell, options))
    for code in options.codes:
        title, write = CODES[code]
        parts += [f"## {title}: `{code}/`", write(cell.structure, folder / code, options)]
    (folder / GUIDE_FILE).write_text("\n\n".join(part.strip() for part in parts) + "\n")


def _prediction(answer: Answer) -> str:
    lines = [f"Predicted Tc of {answer.formula}: {_kelvin(answer)} K"]
    if math.isfinite(answer.tc_upper):
        low, high = (kelvin(t, answer.decimals) for t in (answer.tc_lower, answer.tc_upper))
        lines.append(f"90% interval {low} to {high} K")
    lines += [f"domain: {answer.domain}"] if answer.domain else []
    lines += [f"model {printable(answer.model_version)}"] if answer.model_version else []
    return "; ".join(lines) + f". From `{printable(answer.name)}`."


def _origin(crystal: Crystal, cell: OrderedCell, options: HandOverOptions) -> str:
    """What the calculated cell is of the crystal."""
    atoms = len(cell.structure)
    if not cell.method:
        return f"The crystal is ordered; its primitive cell has {atoms} atoms."
    return (
        f"The crystal, {crystal.composition.formula}, is disordered. The calculation has the "
        f"ordered cell {cell.structure.composition.formula} of {cell.cells} primitive cells and "
        f"{atoms} atoms. No atomic fraction differs by more than {cell.error:.4f} from that of "
        f"the crystal (tolerance {options.tolerance:g}, seed {options.seed}). The arrangement is "
        f"chosen by the {cell.method}; it is one of many, and its Tc is not their mean."
    )


def _kelvin(answer: Answer) -> str:
    return kelvin(answer.tc_kelvin, answer.decimals)


# --- the index


def _index(done: Sequence[HandedOver]) -> str:
    """One row per crystal, as CSV."""
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    writer.writerows(_row(one) for one in done)
    return text.getvalue()


def _row(one: HandedOver) -> list[str]:
    answer, cell = one.answer, one.cell
    numbers = (answer.tc_kelvin, answer.tc_lower, answer.tc_upper)
    calculated = [""] * 5
    if cell is not None:
        size, error = str(len(cell.structure)), f"{cell.error:.6f}"
        formula = cell.structure.composition.formula
        calculated = [formula, size, str(cell.cells), error, cell.method or "ordered"]
    return [
        one.folder, csv_cell(answer.name), csv_cell(answer.formula),
        *("" if math.isnan(number) else f"{number:.4g}" for number in numbers),
        *calculated, csv_cell(one.problem),
    ]  # fmt: skip


def hand_over_text(done: Sequence[HandedOver]) -> str:
    """A line for each crystal: its folder or why it has none."""
    width = max(len(one.folder) for one in done)
    return "\n".join(f"{one.folder:{width}}  {_said(one)}".strip() for one in done)


def _said(one: HandedOver) -> str:
    if one.cell is None:
        return f"{printable(one.answer.name)}: {printable(one.problem)}"
    text = f"{_kelvin(one.answer)} K, {len(one.cell.structure)} atoms"
    if one.cell.method:
        text += f", ordered within {one.cell.error:.4f} by the {one.cell.method}"
    return text
