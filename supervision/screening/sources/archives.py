"""Candidates of tar and zip archives, a member at a time; nothing is extracted.

An archive that would hold far more than its size is refused, and no member is read beyond the
length of a structure file.
"""

import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from lzma import LZMAError
from pathlib import Path
from typing import IO

from supervision.data.cif import MAX_CIF_BYTES
from supervision.data.errors import CrystalError, DatasetError
from supervision.data.structure_files import (
    MAX_FILE_BYTES,
    has_structure_name,
    read_structure_file,
)
from supervision.data.table import decode_cif
from supervision.runtime.errors import one_line
from supervision.runtime.files import printable_path
from supervision.screening.sources.candidate import Candidate, Skipped, named
from supervision.screening.sources.extxyz import frame_candidates

MAX_COMPRESSION_RATIO = 1_000  # content size / file size; similar CIF files in xz have up to 100
UNCHECKED_CONTENT_BYTES = 100_000_000
FRAMES = (".extxyz", ".xyz")
READ_ERRORS = (tarfile.TarError, zipfile.BadZipFile, zlib.error, LZMAError, EOFError, OSError,
               NotImplementedError, RuntimeError)  # fmt: skip


def tar_candidates(path: Path) -> Iterator[Candidate | Skipped]:
    """The structures in a tar archive, compressed or not, in its order.

    Raises DatasetError for an archive that is damaged or would be too large.
    """
    content = 0
    try:
        with tarfile.open(path, "r:*") as archive:
            while (member := archive.next()) is not None:
                archive.members.clear()  # type: ignore[attr-defined]  # it would keep them all
                content += member.size
                _check_content(path, content)
                file = archive.extractfile(member) if member.isfile() else None
                if file is not None:
                    yield from _member_candidates(file, member.name, member.size)
    except READ_ERRORS as error:
        raise _damaged(path, error) from error


def zip_candidates(path: Path) -> Iterator[Candidate | Skipped]:
    """The structures in a zip archive, in its order. Raises DatasetError as for a tar archive."""
    try:
        with zipfile.ZipFile(path) as archive:
            _check_content(path, sum(member.file_size for member in archive.infolist()))
            for member in archive.infolist():
                if not member.is_dir():
                    yield from _zip_member(archive, member)
    except READ_ERRORS as error:
        raise _damaged(path, error) from error


def _zip_member(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> Iterator[Candidate | Skipped]:
    """Those of a member; one that is damaged or encrypted costs no other."""
    try:
        with archive.open(member) as file:
            yield from _member_candidates(file, member.filename, member.file_size)
    except READ_ERRORS as error:
        shown = printable_path(Path(member.filename))
        yield Candidate(shown, error=f"The member cannot be read ({one_line(error)}).")


def _member_candidates(file: IO[bytes], member: str, size: int) -> Iterator[Candidate | Skipped]:
    path = Path(member)
    shown, lower = printable_path(path), member.lower()
    most = MAX_CIF_BYTES if lower.endswith(".cif") else MAX_FILE_BYTES
    if lower.endswith(FRAMES):
        yield from frame_candidates(file, shown)
    elif not (has_structure_name(path) or lower.endswith(".json")):
        yield Skipped(shown)
    elif size > most:
        yield Candidate(shown, error=f"The file is larger than {most // 10**6} MB.")
    elif lower.endswith(".cif"):
        yield Candidate(shown, decode_cif(file.read(most)))
    else:
        yield from _through_a_file(file.read(most), path.name, shown)


def _through_a_file(raw: bytes, name: str, shown: str) -> Iterator[Candidate | Skipped]:
    """Structures of other kinds: their parsers read a file with its name."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / name
        path.write_bytes(raw)
        if not has_structure_name(path):
            yield Skipped(shown)
            return
        try:
            yield from named(shown, read_structure_file(path))
        except CrystalError as error:
            yield Candidate(shown, error=str(error))


def _check_content(path: Path, size: int) -> None:
    if size > max(UNCHECKED_CONTENT_BYTES, MAX_COMPRESSION_RATIO * path.stat().st_size):
        raise DatasetError(
            f"{printable_path(path)} is refused: it would hold over {size // 10**6:,} MB, more "
            f"than {MAX_COMPRESSION_RATIO:,} times its size."
        )


def _damaged(path: Path, error: Exception) -> DatasetError:
    return DatasetError(
        f"{printable_path(path)} is damaged or not an archive ({one_line(error)}); pack it again."
    )
