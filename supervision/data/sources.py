"""The sources that are trained on beside a data set, and what their rows are.

The loaders are in ``supervision.data.datasets``; this table is read without them.
"""

from typing import NamedTuple


class Source(NamedTuple):
    """What the rows of a source are: with a computed or a measured Tc, with or without structures.

    In a measured source a Tc of 0 means that none was reported.
    """

    is_computed: bool
    has_structures: bool


SOURCES = {
    "supercon": Source(is_computed=False, has_structures=False),
    "jarvis_supercon": Source(is_computed=True, has_structures=True),
    "alex_supercon": Source(is_computed=True, has_structures=True),
}
