"""Unpacking of untrusted archives, restricted to what scenarios need.

Only files and directories with plain relative names are extracted, never links or devices. Limits
apply to the extracted data and are enforced during extraction, whatever the archive claims.
"""

from __future__ import annotations

import io
import re
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from amoc.base.errors import UsageError

MAX_FILES = 1_000
MAX_BYTES = 64 << 20
MAX_DEPTH = 8
_CHUNK = 1 << 16
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}")
_ZIP, _GZIP, _TAR = b"PK\x03\x04", b"\x1f\x8b", b"ustar"
_TAR_AT = 257
HEAD_BYTES = 512
"""How much of a file's beginning is needed to recognize an archive."""
_LINK = 0o120000
_TYPE_BITS = 0o170000


def is_archive(head: bytes) -> bool:
    """Return whether a file that begins with `head` is an archive rather than Python source."""
    return head.startswith((_ZIP, _GZIP)) or head[_TAR_AT : _TAR_AT + 5] == _TAR


def extract(archive: IO[bytes], target: Path) -> list[Path]:
    """Extract an archive into a new directory, and return the paths of the files.

    Raises:
        UsageError: It is damaged, too large, or contains something that is not allowed.
        OSError: A file cannot be written.
    """
    target.mkdir(0o700)
    written: list[Path] = []
    left = MAX_BYTES
    try:
        for name, file in _members(archive):
            path = target.joinpath(*parts_of(name))
            if len(written) >= MAX_FILES:
                raise UsageError(f"an archive must hold at most {MAX_FILES} files")
            path.parent.mkdir(0o700, parents=True, exist_ok=True)
            with path.open("xb") as out:
                while data := file.read(_CHUNK):
                    left -= len(data)
                    if left < 0:
                        raise UsageError(f"an archive must unpack to at most {MAX_BYTES:,} bytes")
                    out.write(data)
            written.append(path)
    except (FileExistsError, NotADirectoryError):
        raise UsageError(
            "an archive must hold each name once, as a file or as a directory"
        ) from None
    except (tarfile.TarError, zipfile.BadZipFile, zlib.error, EOFError, ValueError) as error:
        raise UsageError(f"the archive is damaged: {error}") from None
    except (RuntimeError, NotImplementedError) as error:  # encrypted, or a rare compression
        raise UsageError(f"the archive cannot be read: {error}") from None
    if not written:
        raise UsageError("the archive is empty")
    return written


def parts_of(name: str) -> list[str]:
    """Return the parts of a member's name.

    Raises:
        UsageError: The name is not allowed.
    """
    parts = name.removeprefix("./").split("/")
    if len(parts) > MAX_DEPTH or not all(_NAME.fullmatch(part) for part in parts):
        raise UsageError(
            f"names in an archive must be relative, of letters, digits, _, - and ., at most"
            f" {MAX_DEPTH} levels deep, and not hidden, got {name[:100]!r}"
        )
    return parts


def _members(archive: IO[bytes]) -> Iterator[tuple[str, IO[bytes]]]:
    """Return the files in an archive; each must be read before the next one."""
    archive.seek(0)
    head = archive.read(len(_ZIP))
    archive.seek(0)
    if head.startswith(_ZIP):
        return _of_zip(archive)
    # Decompress first: a header in a tar file may claim any length, and is read in a single call.
    data = archive.read()
    return _of_tar(_unzipped(data) if head.startswith(_GZIP) else data)


def _of_zip(archive: IO[bytes]) -> Iterator[tuple[str, IO[bytes]]]:
    with zipfile.ZipFile(archive) as found:
        for one in found.infolist():
            kind = (one.external_attr >> 16) & _TYPE_BITS
            if kind == _LINK:
                raise UsageError(f"an archive must hold no links, got {one.filename[:100]!r}")
            if one.filename.endswith("/"):
                continue
            with found.open(one) as file:
                yield one.filename, file


def _of_tar(data: bytes) -> Iterator[tuple[str, IO[bytes]]]:
    with tarfile.open(fileobj=io.BytesIO(data), mode="r:") as found:
        for one in found:
            if one.isdir():
                continue
            if not one.isreg() or one.issparse():
                name = one.name[:100]
                raise UsageError(f"an archive must hold only files and directories, got {name!r}")
            file = found.extractfile(one)
            assert file is not None
            yield one.name, file


def _unzipped(zipped: bytes) -> bytes:
    unpacker = zlib.decompressobj(zlib.MAX_WBITS | 16)
    data = unpacker.decompress(zipped, MAX_BYTES + 1)
    if len(data) > MAX_BYTES:
        raise UsageError(f"an archive must unpack to at most {MAX_BYTES:,} bytes")
    if not unpacker.eof:
        raise UsageError("the archive is damaged: its end is missing")
    return data
