"""FinishedRun runs side by side: tables, plots and one report."""
