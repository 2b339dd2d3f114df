"""What every HTTP client measures automatically, over all requests.

What each request name measures is a step's (`amoc.http.recording`).
"""

from __future__ import annotations

from typing import Final, Literal

from amoc import metrics
from amoc.http.connection import Connection
from amoc.metrics import connection_names, registry, together
from amoc.steps.recorder import Recorder

statuses: Final = tuple(
    metrics.built_in(metrics.Counter, f"http.status.{digit}xx") for digit in range(1, 6)
)
"""Answers by the class of their status; redirects that were followed are among them."""
bytes_received = metrics.built_in(metrics.Counter, "http.bytes_received")
"""Bytes of answers, heads and chunks included, as they come, still compressed; without TLS."""
bytes_sent = metrics.built_in(metrics.Counter, "http.bytes_sent")
"""Bytes of requests; with TLS, encrypted ones."""
dns = metrics.built_in(metrics.Timer, "http.dns")
"""Until a server's name was known, for connections to names."""
connect = metrics.built_in(metrics.Timer, "http.connect")
"""Until a TCP connection was there."""
tls = metrics.built_in(metrics.Timer, "http.tls")
"""TLS handshakes."""
tls_resumed = metrics.built_in(metrics.Counter, "http.tls_resumed")
"""TLS handshakes that resumed an earlier session."""
tls_unverified = metrics.built_in(metrics.Counter, connection_names.TLS_UNVERIFIED)
"""Handshakes in which the server's certificate was not checked."""
first_byte = metrics.built_in(metrics.Timer, "http.first_byte")
"""From a request's first byte sent to its answer's first byte read."""
opened = metrics.built_in(metrics.Counter, "http.connections_opened")
"""Connections that were made."""
reused = metrics.built_in(metrics.Counter, "http.connections_reused")
"""Requests that were answered on a connection which was there already."""
_timed: Final = (first_byte,)
_new: Final = [(one,) for one in (statuses[0], *statuses, *[statuses[4]] * 4)]
_kept: Final = [(*one, reused) for one in _new]
"""What an answer on a new and on a kept connection counts in, by its status in hundreds; up to 999,
which some servers send."""
retried = metrics.built_in(metrics.Counter, "http.retried")
"""Requests that were sent once more, for the server had closed their idle connection."""
redirects = metrics.built_in(metrics.Counter, "http.redirects")
"""Redirects that were followed."""
unanswered = metrics.built_in(metrics.Counter, "http.unanswered")
"""Requests whose user was asked to stop, or was killed, before an answer came."""


def answered(connection: Connection) -> None:
    """Count an answer, and what went to and fro for it."""
    reader = connection.reader
    counted = _kept if connection.uses > 1 else _new
    together.record(
        counted[reader.status // 100],
        ((bytes_received, reader.received), (bytes_sent, connection.sent)),
        _timed,
        connection.first_ns - connection.begin_ns,
    )


def succeeded(connection: Connection, step: Recorder, size: int, first_ns: int, ns: int) -> bool:
    """Count an answer as `answered` does, and with it the request that has succeeded by it.

    Args:
        connection: One that was kept, and has the answer.
        step: Records the request.
        size: Bytes of its body.
        first_ns: Until its first byte.
        ns: How long it took.

    Returns:
        Whether it was an answer as most are, and there is room for what counts these; else
        nothing was counted.
    """
    reader = connection.reader
    kind = reader.status // 100
    known: together.OfRequest | Literal[False] | None = step.composed.get(kind)
    if known is None:
        known = step.composed[kind] = _of(step, kind)
    if known is False:
        return False
    return together.request(known, reader.received, connection.sent, size, first_ns, ns)


def _of(step: Recorder, kind: int) -> together.OfRequest | Literal[False]:
    """What records a step's requests that have succeeded with such a status; False without room."""
    one = step.joint()
    events = registry.joint((statuses[kind - 1], reused, step.count, step.whole.count))
    if one is None or len(events) > 1:
        return False
    timer, sizes = one
    return (events[0], bytes_received, bytes_sent, sizes, first_byte, timer)


def failed(connection: Connection) -> None:
    """Count what went to and fro in vain."""
    bytes_received.inc(connection.reader.received)
    bytes_sent.inc(connection.sent)
