"""Refusals are counted once each, soon, and never taken back."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from amoc.ipc.bus.refusals import HANDSHAKE_NS, REPEAT_FACTOR, Refusals, Refused

COME, UNKNOWN, ODD, SILENT = "admitted", "unknown", "odd", "silent"
CONNECTIONS = st.lists(
    st.tuples(
        st.integers(0, 3 * HANDSHAKE_NS),
        st.integers(1, HANDSHAKE_NS - 1),
        st.sampled_from([COME, UNKNOWN, ODD, SILENT]),
    ),
    max_size=30,
)


@given(CONNECTIONS)
def test_each_refused_connection_is_counted_once_and_no_other(connections):
    events = [(at, "accepted") for at, _, _ in connections]
    events += [(at + took, how) for at, took, how in connections if how != SILENT]
    events.sort()
    refusals, before = Refusals(), Refused()
    for number, (at, what) in enumerate(events, 1):
        match what:
            case "accepted":
                refusals.accepted(at)
            case "admitted":
                refusals.admitted()
            case _:
                refusals.failed(what == UNKNOWN)
        now = refusals.seen(at)
        if any(when == at for when, _ in events[number:]):
            continue
        told = [how for when, how in events if when <= at]
        refused = sum(begun <= at and how != COME for begun, _, how in connections)
        assert told.count(UNKNOWN) == now.unknown_keys
        assert told.count(UNKNOWN) + told.count(ODD) <= now.unknown_keys + now.other <= refused
        assert before.unknown_keys <= now.unknown_keys
        assert before.unknown_keys + before.other <= now.unknown_keys + now.other
        before = now
    hows = [how for _, _, how in connections]
    assert refusals.seen(5 * HANDSHAKE_NS) == Refused(
        hows.count(UNKNOWN), hows.count(ODD) + hows.count(SILENT)
    )


def test_the_operator_is_told_of_the_first_refusal_and_of_each_tenfold():
    refusals = Refusals()
    told = []
    for count in range(1, 1001):
        refusals.failed(unknown_key=True)
        if refusals.news(0):
            told.append(count)
    assert told == [1, REPEAT_FACTOR, REPEAT_FACTOR**2, REPEAT_FACTOR**3]


def test_the_text_names_what_there_was():
    assert (
        Refused(1, 0, 0).text()
        == "refused 1 connection, 1 with a key that does not belong to this run"
    )
    assert Refused(1, 2, 1).text() == (
        "refused 3 connections, 1 with a key that does not belong to this run, 2 that did not"
        " know the run's key (a port scan?); dropped 1 message from lost nodes"
    )
    assert Refused().text() == ""
