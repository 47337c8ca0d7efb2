"""Command lines from config dataclasses, and errors as one sentence.

An option is written once, as a field of a config (``supervision.runtime.options``). All values come
as text: what a config refuses is an error of the run, with one sentence.
"""

import inspect
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

from supervision.data.errors import DatasetError
from supervision.runtime.errors import ExpectedError, disk_error_message
from supervision.runtime.options import STRINGS, Option, options_of

EXPECTED = (ExpectedError, FloatingPointError, OSError, ValueError)
METAVARS = {str: "TEXT", int: "INTEGER", float: "NUMBER", bool: "true|false"}
MODEL_HELP = (
    "registered name, model URI, folder or released:NAME; empty: the best champion, or else the "
    "released default"
)
FIGURES = (".png", ".pdf", ".svg")  # the endings of what matplotlib draws
Given = Mapping[str, Any]  # option -> text; of type STRINGS: a list of texts, or None
Group = tuple[str, Sequence[Option]]  # a heading of --help, and the options below it


def make_app(
    main: Callable[[Given], None], groups: Sequence[Group], help: str, *, argument: str = ""
) -> typer.Typer:
    """A command with the options of these groups, which calls ``main`` with their values.

    Args:
        argument: the option that is given without its name; several values if it is ``STRINGS``.
    """

    def command(**given: Any) -> None:
        main(given)

    parameters = [
        _parameter(option, heading, is_argument=option.name == argument)
        for heading, options in groups
        for option in options
    ]
    command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    command.__annotations__ = {p.name: p.annotation for p in parameters}
    app = typer.Typer(add_completion=False)
    app.command(help=help)(command)
    return app


def _parameter(option: Option, heading: str, *, is_argument: bool) -> inspect.Parameter:
    """An option as a parameter of a function, as typer reads it."""
    shown: Any
    if is_argument:
        shown = typer.Argument(help=option.full_help, metavar=option.name.upper())
    else:
        shown = typer.Option(
            help=option.full_help, metavar=METAVARS[option.type], rich_help_panel=heading
        )
    many = option.type == STRINGS
    return inspect.Parameter(
        option.name,
        inspect.Parameter.KEYWORD_ONLY,
        default=None if many else as_text(option.shown_default),
        annotation=Annotated[list[str] | None if many else str, shown],
    )


def add_command(group: typer.Typer, name: str, app: typer.Typer) -> None:
    """Add the one command of an app to a group, under a name."""
    (command,) = app.registered_commands
    assert command.callback is not None
    group.command(name=name, help=command.help)(command.callback)


def as_text(value: Any) -> str:
    """A default as the command line takes it."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float) and (value == 0 or value >= 1e-4):
        return f"{value:g}"
    return str(value)


def parse(config: type, given: Given) -> Any:
    """A config from the options that are given. Raises ValueError, naming the option at fault."""
    options = options_of(config)
    return config(**{o.name: o.resolve(given[o.name], {}) for o in options if o.name in given})


def run_cli(main: Callable[[], None]) -> None:
    """Run a command; a user's mistake is one sentence and exit status 2, Ctrl-C is 130."""
    try:
        main()
    except KeyboardInterrupt:
        message = "Stopped. What was logged so far is saved; the same command resumes it."
        typer.echo(message, err=True)
        sys.exit(130)
    except ModuleNotFoundError as error:
        typer.echo(
            f"error: {error.name} is not installed here; a training does without it from an "
            "archive (--dataset FILE.zip) into a folder (--out FOLDER).",
            err=True,
        )
        sys.exit(2)
    except Exception as error:
        fault = disk_error_message(error)
        if not fault and not isinstance(error, EXPECTED):
            raise
        typer.echo(f"error: {fault or error}", err=True)
        sys.exit(2)


def listed(text: str) -> list[str]:
    """The parts of a text that are separated by commas."""
    return [part.strip() for part in text.split(",") if part.strip()]


def output_path(text: str, name: str, suffixes: Sequence[str]) -> Path | None:
    """Where an option says that a file is written; None for an empty text.

    Raises DatasetError for a name without one of the suffixes, and where its folder is missing.
    """
    if not text:
        return None
    path = user_path(text)
    if path.suffix not in suffixes:
        kinds = " or ".join(filter(None, [", ".join(suffixes[:-1]), suffixes[-1]]))
        raise DatasetError(f"--{name} must name a {kinds} file, got {path.name}.")
    if not path.parent.is_dir():
        raise DatasetError(f"There is no folder {path.parent} to write {path.name} to.")
    return path


def user_path(text: str) -> Path:
    """A path from a command line, with ``~`` for the home folder."""
    return Path(text).expanduser()


@contextmanager
def output_folder(text: str) -> Iterator[Path]:
    """The folder of a command line; of an empty text one that is deleted at the end.

    The latter is for an MLflow run that logs its files as artifacts alone.
    """
    if text:
        yield user_path(text)
        return
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder)
