"""Making untrusted text safe to print and to write to CSV files."""


def printable(text: str) -> str:
    """The text with control characters and other non-printable ones escaped, e.g. ``\\x1b``."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def csv_cell(text: str) -> str:
    """The text as a CSV cell: printable, and quoted so that no spreadsheet reads it as a formula.

    https://owasp.org/www-community/attacks/CSV_Injection
    """
    shown = printable(text)
    return f"'{shown}" if shown.startswith(("=", "+", "-", "@")) else shown
