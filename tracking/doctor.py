"""Whether the tracking store that runs go to answers and can be written to.

As in ``supervision.doctor``, mlflow is imported where it is needed: it may be what is broken.
"""

import os
import re
import sqlite3
from contextlib import closing
from pathlib import Path
from urllib.parse import unquote

from supervision.doctor import BROKEN, OK, WARN, Check, Finding, writable
from supervision.runtime.errors import one_line
from supervision.runtime.timeouts import within

SECONDS = 10.0
IMPATIENT = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0", "MLFLOW_HTTP_REQUEST_TIMEOUT": "5"}
SQLITE = "sqlite:///"
ELSEWHERE = "export MLFLOW_TRACKING_URI=sqlite:////FOLDER/mlflow.db with a folder that will do."
SERVER = "Start the server, or correct or unset MLFLOW_TRACKING_URI."
UPGRADE = "If its schema is of another version of MLflow: mlflow db upgrade URI, after a copy."


def store() -> Finding:
    """The store that MLFLOW_TRACKING_URI names, or the one of this folder."""
    import mlflow

    uri = mlflow.get_tracking_uri()
    if uri.startswith(SQLITE):
        return _sqlite(uri)
    try:
        within(SECONDS, _ask)
    except Exception as error:  # whatever a network, a server or a driver throws is the finding
        return Finding(BROKEN, _shown(f"{uri} does not answer: {one_line(error)}"), SERVER)
    return Finding(OK, _shown(f"{uri} answers"))


def _shown(text: str) -> str:
    """Text without the names and passwords of its addresses."""
    return re.sub(r"//[^/@\s]*@", "//...@", text)


def _ask() -> None:
    """Ask the store for an experiment, once."""
    os.environ.update(IMPATIENT)
    import mlflow

    mlflow.MlflowClient().search_experiments(max_results=1)


def _sqlite(uri: str) -> Finding:
    path = Path(unquote(uri.removeprefix(SQLITE)))
    folder = path.absolute().parent
    if not folder.is_dir():
        return Finding(BROKEN, f"{uri}: there is no folder {folder}", ELSEWHERE)
    room = writable(folder, ELSEWHERE)
    if room.state == BROKEN:
        return room
    if path.exists():
        try:
            with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=rw", uri=True)) as base:
                base.execute("BEGIN IMMEDIATE")  # as a write begins
            within(SECONDS, _ask)
        except Exception as error:  # sqlite's, or MLflow's of a schema that it does not know
            return Finding(BROKEN, f"{uri}: {one_line(error)}", f"{ELSEWHERE} {UPGRADE}")
    if not path.is_absolute():
        found = f"{uri} is another file in every folder that a command is started in"
        return Finding(WARN, found, f"export MLFLOW_TRACKING_URI={SQLITE}{path.absolute()}")
    return Finding(room.state, f"{uri}, {room.found}", room.mend)


CHECK = Check("tracking", store)
