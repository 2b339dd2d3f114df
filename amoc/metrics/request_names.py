"""How the metrics of requests are called, for what counts them and what shows them. Pure.

A timer has the request's name, and counters that name and how it ended: ``get_vcard.result``.
Errors are counted by condition as well: ``get_vcard.error.item-not-found``.
"""

from __future__ import annotations

from typing import Final

TOTAL: Final = "request"
"""All requests, whatever their names."""
ENDS: Final = ("result", "error", "timeout", "unanswered")
"""How a request can end."""
