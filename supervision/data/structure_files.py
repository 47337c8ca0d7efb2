"""Structure files of all kinds as CIF text: CIF, POSCAR, extxyz and other formats that ASE reads.

    found = find_structure_files([Path("folder"), Path("POSCAR")])
    texts = read_structure_file(found.files[0])

The name of a file says its kind; the content does where the name is unknown, or is none:

    text = structure_text_to_cif(text)
"""

import json
import os
import re
import warnings
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path
from stat import S_ISREG

from supervision.data.cif import check_text, is_cif
from supervision.data.cif_writer import atoms_to_cif, structure_to_cif
from supervision.data.errors import CrystalError, DatasetError
from supervision.data.poscar import is_poscar, poscar_to_cif
from supervision.data.table import decode_cif, load_cif
from supervision.runtime.errors import error_reason
from supervision.runtime.files import printable_path

MAX_FILE_BYTES = 200_000_000  # of a file that is not CIF: trajectories hold many structures
MAX_NAMES_SHOWN = 3  # of skipped files
CIF_BLOCK = re.compile(r"^\s*data_", re.IGNORECASE | re.MULTILINE)
POSCAR_NAMES = ("*poscar*", "*contcar*", "*.vasp")
MULTIPLE = "extxyz"  # the format whose structures are all read; of others the last one is
ASE_FORMATS = {  # by the name of a file in lower case
    "*.extxyz": MULTIPLE,
    "*.xyz": MULTIPLE,
    "*.xsf": "xsf",
    "*.cfg": "cfg",
    "*.res": "res",
    "*.cell": "castep-cell",
    "*.gen": "gen",
    "*.pwi": "espresso-in",
    "*.pwo": "espresso-out",
    "*.traj": "traj",
    "*.xv": "siesta-xv",
    "geometry.in*": "aims",
    "*vasprun*.xml": "vasp-xml",
    "*outcar*": "vasp-out",
    "*xdatcar*": "vasp-xdatcar",
}
SUPPORTED = (
    "CIF, POSCAR/CONTCAR, extxyz, XSF, pymatgen JSON, and files of VASP, Quantum ESPRESSO, CASTEP, "
    "FHI-aims, SIESTA, DFTB+ and ASE"
)
Reader = Callable[[Path], list[str]]


@dataclass(frozen=True)
class FoundFiles:
    """Structure files, and the files of the same folders that are not structures."""

    files: tuple[Path, ...]
    skipped: tuple[Path, ...]

    def skipped_line(self) -> str:
        """How many files are skipped, with the first names; empty where none is."""
        if not self.skipped:
            return ""
        names = [printable_path(Path(path.name)) for path in self.skipped[:MAX_NAMES_SHOWN]]
        names += ["..."] * (len(self.skipped) > MAX_NAMES_SHOWN)
        count = len(self.skipped)
        noun = "file that is not a structure" if count == 1 else "files that are not structures"
        return f"Skipped {count} {noun}: {', '.join(names)}"


def find_structure_files(paths: Iterable[Path]) -> FoundFiles:
    """The files named, and below the folders named all files with the name of a structure file.

    Raises DatasetError for a path that does not exist, and for a folder without structure files.
    """
    files: list[Path] = []
    skipped: list[Path] = []
    for path in paths:
        if path.is_dir():
            below = list(walk_files(path))
            found = [p for p in below if has_structure_name(p)]
            if not found:
                raise DatasetError(
                    f"The folder {path} holds no structure file; supported are {SUPPORTED}."
                )
            files += found
            skipped += [p for p in below if p not in set(found)]
        elif path.exists() or path.is_symlink():
            files.append(path)
        else:
            raise DatasetError(f"{path} is neither a file nor a folder.")
    return FoundFiles(tuple(files), tuple(skipped))


def walk_files(folder: Path) -> Iterator[Path]:
    """The files below a folder in the order of their paths; links to folders are not followed.

    Of a tree of any size, only the names in the folders above the current file are in memory.
    """
    with os.scandir(folder) as found:
        entries = sorted(found, key=lambda entry: entry.name)
    for entry in entries:
        if entry.is_dir(follow_symlinks=False):
            yield from walk_files(Path(entry.path))
        elif not Path(entry.path).is_dir():  # of a link to itself, entry.is_dir() raises OSError
            yield Path(entry.path)


def has_structure_name(path: Path) -> bool:
    """Whether a file has the name of a structure file; a JSON file must hold a structure, too."""
    return _reader_by_name(path) is not None


def read_structure_file(path: Path) -> list[str]:
    """The structures of a file as CIF texts: all of an extxyz file, of other files one.

    Raises CrystalError with one sentence.
    """
    try:
        read = _reader_by_name(path) or _reader_by_content(path)
        if read is not _read_cif:
            _check_file(path)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # parsers warn of what no model reads
            return read(path)
    except CrystalError:
        raise
    except OSError as error:
        raise CrystalError(f"The file cannot be read: {error_reason(error)}.") from error
    except Exception as error:  # the parsers of pymatgen and ASE raise many types
        raise CrystalError("The file is damaged, or not of the kind that its name says.") from error


def structure_text_to_cif(given: object) -> str:
    """CIF text as it is, and POSCAR text as CIF text.

    Raises CrystalError with one sentence for what is neither, empty, too long, or no text.
    """
    text = check_text(given)
    if is_poscar(text):
        return poscar_to_cif(text)
    if not is_cif(text):
        raise CrystalError(
            "The text is not a CIF file: it has no data_ block; nor is it a POSCAR of VASP 5."
        )
    return text


def _reader_by_name(path: Path) -> Reader | None:
    name = path.name.lower()
    if name.endswith(".cif"):
        return _read_cif
    if any(fnmatch(name, pattern) for pattern in POSCAR_NAMES):
        return _read_poscar
    if name.endswith(".json") and _is_pymatgen_json(path):
        return _read_json
    format = next((f for pattern, f in ASE_FORMATS.items() if fnmatch(name, pattern)), None)
    return _ase_reader(format) if format else None


def _reader_by_content(path: Path) -> Reader:
    """The reader of a file with an unknown name: CIF, POSCAR, or what ASE recognises."""
    from ase.io.formats import UnknownFileTypeError, filetype

    _check_file(path)
    text = decode_cif(path.read_bytes())
    if is_poscar(text):
        return _read_poscar
    if CIF_BLOCK.search(text):
        return _read_cif
    try:
        format = filetype(str(path))
    except UnknownFileTypeError:
        format = ""
    if format not in ASE_FORMATS.values():
        raise CrystalError(
            "The text is not a CIF file: it has no data_ block; nor is it of another supported "
            f"kind ({SUPPORTED})."
        )
    return _ase_reader(format)


def _read_cif(path: Path) -> list[str]:
    return [load_cif(path)]


def _read_poscar(path: Path) -> list[str]:
    return [poscar_to_cif(decode_cif(path.read_bytes()))]


def _read_json(path: Path) -> list[str]:
    from pymatgen.core import Structure

    return [structure_to_cif(Structure.from_dict(json.loads(path.read_bytes())))]


def _is_pymatgen_json(path: Path) -> bool:
    """Whether the file is a saved pymatgen Structure; other JSON files are not structures."""
    try:
        _check_file(path)
        content = json.loads(path.read_bytes())
    except (CrystalError, OSError, ValueError, RecursionError):
        return False
    return isinstance(content, dict) and content.get("@class") == "Structure"


def _ase_reader(format: str) -> Reader:
    def read(path: Path) -> list[str]:
        from ase.io import iread

        index = slice(None) if format == MULTIPLE else slice(-1, None)
        frames = iread(str(path), index, format=format, do_not_split_by_at_sign=True)
        texts = [atoms_to_cif(atoms) for atoms in frames]
        if not texts:
            raise CrystalError("The file holds no structure.")
        return texts

    return read


def _check_file(path: Path) -> None:
    """Refuse files that are too large, and pipes and devices, which may never end."""
    found = path.stat()
    if not S_ISREG(found.st_mode):
        raise CrystalError("It is not a regular file, but a pipe, a device or a socket.")
    if found.st_size > MAX_FILE_BYTES:
        raise CrystalError(f"The file is larger than {MAX_FILE_BYTES // 10**6} MB.")
