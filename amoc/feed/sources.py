"""Sources of a feed's rows: CSV and JSON Lines files, and Python iterables.

A file is read completely and checked once, in the supervisor, before workers are forked. Only its
bytes and the offset of each row (4 bytes) are kept, which all workers share through the fork. Rows
are parsed when they are used. So a file of 10 million rows of 40 bytes takes 440 MB once, without
10 million dictionaries in each worker, and it may change or vanish during the run.
"""

from __future__ import annotations

import codecs
import csv
import json
from abc import abstractmethod
from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence
from io import BytesIO
from itertools import accumulate, islice
from pathlib import Path
from typing import Any, Generic, TypeAlias, TypeVar

from amoc.base.errors import ScenarioError
from amoc.base.text import counted, cut

Row_co = TypeVar("Row_co", covariant=True)

JsonRow: TypeAlias = dict[str, Any]  # Any: only the scenario knows its fields

MAX_BYTES = 2**32 - 1
"""Maximum size of a file; row offsets have 32 bits."""
PIECE = 1 << 20
"""Bytes of a file that are decoded at once."""
MAX_ITERABLE = 10_000_000
"""Maximum number of rows from an iterable that is not a sequence, and might be infinite."""


class Rows(Generic[Row_co]):
    """Rows by number, from 0."""

    @abstractmethod
    def __len__(self) -> int:
        """Return the number of rows."""

    @abstractmethod
    def read(self, first: int, count: int) -> list[Row_co]:
        """Return `count` rows from number `first`; the caller may modify them."""

    def row(self, number: int) -> Row_co:
        """Return a single row."""
        return self.read(number, 1)[0]


class _FileRows(Rows[Row_co]):
    """Rows of a file held in memory."""

    def __init__(self, path: Path, name: str, encoding: str) -> None:
        """Read the file at `path`, named `name` in messages.

        Raises:
            ScenarioError: It cannot be read or is malformed; names the line.
        """
        self.name = name
        self._data = _bytes_of(path, name, encoding)
        self._starts = array("I")
        self._index()
        self._starts.append(len(self._data))
        if not len(self):
            raise ScenarioError(f"{name} must have at least one row{self._where}, got none")

    _where = ""

    def __len__(self) -> int:
        return len(self._starts) - 1

    @abstractmethod
    def _index(self) -> None:
        """Check each row and append its offset to `_starts`."""

    def _lines(self, first: int, end: int) -> Iterator[str]:
        """Return the lines of the rows from number `first` up to, but not including, `end`."""
        piece = self._data[self._starts[first] : self._starts[end]]
        return map(bytes.decode, BytesIO(piece))


class CsvRows(_FileRows[dict[str, str]]):
    """Rows of a CSV file, as dictionaries keyed by its header line."""

    _where = " below its header"

    def __init__(self, path: Path, name: str, encoding: str, delimiter: str) -> None:
        """Read and check the file; see `_FileRows`.

        Args:
            path: Its path.
            name: Its name in messages.
            encoding: Its encoding.
            delimiter: The field separator.
        """
        self._delimiter = delimiter
        self._header: list[str] = []
        super().__init__(path, name, encoding)
        self._is_plain = b'"' not in self._data

    def _index(self) -> None:
        if not self._index_regular():
            self._index_any()

    def _index_regular(self) -> bool:
        """Index a regular file, in a third of the time; return False if it is not regular.

        A regular file has no quotes, and each line has as many fields as the header. Errors are
        left to `_index_any` to report.
        """
        data, delimiter = self._data, self._delimiter.encode()
        if not data or any(one in data for one in (b'"', b"\0")) or not _is_utf8(data):
            return False
        if b"\r" in data and data.count(b"\r") != data.count(b"\r\n"):
            return False
        first = next(BytesIO(data))
        wanted = first.count(delimiter)
        if any(line.count(delimiter) != wanted for line in BytesIO(data)):
            return False
        if not wanted and any(not line.strip(b"\r\n") for line in BytesIO(data)):
            return False  # with a single field, an empty line would count as a row
        if max(map(len, BytesIO(data))) > csv.field_size_limit():
            return False
        (names,) = self._reader([first.decode()])
        self._header = self._checked_header(names, 1)
        self._starts = array("I", accumulate(map(len, BytesIO(data))))  # where each line ends
        self._starts.pop()
        return True

    def _index_any(self) -> None:
        at, line, begun = 0, 0, 0

        def lines() -> Iterator[str]:
            nonlocal at, line
            for raw in BytesIO(self._data):
                at += len(raw)
                line += 1
                yield _decoded(raw, self.name, line)

        rows = self._reader(lines())
        while True:
            begun, above = at, line
            try:
                row = next(rows)
            except StopIteration:
                break
            except csv.Error as error:
                raise ScenarioError(f"{self.name}, line {line}: {error}") from None
            if not row:
                continue  # an empty line
            if not self._header:
                self._header = self._checked_header(row, line)
            elif len(row) != len(self._header):
                raise ScenarioError(
                    f"{self.name}, line {above + 1}: a row must have"
                    f" {counted(len(self._header), 'field')} like the header, got {len(row)}"
                )
            else:
                self._starts.append(begun)
        if not self._header:
            raise ScenarioError(f"{self.name} must begin with a header, got an empty file")

    def _checked_header(self, names: list[str], line: int) -> list[str]:
        for name in names:
            if not name.strip():
                raise ScenarioError(
                    f"{self.name}, line {line}: each field of the header must have a name, got"
                    f" {cut(names)}"
                )
            if names.count(name) > 1:
                raise ScenarioError(
                    f"{self.name}, line {line}: names in the header must differ, got {cut(name)}"
                    f" {names.count(name)} times"
                )
        return names

    def _reader(self, lines: Iterable[str]) -> Iterator[list[str]]:
        return csv.reader(lines, delimiter=self._delimiter, strict=True)

    def read(self, first: int, count: int) -> list[dict[str, str]]:
        """See `Rows`."""
        rows = self._reader(self._lines(first, first + count))
        return [dict(zip(self._header, row, strict=True)) for row in rows if row]

    def row(self, number: int) -> dict[str, str]:
        """See `Rows`."""
        if not self._is_plain:
            return self.read(number, 1)[0]
        # Without quotes, splitting is enough, and three times as fast as csv.reader for one row.
        line = self._data[self._starts[number] : self._starts[number + 1]].decode()
        fields = line.partition("\n")[0].removesuffix("\r").split(self._delimiter)
        return dict(zip(self._header, fields, strict=True))


class JsonRows(_FileRows[JsonRow]):
    """Rows of a JSON Lines file, an object on each line."""

    def _index(self) -> None:
        at = 0
        for line, raw in enumerate(BytesIO(self._data), 1):
            text = _decoded(raw, self.name, line)
            if not text.isspace():
                try:
                    row = json.loads(text)
                except ValueError as error:
                    problem = getattr(error, "msg", error)
                    raise ScenarioError(
                        f"{self.name}, line {line}: a row must be a JSON object, but {problem}"
                    ) from None
                if not isinstance(row, dict):
                    raise ScenarioError(
                        f"{self.name}, line {line}: a row must be a JSON object, got"
                        f" {cut(text.strip())}"
                    )
                self._starts.append(at)
            at += len(raw)

    def read(self, first: int, count: int) -> list[JsonRow]:
        """See `Rows`."""
        return [
            json.loads(text) for text in self._lines(first, first + count) if not text.isspace()
        ]


class GivenRows(Rows[Row_co]):
    """Rows given by the scenario; dictionaries are copied when they are handed out."""

    def __init__(self, rows: Iterable[Row_co], name: str) -> None:
        """Use a sequence directly, or copy another iterable into a list.

        Raises:
            ScenarioError: There are no rows, or too many for an iterable.
        """
        if isinstance(rows, str | bytes | Mapping) or not isinstance(rows, Iterable):
            raise ScenarioError(f"feed {name} must be given rows, got {cut(rows)}")
        if not isinstance(rows, Sequence):
            rows = list(islice(rows, MAX_ITERABLE + 1))
            if len(rows) > MAX_ITERABLE:
                raise ScenarioError(
                    f"feed {name} must be given a sequence for more than {MAX_ITERABLE:,} rows, got"
                    " an iterable with more"
                )
        if not rows:
            raise ScenarioError(f"feed {name} must be given at least one row, got none")
        self._rows = rows

    def __len__(self) -> int:
        return len(self._rows)

    def read(self, first: int, count: int) -> list[Row_co]:
        """See `Rows`."""
        rows = (self._rows[at] for at in range(first, first + count))
        return [dict(row) if type(row) is dict else row for row in rows]  # type: ignore[misc] # of its type


def _bytes_of(path: Path, name: str, encoding: str) -> bytes:
    """Return the file's text as UTF-8, without a byte order mark."""
    try:
        if not path.is_file() and path.exists():
            raise ScenarioError(f"{name} must be a file, got something else ({path})")
        if (size := path.stat().st_size) > MAX_BYTES:
            raise ScenarioError(f"{name} must have at most {MAX_BYTES:,} bytes, got {size:,}")
        data = path.read_bytes()
        if encoding.lower().replace("_", "-") not in ("utf-8", "utf8", "utf-8-sig"):
            data = data.decode(encoding).encode()
    except FileNotFoundError:
        raise ScenarioError(f"{name} does not exist (looked for as {path})") from None
    except OSError as error:
        raise ScenarioError(f"{name} cannot be read: {error.strerror} ({path})") from None
    except UnicodeError as error:
        raise ScenarioError(f"{name} must be text in {encoding}, but {error}") from None
    except LookupError:
        raise ScenarioError(
            f"the encoding of {name} must be one that Python knows, got {encoding!r}"
        ) from None
    return data.removeprefix(b"\xef\xbb\xbf")


def _is_utf8(data: bytes) -> bool:
    decoder = codecs.getincrementaldecoder("utf-8")()
    try:
        for at in range(0, len(data), PIECE):
            decoder.decode(data[at : at + PIECE])
        decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        return False
    return True


def _decoded(raw: bytes, name: str, line: int) -> str:
    try:
        return raw.decode()
    except UnicodeDecodeError as error:
        raise ScenarioError(
            f"{name}, line {line}: must be text in UTF-8, got the byte 0x{raw[error.start]:02x}; "
            'for another encoding, name it: encoding="latin-1", for example'
        ) from None
