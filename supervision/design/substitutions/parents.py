"""The parents of a search: read from what a user names, with the reasons of those refused."""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from supervision.data.errors import DatasetError
from supervision.data.structure_inputs import structure_inputs
from supervision.generation.variants import Parent
from supervision.runtime.progress import track
from supervision.runtime.text import printable
from supervision.screening.sources.candidate import Candidate, Skipped
from supervision.screening.sources.candidates import candidates
from supervision.screening.sources.parents import parents


def named_crystals(sources: Sequence[str | Path]) -> Iterator[Candidate | Skipped]:
    """The crystals of sources of a screening: files, folders, tables, archives."""
    for source in sources:
        yield from candidates(str(source))


def given_crystals(given: Any) -> Iterator[Candidate | Skipped]:
    """The crystals of a source by its path, or of structures in memory as ``predict`` takes them.

    Raises DatasetError for a path of nothing.
    """
    if isinstance(given, str | Path):
        return candidates(str(given))
    return (Candidate(i.name, i.cif, i.error, i.formula) for i in structure_inputs(given))


def read_parents(found: Iterable[Candidate | Skipped]) -> tuple[list[Parent], dict[str, str]]:
    """The parents, and of those that cannot be read the reason, by id.

    Raises DatasetError where none can be read.
    """
    read: list[Parent] = []
    refused: dict[str, str] = {}
    for parent in track(parents(found), total=None, desc="reading", unit="parent"):
        if isinstance(parent, Candidate):
            refused[parent.id] = parent.error
        else:
            read.append(parent)
    if not read:
        first = next((f" The first: {printable(n)}: {r}" for n, r in refused.items()), "")
        raise DatasetError(f"No parent crystal can be read; give a structure file.{first}")
    return read, refused
