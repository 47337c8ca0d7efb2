"""What works here and what does not, and how to mend it.

python -m entrypoints.doctor
"""

import shutil
from textwrap import wrap

import typer

from supervision.doctor import BROKEN, CHECKS, OK, Finding
from tracking import doctor as checkup

app = typer.Typer(add_completion=False)
NAMES, STATES = 17, 8  # columns
WIDEST = 120


@app.command()
def main() -> None:
    """Check everything that a training needs; exit 1 where something is broken."""
    print(f"{'check':<{NAMES}}{'state':<{STATES}}found, and -> how to mend it", flush=True)
    states = []
    for check in (*CHECKS, checkup.CHECK):
        finding = check.finding()
        print(row(check.name, finding), flush=True)
        states.append(finding.state)
    broken, warned = states.count(BROKEN), len(states) - states.count(OK) - states.count(BROKEN)
    print(f"{len(states)} checks: {broken} broken, {warned} with a warning.")
    raise typer.Exit(1 if broken else 0)


def row(name: str, finding: Finding) -> str:
    """A finding as lines of the table, no wider than the terminal."""
    width = min(shutil.get_terminal_size().columns, WIDEST) - NAMES - STATES
    said = [part for line in finding.found.splitlines() for part in wrap(line, width)]
    mend = wrap(finding.mend, width, initial_indent="-> ", subsequent_indent="   ")
    indent = "\n" + " " * (NAMES + STATES)
    return f"{name:<{NAMES}}{finding.state:<{STATES}}" + indent.join(said + mend)


if __name__ == "__main__":
    app()
