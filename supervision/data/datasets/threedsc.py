"""The 3DSC_MP release: an archive, an unpacked folder, or a download of the public one.

Source: Sommer et al., Scientific Data 10, 816 (2023), aimat-lab/3DSC, CC BY 4.0.
"""

import gzip
import http.client
import lzma
import shutil
import tarfile
import urllib.request
import zlib
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pandas as pd

from supervision.data.cif import MAX_CIF_BYTES
from supervision.data.datasets.table import decode_cif, parse_table, read_cif
from supervision.data.errors import CrystalError, DatasetError
from supervision.runtime.errors import one_line
from supervision.runtime.files import atomic_write, cache_dir

TABLE = "data/final/MP/3DSC_MP.csv"
COLUMNS = {"formula_sc", "tc", "cif"}
REVISION = "cd71d3a46cbab204198c0f923112a1295cca0fdd"
URL = f"https://github.com/aimat-lab/3DSC/archive/{REVISION}.tar.gz"
MAX_TABLE_BYTES = 500_000_000
MAX_RELEASE_BYTES = 2_000_000_000
BLOCK = 1 << 20
UNREADABLE = (tarfile.TarError, lzma.LZMAError, zlib.error, EOFError, OSError)
HELP = "Give a local copy with data=PATH (a .tar.gz, a .tar.xz or the unpacked folder)."


def open_threedsc(data: str = "") -> tuple[pd.DataFrame, Callable[[str], str]]:
    """The release's table (``formula, tc, cif, ...``, all text) and a reader of its CIF files.

    Raises DatasetError with one sentence that says how to give a local copy.
    """
    path = Path(data).expanduser() if data else _download()
    if path.is_dir():
        table, read = _open_folder(path)
    elif path.is_file():
        table, read = _open_archive(path)
    else:
        raise DatasetError(f"data={data} does not exist. {HELP}")
    return table.rename(columns={"formula_sc": "formula"}), read


def _open_folder(folder: Path) -> tuple[pd.DataFrame, Callable[[str], str]]:
    tables = [
        folder / TABLE,
        *sorted(folder.glob(f"*/{TABLE}")),
        *sorted(folder.glob(f"*/*/{TABLE}")),
    ]
    found = next((t for t in tables if t.is_file()), None)
    if found is None:
        raise DatasetError(f"{folder} holds no {TABLE}. {HELP}")
    base = found.parents[3]

    return parse_table(found.read_bytes(), str(found), COLUMNS), partial(read_cif, base)


def _open_archive(archive: Path) -> tuple[pd.DataFrame, Callable[[str], str]]:
    """Read an archive member by member into memory; nothing is ever written to disk.

    Only regular files of the table's own folder are read, each under its size cap.
    """
    raw_table, base = b"", ""
    cifs: dict[str, str] = {}
    too_large: set[str] = set()
    taken = 0
    try:
        with tarfile.open(archive, mode="r:*") as tar:
            for member in tar:
                if not member.isfile() or "/final/MP/" not in member.name:
                    continue
                name = member.name.removeprefix("./")
                is_table, is_cif = name.endswith(TABLE), name.endswith(".cif")
                cap = MAX_TABLE_BYTES if is_table else MAX_CIF_BYTES
                if member.size > cap:
                    too_large.add(name)
                elif is_table or is_cif:
                    content = tar.extractfile(member).read()  # type: ignore[union-attr]
                    taken += len(content)
                    if is_table:
                        raw_table, base = content, name.removesuffix(TABLE)
                    else:
                        cifs[name] = decode_cif(content)
                if taken > MAX_RELEASE_BYTES:
                    raise DatasetError(
                        f"{archive} holds more than {MAX_RELEASE_BYTES // 10**9} GB. {HELP}"
                    )
            while tar.fileobj.read(BLOCK):
                pass  # to its end, where the checksum is
    except UNREADABLE as error:
        raise DatasetError(
            f"{archive} is not an archive that can be read ({one_line(error)}). {HELP}"
        ) from error
    if not raw_table:
        fault = "too large a" if any(n.endswith(TABLE) for n in too_large) else "no"
        raise DatasetError(f"{archive} holds {fault} {TABLE}. {HELP}")

    def read(cif: str) -> str:
        name = base + cif
        if name in too_large:
            raise CrystalError(f"{cif} is larger than {MAX_CIF_BYTES // 10**6} MB.")
        if name not in cifs:
            raise CrystalError(f"The release has no file {cif}.")
        return cifs[name]

    return parse_table(raw_table, f"{archive}: {TABLE}", COLUMNS), read


def _download() -> Path:
    """The public release in the cache, fetched once."""
    target = cache_dir() / f"3dsc-{REVISION[:12]}.tar.gz"
    if target.is_file():
        return target
    try:
        with atomic_write(target) as file:
            with urllib.request.urlopen(URL, timeout=10) as answer:
                shutil.copyfileobj(answer, file, BLOCK)
            file.flush()
            with gzip.open(file.name) as arrived:  # whole, by the checksum at its end
                while arrived.read(BLOCK):
                    pass
    except (*UNREADABLE, http.client.HTTPException) as error:
        raise DatasetError(
            f"The 3DSC release at {URL} cannot be had ({one_line(error)}). {HELP}"
        ) from error
    return target
