"""Whether weights could be had, found out without having them."""

from supervision.models.weights.catalogue import Weights
from supervision.models.weights.fetch import cached
from supervision.models.weights.sources import WeightsError
from supervision.runtime.errors import one_line


def reach(row: Weights) -> tuple[bool, str]:
    """Whether the cache or a source has a row's weights: which, or what each said.

    Hardly anything is downloaded, and no source is waited for longer than it is worth.
    """
    failures = []
    try:
        if cached(row):
            return True, "in the cache"
    except WeightsError as error:
        failures.append(f"cache: {error}")
    for origin in row.sources:
        try:
            origin.probe()
        except Exception as error:  # whatever a network or an index throws is reported
            failures.append(f"{origin.describe()}: {one_line(error)}")
        else:
            return True, origin.describe()
    return False, "; ".join(failures)
