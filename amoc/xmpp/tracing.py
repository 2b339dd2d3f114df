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

MAX_TAG: Final = 4096
"""Characters of a tag that are kept until its rest has come."""
_SECRETS: Final = re.compile(
    r"<(?:\w+:)?(?:auth|challenge|response|initial-response|password|success)\b[^>]*(?<!/)>"
    r"([^<]+)"
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


class Trace:
    """Shows what one stream sends and receives."""

    __slots__ = ("_callback", "_tag")

    def __init__(self, callback: Callback) -> None:
        self._callback = callback
        self._tag = ""

    def sent(self, who: str, data: bytes) -> None:
        """Show whole elements."""
        self._callback("sent", who, _masked(data.decode(errors="replace")))

    def received(self, who: str, data: bytes) -> None:
        """Show any piece of the stream; the last one may have ended in the midst of a secret."""
        text = data.decode(errors="replace")
        self._callback("received", who, _masked(text, self._tag))
        text = self._tag + text
        begin = text.rfind("<")
        end = text.find(">", begin) + 1
        self._tag = text[begin : end or begin + MAX_TAG] if begin >= 0 else ""


def current() -> Trace | None:
    """By the callback in force, for one stream."""
    return None if _callback is None else Trace(_callback)


def _masked(text: str, before: str = "") -> str:
    """`text` without secrets, of which one may have begun in the tag `before`."""
    whole, shown, at = before + text, [], len(before)
    for found in _SECRETS.finditer(whole):
        if found.end() > at:
            shown += [whole[at : max(found.start(1), at)], "***"]
            at = found.end()
    return "".join((*shown, whole[at:]))
