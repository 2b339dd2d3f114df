"""The report of a run, for people: a single page that needs only a browser."""

from __future__ import annotations

from amoc.results.report.page import render, write

__all__ = ["render", "write"]
