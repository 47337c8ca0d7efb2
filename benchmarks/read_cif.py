"""Reading CIF text: our reader compared with pymatgen's parser.

    python -m benchmarks.read_cif --data ../shared/data/3dsc/3DSC_MP.tar.xz
    python -m benchmarks.read_cif --data ../shared/data/3dsc/3DSC_MP.tar.xz --compare
    python -m benchmarks.read_cif --attack

The first prints the processor time per file of both readers, run alternately, and their ratio. The
second compares their structures for all files of 3DSC and classics. The third runs both on the
texts of ``benchmarks.hostile_cif``, each in a separate process with ten seconds and 4 GiB.
"""

import argparse
import resource
import time
import warnings
from collections.abc import Callable, Sequence
from multiprocessing import get_context
from multiprocessing.connection import Connection

import numpy as np
from pymatgen.core import Structure
from pymatgen.io.cif import CifParser

from benchmarks.hostile_cif import HOSTILE, MISREAD
from supervision.data.cif import parse_cif
from supervision.data.datasets import load_dataset
from supervision.data.errors import CrystalError

SAMPLE_FILES = 273
ROUNDS = 3
TOLERANCE = 1e-6  # angstrom, fractional coordinate or occupancy
TIMEOUT_SECONDS = 10
MEMORY_BYTES = 4 << 30
Read = Callable[[str], Structure]


def read_with_pymatgen(text: str) -> Structure:
    """Read with pymatgen's parser; warnings are caught."""
    with warnings.catch_warnings(record=True):
        warnings.simplefilter("always")
        parser = CifParser.from_str(text, occupancy_tolerance=1.05)
        return parser.parse_structures(primitive=False, check_occu=True)[0]


def speed(texts: Sequence[str]) -> None:
    """Print the processor time per file: the best of several alternating rounds."""
    picks = [texts[i] for i in np.linspace(0, len(texts) - 1, SAMPLE_FILES).astype(int)]
    sides: dict[str, Read] = {"pymatgen": read_with_pymatgen, "ours": parse_cif}
    best = dict.fromkeys(sides, np.inf)
    for _ in range(ROUNDS):
        for name, read in sides.items():
            began = time.process_time()
            for text in picks:
                read(text)
            best[name] = min(best[name], 1000 * (time.process_time() - began) / len(picks))
    print(f"{len(picks)} files, processor time, the best of {ROUNDS} rounds")
    for name, found in best.items():
        print(f"{name:9} {found:6.2f} ms per file")
    print(f"ratio     {best['pymatgen'] / best['ours']:6.1f}")


def compare(texts: Sequence[str], ids: Sequence[str]) -> None:
    """Print the largest difference of the structures, and the files that differ."""
    worst, exceptions = 0.0, []
    for text, name in zip(texts, ids, strict=True):
        try:
            apart = difference(parse_cif(text), read_with_pymatgen(text))
        except (CrystalError, ValueError) as error:
            exceptions.append(f"{name}: {error}")
            continue
        worst = max(worst, apart)
        if apart > TOLERANCE:
            exceptions.append(f"{name}: differs by {apart:.2g}")
    summary = f"{len(exceptions)} differ by more than {TOLERANCE:g}, worst {worst:.1e}"
    print(f"{len(texts)} files, {summary}")
    print("\n".join(exceptions))


def difference(one: Structure, other: Structure) -> float:
    """The largest difference of lattices (angstrom), coordinates and occupancies."""
    if len(one) != len(other):
        return np.inf
    apart = one.frac_coords - other.frac_coords
    found = [np.abs(one.lattice.matrix - other.lattice.matrix).max()]
    found.append(np.abs(apart - apart.round()).max())
    for a, b in zip(one, other, strict=True):
        shares = [site.species.get_el_amt_dict() for site in (a, b)]
        names = shares[0].keys() | shares[1].keys()
        found.append(max(abs(shares[0].get(n, 0) - shares[1].get(n, 0)) for n in names))
    return float(max(found))


def attack() -> None:
    """Print the result and processor time of both readers for every hostile text."""
    print("| text | pymatgen | ours |\n|---|---|---|")
    for name, (text, _) in (HOSTILE | MISREAD).items():
        results = (read_in_process(read, text) for read in (read_with_pymatgen, parse_cif))
        print(f"| {name} | {' | '.join(results)} |", flush=True)


def read_in_process(read: Read, text: str) -> str:
    """The result of one reader in a separate process."""
    context = get_context("fork")
    here, there = context.Pipe(duplex=False)
    process = context.Process(target=_send_result, args=(read, text, there))
    process.start()
    there.close()
    result = f"stopped after {TIMEOUT_SECONDS} s"
    if here.poll(TIMEOUT_SECONDS):
        try:
            result = here.recv()
        except EOFError:
            result = "killed its process"
    process.kill()
    process.join()
    return result


def _send_result(read: Read, text: str, to: Connection) -> None:
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    began = time.process_time()
    try:
        result = f"read: {read(text).formula}"
    except Exception as error:
        result = f"{type(error).__name__}: {str(error).strip().splitlines()[0]}"
    taken = time.process_time() - began
    to.send(f"{result[:150]} ({1000 * taken:.0f} ms)".replace("|", "/"))


def main() -> None:
    """Run the benchmark that the options choose."""
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--data", default="", help="a local copy of 3DSC; empty: download")
    options.add_argument(
        "--compare", action="store_true", help="compare the structures of all files"
    )
    options.add_argument("--attack", action="store_true", help="run both on hostile texts")
    chosen = options.parse_args()
    if chosen.attack:
        attack()
        return
    crystals = load_dataset("3dsc", chosen.data).crystals
    if chosen.compare:
        crystals += load_dataset("classics").crystals
        compare([c.cif for c in crystals], [c.id for c in crystals])
    else:
        speed([c.cif for c in crystals])


if __name__ == "__main__":
    main()
