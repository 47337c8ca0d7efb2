"""A screening in an MLflow run: its settings, counts, ranking, rejects and report."""

from collections.abc import Mapping

from supervision.screening.outcome import Screening
from tracking import runs

FILES = ("ranked.parquet", "ranked.csv", "rejects.csv")


def log_screening(found: Screening, settings: Mapping[str, object]) -> None:
    """Log a finished screening in the active run.

    Args:
        settings: the options of the command, which become parameters.
    """
    runs.log_settings(settings, {"model_family": "screen", "model": found.model})
    counts = {
        name: getattr(found, name) for name in ("candidates", "ranked", "rejected", "skipped")
    }
    left_out = {f"filtered_by_{name}": number for name, number in found.filtered.items()}
    runs.log_metrics({name: float(number) for name, number in (counts | left_out).items()})
    for path in (*(found.folder / name for name in FILES), found.report):
        runs.log_file(path)
