"""Traces of the wire, for trying out a scenario. Off by default.

A stream checks once, when it is created, whether it is traced. So tracing costs nothing when
unused, and takes effect with the next connection. Passwords and values derived from them are masked
before they reach the callback.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

Callback = Callable[[str, str, str], object]
"""Called with the direction (``sent`` or ``received``), the user's JID, and the text."""

MAX_TAG: Final = 4096
"""Maximum characters of an incomplete tag that are kept until the rest arrives."""
_SECRETS: Final = re.compile(
    r"<(?:\w+:)?(?:auth|challenge|response|initial-response|password|success)\b[^>]*(?<!/)>"
    r"([^<]+)"
)

_callback: Callback | None = None


def trace(callback: Callback | None) -> None:
    """Call `callback` with everything that new connections send and receive; None stops it.

    Its arguments are the direction (``sent`` or ``received``), the JID as far as it is known, and
    the text as on the wire: whole elements when sent, arbitrary pieces of the stream when received.
    It must not wait.
    """
    global _callback
    _callback = callback


class Trace:
    """Passes what one stream sends and receives to the callback."""

    __slots__ = ("_callback", "_tag")

    def __init__(self, callback: Callback) -> None:
        self._callback = callback
        self._tag = ""

    def sent(self, who: str, data: bytes) -> None:
        """Pass on whole elements."""
        self._callback("sent", who, _masked(data.decode(errors="replace")))

    def received(self, who: str, data: bytes) -> None:
        """Pass on a piece of the stream; the previous one may have ended inside a secret."""
        text = data.decode(errors="replace")
        self._callback("received", who, _masked(text, self._tag))
        text = self._tag + text
        begin = text.rfind("<")
        end = text.find(">", begin) + 1
        self._tag = text[begin : end or begin + MAX_TAG] if begin >= 0 else ""


def current() -> Trace | None:
    """Return a trace for a new stream; None when tracing is off."""
    return None if _callback is None else Trace(_callback)


def _masked(text: str, before: str = "") -> str:
    """Return `text` without secrets; one of them may have started in the tag `before`."""
    whole, shown, at = before + text, [], len(before)
    for found in _SECRETS.finditer(whole):
        if found.end() > at:
            shown += [whole[at : max(found.start(1), at)], "***"]
            at = found.end()
    return "".join((*shown, whole[at:]))
