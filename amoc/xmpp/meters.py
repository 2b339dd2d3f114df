"""What every XMPP client measures automatically."""

from __future__ import annotations

from time import monotonic_ns

from amoc import metrics
from amoc.metrics import connection_names, optional
from amoc.steps import recorder
from amoc.xmpp.connection import causes

connections = metrics.built_in(metrics.Counter, connection_names.CONNECTIONS)
"""Sessions that were established."""
connection_failures = metrics.built_in(metrics.Counter, connection_names.FAILURES)
"""Attempts that failed; also by cause, see `amoc.xmpp.connection.causes`."""
connections_given_up = metrics.built_in(metrics.Counter, "connections_given_up")
"""Calls of `connect` that failed for good, after one failed attempt or several."""
connections_cancelled = metrics.built_in(metrics.Counter, connection_names.CANCELLED)
"""Calls of `connect` that ended without a session because their user was to stop, or was killed."""
redirects = metrics.built_in(metrics.Counter, "redirects")
"""Times that a server sent a user to another host (see-other-host) and the user went there."""
sessions_resumed = metrics.built_in(metrics.Counter, "sessions_resumed")
"""Sessions that were lost and then resumed (XEP-0198)."""
resumption = metrics.built_in(metrics.Timer, "resumption")
"""From the call of `resume` to the resumed session."""
outage = metrics.built_in(metrics.Timer, "outage")
"""Of `staying_connected`: from the loss of a connection to the next session."""
stanzas_unacknowledged = metrics.built_in(metrics.Counter, "stanzas_unacknowledged")
"""Stanzas of sessions that were lost for good that the server may or may not have handled."""
disconnections = metrics.built_in(metrics.Counter, "disconnections")
"""Sessions that ended unexpectedly; also by cause."""
closes_unfinished = metrics.built_in(metrics.Counter, connection_names.CLOSES_UNFINISHED)
"""Streams that a user closed and whose server did not close its half."""
connecting = metrics.built_in(metrics.Gauge, "connecting")
"""Users inside `connect` now, pauses between attempts included."""
connected = metrics.built_in(metrics.Gauge, "connected")
"""Sessions that are open now."""
connection = recorder.of("connection")
"""A step: attempts to connect, timed from the TCP connect to the bound session."""
tls_handshake = metrics.built_in(metrics.Timer, "tls_handshake")
"""From the first to the last byte of a TLS handshake that succeeded."""
tls_handshakes_resumed = metrics.built_in(metrics.Counter, "tls_handshakes_resumed")
"""Handshakes that resumed an earlier session."""
tls_unverified = metrics.built_in(metrics.Counter, connection_names.TLS_UNVERIFIED)
"""Handshakes in which the server's certificate was not checked (xmpp_tls_verify=false)."""
messages_sent = metrics.built_in(metrics.Counter, "messages_sent")
"""Messages handed to the connection, errors apart."""
messages_received = metrics.built_in(metrics.Counter, "messages_received")
"""Messages read from the connection, but no errors, copies, archived or foreign ones, and not what
a room says without a text."""
messages_expected = metrics.built_in(metrics.Counter, "messages_expected")
"""Deliveries that are due: one for each numbered message to a user, one for each member in a room
that got it or lost it."""
messages_delivered = metrics.built_in(metrics.Counter, "messages_delivered")
"""Those that have come, each counted once."""
messages_lost = metrics.built_in(metrics.Counter, "messages_lost")
"""Those that have not come although the recipient was there."""
messages_refused = metrics.built_in(metrics.Counter, "messages_refused")
"""Those that came back to their sender as an error."""
messages_unaccounted = metrics.built_in(metrics.Counter, "messages_unaccounted")
"""Those of which nothing is known at the end of the run: declared here, counted by the controller,
see `amoc.results.message_account`."""
messages_duplicated = metrics.built_in(metrics.Counter, "messages_duplicated")
"""Messages that came once more."""
messages_reordered = metrics.built_in(metrics.Counter, "messages_reordered")
"""Messages that a later one of the same sender had overtaken."""
messages_late = metrics.built_in(metrics.Counter, "messages_late")
"""Live messages that took longer than xmpp_late_after."""
messages_foreign = metrics.built_in(metrics.Counter, "messages_foreign")
"""Messages that another run has sent."""
messages_untracked = metrics.built_in(metrics.Counter, "messages_untracked")
"""Messages of pairs beyond those that a worker keeps account of; they are only timed."""
message_errors = metrics.built_in(metrics.Counter, "message_errors")
"""Messages of type error that were received, such as bounced ones."""
message_ttd = metrics.built_in(metrics.Timer, "message_ttd")
"""Time to delivery of live messages: from `send_chat` to the reading of the bytes by the receiver's
process."""
message_delayed = metrics.built_in(metrics.Timer, "message_delayed")
"""The same for messages that a server had stored (XEP-0203): offline messages, a room's history."""
rooms_joined = metrics.built_in(metrics.Gauge, "rooms_joined")
"""Rooms that users are in now; each user counts in each of its rooms."""
rooms_lost = metrics.built_in(metrics.Counter, "rooms_lost")
"""Users that were put out of a room: kicked or banned, or the room was closed to them."""
inbox_dropped = metrics.built_in(metrics.Counter, "inbox_dropped")
"""Stanzas that were dropped from a full inbox to make room for newer ones."""


def attempt_succeeded(begin_ns: int) -> None:
    """Count a new session; the attempt began at `begin_ns`."""
    recorder.record(connection.name, monotonic_ns() - begin_ns)
    connections.inc()


def attempt_failed(error: BaseException, begin_ns: int) -> None:
    """Count a failed attempt that began at `begin_ns`, in all and by its cause."""
    cause, ns = causes.of(error), monotonic_ns() - begin_ns
    recorder.record(connection.name, 0, cause=cause, message=str(error), failed_ns=ns)
    _count_by_cause(connection_failures, error)


def disconnected(error: BaseException) -> None:
    """Count a lost session, in all and by its cause."""
    _count_by_cause(disconnections, error)


def _count_by_cause(total: metrics.Counter, error: BaseException) -> None:
    total.inc()
    # One that has no room is not counted: a failure must not fail for another reason.
    optional.counter(f"{total.name}.{causes.of(error)}", kept_free=0).inc()
