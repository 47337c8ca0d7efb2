"""The 3DSC_MP release, from an archive, an unpacked folder or a download.

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
from supervision.data.errors import CrystalError, DatasetError
from supervision.data.table import decode_cif, parse_table, read_cif
from supervision.runtime.errors import one_line
from supervision.runtime.files import atomic_write, cache_dir

TABLE_PATH = "data/final/MP/3DSC_MP.csv"
TABLE_COLUMNS = {"formula_sc", "tc", "cif"}
REVISION = "cd71d3a46cbab204198c0f923112a1295cca0fdd"
URL = f"https://github.com/aimat-lab/3DSC/archive/{REVISION}.tar.gz"
MAX_TABLE_BYTES = 500_000_000
MAX_RELEASE_BYTES = 2_000_000_000
READ_BLOCK_BYTES = 1 << 20
READ_ERRORS = (tarfile.TarError, lzma.LZMAError, zlib.error, EOFError, OSError)
LOCAL_COPY_HELP = "Give a local copy with data=PATH (a .tar.gz, a .tar.xz or the unpacked folder)."


def open_threedsc(data: str = "") -> tuple[pd.DataFrame, Callable[[str], str]]:
    """Open a local copy of the release, or download it.

    Returns the table (``formula, tc, cif, ...``, all text) and a function that reads a CIF file of
    the release by the path in the table. Raises DatasetError, which says how to give a local copy,
    if the release cannot be read.
    """
    path = Path(data).expanduser() if data else _download()
    if path.is_dir():
        table, read = _open_folder(path)
    elif path.is_file():
        table, read = _open_archive(path)
    else:
        raise DatasetError(f"data={data} does not exist. {LOCAL_COPY_HELP}")
    return table.rename(columns={"formula_sc": "formula"}), read


def _open_folder(folder: Path) -> tuple[pd.DataFrame, Callable[[str], str]]:
    tables = [
        folder / TABLE_PATH,
        *sorted(folder.glob(f"*/{TABLE_PATH}")),
        *sorted(folder.glob(f"*/*/{TABLE_PATH}")),
    ]
    found = next((t for t in tables if t.is_file()), None)
    if found is None:
        raise DatasetError(f"{folder} holds no {TABLE_PATH}. {LOCAL_COPY_HELP}")
    base = found.parents[3]
    return parse_table(found.read_bytes(), str(found), TABLE_COLUMNS), partial(read_cif, base)


def _open_archive(archive: Path) -> tuple[pd.DataFrame, Callable[[str], str]]:
    """Read an archive into memory, file by file; nothing is written to disk.

    Only regular files in the folder of the table are read, each up to a maximum size.
    """
    raw_table, base = b"", ""
    cifs: dict[str, str] = {}
    too_large: set[str] = set()
    total_bytes = 0
    try:
        with tarfile.open(archive, mode="r:*") as tar:
            for member in tar:
                if not member.isfile() or "/final/MP/" not in member.name:
                    continue
                name = member.name.removeprefix("./")
                is_table, is_cif = name.endswith(TABLE_PATH), name.endswith(".cif")
                max_bytes = MAX_TABLE_BYTES if is_table else MAX_CIF_BYTES
                if member.size > max_bytes:
                    too_large.add(name)
                elif is_table or is_cif:
                    content = tar.extractfile(member).read()  # type: ignore[union-attr]
                    total_bytes += len(content)
                    if is_table:
                        raw_table, base = content, name.removesuffix(TABLE_PATH)
                    else:
                        cifs[name] = decode_cif(content)
                if total_bytes > MAX_RELEASE_BYTES:
                    raise DatasetError(
                        f"{archive} holds more than {MAX_RELEASE_BYTES // 10**9} GB. "
                        f"{LOCAL_COPY_HELP}"
                    )
            while tar.fileobj.read(READ_BLOCK_BYTES):
                pass  # to the end, so that the checksum is verified
    except READ_ERRORS as error:
        raise DatasetError(
            f"{archive} is not a readable archive ({one_line(error)}). {LOCAL_COPY_HELP}"
        ) from error
    if not raw_table:
        article = "too large a" if any(n.endswith(TABLE_PATH) for n in too_large) else "no"
        raise DatasetError(f"{archive} holds {article} {TABLE_PATH}. {LOCAL_COPY_HELP}")

    def read(cif: str) -> str:
        name = base + cif
        if name in too_large:
            raise CrystalError(f"{cif} is larger than {MAX_CIF_BYTES // 10**6} MB.")
        if name not in cifs:
            raise CrystalError(f"The release has no file {cif}.")
        return cifs[name]

    return parse_table(raw_table, f"{archive}: {TABLE_PATH}", TABLE_COLUMNS), read


def _download() -> Path:
    """The path of the public release in the cache; downloaded if missing."""
    target = cache_dir() / f"3dsc-{REVISION[:12]}.tar.gz"
    if target.is_file():
        return target
    try:
        with atomic_write(target) as file:
            with urllib.request.urlopen(URL, timeout=10) as response:
                shutil.copyfileobj(response, file, READ_BLOCK_BYTES)
            file.flush()
            with gzip.open(file.name) as unpacked:  # verifies the checksum at the end
                while unpacked.read(READ_BLOCK_BYTES):
                    pass
    except (*READ_ERRORS, http.client.HTTPException) as error:
        raise DatasetError(
            f"The 3DSC release at {URL} cannot be downloaded ({one_line(error)}). {LOCAL_COPY_HELP}"
        ) from error
    return target
