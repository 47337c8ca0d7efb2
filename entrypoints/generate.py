"""Write MLproject and docs/options.md from the options of the entry points.

python -m entrypoints.generate
"""

from importlib import import_module
from textwrap import wrap
from typing import Any

import typer

from entrypoints.train import train_app
from supervision.models.families import trained_families
from supervision.runtime.version import ROOT

ENTRY_POINTS = (
    "ensemble",
    "rediscover",
    "render",
    "eval_zero_shot",
    "cross",
    "compare",
    "release",
    "explain",
    "screen",
    "hand_over",
    "ladder",
    "dope",
    "substitute",
    "invert",
    "app",
    "tune",
    "test",
)  # besides the trainings
COMMANDS = (*ENTRY_POINTS, "prepare", "predict", "import_run", "build_release")
Command = Any  # typer's own copy of click.Command
HEADER = "# Written by python -m entrypoints.generate: change the options, not this file.\n"


def main() -> None:
    """Write both files."""
    (ROOT / "MLproject").write_text(mlproject())
    (ROOT / "docs" / "options.md").write_text(options_page())


def mlproject() -> str:
    """The text of MLproject: every entry point with its parameters and its command."""
    parts = [HEADER, "name: SuperVision\n\nconda_env: conda.yaml\n\nentry_points:\n"]
    return "".join(parts) + "\n".join(_entry(*item) for item in entry_point_commands().items())


def options_page() -> str:
    """The text of docs/options.md: one table per command."""
    commands = entry_point_commands() | {
        name: (name, _command(name)) for name in COMMANDS if name not in ENTRY_POINTS
    }
    lines = [
        "# Options",
        "",
        "Written by `python -m entrypoints.generate`. With `mlflow run . -e NAME` an option is",
        "`-P option=value`; with `python -m entrypoints.NAME` and `supervision-tc` it is",
        "`--option value`, with `-` for `_`.",
    ]
    for name, (module, command) in commands.items():
        lines += ["", f"## {name}", "", f"`python -m entrypoints.{module}`. {_help(command)}", ""]
        rows = [p for p in command.params if p.name != "help"]
        if rows:
            lines += ["| option | default | |", "|---|---|---|"]
            lines += [f"| `{p.name}` | {_shown(p)} | {p.help}{_how(p)} |" for p in rows]
    return "\n".join(lines) + "\n"


def entry_point_commands() -> dict[str, tuple[str, Command]]:
    """Entry point -> its module with the words after it, and its command."""
    trainings = {}
    for family in trained_families():
        command = typer.main.get_command(train_app(family.name))
        trainings[family.entry_point.replace(" ", "_")] = (family.entry_point, command)
    return trainings | {name: (name, _command(name)) for name in ENTRY_POINTS}


def _command(name: str) -> Command:
    return typer.main.get_command(import_module(f"entrypoints.{name}").app)


def _entry(name: str, target: tuple[str, Command]) -> str:
    module, command = target
    lines = [f"  {name}:", "    parameters:"]
    words = [f"python -m entrypoints.{module}"]
    for option in command.params:
        if option.name == "help":
            continue
        default = _text(option)
        is_number = _is_number(default)
        shown = default if is_number else f'"{default}"'
        kind = "float" if is_number else "string"
        lines.append(f"      {option.name}: {{type: {kind}, default: {shown}}}")
        flag = "" if _is_argument(option) else f"--{option.name.replace('_', '-')} "
        words.append(f"{flag}{{{option.name}}}")
    command_lines = wrap(" ".join(words), 90, break_long_words=False, break_on_hyphens=False)
    return (
        "\n".join([*lines, "    command: >-", *(f"      {line}" for line in command_lines)]) + "\n"
    )


def _is_argument(option: Any) -> bool:
    return bool(option.param_type_name == "argument")


def _how(option: Any) -> str:
    return f" (without `--{option.name}`)" if _is_argument(option) else ""


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _text(option: Any) -> str:
    return "" if option.default is None else str(option.default)


def _shown(option: Any) -> str:
    return f"`{_text(option)}`" if _text(option) else ""


def _help(command: Command) -> str:
    return (command.help or "").strip().splitlines()[0]


if __name__ == "__main__":
    main()
