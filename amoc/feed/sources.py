"""Where the rows of a feed come from: CSV and JSON lines, or what a scenario has made.

A file is read whole and checked once, in the supervisor, before there are workers. What is kept is
its bytes and where each row begins (4 bytes a row), both shared by all workers through the fork;
rows are made of them when they are used. So a file of 10 million rows of 40 bytes takes 440 MB
once, and no worker has 10 million dictionaries; and it may change or vanish during the run.
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
from typing import Any

from amoc.base.errors import ScenarioError
from amoc.base.text import counted, cut

MAX_BYTES = 2**32 - 1
"""Of a file: where a row begins is 32 bits."""
PIECE = 1 << 20
"""Bytes of a file that are looked at together."""
MAX_ITERABLE = 10_000_000
"""Rows that are taken from what is no sequence, which might have no end."""


class Rows:
    """Rows by their number, from 0."""

    @abstractmethod
    def __len__(self) -> int:
        """How many there are."""

    @abstractmethod
    def read(self, first: int, count: int) -> list[Any]:
        """`count` rows from number `first` on, which are the caller's to change."""

    def row(self, number: int) -> Any:
        """One of them."""
        return self.read(number, 1)[0]


class _FileRows(Rows):
    """Rows of a file that was read whole."""

    def __init__(self, path: Path, name: str, encoding: str) -> None:
        """Read the file at `path`, which messages call `name`.

        Raises:
            ScenarioError: It cannot be read, or is not what it should be; with the line.
        """
        self.name = name
        self._data = _bytes_of(path, name, encoding)
        self._starts = array("I")
        self._index()
        self._starts.append(len(self._data))
        if not len(self):
            raise ScenarioError(f"{name} must have at least one row{self._beside}, got none")

    _beside = ""

    def __len__(self) -> int:
        return len(self._starts) - 1

    @abstractmethod
    def _index(self) -> None:
        """Note in `_starts` where each row begins, and check it."""

    def _lines(self, first: int, end: int) -> Iterator[str]:
        """The lines that rows from number `first` to before `end` are written on."""
        piece = self._data[self._starts[first] : self._starts[end]]
        return map(bytes.decode, BytesIO(piece))


class CsvRows(_FileRows):
    """Rows of a CSV file, as dictionaries by the names in its first line."""

    _beside = " below its header"

    def __init__(self, path: Path, name: str, encoding: str, delimiter: str) -> None:
        """Read and check the file; see `_FileRows`.

        Args:
            path: Its path.
            name: What messages call it.
            encoding: Of its text.
            delimiter: What stands between two fields.
        """
        self._delimiter = delimiter
        self._header: list[str] = []
        super().__init__(path, name, encoding)
        self._is_plain = b'"' not in self._data

    def _index(self) -> None:
        if not self._index_regular():
            self._index_any()

    def _index_regular(self) -> bool:
        """Index a file whose lines are rows, in a third of the time; whether it is one.

        It has no quotes, and each line the fields of the header; errors are not told here.
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
            return False  # of one field, an empty line would be a row
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
                    f" {counted(len(self._header), 'field')}, as the header has, got {len(row)}"
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
        # Without quotes a reader, which takes three times as long for one row, is not needed.
        line = self._data[self._starts[number] : self._starts[number + 1]].decode()
        fields = line.partition("\n")[0].removesuffix("\r").split(self._delimiter)
        return dict(zip(self._header, fields, strict=True))


class JsonRows(_FileRows):
    """Rows of a file of JSON lines: an object on each line."""

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

    def read(self, first: int, count: int) -> list[dict[str, Any]]:
        """See `Rows`."""
        return [
            json.loads(text) for text in self._lines(first, first + count) if not text.isspace()
        ]


class GivenRows(Rows):
    """Rows that a scenario has made; those that are dictionaries are copied when they are used."""

    def __init__(self, rows: Iterable[Any], name: str) -> None:
        """Take `rows`: a sequence as it is, the elements of anything else.

        Raises:
            ScenarioError: There are none, or there is no end of them.
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

    def read(self, first: int, count: int) -> list[Any]:
        """See `Rows`."""
        rows = (self._rows[at] for at in range(first, first + count))
        return [dict(row) if type(row) is dict else row for row in rows]


def _bytes_of(path: Path, name: str, encoding: str) -> bytes:
    """The file's text in UTF-8, without a byte order mark."""
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
            'for another encoding say which, encoding="latin-1" for example'
        ) from None
