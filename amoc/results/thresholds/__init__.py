"""Thresholds: pass/fail criteria for a run."""
