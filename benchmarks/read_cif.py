"""CIF text to Structure: our reader beside pymatgen's, which it took the place of.

    python -m benchmarks.read_cif --data ../shared/data/3dsc/3DSC_MP.tar.xz
    python -m benchmarks.read_cif --data ../shared/data/3dsc/3DSC_MP.tar.xz --compare
    python -m benchmarks.read_cif --attack

The first prints processor milliseconds a file of both sides, taking turns, and their ratio; the
second compares what both read, file by file, on all of 3DSC and of classics; the third gives both
the texts of ``benchmarks.hostile_cif``, each in a process of its own with ten seconds and 4 GiB.
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

SAMPLE = 273  # files
ROUNDS = 3
EQUAL = 1e-6
STOPPED = 10  # seconds
MEMORY = 4 << 30  # bytes
Read = Callable[[str], Structure]


def pymatgens(text: str) -> Structure:
    """As this project read CIF before: pymatgen's parser, warnings caught."""
    with warnings.catch_warnings(record=True):
        warnings.simplefilter("always")
        parser = CifParser.from_str(text, occupancy_tolerance=1.05)
        return parser.parse_structures(primitive=False, check_occu=True)[0]


def speed(texts: Sequence[str]) -> None:
    """Processor milliseconds a file: the best of some rounds in which sides take turns."""
    picks = [texts[i] for i in np.linspace(0, len(texts) - 1, SAMPLE).astype(int)]
    sides: dict[str, Read] = {"pymatgen": pymatgens, "ours": parse_cif}
    best = dict.fromkeys(sides, np.inf)
    for _ in range(ROUNDS):
        for name, read in sides.items():
            began = time.process_time()
            for text in picks:
                read(text)
            best[name] = min(best[name], 1000 * (time.process_time() - began) / len(picks))
    print(f"{len(picks)} files, processor time, the best of {ROUNDS} rounds")
    for name, found in best.items():
        print(f"{name:9} {found:6.2f} ms a file")
    print(f"ratio     {best['pymatgen'] / best['ours']:6.1f}")


def compare(texts: Sequence[str], ids: Sequence[str]) -> None:
    """How far lattices, coordinates and occupancies are apart, and which files are not equal."""
    worst, exceptions = 0.0, []
    for text, name in zip(texts, ids, strict=True):
        try:
            apart = difference(parse_cif(text), pymatgens(text))
        except (CrystalError, ValueError) as error:
            exceptions.append(f"{name}: {error}")
            continue
        worst = max(worst, apart)
        if apart > EQUAL:
            exceptions.append(f"{name}: apart by {apart:.2g}")
    print(f"{len(texts)} files, {len(exceptions)} not equal to {EQUAL:g}, worst {worst:.1e}")
    print("\n".join(exceptions))


def difference(one: Structure, other: Structure) -> float:
    """The largest difference in the lattice (angstrom), coordinates and occupancies."""
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
    """What each side makes of every hostile text, and what that takes."""
    print("| text | pymatgen | ours |\n|---|---|---|")
    for name, (text, _) in (HOSTILE | MISREAD).items():
        print(f"| {name} | {alone(pymatgens, text)} | {alone(parse_cif, text)} |", flush=True)


def alone(read: Read, text: str) -> str:
    """What a side says, in a process of its own."""
    context = get_context("fork")
    here, there = context.Pipe(duplex=False)
    process = context.Process(target=_answer, args=(read, text, there))
    process.start()
    there.close()
    said = f"stopped after {STOPPED} s"
    if here.poll(STOPPED):
        try:
            said = here.recv()
        except EOFError:
            said = "killed its process"
    process.kill()
    process.join()
    return said


def _answer(read: Read, text: str, to: Connection) -> None:
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    began = time.process_time()
    try:
        said = f"read: {read(text).formula}"
    except Exception as error:
        said = f"{type(error).__name__}: {str(error).strip().splitlines()[0]}"
    taken = time.process_time() - began
    to.send(f"{said[:150]} ({1000 * taken:.0f} ms)".replace("|", "/"))


def main() -> None:
    """Speed, comparison or attack."""
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--data", default="", help="a local copy of 3DSC; empty: download")
    options.add_argument("--compare", action="store_true", help="what both read, file by file")
    options.add_argument("--attack", action="store_true", help="hostile texts")
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
