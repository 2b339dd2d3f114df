"""Integrity check of a file's records, by a number and a checksum in each. Pure.

It detects changed, lost, repeated and moved records, even in the file of a killed run. Records
missing at the end can be detected only if the caller knows how many were written. Lines with
neither number nor checksum, from earlier versions, are accepted.
"""

from __future__ import annotations

import zlib

from amoc.base.text import counted

LINE, CRC = "line", "crc"
"""The fields added by `sealed`."""
_LINE, _CRC = b',"line":', b',"crc":'


def _marked(line: bytes) -> bool:
    """Return whether a line contains traces of a number or a checksum."""
    return _LINE in line or _CRC in line


def sealed(text: bytes, number: int) -> bytes:
    """Return the line for a JSON object, with its number and checksum.

    Args:
        text: The object, with at least one field.
        number: Its number in the file, from 1.
    """
    body = b"%b%b%d" % (text[:-1], _LINE, number)
    return b"%b%b%d}\n" % (body, _CRC, zlib.crc32(body))


def _number(line: bytes) -> int | None:
    """Return the number of a line; None if the line is damaged."""
    body, _, crc = line.rpartition(_CRC)
    number = body.rpartition(_LINE)[2]
    if not (line.endswith(b"}\n") and crc[:-2].isdigit() and number.isdigit()):
        return None
    return int(number) if zlib.crc32(body) == int(crc[:-2]) else None


class _Found:
    """The number of records with a kind of problem, and the first of them."""

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
    """Checks a file record by record."""

    def __init__(self, record: str = "record") -> None:
        """Check a file whose parts are called `record` in messages."""
        self._record = record
        self._place = self._last = 0
        self._open = 0  # damaged records since the last good one, which fill the gap after it
        self._gaps: dict[int, int] = {}
        self._damaged, self._repeated, self._moved = _Found(), _Found(), _Found()

    def take(self, number: int | None) -> bool:
        """Take the next record's number, None if damaged; return whether to use the record."""
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
        """Skip the next record, which is empty or was torn at the end of the file."""
        self._place += 1

    def damaged(self) -> None:
        """Count the current record as damaged."""
        self._damaged.add(self._place)
        self._open += 1

    def _skip_to(self, number: int) -> None:
        if (begin := self._last + 1 + self._open) < number:
            self._gaps[begin] = number
        self._last, self._open = number, 0

    def problems(self, written: int | None = None) -> list[str]:
        """Return the problems of the file, a clause each; call it after the last record.

        Args:
            written: The number of records written, if known.
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
    """Checks a file line by line.

    Attributes:
        sealed: Whether lines with numbers and checksums have been found so far.
    """

    def __init__(self) -> None:
        super().__init__("line")
        self.sealed = False

    def take_line(self, line: bytes) -> bool:
        """Take the next line; return whether to use it.

        An incomplete last line, left by a process killed while writing, is not a problem.
        """
        number = _number(line)
        self.sealed = self.sealed or number is not None
        if number is not None or (line.endswith(b"\n") and (self.sealed or _marked(line))):
            return self.take(number)
        self.pass_over()
        return not (self.sealed or _marked(line)) and bool(line.strip())
