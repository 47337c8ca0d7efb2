"""CIF text -> its first block with atoms, by gemmi's strict parser, and the values of its tags."""

import re
from collections.abc import Iterator
from typing import Any

import gemmi

from supervision.runtime.errors import one_line
from supervision.runtime.text import printable

MAX_LINE = 10_000  # characters; CIF 1.1 allows 2,048, and some abstracts stand on one line
MAX_BLOCKS = 100  # data blocks; a paper has a few
MAX_TAGS = 5_000  # CIF's core dictionary has some 1,200

UNKNOWN = ("?", ".")  # how a CIF says that it does not say
BLOCK = re.compile(r"(?:^|\s)data_", re.IGNORECASE)
ATOMS = "_atom_site_fract_x"  # what a block must have


class Tags:
    """The values of a block by their tags, in lower case and with a dot (DDLm) as an underscore."""

    def __init__(self, block: gemmi.cif.Block) -> None:
        self.block = block
        self.known = {_plain(tag): tag for tag in _tags(block)}

    def cells(self, tag: str) -> list[str]:
        """The values of a tag, unquoted; none where the block has no such tag."""
        if tag not in self.known:
            return []
        return [_unquoted(raw) for raw in self.block.find_values(self.known[tag])]

    def beside(self, tag: str) -> frozenset[str]:
        """The tags of the loop that a tag stands in; itself where it stands in none."""
        loop = self.block.find_values(self.known[tag]).get_loop()
        return frozenset(map(_plain, loop.tags)) if loop else frozenset([tag])

    def texts(self, tag: str) -> list[str]:
        """The values of a tag, unquoted; none where the file says of none of them what it is."""
        found = self.cells(tag)
        return [] if all(text in UNKNOWN for text in found) else found

    def value(self, tag: str) -> str | None:
        """What a tag says; None where it does not. Raises ValueError where it says several."""
        found = self.texts(tag)
        if len(found) > 1:
            raise ValueError(f"{tag} has {len(found)} values, and should have one")
        return (found[0].strip() or None) if found else None


def _plain(tag: str) -> str:
    return tag.lower().replace(".", "_")


def _tags(block: gemmi.cif.Block) -> Iterator[str]:
    item: Any  # gemmi's stubs do not say what a block iterates over
    for item in block:
        if item.pair is not None:
            yield item.pair[0]
        elif item.loop is not None:
            yield from item.loop.tags


def _unquoted(raw: str) -> str:
    """A value's text; that of a quoted question mark stays quoted, as it is no unknown."""
    text = gemmi.cif.as_string(raw)
    return raw if raw in UNKNOWN or text in UNKNOWN else text


def read_tags(text: str) -> Tags:
    """The first block that has atoms, or the first one where none has.

    Raises ValueError, saying what is wrong and in which line.
    """
    _check(text)
    # What is not ASCII is written out, so that a minus sign of another alphabet is not lost.
    plain = text.encode("ascii", "backslashreplace").decode()
    try:
        document = gemmi.cif.read_string(plain)
    except (ValueError, RuntimeError) as error:
        found = re.match(r"string:(\d+)\S*(?: in .*?)?: (.*)", one_line(error))
        why = f"line {found[1]}: {found[2]}" if found else one_line(error)
        raise ValueError(printable(why)) from error
    blocks = [Tags(block) for block in document]
    chosen = next((tags for tags in blocks if ATOMS in tags.known), blocks[0])
    if not any(map(_tells_symmetry, chosen.known)):
        for other in blocks:
            if any(map(_tells_symmetry, other.known)):
                raise ValueError("its symmetry stands in another data block than its atoms")
    return chosen


def _tells_symmetry(tag: str) -> bool:
    return tag.startswith(("_symmetry_", "_space_group_"))


def _count(text: str, beginning: str) -> int:
    """How many words begin so."""
    return text.startswith(beginning) + sum(text.count(blank + beginning) for blank in " \t\n")


def _check(text: str) -> None:
    """Refuse a text that would take long, before a parser sees it."""
    blocks, tags = _count(text.lower(), "data_"), _count(text, "_")
    if blocks > MAX_BLOCKS:
        raise ValueError(f"it has {blocks:,} data blocks, more than {MAX_BLOCKS}")
    if tags > MAX_TAGS:
        raise ValueError(f"it has {tags:,} tags, more than {MAX_TAGS:,}")
    lengths = [len(line) for line in text.split("\n")]
    if max(lengths) > MAX_LINE:
        number = lengths.index(max(lengths)) + 1
        raise ValueError(f"line {number} is longer than {MAX_LINE:,} characters")
