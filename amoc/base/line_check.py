"""Whether a file's lines are those that were written: each has a number and a checksum. Pure.

So a line that was changed, lost, repeated or moved is found, in the file of a killed run too. Only
lines that are missing at the end cannot be seen in the file itself; who knows how many were written
says so. Lines without both, as earlier versions wrote them, are taken as they are.
"""

from __future__ import annotations

import zlib

from amoc.base.text import counted

LINE, CRC = "line", "crc"
"""The fields that `sealed` adds."""
_LINE, _CRC = b',"line":', b',"crc":'


def sealed(text: bytes, number: int) -> bytes:
    """A JSON object on a line of its own, with its number and its checksum.

    Args:
        text: The object, which has at least one field.
        number: Its number in the file, from 1.
    """
    body = b"%b%b%d" % (text[:-1], _LINE, number)
    return b"%b%b%d}\n" % (body, _CRC, zlib.crc32(body))


def _number(line: bytes) -> int | None:
    """The number of a line; None if it is not as it was written."""
    body, _, crc = line.rpartition(_CRC)
    number = body.rpartition(_LINE)[2]
    if not (line.endswith(b"}\n") and crc[:-2].isdigit() and number.isdigit()):
        return None
    return int(number) if zlib.crc32(body) == int(crc[:-2]) else None


class _Found:
    """How many lines there are of a kind, and where the first is."""

    def __init__(self) -> None:
        self.count = self.first = 0

    def add(self, line: int, count: int = 1) -> None:
        self.first = self.first or line
        self.count += count

    def sentence(self, what: str) -> str:
        if self.count == 1:
            return f"line {self.first} is {what}"
        return f"{counted(self.count, 'line')} are {what}, the first is line {self.first}"


class LineCheck:
    """Goes through a file line by line.

    Attributes:
        sealed: Whether the lines have numbers and checksums, as far as is known.
    """

    def __init__(self) -> None:
        self.sealed = False
        self._place = self._last = 0
        self._open = 0  # damaged lines since the last good one: they are in the gap after it
        self._gaps: dict[int, int] = {}
        self._damaged, self._repeated, self._moved = _Found(), _Found(), _Found()

    def take(self, line: bytes) -> bool:
        """Take the next line; whether it is to be read.

        Not told is the last line of a process that was killed while it wrote: it has no end.
        """
        self._place += 1
        number = _number(line)
        if number is not None:
            self.sealed = True
            return self._in_order(number)
        if not (self.sealed or _LINE in line or _CRC in line):
            return bool(line.strip())
        if line.endswith(b"\n"):
            self.damaged()
        return False

    def damaged(self) -> None:
        """The line that was taken last cannot be read."""
        self._damaged.add(self._place)
        self._open += 1

    def _in_order(self, number: int) -> bool:
        if number > self._last:
            self._skip_to(number)
            return True
        if begin := next((one for one in self._gaps if one <= number < self._gaps[one]), None):
            end = self._gaps.pop(begin)
            self._gaps |= {one: to for one, to in ((begin, number), (number + 1, end)) if one < to}
            self._moved.add(number)
        else:
            self._repeated.add(number)
        return False

    def _skip_to(self, number: int) -> None:
        if (begin := self._last + 1 + self._open) < number:
            self._gaps[begin] = number
        self._last, self._open = number, 0

    def problems(self, written: int | None = None) -> list[str]:
        """What is wrong with the file, a sentence each; to be asked when all was taken.

        Args:
            written: How many lines were written, if that is known.
        """
        if written is not None and written > self._last:
            self._skip_to(written + 1)
        missing = _Found()
        for begin, end in self._gaps.items():
            missing.add(begin, end - begin)
        found = {
            "damaged": self._damaged,
            "missing": missing,
            "repeated": self._repeated,
            "out of order": self._moved,
        }
        return [one.sentence(what) for what, one in found.items() if one.count]
