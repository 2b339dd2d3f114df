"""What a request carries: bytes, JSON, a form, files, or a stream of pieces.

A body of a known length is sent with Content-Length, one of an unknown length in chunks.
"""

from __future__ import annotations

import json as _json
import mimetypes
import os
from collections.abc import Iterable, Iterator, Mapping
from io import IOBase
from pathlib import Path
from typing import Any, BinaryIO, Final, NamedTuple
from urllib.parse import urlencode

from amoc.base.errors import ScenarioError
from amoc.base.text import cut
from amoc.http.request import chunk

PIECE: Final = 64 << 10
"""Read from a file at once."""
FORM: Final = "application/x-www-form-urlencoded"
JSON: Final = "application/json"
BINARY: Final = "application/octet-stream"
_KINDS: Final = ("json", "data", "form", "files")
_as_json: Final = _json.JSONEncoder(separators=(",", ":"), ensure_ascii=False).encode

Data = bytes | bytearray | memoryview | str | Path | BinaryIO | Iterable[bytes]
FileLike = bytes | str | Path | BinaryIO
File = FileLike | tuple[str, FileLike] | tuple[str, FileLike, str]
"""What is uploaded: the content (text means text), alone or as (name, content[, media type])."""
Form = Mapping[str, object] | Iterable[tuple[str, object]]


class Body(NamedTuple):
    """What a request carries."""

    content: bytes | Iterable[bytes] = b""
    length: int | None = 0
    """In bytes; None where it is not known."""
    type: str = ""
    """Its media type; empty: none is said."""
    is_replayable: bool = True
    """Whether it can be sent once more."""

    def pieces(self) -> Iterator[bytes]:
        """What is sent: pieces of `length` bytes together, or chunks that tell their lengths.

        Raises:
            ScenarioError: A piece is no bytes, or they are more or fewer than `length`.
        """
        if isinstance(self.content, bytes):
            yield self.content
            return
        sent = 0
        for piece in self.content:
            if not isinstance(piece, bytes | bytearray | memoryview | str):
                raise ScenarioError(f"the pieces of a body must be bytes, got {cut(piece)}")
            data = piece.encode() if isinstance(piece, str) else bytes(piece)
            sent += len(data)
            if self.length is not None and sent > self.length:
                break
            if data:
                yield data if self.length is not None else chunk(data)
        if self.length is None:
            yield b"0\r\n\r\n"
        elif sent != self.length:
            raise ScenarioError(
                f"a body must have exactly the {self.length} bytes declared for it, got"
                f" {'more' if sent > self.length else sent}"
            )


EMPTY: Final = Body()


class FilePieces:
    """A file, read anew in pieces each time."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __iter__(self) -> Iterator[bytes]:
        with self._path.open("rb") as file:
            yield from pieces(file)


def pieces(file: Any) -> Iterator[bytes]:
    """What is left in an open file."""
    while data := file.read(PIECE):
        yield data.encode() if isinstance(data, str) else data


def of(options: Mapping[str, Any]) -> Body | None:
    """What a request carries, by its options; None: nothing."""
    if options.keys().isdisjoint(_KINDS):
        return None
    given = [one for one in _KINDS if one in options]
    if len(given) > 1 and given != ["form", "files"]:
        raise ScenarioError(f"a request can have only one body, got {' and '.join(given)}")
    if "files" in options:
        return of_files(options["files"], options.get("form", {}))
    if "json" in options:
        return of_json(options["json"])
    if "form" in options:
        return of_form(options["form"])
    return of_data(options["data"])


def of_json(value: object) -> Body:
    """A value as JSON; raises what `json.dumps` does."""
    content = _as_json(value).encode()
    return Body(content, len(content), JSON)


def of_form(fields: Form) -> Body:
    """Fields as a form sends them; of a sequence each value."""
    pairs = fields.items() if isinstance(fields, Mapping) else fields
    content = urlencode(list(pairs), doseq=True).encode()
    return Body(content, len(content), FORM)


def of_data(data: Data) -> Body:
    """Bytes, text (as UTF-8), a file by its path or open, or an iterable of pieces.

    Raises:
        ScenarioError: It is none of these.
        OSError: The file cannot be read.
    """
    if isinstance(data, bytes):
        return Body(data, len(data))
    if isinstance(data, str):
        content = data.encode()
        return Body(content, len(content), "text/plain; charset=utf-8")
    if isinstance(data, bytearray | memoryview):
        return of_data(bytes(data))
    if isinstance(data, Path):
        return Body(FilePieces(data), data.stat().st_size, _type_of(data.name))
    if isinstance(data, IOBase) or hasattr(data, "read"):
        return Body(pieces(data), _left(data), BINARY, is_replayable=False)
    if isinstance(data, Iterable) and not isinstance(data, Mapping):
        return Body(data, None, BINARY, is_replayable=isinstance(data, list | tuple))
    raise ScenarioError(
        "data must be bytes, text, a Path, an open file or an iterable of bytes, got"
        f" {cut(data)}; use json= or form= for dicts"
    )


def of_files(files: Mapping[str, File] | Iterable[tuple[str, File]], fields: Form) -> Body:
    """A form with files (multipart/form-data, RFC 7578).

    Args:
        files: By the names of their fields.
        fields: The other fields.

    Raises:
        ScenarioError: A file is none.
        OSError: One cannot be read.
    """
    boundary = f"amoc-{os.urandom(16).hex()}"
    disposition = f"--{boundary}\r\nContent-Disposition: form-data; name="
    parts: list[Body] = []
    pairs = fields.items() if isinstance(fields, Mapping) else fields
    for name, value in pairs:
        values = value if isinstance(value, list | tuple) else (value,)
        head = f'{disposition}"{_quoted(name)}"\r\n\r\n'
        parts += [of_data(f"{head}{one}\r\n") for one in values]
    named = files.items() if isinstance(files, Mapping) else files
    for name, file in named:
        filename, body = _file(name, file)
        head = f'{disposition}"{_quoted(name)}"; filename="{_quoted(filename)}"\r\n'
        parts += (of_data(f"{head}Content-Type: {body.type}\r\n\r\n"), body, of_data("\r\n"))
    parts.append(of_data(f"--{boundary}--\r\n"))
    media = f"multipart/form-data; boundary={boundary}"
    contents = [one.content for one in parts]
    whole = [one for one in contents if isinstance(one, bytes)]
    if len(whole) == len(contents):
        content = b"".join(whole)
        return Body(content, len(content), media)
    lengths = [one.length for one in parts if one.length is not None]
    length = sum(lengths) if len(lengths) == len(parts) else None
    return Body(_Joined(contents), length, media, all(one.is_replayable for one in parts))


class _Joined:
    """Bytes and streams, one after another."""

    def __init__(self, parts: list[bytes | Iterable[bytes]]) -> None:
        self._parts = parts

    def __iter__(self) -> Iterator[bytes]:
        for one in self._parts:
            if isinstance(one, bytes):
                yield one
            else:
                yield from one


def _file(name: str, file: File) -> tuple[str, Body]:
    filename, content, *rest = file if isinstance(file, tuple) else (None, file)
    body = of_data(content)
    if filename is None:
        known = content if isinstance(content, Path) else getattr(content, "name", None)
        filename = Path(known).name if isinstance(known, str | Path) else name
    media = rest[0] if rest else _type_of(filename)
    if not isinstance(media, str) or not media.isprintable():
        raise ScenarioError(f"a file's media type must be text in one line, got {cut(media)}")
    return filename, body._replace(type=media)


def _type_of(name: str) -> str:
    return mimetypes.guess_type(name)[0] or BINARY


def _quoted(name: str) -> str:
    # As browsers do it (WHATWG HTML, multipart/form-data encoding algorithm).
    return str(name).replace('"', "%22").replace("\r", "%0D").replace("\n", "%0A")


def _left(file: Any) -> int | None:
    """Bytes left in an open file; None where that is not known, as of a pipe."""
    try:
        if "b" not in getattr(file, "mode", "b") or not file.seekable():
            return None
        here = file.tell()
        end = file.seek(0, os.SEEK_END)
        file.seek(here)
    except (OSError, AttributeError, ValueError):
        return None
    return int(end - here)
