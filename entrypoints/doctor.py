"""Checks what works on this machine, and says how to fix the rest.

python -m entrypoints.doctor
"""

import shutil
from textwrap import wrap

import typer

from supervision.doctor import BROKEN, CHECKS, OK, Finding
from tracking import doctor

app = typer.Typer(add_completion=False)
NAME_COLUMNS, STATE_COLUMNS = 17, 8
MAX_COLUMNS = 120


@app.command()
def main() -> None:
    """Check everything that a training needs; exit status 1 where something is broken."""
    header = f"{'check':<{NAME_COLUMNS}}{'state':<{STATE_COLUMNS}}"
    print(f"{header}what was found, and -> how to fix it", flush=True)
    states = []
    for check in (*CHECKS, doctor.CHECK):
        finding = check.finding()
        print(row(check.name, finding), flush=True)
        states.append(finding.state)
    broken, warned = states.count(BROKEN), len(states) - states.count(OK) - states.count(BROKEN)
    print(f"{len(states)} checks: {broken} broken, {warned} with a warning.")
    raise typer.Exit(1 if broken else 0)


def row(name: str, finding: Finding) -> str:
    """A finding as lines of the table, no wider than the terminal."""
    columns = min(shutil.get_terminal_size().columns, MAX_COLUMNS) - NAME_COLUMNS - STATE_COLUMNS
    found = [part for line in finding.found.splitlines() for part in wrap(line, columns)]
    fix = wrap(finding.fix, columns, initial_indent="-> ", subsequent_indent="   ")
    indent = "\n" + " " * (NAME_COLUMNS + STATE_COLUMNS)
    return f"{name:<{NAME_COLUMNS}}{finding.state:<{STATE_COLUMNS}}" + indent.join(found + fix)


if __name__ == "__main__":
    app()
