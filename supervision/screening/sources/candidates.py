"""The candidates of a source: a folder, an archive, a table, a database or an OPTIMADE address.

Or the variants of the crystals in such a source (``generate.py``).

    for found in candidates("alexandria.tar.xz"): ...

They come one after the other, so that memory does not grow with the source. One that cannot be read
is a candidate with an error.
"""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TypeVar

from supervision.data.errors import CrystalError, DatasetError
from supervision.data.structure_files import has_structure_name, read_structure_file, walk_files
from supervision.data.structure_inputs import file_inputs
from supervision.runtime.errors import error_reason
from supervision.runtime.files import printable_path
from supervision.screening.sources.archives import tar_candidates, zip_candidates
from supervision.screening.sources.candidate import Candidate, Skipped, named
from supervision.screening.sources.databases import ase_candidates, parquet_candidates
from supervision.screening.sources.extxyz import extxyz_candidates
from supervision.screening.sources.generate import generated_candidates, is_generated
from supervision.screening.sources.optimade import jsonl_candidates, url_candidates

Found = Iterator[Candidate | Skipped]
# By how the name of a file ends.
TABLES: dict[str, Callable[[Path, str], Found]] = {
    ".extxyz": extxyz_candidates,
    ".xyz": extxyz_candidates,
    ".parquet": parquet_candidates,
    ".db": ase_candidates,
    ".jsonl": jsonl_candidates,
    ".jsonl.gz": jsonl_candidates,
}
TAR_ENDS = (".tar", ".tar.gz", ".tgz", ".tar.xz", ".txz", ".tar.bz2", ".tbz2")
ARCHIVES: dict[str, Callable[[Path], Found]] = {
    ".zip": zip_candidates,
    **dict.fromkeys(TAR_ENDS, tar_candidates),
}
T = TypeVar("T")


def is_address(source: str) -> bool:
    """Whether a source is an address of the web."""
    return source.startswith(("http://", "https://"))


def candidates(source: str) -> Found:
    """The candidates of a source in its order, and the files that are skipped.

    Raises DatasetError with one sentence for a source that does not exist or is damaged.
    """
    if is_address(source):
        return url_candidates(source)
    if is_generated(source):
        return generated_candidates(source, candidates)
    path = Path(source).expanduser()
    if path.is_dir():
        return _folder_candidates(path)
    if not path.exists():
        raise DatasetError(f"{printable_path(path)} is neither a file nor a folder.")
    if not path.is_file():  # reading a pipe may never end
        raise DatasetError(f"{printable_path(path)} is a pipe, a device or a socket.")
    if read_archive := _by_end(path, ARCHIVES):
        return read_archive(path)
    if read_table := _by_end(path, TABLES):
        return read_table(path, path.name)
    if path.suffix.lower() == ".csv":
        return _csv_candidates(path)
    return _structure_candidates(path, path.name)


def _folder_candidates(folder: Path) -> Found:
    """Those of every file below a folder; a damaged archive or table there costs no other file."""
    for path in walk_files(folder):
        name = printable_path(path.relative_to(folder))
        try:
            yield from _file_candidates(path, name)
        except DatasetError as error:
            yield Candidate(name, error=str(error))


def _file_candidates(path: Path, name: str) -> Found:
    """Those of a file in a folder; those of an archive have its name before theirs."""
    is_container = _by_end(path, ARCHIVES) or _by_end(path, TABLES)
    if is_container and not path.is_file():  # reading a pipe may never end
        raise DatasetError(f"{name} is not a regular file.")
    if read_archive := _by_end(path, ARCHIVES):
        for found in read_archive(path):
            yield found._replace(id=f"{name}/{found.id}")
    elif read_table := _by_end(path, TABLES):
        yield from read_table(path, name)
    elif has_structure_name(path):
        yield from _structure_candidates(path, name)
    else:
        yield Skipped(name)


def _by_end(path: Path, kinds: Mapping[str, T]) -> T | None:
    name = path.name.lower()
    return next((kind for end, kind in kinds.items() if name.endswith(end)), None)


def _structure_candidates(path: Path, name: str) -> Iterator[Candidate]:
    """Those of a structure file, named by it."""
    try:
        yield from named(name, read_structure_file(path))
    except CrystalError as error:
        yield Candidate(name, error=str(error))
    except OSError as error:
        yield Candidate(name, error=f"The file cannot be read: {error_reason(error)}.")


def _csv_candidates(path: Path) -> Iterator[Candidate]:
    """The rows of a CSV table as ``predict`` reads them."""
    for given in file_inputs([path]):
        yield Candidate(given.name, given.cif, given.error, given.formula)
