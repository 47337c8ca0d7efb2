"""Two published tables of the elements: CGCNN's, which ALIGNN reads, and Magpie's.

Both are read from jarvis-tools, whose copy of the first the pretrained ALIGNN models were trained
with. They know hydrogen's isotopes as hydrogen.
"""

import json
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

LAST = 94  # Pu, where the pictures end too: every paradigm sees the same materials
UNKNOWN = -9999.0  # how Magpie's table says that it does not know
VALENCES = ("NsValence", "NpValence", "NdValence", "NfValence")


def atomic_number(atom: Any) -> int:
    """Of a pymatgen Element or Species; ValueError, naming it, for one that has no row."""
    from pymatgen.core import DummySpecies  # a graph that is ready is read without pymatgen

    if isinstance(atom, DummySpecies) or atom.Z > LAST:
        raise ValueError(f"There are no features for {atom}; they cover H to Pu.")
    return int(atom.Z)


@cache
def cgcnn() -> np.ndarray:
    """``[94, 92]`` of H to Pu: one-hot groups, periods, radii, ... as 0 and 1.

    Xie and Grossman, Phys. Rev. Lett. 120, 145301 (2018).
    """
    rows = _read("atom_init.json")
    return np.array([rows[str(number)] for number in range(1, LAST + 1)], dtype=float)


@cache
def magpie() -> np.ndarray:
    """``[94, 22]`` of H to Pu, columns as ``magpie_names``; an unknown value is the median.

    Ward et al., npj Comput. Mater. 2, 16028 (2016).
    """
    from pymatgen.core import Element

    rows = [_read("magpie.json")[Element.from_Z(z).symbol] for z in range(1, LAST + 1)]
    table = np.array([[*row.values(), sum(row[name] for name in VALENCES)] for row in rows])
    table[table == UNKNOWN] = np.nan
    return np.where(np.isnan(table), np.nanmedian(table, axis=0), table)


def magpie_names() -> list[str]:
    """The 22 properties, in order."""
    return [*_read("magpie.json")["H"], "NValence"]


@cache
def _read(name: str) -> dict[str, Any]:
    import jarvis.core

    return json.loads(Path(jarvis.core.__file__).with_name(name).read_text())
