"""Built-in metrics of HTTP clients, over all requests.

Metrics per request name are those of its step (`amoc.http.names`).
"""

from __future__ import annotations

from typing import Final, Literal

from amoc import metrics
from amoc.http.connection import Connection
from amoc.metrics import connection_names, registry, request_names, together
from amoc.steps.recorder import Recorder

statuses: Final = tuple(
    metrics.built_in(metrics.Counter, f"http.status.{digit}xx") for digit in range(1, 6)
)
"""Responses by class of status, including redirects that were followed."""
bytes_received = metrics.built_in(metrics.Counter, "http.bytes_received")
"""Bytes of responses as received: compressed, with heads and chunk headers, but without TLS."""
bytes_sent = metrics.built_in(metrics.Counter, "http.bytes_sent")
"""Bytes of requests; with TLS, after encryption."""
dns = metrics.built_in(metrics.Timer, "http.dns")
"""Name lookups, of connections to a host name."""
connect = metrics.built_in(metrics.Timer, "http.connect")
"""TCP connects."""
tls = metrics.built_in(metrics.Timer, "http.tls")
"""TLS handshakes."""
tls_resumed = metrics.built_in(metrics.Counter, "http.tls_resumed")
"""TLS handshakes that resumed an earlier session."""
tls_unverified = metrics.built_in(metrics.Counter, connection_names.TLS_UNVERIFIED)
"""TLS handshakes without verification of the server's certificate."""
first_byte = metrics.built_in(metrics.Timer, "http.first_byte")
"""Time from sending a request to the first byte of its response."""
opened = metrics.built_in(metrics.Counter, "http.connections_opened")
"""Connections opened."""
reused = metrics.built_in(metrics.Counter, "http.connections_reused")
"""Responses on a reused connection."""
_timed: Final = (first_byte,)
_new: Final = [(one,) for one in (statuses[0], *statuses, *[statuses[4]] * 4)]
_kept: Final = [(*one, reused) for one in _new]
"""Counters to increment for a response on a new and on a reused connection, by the first digit of
its status. Some servers send statuses of up to 999; those count as 5xx."""
retried = metrics.built_in(metrics.Counter, "http.retried")
"""Requests sent again because the server had closed their idle connection."""
redirects = metrics.built_in(metrics.Counter, "http.redirects")
"""Redirects followed."""
unanswered = metrics.built_in(metrics.Counter, "http.unanswered")
"""Requests whose user was stopped or killed before there was a response."""

names_beyond = metrics.built_in(metrics.Counter, request_names.BEYOND)
"""Requests that count as `request_names.OTHER` because there are too many names."""


def answered(connection: Connection) -> None:
    """Count a response, and the bytes sent and received for it."""
    reader = connection.reader
    counted = _kept if connection.is_reused else _new
    together.record(
        counted[reader.status // 100],
        ((bytes_received, reader.received), (bytes_sent, connection.sent)),
        _timed,
        connection.first_ns - connection.begin_ns,
    )


def of_request(step: Recorder, status: int) -> together.OfRequest | Literal[False]:
    """Return what counts a step's successes with `status` on reused connections, all in one call.

    False if the status is no success, or the shared memory has no room for combined metrics; the
    step keeps it by the status.
    """
    found: together.OfRequest | Literal[False] | None = step.composed.get(status)
    if found is not None:
        return found
    found = False
    if status < 400 and (one := step.joint()) is not None:
        events = registry.joint((statuses[status // 100 - 1], reused, step.count, step.whole.count))
        if len(events) == 1:
            timer, sizes = one
            found = (events[0], bytes_received, bytes_sent, sizes, first_byte, timer)
    step.composed[status] = found
    return found


def failed(connection: Connection) -> None:
    """Count the bytes sent and received for a failed request."""
    bytes_received.inc(connection.reader.received)
    bytes_sent.inc(connection.sent)
