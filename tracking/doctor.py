"""Checks that the tracking store is reachable and writable.

As in ``supervision.doctor``, mlflow is imported inside functions: a broken mlflow is a finding.
"""

import os
import re
import sqlite3
from contextlib import closing
from pathlib import Path
from urllib.parse import unquote

from supervision.doctor import BROKEN, OK, WARN, Check, Finding, check_folder
from supervision.runtime.errors import one_line
from supervision.runtime.timeouts import call_with_timeout

TIMEOUT_SECONDS = 10.0
NO_RETRIES = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0", "MLFLOW_HTTP_REQUEST_TIMEOUT": "5"}
SQLITE_PREFIX = "sqlite:///"
FIX_FILE = "export MLFLOW_TRACKING_URI=sqlite:////FOLDER/mlflow.db with a writable folder."
FIX_SERVER = "Start the server, or correct or unset MLFLOW_TRACKING_URI."
FIX_SCHEMA = "If another version of MLflow made its schema: copy it, then mlflow db upgrade URI."


def check_store() -> Finding:
    """Check the store that MLFLOW_TRACKING_URI names, or the default one of the current folder."""
    import mlflow

    uri = mlflow.get_tracking_uri()
    if uri.startswith(SQLITE_PREFIX):
        return _check_sqlite(uri)
    try:
        call_with_timeout(TIMEOUT_SECONDS, _query_store)
    except Exception as error:  # every error of a network, a server or a driver is a finding
        text = f"{uri} does not answer: {one_line(error)}"
        return Finding(BROKEN, _without_credentials(text), FIX_SERVER)
    return Finding(OK, _without_credentials(f"{uri} answers"))


def _check_sqlite(uri: str) -> Finding:
    path = Path(unquote(uri.removeprefix(SQLITE_PREFIX)))
    folder = path.absolute().parent
    if not folder.is_dir():
        return Finding(BROKEN, f"{uri}: there is no folder {folder}", FIX_FILE)
    finding = check_folder(folder, FIX_FILE)
    if finding.state == BROKEN:
        return finding
    if path.exists():
        try:
            file = f"{path.absolute().as_uri()}?mode=rw"
            with closing(sqlite3.connect(file, uri=True)) as connection:
                connection.execute("BEGIN IMMEDIATE")  # takes the lock that a write needs
            call_with_timeout(TIMEOUT_SECONDS, _query_store)
        except Exception as error:  # of sqlite, or of MLflow for an unknown schema
            return Finding(BROKEN, f"{uri}: {one_line(error)}", f"{FIX_FILE} {FIX_SCHEMA}")
    if not path.is_absolute():
        found = f"{uri} is relative: it names a different file in each folder"
        return Finding(WARN, found, f"export MLFLOW_TRACKING_URI={SQLITE_PREFIX}{path.absolute()}")
    return Finding(finding.state, f"{uri}, {finding.found}", finding.fix)


def _query_store() -> None:
    """Request one experiment from the store, without retries."""
    os.environ.update(NO_RETRIES)
    import mlflow

    mlflow.MlflowClient().search_experiments(max_results=1)


def _without_credentials(text: str) -> str:
    """The text without the user names and passwords of its URLs."""
    return re.sub(r"//[^/@\s]*@", "//...@", text)


CHECK = Check("tracking", check_store)
