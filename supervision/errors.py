"""How an error from elsewhere is said in a sentence of ours."""


def one_line(error: Exception) -> str:
    """The message of an error on one line, without its full stop; its type where it has none."""
    text = " ".join(str(error).split()) or type(error).__name__
    return text[:200].rstrip(".")
