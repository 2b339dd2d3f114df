"""Connection counters: a run without any connection fails, and unfinished closes are noted."""

from __future__ import annotations

import pytest

from amoc.base.errors import ExitCode
from amoc.results.connection_facts import MAX_CAUSES, never_connected, notes
from amoc.results.verdict import judge


@pytest.mark.parametrize(
    ("counters", "text"),
    [
        ({}, ""),
        ({"connections": 0, "connection_failures": 0, "connections_cancelled": 0}, ""),
        ({"connections": 1, "connection_failures": 99}, ""),
        (
            {
                "connections": 0,
                "connection_failures": 30,
                "connection_failures.refused": 29,
                "connection_failures.reset": 1,
                "connections_cancelled": 2,
            },
            "no connection was established: 30 attempts failed (refused 29, reset 1),"  # noqa: ISC004
            " 2 users had to stop while connecting",
        ),
        (
            {"connections_cancelled": 1},
            "no connection was established: 1 user had to stop while connecting",
        ),
    ],
)
def test_a_run_without_a_connection_fails_with_the_causes(
    counters: dict[str, int], text: str
) -> None:
    assert never_connected(counters) == text
    judged = judge("ok", [], False, False, futile=text)
    assert judged.exit_code == (ExitCode.THRESHOLD if text else ExitCode.OK)
    assert judged.reasons == ((text,) if text else ())


def test_with_many_causes_the_most_frequent_are_listed() -> None:
    counters = {f"connection_failures.cause{n}": n + 1 for n in range(MAX_CAUSES + 2)}
    text = never_connected({"connection_failures": 28, **counters})
    assert text.endswith("(cause6 7, cause5 6, cause4 5, cause3 4, cause2 3, and 2 causes more)")


def test_unverified_server_certificates_are_noted() -> None:
    assert notes({"tls_unverified": 0}) == []
    [note] = notes({"tls_unverified": 3})
    assert note.startswith("3 TLS connections accepted any certificate (xmpp_tls_verify, http_tls")


def test_unfinished_closes_are_noted() -> None:
    assert notes({"closes_unfinished": 0}) == []
    assert notes({"closes_unfinished": 2})[0].startswith("in 2 closes the server did not close")


def test_connections_cancelled_by_an_operators_stop_are_not_failures() -> None:
    assert never_connected({"connections_cancelled": 5}, stopped=True) == ""
    failed = {"connections_cancelled": 5, "connection_failures": 1}
    assert "1 attempt failed" in never_connected(failed, stopped=True)
