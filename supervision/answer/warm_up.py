"""The first answer of a server, before anybody asks: it imports what all others need."""

import warnings

from supervision.answer.answerer import Answerer
from supervision.data.crystals import Crystal

# Symmetry and a mixed site, as most crystals have them; every model can read it.
EXAMPLE = """data_example
_symmetry_space_group_name_H-M 'P 6/m m m'
_cell_length_a 3.083
_cell_length_b 3.083
_cell_length_c 3.52
_cell_angle_alpha 90
_cell_angle_beta 90
_cell_angle_gamma 120
loop_
_atom_site_label
_atom_site_type_symbol
_atom_site_fract_x
_atom_site_fract_y
_atom_site_fract_z
_atom_site_occupancy
Mg1 Mg 0 0 0 0.9
Al1 Al 0 0 0 0.1
B1 B 0.33333 0.66667 0.5 1
"""


def warm_up(answerer: Answerer) -> None:
    """Answer for one small crystal, so that no request pays for imports and tables.

    Without it, the time limit of a request could interrupt an import. Raises ValueError where there
    is no answer: a model that cannot read MgB2 reads nothing, and its server must not start.
    """
    # pymatgen warns of noble gases and Og in every request; no model reads its electronegativities.
    warnings.filterwarnings("ignore", "No Pauling electronegativity", UserWarning)
    (answer,) = answerer.answer([Crystal("Mg0.9Al0.1B2", "", EXAMPLE)])
    if answer.error:
        raise ValueError(f"The model gives no answer for {answer.name}: {answer.error}")
