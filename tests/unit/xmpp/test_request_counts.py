"""Metrics of requests: each is counted exactly once, under its name and in the total."""

from __future__ import annotations

import gevent
import pytest

from amoc import metrics, xmpp
from amoc.base.errors import ClosedError, ScenarioError
from tests.unit.xmpp.fake import PATIENCE_S, Conn, answering, connect, idle, serving, session

QUERY = "<q xmlns='urn:q'/>"
RESULT = b"<iq type='result' id='ID'/>"
STANZAS = b"urn:ietf:params:xml:ns:xmpp-stanzas"


def refused(condition: bytes) -> bytes:
    error = b"<error type='cancel'><%s xmlns='%s'/></error>" % (condition, STANZAS)
    return b"<iq type='error' id='ID'>" + error + b"</iq>"


def recorded() -> dict[str, int]:
    """Return the nonzero counters and timers of requests."""
    found = {one.name: getattr(one.value, "count", one.value) for one in metrics.read()}
    return {
        name: int(n)
        for name, n in found.items()
        if n and name.startswith(("iq", "Aggregated", "get_"))
    }


class Grown:
    """Growth of the request metrics within a block."""

    def __enter__(self) -> dict[str, int]:
        self.before = recorded()
        self.by: dict[str, int] = {}
        return self.by

    def __exit__(self, *_: object) -> None:
        for name, n in recorded().items():
            if n != self.before.get(name, 0):
                self.by[name] = n - self.before.get(name, 0)


def added(by: dict[str, int]) -> dict[str, int]:
    """Add the connection, which is a request as well, to `by`."""
    connected = {"Aggregated": 1, "Aggregated.count": 1}
    return {name: by.get(name, 0) + connected.get(name, 0) for name in {**connected, **by}}


def both(name: str, *, succeeded: int = 0, cause: str = "") -> dict[str, int]:
    """Return what one request adds to its step and to the total."""
    by = {f"{name}.count": 1, "Aggregated.count": 1}
    if succeeded:
        return {**by, name: 1, "Aggregated": 1}
    return {**by, f"{name}.failures": 1, f"{name}.failures.{cause}": 1, "Aggregated.failures": 1}


def test_a_result_is_counted_and_timed_under_its_name_and_in_the_total() -> None:
    with Grown() as by, serving(answering(RESULT)) as server, connect(server) as client:
        client.request(QUERY, PATIENCE_S, name="get_vcard")
    assert by == added(both("get_vcard", succeeded=1))


def test_a_request_without_a_name_is_counted_as_iq() -> None:
    with Grown() as by, serving(answering(RESULT)) as server, connect(server) as client:
        client.request(QUERY, PATIENCE_S)
    assert by == added(both("iq", succeeded=1))


def test_an_error_is_counted_by_its_condition_and_not_timed() -> None:
    with (
        Grown() as by,
        serving(answering(refused(b"item-not-found"))) as server,
        connect(server) as client,
        pytest.raises(xmpp.IqError),
    ):
        client.request(QUERY, PATIENCE_S, name="get_vcard")
    assert by == added(both("get_vcard", cause="item-not-found"))


def test_unknown_conditions_share_one_cause() -> None:
    with (
        Grown() as by,
        serving(answering(refused(b"because-of-17"))) as server,
        connect(server) as client,
        pytest.raises(xmpp.IqError, match="because-of-17"),
    ):
        client.request(QUERY, PATIENCE_S)
    assert by == added(both("iq", cause="undefined-condition"))


def test_a_request_without_a_timely_response_is_a_timeout() -> None:
    with (
        Grown() as by,
        serving(session(idle)) as server,
        connect(server) as client,
        pytest.raises(xmpp.IqTimeout),
    ):
        client.request(QUERY, 0.01, name="get_vcard")
    assert by == added(both("get_vcard", cause="timeout"))


def test_a_request_interrupted_by_the_end_of_the_stream_has_that_cause() -> None:
    def hang_up(conn: Conn) -> None:
        conn.expect(rb"<iq [^>]*type='get'")
        conn.reset()

    with (
        Grown() as by,
        serving(session(hang_up)) as server,
        connect(server) as client,
        pytest.raises(xmpp.Disconnected),
    ):
        client.request(QUERY, PATIENCE_S, name="get_vcard")
    assert by == added(both("get_vcard", cause="stream ended"))


def test_a_request_of_a_killed_user_is_not_counted() -> None:
    with Grown() as by, serving(session(idle)) as server, connect(server) as client:
        waiting = gevent.spawn(client.request, QUERY)
        gevent.idle()
        waiting.kill()
    assert by == added({})


def test_a_request_that_cannot_be_sent_is_not_counted() -> None:
    with Grown() as by, serving(session(idle)) as server, connect(server) as client:
        client.close()
        with pytest.raises(ClosedError):
            client.request(QUERY)
    assert by == added({})


@pytest.mark.parametrize(
    ("name", "rule"),
    [("Aggregated", "must not be called"), ("ä" * 131, "at most 231 bytes"), ("a\n", "1 to")],
)
def test_an_invalid_metric_name_is_refused_before_anything_is_sent(name: str, rule: str) -> None:
    def say_nothing(conn: Conn) -> None:
        assert conn.expect(rb".*</stream:stream>")[0] == b"</stream:stream>"
        conn.say(b"</stream:stream>")

    with serving(session(say_nothing)) as server, connect(server) as client:
        with pytest.raises(ScenarioError, match=rule):
            client.request(QUERY, name=name)
        client.close()
