"""Candidates by substitution: the variants of the parents in another source, or in a data set.

    generate:parents/
    generate:parents.tar.xz?fractions=0.25,1&replacements=2
    generate:3dsc?data=3DSC_MP.tar.xz

One parent follows the other, so that memory does not grow with the source but for a number that
tells each candidate from the others. The same parents give the same candidates in the same order.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from hashlib import blake2b
from urllib.parse import parse_qsl

from supervision.data.cif_writer import structure_to_cif
from supervision.data.datasets.load import DATASET_NAMES
from supervision.data.errors import CrystalError, DatasetError, crystal_errors
from supervision.generation.variants import VariantOptions, variants
from supervision.runtime.options import option, options_of
from supervision.screening.sources.candidate import Candidate, Skipped
from supervision.screening.sources.parents import dataset_crystals, parents

PREFIX = "generate:"
KEY_BYTES = 8  # of a candidate; of a million, two share one with a probability of 3e-8
Read = Callable[[str], Iterable[Candidate | Skipped]]


@dataclass(frozen=True)
class GenerateOptions(VariantOptions):
    """Which variants, and where the data set is. Raises ValueError as ``VariantOptions`` does."""

    data: str = option("", "path of a local copy of a data set; empty to download it")


def is_generated(source: str) -> bool:
    """Whether a source is one of variants."""
    return source.startswith(PREFIX)


def generated_from(source: str) -> tuple[str, GenerateOptions]:
    """The parents of such a source, and what stands behind a question mark.

    Raises DatasetError with one sentence where these are no options.
    """
    name, mark, query = source.removeprefix(PREFIX).partition("?")
    known = {found.name: found for found in options_of(GenerateOptions)}
    try:
        given = dict(parse_qsl(query, strict_parsing=True, keep_blank_values=True)) if mark else {}
        unknown = sorted(set(given) - set(known))
        if unknown:
            raise ValueError(f"'{unknown[0]}' is not one of {', '.join(known)}")
        options = GenerateOptions(**{n: known[n].resolve(text, {}) for n, text in given.items()})
    except ValueError as error:
        reason = str(error).removesuffix(".")
        raise DatasetError(
            f"The source {source} is refused: {reason}; give {PREFIX}PARENTS, or "
            f"{PREFIX}PARENTS?fractions=0.25,1&replacements=2."
        ) from error
    if not name:
        raise DatasetError(f"The source {source} names no parents; give {PREFIX}FOLDER.")
    return name, options


def generated_candidates(source: str, read: Read) -> Iterator[Candidate]:
    """The variants of each parent, without those that an earlier one has given.

    Args:
        read: the candidates of another source.

    A parent that cannot be read is a candidate with an error. Raises DatasetError as
    ``generated_from`` and ``read`` do.
    """
    name, options = generated_from(source)
    found = dataset_crystals(name, options.data) if name in DATASET_NAMES else read(name)
    seen: set[bytes] = set()
    for parent in parents(found):
        if isinstance(parent, Candidate):
            yield parent
            continue
        try:
            with crystal_errors():
                for variant in variants(parent, options):
                    key = blake2b(repr(variant.key).encode(), digest_size=KEY_BYTES).digest()
                    if key not in seen:
                        seen.add(key)
                        yield Candidate(variant.id, structure_to_cif(variant.structure))
        except CrystalError as error:
            yield Candidate(parent.id, error=str(error))
