"""Sends OTLP requests over HTTP (protobuf) to a receiver.

A request that fails because the receiver is unreachable or busy waits, with its original times, and
is sent again. One that is rejected is dropped and reported.
"""

from __future__ import annotations

import gzip
from collections.abc import Callable
from urllib.parse import urlsplit

from google.protobuf.message import DecodeError

from amoc._version import VERSION
from amoc.results.exporters.background import BackgroundQueue, RefusedError
from amoc.results.exporters.backlog import ChunkBacklog
from amoc.results.exporters.base import Warn
from amoc.results.exporters.otlp_environment import Target
from amoc.results.exporters.poster import Poster

BUSY = frozenset({429, 502, 503, 504})
"""Statuses after which the same request must be retried, according to the protocol."""


class Sender:
    """Sends requests, one after the other.

    Attributes:
        what: The receiver's name in messages.
        waiting: The waiting requests.
    """

    def __init__(
        self, target: Target, rejected: Callable[[bytes], str], most_bytes: int, warn: Warn
    ) -> None:
        """Start; the receiver need not be reachable yet.

        Args:
            target: Where to send requests.
            rejected: Returns what the receiver's answer rejects of a request; empty if nothing.
            most_bytes: Maximum size of waiting requests.
            warn: Called with warnings for the operator.
        """
        self._target = target
        self._rejected = rejected
        url = urlsplit(target.url)
        self._path = f"{url.path or '/'}{'?' if url.query else ''}{url.query}"
        self._poster = Poster(url, target.certificate)
        self._headers = {
            "User-Agent": f"amoc/{VERSION}",
            "Content-Type": "application/x-protobuf",
            **({"Content-Encoding": "gzip"} if target.is_compressed else {}),
            **target.headers,
        }
        self.what = f"OpenTelemetry at {url.scheme}://{url.netloc.rpartition('@')[2]}"
        self.waiting = ChunkBacklog(most_bytes)
        self._queue = BackgroundQueue(self.what, self.waiting, self._post, warn, "request")

    def put(self, body: bytes) -> None:
        """Queue a request."""
        self._queue.put(gzip.compress(body, 1) if self._target.is_compressed else body)

    def close(self, deadline_s: float) -> None:
        """Send what is left, for at most `deadline_s`."""
        self._queue.close(deadline_s)
        self._poster.close()

    def _post(self, body: bytes) -> None:
        """Send a request.

        Raises:
            OSError: The receiver is unreachable, or busy.
            RefusedError: It rejects the request, or a part of it.
        """
        answer = self._poster.post(self._path, body, self._headers, self._target.timeout_s)
        if answer.status in BUSY:
            raise ConnectionError(f"it answers {answer.status} {answer.reason}")
        if answer.status >= 300:
            raise RefusedError(f"it answers {answer.status} {answer.reason}")
        if answer.headers.get_content_type() == "application/x-protobuf":
            try:
                why = self._rejected(answer.body)
            except DecodeError:
                return
            if why:
                raise RefusedError(why)
