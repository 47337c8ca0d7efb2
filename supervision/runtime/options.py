"""Fields of a config dataclass that are also options of a command line.

    epochs: int = option(50, "epochs of training", when={"dataset=classics": 6})

Name, type, default and help are written once, in the config. The command line, the MLproject
parameters and the tables in docs/ come from here.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, get_type_hints

AUTO = "auto"
STRINGS = tuple[str, ...]  # the type of an option that has several values


def option(default: Any, help: str, *, when: Mapping[str, Any] | None = None) -> Any:
    """A dataclass field that is an option.

    Args:
        default: the value where nothing is given and no condition holds.
        help: a short noun phrase.
        when: ``{"NAME=VALUE": default}``: another default where the option ``NAME`` has this value;
            the first condition that holds counts. Such an option is ``auto`` on the command line.
    """
    return field(default=default, metadata={"help": help, "when": dict(when or {})})


@dataclass(frozen=True)
class Option:
    """One option of a config dataclass.

    Attributes:
        type: ``str``, ``int``, ``float``, ``bool`` or ``STRINGS``.
        when: defaults by condition, see ``option``.
    """

    name: str
    type: Any
    default: Any
    help: str
    when: Mapping[str, Any]

    @property
    def shown_default(self) -> Any:
        """The default on the command line: ``auto`` where it depends on other options."""
        return AUTO if self.when else self.default

    @property
    def full_help(self) -> str:
        """The help, with what ``auto`` stands for."""
        if not self.when:
            return self.help
        others = (f"{value} with {condition}" for condition, value in self.when.items())
        return f"{self.help}; auto: {', '.join(others)}, else {self.default}"

    def resolve(self, given: Any, facts: Mapping[str, str]) -> Any:
        """The value that is given or, for ``auto``, the default under these facts.

        Raises ValueError, naming the option, for a text that is no value of its type.
        """
        if given == AUTO and self.type is not str:
            conditions = (condition.partition("=") for condition in self.when)
            held = [f"{name}={value}" for name, _, value in conditions if facts.get(name) == value]
            return self.when[held[0]] if held else self.default
        if self.type is bool:
            return parse_bool(str(given), self.name)
        if self.type == STRINGS:
            return tuple(text for text in given or () if text)
        try:
            return self.type(given)
        except ValueError as error:
            noun = "a whole number" if self.type is int else "a number"
            auto = " or auto" if self.when else ""
            raise ValueError(f"{self.name} must be {noun}{auto}, got '{given}'.") from error


def options_of(config: type) -> list[Option]:
    """The options of a config dataclass, in the order of its fields."""
    types = get_type_hints(config)
    return [
        Option(f.name, types[f.name], f.default, f.metadata["help"], f.metadata["when"])
        for f in fields(config)
        if "help" in f.metadata
    ]


def configure(
    classes: Sequence[type], given: Mapping[str, Any], facts: Mapping[str, str], **fixed: Any
) -> list[Any]:
    """One config of each class.

    Args:
        given: values by option; options that are missing here are ``auto``.
        facts: what conditions may name besides the options, such as ``dataset``.
        fixed: values of fields that are no options, for the classes that have them.

    Raises ValueError, naming the option, for a value that its type or its config refuses.
    """
    known = {o.name: o for config in classes for o in options_of(config)}
    plain = {n: o.resolve(given.get(n, o.shown_default), {}) for n, o in known.items()}
    facts = {name: str(value) for name, value in plain.items()} | dict(facts)
    values = {n: o.resolve(given.get(n, o.shown_default), facts) for n, o in known.items()} | fixed
    return [config(**_own(values, (f.name for f in fields(config)))) for config in classes]


def _own(values: Mapping[str, Any], names: Iterable[str]) -> dict[str, Any]:
    return {name: values[name] for name in names if name in values}


def parse_bool(text: str, name: str) -> bool:
    """``true`` or ``false``: MLproject parameters always carry a value."""
    if text.lower() not in ("true", "false"):
        raise ValueError(f"{name} must be true or false, got '{text}'.")
    return text.lower() == "true"
