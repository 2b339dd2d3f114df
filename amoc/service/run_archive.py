"""A run's files as a tar stream, even while it writes them, each with its size at the start."""

from __future__ import annotations

import tarfile
from collections.abc import Iterator
from pathlib import Path

from amoc.results.run_directory import RunDirectory

_CHUNK = 1 << 16


def stream(directory: RunDirectory) -> Iterator[bytes]:
    """Yield a tar archive of journal, series and summary, in a directory named after the run."""
    for path in (directory.summary, directory.journal, directory.series, directory.old_series):
        yield from _file(path, f"{directory.id}/{path.name}")
    yield bytes(2 * tarfile.BLOCKSIZE)


def _file(path: Path, name: str) -> Iterator[bytes]:
    try:
        file = path.open("rb")
    except OSError:
        return  # a running run has no summary
    with file:
        info = tarfile.TarInfo(name)
        info.size, info.mode = file.seek(0, 2), 0o600
        file.seek(0)
        yield info.tobuf()
        left = info.size
        while left and (data := file.read(min(_CHUNK, left))):
            left -= len(data)
            yield data
        # Pad with zeros if a file has shrunk, which is not expected, to keep the archive valid.
        while left:
            padding = bytes(min(_CHUNK, left))
            left -= len(padding)
            yield padding
        yield bytes(-info.size % tarfile.BLOCKSIZE)
