"""The report's tables and figures, run again with seeds, intervals and verdicts."""
