"""Parsing CIF text with gemmi's strict parser: the first block with atoms and its tags."""

import re
from collections.abc import Iterator
from typing import Any

import gemmi

from supervision.runtime.errors import one_line
from supervision.runtime.text import printable

MAX_LINE_CHARACTERS = 10_000  # CIF 1.1 allows 2,048, but some files hold an abstract on one line
MAX_BLOCKS = 100  # data blocks; a publication has a few
MAX_TAGS = 5_000  # the CIF core dictionary has about 1,200

UNKNOWN_VALUES = ("?", ".")  # CIF's unknown and inapplicable values
BLOCK_START = re.compile(r"(?:^|\s)data_", re.IGNORECASE)
ATOM_X_TAG = "_atom_site_fract_x"  # every block with atoms has this tag


class Tags:
    """The tags of a data block and their values.

    Tags are normalised: lower case, with a dot (DDLm) replaced by an underscore.
    """

    def __init__(self, block: gemmi.cif.Block) -> None:
        self.block = block
        self.names = {_normalised(tag): tag for tag in _block_tags(block)}  # as the file has them

    def values(self, tag: str) -> list[str]:
        """The values of a tag, unquoted; empty if the block does not have the tag."""
        if tag not in self.names:
            return []
        return [_unquoted(raw) for raw in self.block.find_values(self.names[tag])]

    def loop_tags(self, tag: str) -> frozenset[str]:
        """The tags of the loop that contains this tag; the tag alone if it is not in a loop."""
        loop = self.block.find_values(self.names[tag]).get_loop()
        return frozenset(map(_normalised, loop.tags)) if loop else frozenset([tag])

    def known_values(self, tag: str) -> list[str]:
        """The values of a tag, unquoted; empty if all of them are unknown (``?`` or ``.``)."""
        found = self.values(tag)
        return [] if all(text in UNKNOWN_VALUES for text in found) else found

    def value(self, tag: str) -> str | None:
        """The value of a tag; None if it is unknown. Raises ValueError if there are several."""
        found = self.known_values(tag)
        if len(found) > 1:
            raise ValueError(f"{tag} has {len(found)} values, and must have one")
        return (found[0].strip() or None) if found else None


def _normalised(tag: str) -> str:
    return tag.lower().replace(".", "_")


def _block_tags(block: gemmi.cif.Block) -> Iterator[str]:
    item: Any  # gemmi's type stubs do not declare the item type
    for item in block:
        if item.pair is not None:
            yield item.pair[0]
        elif item.loop is not None:
            yield from item.loop.tags


def _unquoted(raw: str) -> str:
    """A value without its quotes; a quoted ``?`` stays quoted, because it is not unknown."""
    text = gemmi.cif.as_string(raw)
    return raw if raw in UNKNOWN_VALUES or text in UNKNOWN_VALUES else text


def read_tags(text: str) -> Tags:
    """The tags of the first block with atoms, or of the first block if none has atoms.

    Raises ValueError with the fault and its line number.
    """
    _check_size(text)
    # Non-ASCII characters are escaped, so that a Unicode minus sign is not dropped silently.
    plain = text.encode("ascii", "backslashreplace").decode()
    try:
        document = gemmi.cif.read_string(plain)
    except (ValueError, RuntimeError) as error:
        found = re.match(r"string:(\d+)\S*(?: in .*?)?: (.*)", one_line(error))
        reason = f"line {found[1]}: {found[2]}" if found else one_line(error)
        raise ValueError(printable(reason)) from error
    blocks = [Tags(block) for block in document]
    chosen = next((tags for tags in blocks if ATOM_X_TAG in tags.names), blocks[0])
    if not any(map(_is_symmetry_tag, chosen.names)):
        for other in blocks:
            if any(map(_is_symmetry_tag, other.names)):
                raise ValueError("its symmetry is in another data block than its atoms")
    return chosen


def _is_symmetry_tag(tag: str) -> bool:
    return tag.startswith(("_symmetry_", "_space_group_"))


def _count_words(text: str, beginning: str) -> int:
    """The number of words with this beginning."""
    return text.startswith(beginning) + sum(text.count(blank + beginning) for blank in " \t\n")


def _check_size(text: str) -> None:
    """Refuse a text that would take long to parse."""
    blocks, tags = _count_words(text.lower(), "data_"), _count_words(text, "_")
    if blocks > MAX_BLOCKS:
        raise ValueError(f"it has {blocks:,} data blocks, more than {MAX_BLOCKS}")
    if tags > MAX_TAGS:
        raise ValueError(f"it has {tags:,} tags, more than {MAX_TAGS:,}")
    lengths = [len(line) for line in text.split("\n")]
    if max(lengths) > MAX_LINE_CHARACTERS:
        number = lengths.index(max(lengths)) + 1
        raise ValueError(f"line {number} is longer than {MAX_LINE_CHARACTERS:,} characters")
