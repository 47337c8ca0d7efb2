"""Input of Quantum ESPRESSO for an ordered cell: from the relaxation to electron-phonon coupling.

The order of the programs and their settings are those of example03 of the PHonon package, which
computes the coupling of aluminium.
"""

import csv
from collections.abc import Iterable, Mapping
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from supervision.data.errors import CrystalError
from supervision.design.theory.meshes import Meshes, MeshOptions

if TYPE_CHECKING:
    from ase import Atoms
    from pymatgen.core import Structure

TITLE = "Quantum ESPRESSO"
TABLE_FILE = "sssp_pbe_efficiency_1.3.0.csv"
LIBRARY = "SSSP PBE Efficiency 1.3.0"
PREFIX, OUT_FOLDER, POTENTIAL_FOLDER = "crystal", "./out", "./pseudo"
SMEARING_RYDBERG = 0.02
BROADENING_RYDBERG, BROADENINGS = 0.005, 10  # of the electron-phonon coefficients
ENERGY_RYDBERG_PER_ATOM = 1e-10  # at which a density has converged
RESPONSE_THRESHOLD = 1e-14  # of ph.x
FREQUENCY_BINS = 200  # of the phonon density of states


class Pseudopotential(NamedTuple):
    """A file in UPF format, and the cutoffs that its authors recommend, in rydberg."""

    file: str
    wavefunctions: float
    density: float


@cache
def sssp() -> Mapping[str, Pseudopotential]:
    """The pseudopotential of each element in the library SSSP PBE Efficiency 1.3.0.

    Prandini, Marrazzo, Castelli, Mounet and Marzari, npj Comput. Mater. 4, 72 (2018);
    https://www.materialscloud.org/discover/sssp/table/efficiency.
    """
    text = files("supervision.design.theory").joinpath(TABLE_FILE).read_text()
    rows = csv.reader(text.splitlines()[1:])
    return {symbol: Pseudopotential(file, float(w), float(d)) for symbol, file, w, d in rows}


def write_espresso(
    structure: "Structure",
    folder: Path,
    options: MeshOptions,
    library: Mapping[str, Pseudopotential] | None = None,
) -> str:
    """Write the input of pw.x, ph.x, q2r.x and matdyn.x to a new folder; what to do with it.

    Args:
        library: the pseudopotential of each element; None: ``sssp()``.

    Raises CrystalError for an element that the library has not.
    """
    from ase.io.espresso import write_espresso_ph, write_fortran_namelist
    from pymatgen.io.ase import AseAtomsAdaptor

    used = _used(structure, sssp() if library is None else library)
    meshes = Meshes.of(structure, options)
    atoms = AseAtomsAdaptor.get_atoms(structure, msonable=False)
    folder.mkdir()
    _write_pw(folder / "relax.in", atoms, _pw(used, len(atoms), relax=True), used, meshes.k)
    dense = _pw(used, len(atoms), dense=True)
    _write_pw(folder / "scf_dense.in", atoms, dense, used, meshes.dense)
    _write_pw(folder / "scf.in", atoms, _pw(used, len(atoms)), used, meshes.k)
    with (folder / "ph.in").open("w") as file:
        write_espresso_ph(file, {"inputph": _ph(meshes)})
    for name, settings in (("q2r.in", _q2r()), ("matdyn.in", _matdyn(meshes))):
        with (folder / name).open("w") as file:
            write_fortran_namelist(file, {"input": settings})
    return _guide(structure, meshes, used)


def _used(
    structure: "Structure", library: Mapping[str, Pseudopotential]
) -> dict[str, Pseudopotential]:
    symbols = sorted(element.symbol for element in structure.composition)
    missing = [symbol for symbol in symbols if symbol not in library]
    if missing:
        raise CrystalError(f"The pseudopotential library has no {', '.join(missing)}.")
    return {symbol: library[symbol] for symbol in symbols}


def _write_pw(
    path: Path,
    atoms: "Atoms",
    settings: Mapping[str, Any],
    used: Mapping[str, Pseudopotential],
    mesh: Iterable[int],
) -> None:
    from ase.io.espresso import write_espresso_in

    with path.open("w") as file:
        write_espresso_in(
            file,
            atoms,
            dict(settings),
            pseudopotentials={symbol: found.file for symbol, found in used.items()},
            kpts=tuple(mesh),
            crystal_coordinates=True,
        )


def _pw(
    used: Mapping[str, Pseudopotential], atoms: int, *, relax: bool = False, dense: bool = False
) -> dict[str, dict[str, Any]]:
    """Namelists of pw.x; those of the dense mesh save what ph.x interpolates between."""
    system: dict[str, Any] = {
        "ecutwfc": max(found.wavefunctions for found in used.values()),
        "ecutrho": max(found.density for found in used.values()),
        "occupations": "smearing",
        "smearing": "marzari-vanderbilt",
        "degauss": SMEARING_RYDBERG,
    }
    return {
        "control": {
            "calculation": "vc-relax" if relax else "scf",
            "prefix": PREFIX,
            "outdir": OUT_FOLDER,
            "pseudo_dir": POTENTIAL_FOLDER,
            **({"forc_conv_thr": 1e-4} if relax else {}),
        },
        "system": system | ({"la2F": True} if dense else {}),
        "electrons": {"conv_thr": ENERGY_RYDBERG_PER_ATOM * atoms},
        **({"ions": {}, "cell": {"press_conv_thr": 0.1}} if relax else {}),
    }


def _ph(meshes: Meshes) -> dict[str, Any]:
    return {
        "prefix": PREFIX,
        "outdir": OUT_FOLDER,
        "fildyn": f"{PREFIX}.dyn",
        "fildvscf": "dvscf",
        "tr2_ph": RESPONSE_THRESHOLD,
        "ldisp": True,
        **{f"nq{axis}": number for axis, number in enumerate(meshes.q, start=1)},
        "trans": True,
        "electron_phonon": "interpolated",
        "el_ph_sigma": BROADENING_RYDBERG,
        "el_ph_nsigma": BROADENINGS,
    }


def _q2r() -> dict[str, Any]:
    return {
        "fildyn": f"{PREFIX}.dyn",
        "flfrc": f"{PREFIX}.fc",
        "zasr": "simple",
        "la2F": True,
    }


def _matdyn(meshes: Meshes) -> dict[str, Any]:
    return {
        "flfrc": f"{PREFIX}.fc",
        "flfrq": f"{PREFIX}.freq",
        "fldos": f"{PREFIX}.phdos",
        "asr": "simple",
        "la2F": True,
        "dos": True,
        "ndos": FREQUENCY_BINS,
        **{f"nk{axis}": number for axis, number in enumerate(meshes.k, start=1)},
    }


def _guide(structure: "Structure", meshes: Meshes, used: Mapping[str, Pseudopotential]) -> str:
    from pymatgen.symmetry.analyzer import SpacegroupAnalyzer

    points = len(SpacegroupAnalyzer(structure).get_ir_reciprocal_mesh(meshes.q))
    q, k, dense = ("×".join(map(str, mesh)) for mesh in (meshes.q, meshes.k, meshes.dense))
    listed = "\n".join(
        f"- {symbol}: `{found.file}`, {found.wavefunctions:g} and {found.density:g} Ry"
        for symbol, found in used.items()
    )
    modes = 3 * len(structure)
    return f"""```bash
mkdir -p pseudo                   # and put the files below into it
pw.x < relax.in > relax.out       # copy the last cell and positions into both scf files
pw.x < scf_dense.in > scf_dense.out
pw.x < scf.in > scf.out           # after scf_dense: ph.x reads its charge density
ph.x < ph.in > ph.out
q2r.x < q2r.in > q2r.out
matdyn.x < matdyn.in > matdyn.out # writes lambda and a2F.dos1 to a2F.dos{BROADENINGS}
```

Pseudopotentials, with the cutoffs of wave functions and density. Where you gave no others, they are
those of {LIBRARY} (https://www.materialscloud.org/discover/sssp/table/efficiency):

{listed}

| mesh | of | points |
|---|---|---|
| q | phonons (`ph.in`) | {q}, {points} of them not equivalent |
| k | potential (`relax.in`, `scf.in`) | {k} |
| dense k | electron-phonon coefficients (`scf_dense.in`) | {dense} |

Expected cost: `ph.x` solves for up to {points} q × {modes} displacements = {points * modes}
linear responses, each of the cost of several self-consistent runs; symmetry leaves fewer. Nearly
all of the time is theirs. They are independent: divide them by `start_q` and `last_q`.

The Tc follows from `lambda`, which has λ and ω_ln for each broadening, by the formula of Allen and
Dynes (Phys. Rev. B 12, 905, 1975) with μ* = 0.10 to 0.15:

    Tc = ω_ln / 1.2 · exp(-1.04 (1 + λ) / (λ - μ* (1 + 0.62 λ)))

`lambda.x` adds up the q mesh in place of the interpolation: its input lists the q of `ph.out` with
their weights, and the files `elph_dir/elph.inp_lambda.*` in the same order.

Check that

- the pressure after `relax.in` is near zero, or the one that you mean;
- the crystal is a metal: without states at the Fermi level there is no λ;
- no frequency in `{PREFIX}.freq` is imaginary (negative): else the cell is unstable, and λ of no
  use;
- λ hardly changes between neighbouring broadenings: read it where it is flat;
- it hardly changes with finer q and dense k meshes, higher cutoffs and a smaller `degauss`.

The calculation has no spin, no spin-orbit coupling and no U. Phonons explain conventional
superconductors alone: a low Tc from λ does not refute a cuprate, an iron superconductor or a
nickelate.
"""
