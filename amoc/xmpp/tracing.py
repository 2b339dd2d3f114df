"""Shows what goes over the wire, while a scenario is being tried. Off by default.

A stream asks once, when it is made, whether it is traced; so tracing costs nothing when unused, and
begins with the next connection. Passwords and what is derived from them are masked before they
reach the callback.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

Callback = Callable[[str, str, str], object]
"""Called with the direction (``sent`` or ``received``), the user's JID, and the text."""

_SECRETS: Final = re.compile(
    r"(<(?:\w+:)?(auth|response|initial-response|password)\b[^>]*(?<!/)>)[^<]+"
)

_callback: Callback | None = None


def trace(callback: Callback | None) -> None:
    """Call `callback` with all that connections made from now on send and receive; None stops.

    It is called with the direction (``sent`` or ``received``), the JID as far as it is known, and
    the text as it went over the wire: whole elements when sent, any piece of the stream when
    received.
    It must not wait.
    """
    global _callback
    _callback = callback


def current() -> Callback | None:
    """The callback in force."""
    return _callback


def masked(data: bytes) -> str:
    """`data` as text without secrets."""
    return _SECRETS.sub(r"\1***", data.decode(errors="replace"))
