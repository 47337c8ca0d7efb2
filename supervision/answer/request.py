"""A request: rows with crystals in, an answer for each out. Every server of a model asks it.

    rows = answer_request(answerer, [{"id": "a", "cif": text}, {"formula": "MgB2"}])

Limits bound what a request costs. Those of one crystal are with the readers: characters of a text
(``cif.MAX_CIF_BYTES``), atoms of a cell (``cell_checks.MAX_ATOMS``).
"""

import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from threading import RLock
from typing import Any

from supervision.answer.answer import Answer
from supervision.answer.answerer import Answerer
from supervision.data.crystals import Crystal
from supervision.data.errors import CrystalError
from supervision.data.structure_files import structure_text_to_cif
from supervision.runtime.deadline import call_within
from supervision.runtime.heap import HeapTrimmer
from supervision.runtime.text import printable

COLUMNS = ("cif", "formula")  # of which a row needs one
MAX_ROWS = 256  # of a request: some seconds of a released model, and at most half a GB of text
# A crystal of 1,000 atoms takes 2 to 4 s on two cores. A C function that is running when the time
# is over ends first, and an answer should take no longer than 10 s.
MAX_CRYSTAL_SECONDS = 8.0
# With the crystal that is then begun, a request ends within the 60 s after which MLflow's server
# says 504 and computes on (MLFLOW_SCORING_SERVER_REQUEST_TIMEOUT).
MAX_REQUEST_SECONDS = 50.0
# One crystal is predicted at a time, so that it shares its time limit and memory with no other.
PREDICTION_LOCK = RLock()
HEAP = HeapTrimmer()


class RequestError(ValueError):
    """A request is refused as a whole; the message is one sentence that says why."""


def answer_request(
    answerer: Answerer,
    rows: Sequence[Mapping[str, Any]],
    *,
    strict: bool = False,
    is_abandoned: Callable[[], bool] | None = None,
) -> list[dict[str, Any]]:
    """The answer for each row as ``Answer.to_row`` gives it, in their order.

    A row has ``cif`` (CIF or POSCAR text) or ``formula``, and may have an ``id``, which names the
    answer. One that cannot be answered, or not in time, has an ``error`` and costs no other.

    Args:
        strict: whether a row that has an error refuses the request.
        is_abandoned: asked before each row; whether nobody waits for the answers any more.

    Raises RequestError without rows, with more than MAX_ROWS, without one of the columns, with
    ``strict`` for the first row that has an error, and where it is abandoned.
    """
    _check(rows)
    end = time.monotonic() + MAX_REQUEST_SECONDS
    answers = []
    try:
        for number, row in enumerate(rows):
            if is_abandoned and is_abandoned():
                raise RequestError("The client has disconnected.")
            answer = _answer_in_time(answerer, number, row, end)
            if strict and answer.error:
                raise RequestError(f"{answer.name}: {answer.error}")
            answers.append(answer.to_row())
    finally:
        HEAP.trim()
    return answers


def _check(rows: Sequence[Mapping[str, Any]]) -> None:
    if not rows:
        raise RequestError("The input has no rows.")
    if len(rows) > MAX_ROWS:
        raise RequestError(
            f"The input has {len(rows):,} rows, more than {MAX_ROWS}; send it in several requests."
        )
    if not any(column in row for row in rows for column in COLUMNS):
        raise RequestError(
            "The input has neither a column 'cif' nor 'formula'; send the text of a CIF file or a "
            "formula under that name."
        )


def _answer_in_time(answerer: Answerer, number: int, row: Mapping[str, Any], end: float) -> Answer:
    """The answer for a row; at ``end``, in monotonic seconds, the request is over."""
    given = {key: value for key, value in row.items() if value is not None}
    name = printable(str(given.get("id", ""))) or f"Row {number}"
    left = end - time.monotonic()
    try:
        if left > 0 and PREDICTION_LOCK.acquire(timeout=left):
            return call_within(MAX_CRYSTAL_SECONDS, partial(_answer, answerer, name, given))
        error = f"The request took over {MAX_REQUEST_SECONDS:g} s before this row; send fewer rows"
    except TimeoutError:
        error = f"The prediction took over {MAX_CRYSTAL_SECONDS:g} s and was given up; give a "
        error += "smaller cell of the crystal"
    finally:
        # A time limit around the request may raise just after the lock was acquired.
        try:  # noqa: SIM105
            PREDICTION_LOCK.release()
        except RuntimeError:
            pass  # another thread has it
    return Answer(name, error=f"{error}.", quantity=answerer.quantity)


def _answer(answerer: Answerer, name: str, given: Mapping[str, Any]) -> Answer:
    cif = given.get("cif", "")
    try:
        text = structure_text_to_cif(cif) if cif else cif
    except CrystalError as error:
        return Answer(name, error=str(error), quantity=answerer.quantity)
    return answerer.answer([Crystal(name, given.get("formula", ""), text)])[0]
