"""Text that came from elsewhere, made safe to print and to open."""


def printable(text: str) -> str:
    """Text in which whatever a terminal would act on is written out, such as ``\\x1b``."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def cell(text: str) -> str:
    """Text as a cell of a CSV file: printable, and no formula to a spreadsheet.

    https://owasp.org/www-community/attacks/CSV_Injection
    """
    shown = printable(text)
    return f"'{shown}" if shown.startswith(("=", "+", "-", "@")) else shown
