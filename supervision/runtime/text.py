"""Making untrusted text safe to print, to write to CSV files, and to name files by."""

import re

UNSAFE_IN_NAMES = re.compile(r"[^A-Za-z0-9.+_-]+")
MAX_NAME_CHARACTERS = 100


def printable(text: str) -> str:
    """The text with control characters and other non-printable ones escaped, e.g. ``\\x1b``."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def csv_cell(text: str) -> str:
    """The text as a CSV cell: printable, and quoted so that no spreadsheet reads it as a formula.

    https://owasp.org/www-community/attacks/CSV_Injection
    """
    shown = printable(text)
    return f"'{shown}" if shown.startswith(("=", "+", "-", "@")) else shown


def ranked_file_name(rank: int, id: str, suffix: str) -> str:
    """The name of a candidate's file, such as ``001_mp-763.cif``: all sort by their rank."""
    name = UNSAFE_IN_NAMES.sub("-", id.removesuffix(suffix))
    return f"{rank:03d}_{name[-MAX_NAME_CHARACTERS:]}{suffix}"
