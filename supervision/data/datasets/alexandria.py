"""The Alexandria electron-phonon data set: computed, not measured critical temperatures.

Sources: Cerqueira, Sanna and Marques, Adv. Mater. 36, 2307085 (2024), and Cerqueira, Fang, Errea,
Sanna and Marques, Adv. Funct. Mater. 34, 2404043 (2024): Allen-Dynes Tc with DFT electron-phonon
coupling, 8,253 materials; doi:10.6084/m9.figshare.27174897, as jarvis-tools downloads it.
"""

from supervision.data.crystals import Crystal, Reject
from supervision.data.datasets.jarvis import load_release


def load_alexandria(data: str = "") -> tuple[list[Crystal], list[Reject]]:
    """The data set from a local copy or, without one, downloaded with jarvis-tools.

    Returns the crystals and the rejected rows. Raises DatasetError if the data cannot be read.
    """
    return load_release("alex_supercon", data)
