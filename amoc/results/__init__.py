"""What a run has shown: seconds, totals, summary, thresholds, verdict, files and reports."""
