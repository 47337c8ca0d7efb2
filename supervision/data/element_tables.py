"""Two published tables of element features: CGCNN's, which ALIGNN uses, and Magpie's.

Both come from jarvis-tools; the pretrained ALIGNN models were trained with its copy of CGCNN's
table. Both tables treat hydrogen's isotopes as hydrogen.
"""

import json
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

MAX_ATOMIC_NUMBER = 94  # Pu, as in the images, so that all model families see equal materials
MISSING_VALUE = -9999.0  # in Magpie's table
VALENCE_COLUMNS = ("NsValence", "NpValence", "NdValence", "NfValence")


def atomic_number(atom: Any) -> int:
    """The atomic number of a pymatgen Element or Species.

    Raises ValueError for a species that the tables do not cover.
    """
    from pymatgen.core import DummySpecies  # cached graphs are read without pymatgen

    if isinstance(atom, DummySpecies) or atom.Z > MAX_ATOMIC_NUMBER:
        raise ValueError(f"There are no features for {atom}; they cover H to Pu.")
    return int(atom.Z)


@cache
def cgcnn() -> np.ndarray:
    """CGCNN's features of H to Pu, ``[94, 92]``: one-hot group, period, radius and others.

    Xie and Grossman, Phys. Rev. Lett. 120, 145301 (2018).
    """
    rows = _read_json("atom_init.json")
    return np.array([rows[str(number)] for number in range(1, MAX_ATOMIC_NUMBER + 1)], dtype=float)


@cache
def magpie() -> np.ndarray:
    """Magpie's properties of H to Pu, ``[94, 22]``; columns are ``magpie_names``.

    A missing value is replaced by the median of its column.

    Ward et al., npj Comput. Mater. 2, 16028 (2016).
    """
    from pymatgen.core import Element

    rows = [
        _read_json("magpie.json")[Element.from_Z(z).symbol] for z in range(1, MAX_ATOMIC_NUMBER + 1)
    ]
    table = np.array([[*row.values(), sum(row[name] for name in VALENCE_COLUMNS)] for row in rows])
    table[table == MISSING_VALUE] = np.nan
    return np.where(np.isnan(table), np.nanmedian(table, axis=0), table)


def magpie_names() -> list[str]:
    """The names of the 22 Magpie properties, in column order."""
    return [*_read_json("magpie.json")["H"], "NValence"]


@cache
def _read_json(name: str) -> dict[str, Any]:
    import jarvis.core

    return json.loads(Path(jarvis.core.__file__).with_name(name).read_text())
