"""Parent crystals: those of any source of a screening, or of a data set, one after the other."""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import PurePosixPath

from supervision.data.crystals import Crystal
from supervision.data.datasets.load import load_dataset
from supervision.data.errors import CrystalError, crystal_errors
from supervision.generation.variants import Parent
from supervision.screening.sources.candidate import Candidate, Skipped

CIF_SUFFIX = ".cif"


def parents(found: Iterable[Candidate | Skipped]) -> Iterator[Parent | Candidate]:
    """Candidates as parents; one that cannot be read is a candidate with an error."""
    for given in found:
        if isinstance(given, Candidate):
            try:
                yield _parent(given)
            except CrystalError as error:
                yield given._replace(error=str(error))


def dataset_crystals(dataset: str, data: str) -> Iterator[Candidate]:
    """One crystal of each parent structure of a data set, an ordered one if there is any.

    A doped structure of 3DSC has sites and cell of its parent, so that one stands for all. Raises
    DatasetError as ``load_dataset`` does.
    """
    groups: dict[str, list[Crystal]] = defaultdict(list)
    for crystal in load_dataset(dataset, data).crystals:
        if crystal.cif:
            groups[crystal.parent_id or crystal.id].append(crystal)
    for name, crystals in groups.items():
        chosen = next((crystal for crystal in crystals if _is_ordered(crystal)), crystals[0])
        yield Candidate(name, chosen.cif)


def _parent(given: Candidate) -> Parent:
    if given.error:
        raise CrystalError(given.error)
    if not given.cif:
        raise CrystalError("It is a formula without a structure; give a structure.")
    path = PurePosixPath(given.id)
    name = str(path.with_suffix("")) if path.suffix.lower() == CIF_SUFFIX else given.id
    with crystal_errors():
        return Parent(name, Crystal(given.id, "", given.cif).structure)


def _is_ordered(crystal: Crystal) -> bool:
    try:
        with crystal_errors():
            return bool(crystal.structure.is_ordered)
    except CrystalError:
        return False
