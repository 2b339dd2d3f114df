"""Metrics that every XMPP client records automatically."""

from __future__ import annotations

from time import monotonic_ns

from amoc import metrics
from amoc.metrics import connection_names, optional
from amoc.steps import recorder
from amoc.xmpp.connection import causes

connections = metrics.built_in(metrics.Counter, connection_names.CONNECTIONS)
"""Sessions established."""
connection_failures = metrics.built_in(metrics.Counter, connection_names.FAILURES)
"""Attempts to connect that failed; also by cause, see `amoc.xmpp.connection.causes`."""
connections_given_up = metrics.built_in(metrics.Counter, "connections_given_up")
"""Calls of `connect` that failed, after one attempt or several."""
connections_cancelled = metrics.built_in(metrics.Counter, connection_names.CANCELLED)
"""Calls of `connect` that ended without a session because their user was stopped or killed."""
redirects = metrics.built_in(metrics.Counter, "redirects")
"""Redirects to another host (see-other-host) that a user followed."""
sessions_resumed = metrics.built_in(metrics.Counter, "sessions_resumed")
"""Sessions that were lost and then resumed (XEP-0198)."""
resumption = metrics.built_in(metrics.Timer, "resumption")
"""Time from the call of `resume` to the resumed session."""
outage = metrics.built_in(metrics.Timer, "outage")
"""With `staying_connected`: time from the loss of a connection to the next session."""
stanzas_unacknowledged = metrics.built_in(metrics.Counter, "stanzas_unacknowledged")
"""Stanzas of sessions lost for good that the server may or may not have handled."""
disconnections = metrics.built_in(metrics.Counter, "disconnections")
"""Sessions that ended unexpectedly; also by cause."""
closes_unfinished = metrics.built_in(metrics.Counter, connection_names.CLOSES_UNFINISHED)
"""Streams that a user closed without the server closing its half."""
connecting = metrics.built_in(metrics.Gauge, "connecting")
"""Users currently inside `connect`, pauses between attempts included."""
connected = metrics.built_in(metrics.Gauge, "connected")
"""Sessions currently open."""
connection = recorder.of("connection")
"""Step: attempts to connect, timed from the TCP connect to the bound session."""
tls_handshake = metrics.built_in(metrics.Timer, "tls_handshake")
"""Time from the first to the last byte of a successful TLS handshake."""
tls_handshakes_resumed = metrics.built_in(metrics.Counter, "tls_handshakes_resumed")
"""TLS handshakes that resumed an earlier TLS session."""
tls_unverified = metrics.built_in(metrics.Counter, connection_names.TLS_UNVERIFIED)
"""TLS handshakes in which the server's certificate was not checked (xmpp_tls_verify=false)."""
messages_sent = metrics.built_in(metrics.Counter, "messages_sent")
"""Messages handed to the connection, except errors."""
messages_received = metrics.built_in(metrics.Counter, "messages_received")
"""Messages read from the connection, except errors, copies, archived and foreign messages, and a
room's messages without a text."""
messages_expected = metrics.built_in(metrics.Counter, "messages_expected")
"""Deliveries due: one for each numbered message to a user, and one for each member of a room that
received it or lost it."""
messages_delivered = metrics.built_in(metrics.Counter, "messages_delivered")
"""Due deliveries that arrived, each counted once."""
messages_lost = metrics.built_in(metrics.Counter, "messages_lost")
"""Due deliveries that did not arrive although the recipient was online."""
messages_refused = metrics.built_in(metrics.Counter, "messages_refused")
"""Due deliveries that were returned to their sender as an error."""
messages_unaccounted = metrics.built_in(metrics.Counter, "messages_unaccounted")
"""Due deliveries whose fate is unknown at the end of the run: declared here, counted by the
controller, see `amoc.results.message_account`."""
messages_duplicated = metrics.built_in(metrics.Counter, "messages_duplicated")
"""Messages that arrived more than once."""
messages_reordered = metrics.built_in(metrics.Counter, "messages_reordered")
"""Messages that arrived after a later one from the same sender."""
messages_late = metrics.built_in(metrics.Counter, "messages_late")
"""Live messages that took longer than xmpp_late_after."""
messages_foreign = metrics.built_in(metrics.Counter, "messages_foreign")
"""Messages sent by another run."""
messages_untracked = metrics.built_in(metrics.Counter, "messages_untracked")
"""Messages between pairs beyond those that a worker tracks; they are only timed."""
message_errors = metrics.built_in(metrics.Counter, "message_errors")
"""Received messages of type error, such as bounces."""
message_ttd = metrics.built_in(metrics.Timer, "message_ttd")
"""Time to delivery of live messages: from `send_chat` until the receiver's process reads the bytes.
"""
message_delayed = metrics.built_in(metrics.Timer, "message_delayed")
"""The same for messages that a server had stored (XEP-0203): offline messages and room history."""
rooms_joined = metrics.built_in(metrics.Gauge, "rooms_joined")
"""Room memberships currently active; a user counts once for each of its rooms."""
rooms_lost = metrics.built_in(metrics.Counter, "rooms_lost")
"""Users removed from a room: kicked or banned, or because the room was closed to them."""
inbox_dropped = metrics.built_in(metrics.Counter, "inbox_dropped")
"""Stanzas dropped from a full inbox to make room for newer ones."""


def attempt_succeeded(begin_ns: int) -> None:
    """Count a new session; the attempt started at `begin_ns`."""
    recorder.record(connection.name, monotonic_ns() - begin_ns)
    connections.inc()


def attempt_failed(error: BaseException, begin_ns: int) -> None:
    """Count a failed attempt that started at `begin_ns`, in total and by cause."""
    cause, ns = causes.of(error), monotonic_ns() - begin_ns
    recorder.record(connection.name, 0, cause=cause, message=str(error), failed_ns=ns)
    _count_by_cause(connection_failures, error)


def disconnected(error: BaseException) -> None:
    """Count a lost session, in total and by cause."""
    _count_by_cause(disconnections, error)


def _count_by_cause(total: metrics.Counter, error: BaseException) -> None:
    total.inc()
    # Without room for the metric the cause is not counted: a failure must not cause another.
    optional.counter(f"{total.name}.{causes.of(error)}", kept_free=0).inc()
