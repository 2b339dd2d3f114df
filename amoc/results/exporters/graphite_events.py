"""Annotations as events of graphite-web, shown along with its curves.

An event is posted as JSON to ``/events/``. Events wait like points, with the time at which they
happened.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from urllib.parse import urlsplit

from amoc._version import VERSION
from amoc.results.exporters.background import BackgroundQueue, RefusedError
from amoc.results.exporters.backlog import ChunkBacklog
from amoc.results.exporters.base import Exporter, RunInfo, Warn
from amoc.results.exporters.names import element
from amoc.results.exporters.poster import Poster

MAX_BYTES = 256 << 10
POST_S = 5.0
"""How long graphite-web may take to respond."""
MAX_WHAT = 255
"""Maximum length of an event's title in graphite-web; the whole text is sent as well."""
MAX_TAG = 50
"""Maximum length of a tag there."""


class GraphiteEvents(Exporter):
    """Posts each annotation to graphite-web; points are sent to carbon instead."""

    def __init__(self, url: str, run: RunInfo, warn: Warn) -> None:
        """Start; graphite-web need not be reachable yet.

        Args:
            url: The URL of graphite-web, ``http://host:8080``, with a path if it has one.
            run: The run's identity, for tags.
            warn: Called with warnings for the operator.
        """
        self._url = urlsplit(url)
        self._tags = ["amoc", run.run_id, run.scenario]
        what, backlog = f"graphite-web at {url}", ChunkBacklog(MAX_BYTES)
        self._queue = BackgroundQueue(what, backlog, self._post, warn, "event")

    def annotate(self, text: str, tags: Sequence[str], at: float) -> None:
        """Queue an event."""
        self._queue.put(as_event(text, [*self._tags, *tags], at))

    def close(self, deadline_s: float) -> None:
        """Post what is left, for at most `deadline_s`."""
        self._queue.close(deadline_s)

    def _post(self, body: bytes) -> None:
        """Post an event, on a separate connection since events are rare.

        Raises:
            OSError: graphite-web cannot be reached.
            RefusedError: It rejects the event.
        """
        headers = {"Content-Type": "application/json", "User-Agent": f"amoc/{VERSION}"}
        connection = Poster(self._url)
        try:
            answer = connection.post(f"{self._url.path.rstrip('/')}/events/", body, headers, POST_S)
        finally:
            connection.close()
        if answer.status >= 300:
            raise RefusedError(f"it answers {answer.status} {answer.reason}")


def as_event(text: str, tags: Sequence[str], at: float) -> bytes:
    """Return the body to post; tags are single words, because graphite-web splits at spaces."""
    words = dict.fromkeys(element(tag)[:MAX_TAG] for tag in tags)
    event = {"what": text[:MAX_WHAT], "tags": list(words), "when": int(at), "data": text}
    return json.dumps(event).encode()
