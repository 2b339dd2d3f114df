"""Pure. Why something cannot go on, as one of the conditions that RFC 6120 defines."""

from __future__ import annotations

from amoc.base.errors import PeerError


class Condition(PeerError):
    """A peer did something that deserves a defined condition.

    Attributes:
        condition: Its name, such as ``not-authorized``.
        text: An explanation, which never holds a password; empty where the condition says it all.
    """

    def __init__(self, condition: str, text: str = "") -> None:
        super().__init__(f"{condition} ({text})" if text else condition)
        self.condition = condition
        self.text = text
