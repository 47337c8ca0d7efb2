"""What a screening has found, in numbers."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from supervision.runtime.files import printable_path


@dataclass(frozen=True)
class Screening:
    """A finished screening.

    Attributes:
        source: what was screened, as it was given.
        folder: where its files are: ``ranked.parquet``, ``ranked.csv``, ``rejects.csv`` and
            ``report.html``.
        model: which model answered.
        candidates: the number of structures in the source.
        skipped: files of the source that are no structures by their name.
        rejected: candidates without an answer.
        filtered: how many each filter left out.
        ranked: how many are in the ranking.
    """

    source: str
    folder: Path
    model: str
    candidates: int
    skipped: int
    rejected: int
    filtered: Mapping[str, int]
    ranked: int

    @property
    def report(self) -> Path:
        """The report, an HTML file."""
        return self.folder / "report.html"

    def __str__(self) -> str:
        parts = [f"Screened {self.candidates:,} candidates: {self.ranked:,} ranked"]
        left_out = [f"{number:,} by {name}" for name, number in self.filtered.items()]
        if left_out:
            parts.append(f"{sum(self.filtered.values()):,} filtered out ({', '.join(left_out)})")
        parts.append(f"{self.rejected:,} rejected")
        if self.skipped:
            parts.append(
                f"{self.skipped:,} other {'file' if self.skipped == 1 else 'files'} skipped"
            )
        return f"{', '.join(parts)}. The report is {printable_path(self.report)}."
