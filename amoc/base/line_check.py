"""Whether a file's records are those that were written: each has a number and a checksum. Pure.

So one that was changed, lost, repeated or moved is found, in the file of a killed run too. Only
those that are missing at the end cannot be seen in the file itself; who knows how many were written
says so. Lines without both, as earlier versions wrote them, are taken as they are.
"""

from __future__ import annotations

import zlib

from amoc.base.text import counted

LINE, CRC = "line", "crc"
"""The fields that `sealed` adds."""
_LINE, _CRC = b',"line":', b',"crc":'


def _marked(line: bytes) -> bool:
    """Whether there was once a number or a checksum in a line."""
    return _LINE in line or _CRC in line


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
    """How many records there are of a kind, and where the first is."""

    def __init__(self) -> None:
        self.count = self.first = 0

    def add(self, number: int, count: int = 1) -> None:
        self.first = self.first or number
        self.count += count

    def sentence(self, what: str, record: str) -> str:
        if self.count == 1:
            return f"{record} {self.first} is {what}"
        return f"{counted(self.count, record)} are {what}, the first is {record} {self.first}"


class RecordCheck:
    """Goes through a file record by record."""

    def __init__(self, record: str = "record") -> None:
        """Check a file; `record` is what sentences call a part of it."""
        self._record = record
        self._place = self._last = 0
        self._open = 0  # damaged records since the last good one: they are in the gap after it
        self._gaps: dict[int, int] = {}
        self._damaged, self._repeated, self._moved = _Found(), _Found(), _Found()

    def take(self, number: int | None) -> bool:
        """Take the next record's number, None if it is damaged; whether it is to be read."""
        self._place += 1
        if number is None:
            self.damaged()
            return False
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

    def pass_over(self) -> None:
        """The next record is of no interest: it is empty, or was torn at the very end."""
        self._place += 1

    def damaged(self) -> None:
        """The record that was taken last cannot be read."""
        self._damaged.add(self._place)
        self._open += 1

    def _skip_to(self, number: int) -> None:
        if (begin := self._last + 1 + self._open) < number:
            self._gaps[begin] = number
        self._last, self._open = number, 0

    def problems(self, written: int | None = None) -> list[str]:
        """What is wrong with the file, a sentence each; to be asked when all was taken.

        Args:
            written: How many records were written, if that is known.
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
        return [one.sentence(what, self._record) for what, one in found.items() if one.count]


class LineCheck(RecordCheck):
    """Goes through a file line by line.

    Attributes:
        sealed: Whether the lines have numbers and checksums, as far as is known.
    """

    def __init__(self) -> None:
        super().__init__("line")
        self.sealed = False

    def take_line(self, line: bytes) -> bool:
        """Take the next line; whether it is to be read.

        Not told is the last line of a process that was killed while it wrote: it has no end.
        """
        number = _number(line)
        self.sealed = self.sealed or number is not None
        if number is not None or (line.endswith(b"\n") and (self.sealed or _marked(line))):
            return self.take(number)
        self.pass_over()
        return not (self.sealed or _marked(line)) and bool(line.strip())
