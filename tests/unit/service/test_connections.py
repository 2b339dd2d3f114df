"""Which connections are closed to make room for new ones."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from amoc.service.connections import Connection, Connections

MOST, MOST_OF_ONE = 6, 4
CLIENTS = "abc"


def opened(there: Connections, client: str, ended: list[Connection]) -> Connection | None:
    made: list[Connection | None] = []

    def end() -> None:
        assert made[0] is not None
        ended.append(made[0])

    made.append(there.admit(client, end))
    return made[0]


def test_the_longest_idle_connection_of_the_busiest_client_is_closed_first() -> None:
    there, ended = Connections(MOST, MOST_OF_ONE), []
    b = opened(there, "b", ended)
    a = [opened(there, "a", ended) for _ in range(4)]
    assert opened(there, "a", ended) is not None  # a client's own connection first
    assert ended == [a[0]]
    b2 = opened(there, "b", ended)
    assert opened(there, "c", ended) is not None
    assert ended == [a[0], a[1]]
    assert a[2] is not None
    a[2].mark_busy()
    a[2].mark_idle()  # a moment ago
    assert opened(there, "c", ended) is not None
    assert ended[2:] == [a[3]]
    assert (b in there.open, b2 in there.open) == (True, True)


def test_busy_connections_stay_and_new_clients_are_rejected() -> None:
    there, ended = Connections(MOST, MOST_OF_ONE), []
    mine = [opened(there, "a", ended) for _ in range(4)]
    for one in mine:
        assert one is not None
        one.mark_busy()
    assert opened(there, "a", ended) is None
    others = [opened(there, "b", ended) for _ in range(2)]
    for one in others:
        assert one is not None
        one.mark_busy()
    assert opened(there, "c", ended) is None
    assert (there.refused, there.ended, ended) == (2, 0, [])
    assert others[0] is not None
    others[0].close()
    others[0].mark_idle()  # its end is noted only once
    assert opened(there, "c", ended) is not None


@given(st.lists(st.tuples(st.sampled_from(["open", "work", "rest", "close"]), st.integers(0, 50))))
def test_limits_hold_and_only_idle_connections_are_closed(steps: list[tuple[str, int]]) -> None:
    there, ended, busy, made = Connections(MOST, MOST_OF_ONE), [], set(), []
    for what, number in steps:
        client = CLIENTS[number % len(CLIENTS)]
        if what == "open":
            had = len(ended)
            one = opened(there, client, ended)
            assert not busy & set(ended[had:])
            if one is None:
                mine = [one for one in there.open if one.client == client]
                assert not set(mine if len(mine) == MOST_OF_ONE else there.open) - busy
            else:
                made.append(one)
        elif made:
            one = made[number % len(made)]
            if what == "work":
                one.mark_busy()
                busy.add(one)
            elif what == "rest":
                one.mark_idle()
                busy.discard(one)
            else:
                one.close()
        assert len(there.open) <= MOST
        assert all(sum(one.client == each for one in there.open) <= MOST_OF_ONE for each in CLIENTS)
        assert set(there.idle) <= there.open
