"""The files of a run as one tar file, while they are written: each as long as it was when begun."""

from __future__ import annotations

import tarfile
from collections.abc import Iterator
from pathlib import Path

from amoc.results.run_directory import RunDirectory

_CHUNK = 1 << 16


def stream(directory: RunDirectory) -> Iterator[bytes]:
    """What commands read of a run: journal, series and summary, in a directory of its name."""
    for path in (directory.summary, directory.journal, directory.series, directory.old_series):
        yield from _file(path, f"{directory.id}/{path.name}")
    yield bytes(2 * tarfile.BLOCKSIZE)


def _file(path: Path, name: str) -> Iterator[bytes]:
    try:
        file = path.open("rb")
    except OSError:
        return  # a run that is running has no summary
    with file:
        info = tarfile.TarInfo(name)
        info.size, info.mode = file.seek(0, 2), 0o600
        file.seek(0)
        yield info.tobuf()
        left = info.size
        while left and (data := file.read(min(_CHUNK, left))):
            left -= len(data)
            yield data
        # Of a file that shrank, which none does, the rest is zeros: the next one is in its place.
        while left:
            padding = bytes(min(_CHUNK, left))
            left -= len(padding)
            yield padding
        yield bytes(-info.size % tarfile.BLOCKSIZE)
