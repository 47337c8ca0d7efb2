"""Candidates of OPTIMADE: files of JSON lines, and the answers of a database on the web.

Structures are those of version 1 (www.optimade.org), with species that share a site.
"""

import gzip
import json
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

from supervision.data.cif_writer import structure_to_cif
from supervision.data.errors import CrystalError, DatasetError, crystal_errors
from supervision.runtime.errors import error_reason
from supervision.runtime.files import printable_path
from supervision.runtime.text import printable
from supervision.screening.sources.candidate import Candidate, hull_energy

MAX_LINE_BYTES = 20_000_000
MAX_PAGE_BYTES = 200_000_000
TIMEOUT_SECONDS, ATTEMPTS, PAUSE_SECONDS = 60, 3, 5.0
STRUCTURES = "structures"
VACANCY = "vacancy"


def jsonl_candidates(path: Path, name: str) -> Iterator[Candidate]:
    """The structures in a file of JSON lines (.jsonl, .jsonl.gz); other entries are not read.

    Raises DatasetError for a file that cannot be read.
    """
    opened: Any = gzip.open if path.name.lower().endswith(".gz") else open
    try:
        with opened(path, "rb") as file:
            number = 0
            while line := file.readline(MAX_LINE_BYTES):
                number += 1
                if not line.isspace():
                    yield from _line_candidates(line, f"{name} line {number}")
    except (EOFError, OSError) as error:
        raise DatasetError(
            f"{printable_path(path)} cannot be read ({error_reason(error)})."
        ) from error


def url_candidates(url: str) -> Iterator[Candidate]:
    """The structures at an address such as ``https://.../v1/structures?filter=...``, all pages.

    Raises DatasetError where the database does not answer as OPTIMADE does.
    """
    while url:
        page = _page(url)
        yield from (_entry_candidate(entry) for entry in page["data"])
        url = _next_address(page, url)


def _line_candidates(line: bytes, number: str) -> Iterator[Candidate]:
    try:
        entry = json.loads(line)
    except (ValueError, RecursionError):
        yield Candidate(number, error="The line is not JSON.")
        return
    if not isinstance(entry, dict):
        yield Candidate(number, error="The line is not an entry of OPTIMADE.")
    elif entry.get("type") == STRUCTURES and "attributes" in entry:
        yield _entry_candidate(entry)


def _entry_candidate(entry: Mapping[str, Any]) -> Candidate:
    id = printable(str(entry.get("id", "")))
    try:
        with crystal_errors():
            attributes = entry["attributes"]
            return Candidate(id, _cif(attributes), energy_above_hull=hull_energy(attributes))
    except CrystalError as error:
        return Candidate(id, error=str(error))


def _cif(attributes: Mapping[str, Any]) -> str:
    """The structure of an entry as CIF text. Raises CrystalError where it is not a crystal."""
    from pymatgen.core import Lattice, Structure

    if attributes.get("nperiodic_dimensions", 3) != 3:
        raise CrystalError("The structure is not periodic in three directions.")
    species = {found["name"]: _amounts(found) for found in attributes["species"]}
    sites = [species[name] for name in attributes["species_at_sites"]]
    occupied = [
        (amounts, position)
        for amounts, position in zip(sites, attributes["cartesian_site_positions"], strict=True)
        if amounts
    ]
    if not occupied:
        raise CrystalError("The structure has no atoms.")
    kinds, positions = zip(*occupied, strict=True)
    lattice = Lattice(attributes["lattice_vectors"])
    return structure_to_cif(Structure(lattice, kinds, positions, coords_are_cartesian=True))


def _amounts(species: Mapping[str, Any]) -> dict[str, float]:
    """The elements of a kind of site with their shares, without what is vacant."""
    if species.get("attached"):
        raise CrystalError("Atoms attached to sites have no positions; list them as sites.")
    pairs = zip(species["chemical_symbols"], species["concentration"], strict=True)
    found = {symbol: float(share) for symbol, share in pairs if symbol != VACANCY and share}
    if "X" in found:
        raise CrystalError("The species 'X' is not an element.")
    return found


def _page(url: str) -> Mapping[str, Any]:
    """A page of results; a database that is busy is asked again."""
    for attempt in range(1, ATTEMPTS + 1):
        try:
            with urllib.request.urlopen(url, timeout=TIMEOUT_SECONDS) as answer:
                page = json.loads(answer.read(MAX_PAGE_BYTES))
            if not isinstance(page.get("data"), list):
                raise ValueError("it is not a list of structures")
            return dict(page)
        except (OSError, ValueError, AttributeError) as error:
            is_refusal = isinstance(error, urllib.error.HTTPError) and error.code < 500
            if attempt == ATTEMPTS or is_refusal or not isinstance(error, OSError):
                raise DatasetError(
                    f"{printable(url)} does not answer as OPTIMADE ({error_reason(error)}); give "
                    "an address such as https://HOST/v1/structures?filter=..."
                ) from error
            time.sleep(PAUSE_SECONDS)
    raise AssertionError("the last attempt returns or raises")


def _next_address(page: Mapping[str, Any], url: str) -> str:
    """The address of the next page; empty at the last one."""
    link = (page.get("links") or {}).get("next")
    href = link.get("href") if isinstance(link, dict) else link
    return urljoin(url, href) if href else ""
