"""The SuperCon list: formulas with measured critical temperatures, without structures.

Source: Stanev et al., npj Comput. Mater. 4, 29 (2018), from the SuperCon data base of NIMS; CC BY
4.0. 16,414 rows ``name,Tc``; a Tc of 0 means that none was reported. The list writes every amount,
also 1: ``Y1Ba2Cu3O6.92``.
"""

import http.client
import re
import urllib.request
from pathlib import Path

from supervision.data.crystals import Crystal, Reject, parse_formula
from supervision.data.datasets.load import parse_tc
from supervision.data.element_tables import atomic_number
from supervision.data.errors import CrystalError, DatasetError
from supervision.data.table import parse_table
from supervision.runtime.errors import one_line
from supervision.runtime.files import atomic_write, cache_dir

REVISION = "de55874c0c5c22d69d46ba2c7a3352193e48390c"
URL = f"https://raw.githubusercontent.com/vstanev1/Supercon/{REVISION}/Supercon_data.csv"
SIZE_BYTES = 357_918  # of this revision; a download that is cut off is shorter
LOCAL_COPY_HELP = (
    "Give a local copy, a CSV table with the columns name and Tc, with extra_data=supercon=PATH."
)
FORMULA = re.compile(r"(?:[A-Z][a-z]?(?:\d+(?:\.\d+)?)?)+")
ATOMS = re.compile(r"([A-Z][a-z]?)([\d.]*)")
MAX_AMOUNT = 150  # above it a decimal point is missing, as in Y1Ba2Cu3O6050


def load_supercon(data: str = "") -> tuple[list[Crystal], list[Reject]]:
    """The list from a local copy or, without one, downloaded.

    Returns the rows as crystals without CIF text, and the rejected rows. A composition that is not
    clear is not guessed. Raises DatasetError if the list cannot be read.
    """
    path = Path(data).expanduser() if data else _download()
    if not path.is_file():
        raise DatasetError(f"{path} is not a file. {LOCAL_COPY_HELP}")
    table = parse_table(path.read_bytes(), str(path), {"name", "Tc"})
    crystals: list[Crystal] = []
    rejects: list[Reject] = []
    for number, (name, tc) in enumerate(zip(table["name"], table["Tc"], strict=True), start=1):
        id = f"supercon row {number}"
        try:
            crystals.append(Crystal(id, _checked(name.strip()), "", parse_tc(tc)))
        except CrystalError as error:
            rejects.append(Reject(id, str(error)))
    return crystals, rejects


def _checked(name: str) -> str:
    """The formula, if its composition is clear; else raises CrystalError."""
    if not FORMULA.fullmatch(name):
        raise CrystalError(f"'{name[:60]}' is not a chemical formula.")
    elements = parse_formula(name).elements
    for symbol, amount in ATOMS.findall(name):
        # O at the end, or OY, is O(y); TI is Ti or Tl. CuO and other binary oxides are clear.
        if not amount and (symbol == "T" or (symbol == "O" and len(elements) > 2)):
            raise CrystalError(f"'{name[:60]}' does not say how much {symbol} it has.")
        if amount and not 0 < float(amount) <= MAX_AMOUNT:
            raise CrystalError(
                f"'{name[:60]}' has {amount} {symbol}; an amount must be above 0 and at most "
                f"{MAX_AMOUNT}."
            )
    try:
        for element in elements:
            atomic_number(element)
    except ValueError as error:
        raise CrystalError(str(error)) from error
    return name


def _download() -> Path:
    """The path of the public list in the cache; downloaded if missing."""
    target = cache_dir() / f"supercon-{REVISION[:12]}.csv"
    if target.is_file():
        return target
    try:
        with urllib.request.urlopen(URL, timeout=10) as response:
            content = response.read(SIZE_BYTES + 1)
        if len(content) != SIZE_BYTES:
            raise OSError(f"it is not {SIZE_BYTES} bytes long")
        with atomic_write(target) as file:
            file.write(content)
    except (OSError, http.client.HTTPException) as error:
        raise DatasetError(
            f"The SuperCon list at {URL} cannot be downloaded ({one_line(error)}). "
            f"{LOCAL_COPY_HELP}"
        ) from error
    return target
