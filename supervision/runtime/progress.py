"""Progress of a long loop: a bar on a terminal, a line now and then where output is redirected."""

import sys
import time
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

from tqdm.std import tqdm

LINE_SECONDS = 30.0  # between two lines
BAR_DELAY_SECONDS = 1.0  # a loop that ends sooner shows no bar
T = TypeVar("T")


def track(
    items: Iterable[T],
    *,
    total: int | None,
    desc: str,
    unit: str,
    quiet: bool = False,
    size: Callable[[T], int] = lambda item: 1,
) -> Iterator[T]:
    """The items, in order, with progress on standard error; ``quiet`` reports nothing.

    Args:
        total: the number of units in all items; None where it is not known.
        desc: what is done.
        unit: the name of one unit, for the bar.
        size: the number of units in an item.
    """
    is_terminal = sys.stderr.isatty()
    bar = tqdm(
        total=total, desc=desc, unit=unit, leave=False, delay=BAR_DELAY_SECONDS,
        disable=quiet or not is_terminal,
    )  # fmt: skip
    done, start = 0, time.monotonic()
    reported = start
    with bar:
        for item in items:
            yield item
            done += size(item)
            bar.update(size(item))
            now = time.monotonic()
            if quiet or is_terminal or done == total or now - reported < LINE_SECONDS:
                continue
            reported = now
            print(f"{desc}: {_line(done, total, unit, now - start)}.", file=sys.stderr, flush=True)


def _line(done: int, total: int | None, unit: str, seconds: float) -> str:
    """How much is done, how fast, and how much time is left."""
    rate = f"{done / seconds:.3g} {unit}/s"
    if total is None:
        return f"{done}, {rate}"
    minutes = seconds / max(done, 1) * (total - done) / 60
    left = f"about {minutes:.0f} min left" if minutes >= 1 else "less than a minute left"
    return f"{done} of {total}, {rate}, {left}"
