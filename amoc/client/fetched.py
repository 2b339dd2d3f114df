"""Downloads of the files of a server's run."""

from __future__ import annotations

import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from amoc.base.errors import PeerError
from amoc.client.rest_client import RestClient, path_of
from amoc.results import old_names
from amoc.results.summary_types import Summary

_CHUNK = 1 << 16


def summary_of(server: RestClient, run: str) -> Summary:
    """Return the summary of a run.

    Raises:
        ServiceError: There is no such run.
        PeerError: The server cannot be reached, or its response is no summary.
    """
    found = server.request("GET", path_of(run, "summary"))
    try:
        return old_names.summary(found)
    except (KeyError, TypeError) as error:
        raise PeerError(f"what {server} sent is not a summary: {error}") from None


@contextmanager
def fetched(server: RestClient, run: str) -> Iterator[Path]:
    """Yield a temporary directory with the current files of a run."""
    with TemporaryDirectory(prefix="amoc-fetched-") as temporary:
        yield fetch(server, run, Path(temporary))


def fetch(server: RestClient, run: str, target: Path) -> Path:
    """Download the current files of a run into `target`. Return the run's directory there.

    Raises:
        ServiceError: There is no such run.
        PeerError: The server cannot be reached, or sent damaged data.
    """
    path = target / "files.tar"
    with server.open("GET", path_of(run, "archive")) as answer, path.open("wb") as file:
        while data := answer.read(_CHUNK):
            file.write(data)
    before = set(target.iterdir())
    try:
        with tarfile.open(path) as archive:
            archive.extractall(target, filter="data")
        [directory] = set(target.iterdir()) - before
    except (tarfile.TarError, ValueError) as error:
        raise PeerError(f"what {server} sent is damaged: {error}") from None
    path.unlink()
    return directory
