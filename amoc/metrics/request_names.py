"""The limit of the number of request names, and the counter of requests beyond it. Pure."""

from __future__ import annotations

from typing import Final

MAX_NAMES: Final = 1_000
"""Maximum number of request names per worker; each needs a histogram."""
OTHER: Final = "other"
"""The step that requests with further names count as."""
BEYOND: Final = "http.names_beyond"
"""Counts requests with further names."""
