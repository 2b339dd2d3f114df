"""What a run of a server has written, fetched into a directory of this host."""

from __future__ import annotations

import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from amoc.base.errors import PeerError
from amoc.client.http_line import Line, path_of

_CHUNK = 1 << 16


@contextmanager
def fetched(line: Line, run: str) -> Iterator[Path]:
    """A directory with what a run has written so far, for as long as the block lasts."""
    with TemporaryDirectory(prefix="amoc-fetched-") as temporary:
        yield fetch(line, run, Path(temporary))


def fetch(line: Line, run: str, target: Path) -> Path:
    """Write what a run has written so far below `target`; the run's directory there.

    Raises:
        ServiceError: There is no such run.
        PeerError: There is no server, or what it sends is damaged.
    """
    path = target / "files.tar"
    with line.open("GET", path_of(run, "archive")) as answer, path.open("wb") as file:
        while data := answer.read(_CHUNK):
            file.write(data)
    before = set(target.iterdir())
    try:
        with tarfile.open(path) as archive:
            archive.extractall(target, filter="data")
        [directory] = set(target.iterdir()) - before
    except (tarfile.TarError, ValueError) as error:
        raise PeerError(f"what {line} sent is damaged: {error}") from None
    path.unlink()
    return directory
