"""The champion rule: which of two versions holds an alias, and which one is served.

Every data set and split has an alias ``champion-<dataset>-<split>``. It moves to a version of lower
validation MAE on the same split, and from a run with a ``limit`` to a full one. ``champion`` is the
preferred one of their holders that are shown to be better than the constant median: on at least
``MIN_VALIDATION_MATERIALS`` validation materials, by the 95% interval of the paired bootstrap.
Test materials decide nothing.
"""

import math
import re
from dataclasses import dataclass
from hashlib import sha256

from mlflow.entities.model_registry import ModelVersion

from supervision.data.quantity import TC, Quantity
from supervision.evaluation.paired_difference import PairedDifference

CHAMPION = "champion"
REFERENCES = ("champion-3dsc-novel", "champion-3dsc-random")  # preferred, in this order
MIN_VALIDATION_MATERIALS = 30  # the interval of fewer is too narrow to rely on
KELVIN_DIGITS = 4  # of errors in tags, and of the errors that are compared
DIFFERENCE_TAGS = ("val_minus_constant", "val_minus_constant_low", "val_minus_constant_high")


@dataclass(frozen=True)
class Candidate:
    """What the champion rule needs to know of a model version.

    Attributes:
        val_mae: on the validation materials, K, rounded to ``KELVIN_DIGITS``.
        constant_mae: that of the constant median of the training materials, on the same materials.
        limit: of how many materials the data set was limited to; 0 for all.
        against_constant: the paired difference of the two errors; None for a version that was
            registered before it was stored.
        quantity: what the errors are of, in its unit.
    """

    dataset: str
    split: str
    split_hash: str
    val_mae: float
    constant_mae: float
    limit: int
    validation_materials: int
    against_constant: PairedDifference | None
    quantity: Quantity = TC

    def __post_init__(self) -> None:
        for name in ("val_mae", "constant_mae"):
            object.__setattr__(self, name, round(getattr(self, name), KELVIN_DIGITS))
        if (d := self.against_constant) is not None:
            object.__setattr__(self, "against_constant", d.rounded(KELVIN_DIGITS))

    @property
    def is_full(self) -> bool:
        """Whether it was trained on all materials of its data set."""
        return self.limit == 0

    @property
    def beats_constant(self) -> bool:
        """Whether validation shows it to be better than the constant median.

        Versions registered without the interval are compared by the two errors alone.
        """
        if self.validation_materials < MIN_VALIDATION_MATERIALS:
            return False
        if self.against_constant is None:
            return self.val_mae < self.constant_mae
        return self.against_constant.is_better

    @property
    def alias(self) -> str:
        """``champion-<dataset>-<split>``, in the characters that MLflow allows."""
        slug = re.sub(r"[^a-z0-9]+", "-", self.dataset.lower()).strip("-")
        if not self.dataset.isascii():  # names that lose all their characters must still differ
            slug = f"{slug}-{sha256(self.dataset.encode()).hexdigest()[:8]}".strip("-")
        return f"champion-{slug}-{self.split}"

    @property
    def relative_mae(self) -> float:
        """Validation MAE divided by the constant's: comparable between data sets."""
        if self.constant_mae == 0:  # every validation Tc is the median
            return 1.0 if self.val_mae == 0 else math.inf
        return self.val_mae / self.constant_mae

    @property
    def preference(self) -> tuple[bool, int, bool, bool, float]:
        """Sort key over data sets and model families; the version to serve comes first."""
        is_reference = self.is_full and self.alias in REFERENCES
        return (
            not self.beats_constant,
            REFERENCES.index(self.alias) if is_reference else len(REFERENCES),
            self.validation_materials < MIN_VALIDATION_MATERIALS,
            not self.is_full,
            self.relative_mae,
        )

    def describe(self) -> str:
        """Its errors on validation, and what they show."""
        own, constant = self._shown(self.val_mae), self._shown(self.constant_mae)
        errors = f"validation MAE {own}, constant median {constant}"
        if self.validation_materials < MIN_VALIDATION_MATERIALS:
            return (
                f"{errors}, on {self.validation_materials} validation materials; at least "
                f"{MIN_VALIDATION_MATERIALS} are needed to show a difference"
            )
        if self.against_constant is None:
            return errors
        return f"{errors}: {self.against_constant.describe('the constant median', self.quantity)}"

    def _shown(self, error: float) -> str:
        return self.quantity.with_unit(f"{error:.3f}")

    def tags(self) -> dict[str, str]:
        """The tags of its model version; ``of`` reads them back."""
        tags = {
            "dataset": self.dataset,
            "split": self.split,
            "split_hash": self.split_hash,
            "val_mae": str(self.val_mae),
            "null_mae": str(self.constant_mae),
            "limit": str(self.limit),
            "validation_materials": str(self.validation_materials),
        }
        if not self.quantity.is_tc:
            tags |= {"quantity": self.quantity.name, "unit": self.quantity.unit}
        if (d := self.against_constant) is not None:
            values = (d.difference, d.low, d.high)
            tags |= dict(zip(DIFFERENCE_TAGS, map(str, values), strict=True))
        return tags

    @classmethod
    def of(cls, version: ModelVersion) -> "Candidate | None":
        """The candidate that a version's tags describe; None where this project did not set them.

        Earlier code stored the number of validation materials as ``judged_on``, or not at all.
        """
        tags = version.tags
        default = tags.get("judged_on", MIN_VALIDATION_MATERIALS)
        try:
            n = int(tags.get("validation_materials", default))
            against_constant = None
            if DIFFERENCE_TAGS[0] in tags:
                difference, low, high = (float(tags[name]) for name in DIFFERENCE_TAGS)
                against_constant = PairedDifference(difference, low, high, n)
            return cls(
                dataset=tags["dataset"],
                split=tags["split"],
                split_hash=tags["split_hash"],
                val_mae=float(tags["val_mae"]),
                constant_mae=float(tags["null_mae"]),
                limit=int(tags["limit"]),
                validation_materials=n,
                against_constant=against_constant,
                quantity=Quantity.of(tags.get("quantity", TC.name), tags.get("unit", "")),
            )
        except (KeyError, ValueError):
            return None


def takes_alias(new: Candidate, holder: Candidate) -> tuple[bool, str]:
    """Whether ``new`` takes the alias of ``holder``, and why or why not."""
    if new.is_full and not holder.is_full:
        return True, f"a full run replaces one limited to {holder.limit} materials"
    if holder.is_full and not new.is_full:
        return False, "a run with a limit never replaces a full one"
    if new.split_hash != holder.split_hash:
        return False, "the two splits differ, so the errors cannot be compared"
    mae, best = (new.quantity.with_unit(f"{c.val_mae:.3f}") for c in (new, holder))
    why = f"validation MAE {mae} against {best} on the same split"
    return new.val_mae < holder.val_mae, why
