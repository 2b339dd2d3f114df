"""Request bodies: bytes, JSON, a form, files, or an iterable of pieces.

A body of known length is sent with Content-Length, one of unknown length in chunks.
"""

from __future__ import annotations

import json as _json
import mimetypes
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from io import IOBase
from itertools import chain
from pathlib import Path
from typing import Any, BinaryIO, Final, NamedTuple, TypedDict
from urllib.parse import urlencode

from amoc.base.errors import ScenarioError
from amoc.base.text import cut
from amoc.http.request import chunk

PIECE: Final = 64 << 10
"""Bytes read from a file at a time."""
FORM: Final = "application/x-www-form-urlencoded"
JSON: Final = "application/json"
BINARY: Final = "application/octet-stream"
_KINDS: Final = ("json", "data", "form", "files")
_as_json: Final = _json.JSONEncoder(separators=(",", ":"), ensure_ascii=False).encode

Data = bytes | bytearray | memoryview | str | Path | BinaryIO | Iterable[bytes]
FileLike = bytes | str | Path | BinaryIO
File = FileLike | tuple[str, FileLike] | tuple[str, FileLike, str]
"""A file to upload: the content (a str is text, not a path), or (name, content[, media type])."""
Form = Mapping[str, object] | Iterable[tuple[str, object]]


class BodyOptions(TypedDict, total=False):
    """Options of a request that say what its body is."""

    json: object
    """Body, sent as JSON."""
    form: Form
    """Body, sent as a form."""
    data: Data
    """Body: bytes, text, a Path, an open file, or an iterable of bytes, which is sent in chunks."""
    files: Mapping[str, File] | Iterable[tuple[str, File]]
    """Files to upload (multipart/form-data), with the fields of `form`."""


class Body(NamedTuple):
    """The body of a request."""

    content: bytes | Iterable[bytes] = b""
    length: int | None = 0
    """In bytes; None if unknown."""
    type: str = ""
    """Media type; empty for no Content-Type header."""
    is_replayable: bool = True
    """Whether the body can be sent a second time."""

    def pieces(self) -> Iterator[bytes]:
        """Yield what to send: `length` bytes in pieces or, if the length is unknown, HTTP chunks.

        Raises:
            ScenarioError: A piece is not bytes, or the total differs from `length`.
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


@dataclass(frozen=True)
class Replayable:
    """Content in pieces, which `begin` returns from the start for each iteration."""

    begin: Callable[[], Iterator[bytes]]

    def __iter__(self) -> Iterator[bytes]:
        return self.begin()


def pieces_of(path: Path) -> Iterator[bytes]:
    """Yield a file's content in pieces."""
    with path.open("rb") as file:
        yield from pieces(file)


def pieces(file: Any) -> Iterator[bytes]:  # Any: whatever has `read`
    """Yield the rest of an open file in pieces."""
    while data := file.read(PIECE):
        yield data.encode() if isinstance(data, str) else data


def of(options: BodyOptions) -> Body | None:
    """Return the body that a request's options describe; None if they have none.

    Raises:
        ScenarioError: They describe more than one.
    """
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
    """Return a value as a JSON body; raises what `json.dumps` raises."""
    content = _as_json(value).encode()
    return Body(content, len(content), JSON)


def of_form(fields: Form) -> Body:
    """Return fields as a URL-encoded form; a sequence gives one field for each of its values."""
    pairs = fields.items() if isinstance(fields, Mapping) else fields
    content = urlencode(list(pairs), doseq=True).encode()
    return Body(content, len(content), FORM)


def of_data(data: Data) -> Body:
    """Return a body of bytes, text (as UTF-8), a file (a path or an open one), or pieces.

    Raises:
        ScenarioError: `data` is none of these.
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
        return Body(Replayable(partial(pieces_of, data)), data.stat().st_size, _type_of(data.name))
    if isinstance(data, IOBase) or hasattr(data, "read"):
        return Body(pieces(data), _left(data), BINARY, is_replayable=False)
    if isinstance(data, Iterable) and not isinstance(data, Mapping):
        return Body(data, None, BINARY, is_replayable=isinstance(data, list | tuple))
    raise ScenarioError(
        "data must be bytes, text, a Path, an open file or an iterable of bytes, got"
        f" {cut(data)}; use json= or form= for dicts"
    )


def of_files(files: Mapping[str, File] | Iterable[tuple[str, File]], fields: Form) -> Body:
    """Return a form with files (multipart/form-data, RFC 7578).

    Args:
        files: Files by field name.
        fields: The other fields.

    Raises:
        ScenarioError: A file is of an unsupported type.
        OSError: A file cannot be read.
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
    split: list[Iterable[bytes]] = [[one] if isinstance(one, bytes) else one for one in contents]
    content_again = Replayable(lambda: chain.from_iterable(split))
    return Body(content_again, length, media, all(one.is_replayable for one in parts))


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
    # Percent-encoded as in browsers (WHATWG HTML, multipart/form-data encoding algorithm).
    return str(name).replace('"', "%22").replace("\r", "%0D").replace("\n", "%0A")


def _left(file: Any) -> int | None:  # Any: as in `pieces`
    """Return the number of bytes left in an open file; None if unknown, as for a pipe."""
    try:
        if "b" not in getattr(file, "mode", "b") or not file.seekable():
            return None
        here = file.tell()
        end = file.seek(0, os.SEEK_END)
        file.seek(here)
    except (OSError, AttributeError, ValueError):
        return None
    return int(end - here)
