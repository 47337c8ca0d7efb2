"""The 18 views of a crystal, and the order in which they are used."""

from dataclasses import dataclass
from itertools import product


@dataclass(frozen=True)
class View:
    """A supercell and a viewing direction.

    Attributes:
        repeats: unit cells along a, b and c.
        direction: ``a``, ``b`` or ``c`` for a view along that lattice vector, which points at the
            viewer. Any other name is a random rotation, seeded by the scene's key, the seed and
            the name of the view.
    """

    repeats: tuple[int, int, int]
    direction: str

    @property
    def name(self) -> str:
        """A name for files and captions, such as ``2x2x1-a``."""
        return f"{'x'.join(map(str, self.repeats))}-{self.direction}"


SUPERCELLS = ((1, 1, 1), (2, 2, 1), (2, 2, 2))
VIEWS: tuple[View, ...] = tuple(
    View(*pair) for pair in product(SUPERCELLS, ("a", "b", "c", "r1", "r2", "r3"))
)

# Axes and random rotations alternate, and the supercell changes with each view. So the first few
# views show as many different directions and supercells as possible.
_DIRECTIONS = ("c", "r1", "a", "r2", "b", "r3")
VIEW_ORDER: tuple[int, ...] = tuple(
    VIEWS.index(View(SUPERCELLS[(cycle + i) % 3], direction))
    for cycle in range(3)
    for i, direction in enumerate(_DIRECTIONS)
)


def select_views(count: int) -> tuple[int, ...]:
    """The first ``count`` views of VIEW_ORDER, as indices into VIEWS.

    Raises ValueError unless ``count`` is 1 to 18.
    """
    if not 1 <= count <= len(VIEWS):
        raise ValueError(f"views must be 1 to {len(VIEWS)}, got {count}.")
    return VIEW_ORDER[:count]
