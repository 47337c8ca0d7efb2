"""The 18 views of a crystal, and the order in which they are used."""

from dataclasses import dataclass
from itertools import product


@dataclass(frozen=True)
class View:
    """A supercell and where it is looked at from.

    Attributes:
        repeats: cells along a, b and c.
        direction: ``a``, ``b`` or ``c``: that lattice vector points at the viewer; any other name:
            a random rotation, drawn from the scene's key, the seed, and this name.
    """

    repeats: tuple[int, int, int]
    direction: str

    @property
    def name(self) -> str:
        """For file names and captions, such as ``2x2x1-a``."""
        return f"{'x'.join(map(str, self.repeats))}-{self.direction}"


SUPERCELLS = ((1, 1, 1), (2, 2, 1), (2, 2, 2))
VIEWS: tuple[View, ...] = tuple(
    View(*pair) for pair in product(SUPERCELLS, ("a", "b", "c", "r1", "r2", "r3"))
)

# An axis and a rotation by turns, the supercell changing with each: the first few views show as
# many directions and supercells as so few can.
_DIRECTIONS = ("c", "r1", "a", "r2", "b", "r3")
VIEW_ORDER: tuple[int, ...] = tuple(
    VIEWS.index(View(SUPERCELLS[(turn + i) % 3], direction))
    for turn in range(3)
    for i, direction in enumerate(_DIRECTIONS)
)


def select_views(count: int) -> tuple[int, ...]:
    """The first ``count`` views of VIEW_ORDER, as places in VIEWS."""
    if not 1 <= count <= len(VIEWS):
        raise ValueError(f"views must be 1 to {len(VIEWS)}, got {count}.")
    return VIEW_ORDER[:count]
