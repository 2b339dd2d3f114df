"""Pure. Rows of values as CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping


def table(row: Mapping[str, str]) -> str:
    """Return a header line and a single row."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(row)
    writer.writerow(row.values())
    return text.getvalue()
