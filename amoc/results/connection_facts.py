"""Facts about a run's connections: none was made, or some may have lost data. Pure.

A run without a connection has measured nothing of its target, so it fails, whatever its thresholds
say.
"""

from __future__ import annotations

from collections.abc import Mapping

from amoc.base.text import counted
from amoc.metrics import connection_names
from amoc.results.counts import by_cause

MAX_CAUSES = 5


def never_connected(counters: Mapping[str, int], stopped: bool = False) -> str:
    """Return a sentence if users tried to connect and none succeeded; empty otherwise.

    Args:
        counters: Those of the whole run.
        stopped: Whether an operator stopped it, perhaps before anyone could connect.
    """
    failures = counters.get(connection_names.FAILURES, 0)
    cancelled = 0 if stopped and not failures else counters.get(connection_names.CANCELLED, 0)
    if counters.get(connection_names.CONNECTIONS, 0) or not failures + cancelled:
        return ""
    said = []
    if failures:
        said.append(f"{counted(failures, 'attempt')} failed{_by_cause(counters)}")
    if cancelled:
        said.append(f"{counted(cancelled, 'user')} had to stop while connecting")
    return f"no connection was established: {', '.join(said)}"


def notes(counters: Mapping[str, int]) -> list[str]:
    """Return what readers of the results should know, one sentence each."""
    found = []
    if unfinished := counters.get(connection_names.CLOSES_UNFINISHED, 0):
        found.append(
            f"in {counted(unfinished, 'close')} the server did not close its half of the stream"
            f" ({connection_names.CLOSES_UNFINISHED}): it may not have read what was sent last"
        )
    if unverified := counters.get(connection_names.TLS_UNVERIFIED, 0):
        found.append(
            f"{counted(unverified, 'TLS connection')} accepted any certificate (xmpp_tls_verify,"
            " http_tls_verify or verify= is false): the server may have been anyone"
        )
    return found


def _by_cause(counters: Mapping[str, int]) -> str:
    causes = by_cause(counters, connection_names.FAILURES + ".")
    told = [f"{cause} {count:,}" for cause, count in causes[:MAX_CAUSES]]
    if more := causes[MAX_CAUSES:]:
        told.append(f"and {counted(len(more), 'cause')} more")
    return f" ({', '.join(told)})" if told else ""
