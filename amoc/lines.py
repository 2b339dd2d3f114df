"""Lines of text: cut out of a stream of bytes, and put together for people. Pure."""

from __future__ import annotations

LONGEST_LINE = 1 << 16
"""What has no line's end by then is passed on as it is."""


class Lines:
    """Gathers what a process prints until lines are whole."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> list[str]:
        """The lines that are whole with `data`; no data means that there will be no more."""
        *lines, self._rest = (self._rest + data).split(b"\n")
        if len(self._rest) > LONGEST_LINE or (self._rest and not data):
            lines.append(self._rest)
            self._rest = b""
        return [line.decode(errors="replace") for line in lines]


def counted(number: int, noun: str) -> str:
    """``1 user``, ``2 users``."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
