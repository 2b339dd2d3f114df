"""The report of a run, for people: one page that needs nothing but a browser."""

from __future__ import annotations

from amoc.results.report.page import render, write

__all__ = ["render", "write"]
