"""Input of VASP for an ordered cell: the relaxation, by pymatgen's settings for metals."""

import warnings
from pathlib import Path
from typing import TYPE_CHECKING

from supervision.design.theory.meshes import MeshOptions

if TYPE_CHECKING:
    from pymatgen.core import Structure

TITLE = "VASP"


def write_vasp(structure: "Structure", folder: Path, options: MeshOptions) -> str:
    """Write POSCAR, INCAR, KPOINTS and POTCAR.spec into a new folder; what there is to do with it.

    The settings are those of ``MPMetalRelaxSet``: ``MPRelaxSet`` of the Materials Project with the
    smearing of metals. POTCAR.spec names the potentials, which VASP's licence does not let anyone
    pass on. Raises an error of pymatgen for an element without settings.
    """
    from pymatgen.io.vasp.sets import MPMetalRelaxSet

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of potentials that are not on this machine
        kpoints = {"reciprocal_density": options.k_density}
        inputs = MPMetalRelaxSet(structure, user_kpoints_settings=kpoints)
        inputs.write_input(str(folder), potcar_spec=True)
    return _GUIDE


_GUIDE = """The cell is relaxed with the settings of the Materials Project (pymatgen's
`MPMetalRelaxSet`: `MPRelaxSet` with the smearing of metals).

1. Put the potentials that `POTCAR.spec` names together as `POTCAR`, in its order; your licence
   gives access to them.
2. Run `vasp_std` in this folder.
3. Relax again from `CONTCAR` until the volume stays: the basis is that of the first cell.
4. Phonons: displacements by phonopy (`phonopy -d`) with forces by `IBRION = -1`, `NSW = 0`,
   `EDIFF = 1E-8` and without spin, if the moments have vanished.

Check that

- the moments in `OUTCAR` are what is known of the compound: the calculation starts ferromagnetic;
- `LDAUU` in `INCAR`, if there is any, is meant: the Materials Project adds it to transition metals
  in oxides and fluorides, and it changes states at the Fermi level;
- no phonon is imaginary before an electron-phonon coupling is computed.

These files compute no electron-phonon coupling; the folder `espresso` does, from the relaxed cell.
"""
