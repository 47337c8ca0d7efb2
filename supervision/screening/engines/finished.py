"""Shards that others answer, seen by the files of their results."""

import time
from collections.abc import Callable, Iterator, Sequence

from supervision.screening.worker import ShardTask

LOOK_SECONDS = 1.0


def rows_of_finished(tasks: Sequence[ShardTask], is_running: Callable[[], bool]) -> Iterator[int]:
    """The numbers of rows of shards as their results appear, until nothing runs any more."""
    waiting, running = list(tasks), True
    while running:
        running = is_running()  # before the look, so that nothing appears unseen after the last one
        done = [task for task in waiting if task.result.is_file()]
        waiting = [task for task in waiting if task not in done]
        if done:
            yield sum(task.rows for task in done)
        elif running:
            time.sleep(LOOK_SECONDS)


def settings_of(text: str) -> dict[str, str]:
    """``NAME=VALUE,NAME=VALUE`` as a dictionary. Raises ValueError for a part without ``=``."""
    parts = [part.strip() for part in text.split(",") if part.strip()]
    wrong = [part for part in parts if "=" not in part]
    if wrong:
        raise ValueError(f"engine_options: '{wrong[0]}' is not NAME=VALUE.")
    return dict(part.split("=", 1) for part in parts)
