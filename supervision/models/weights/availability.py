"""Checks whether pretrained weights are available, without downloading them."""

from supervision.models.weights.catalogue import CatalogueEntry
from supervision.models.weights.fetch import load_cached
from supervision.models.weights.sources import WeightsError
from supervision.runtime.errors import one_line


def check_availability(entry: CatalogueEntry) -> tuple[bool, str]:
    """Whether the cache or a source has the weights of an entry.

    Returns True and the name of the first that has them, or False and the error of each. A probe
    downloads a few kilobytes at most and has a time limit.
    """
    failures = []
    try:
        if load_cached(entry):
            return True, "in the cache"
    except WeightsError as error:
        failures.append(f"cache: {error}")
    for source in entry.sources:
        try:
            source.probe()
        except Exception as error:  # network clients raise many types; all are reported
            failures.append(f"{source.describe()}: {one_line(error)}")
        else:
            return True, source.describe()
    return False, "; ".join(failures)
