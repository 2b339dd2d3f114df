"""Relay of the controller's events to the subscribers of a scenario."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from amoc.ipc.worker_id import WorkerId
from amoc.runtime.controller.event_relay import MAX_KEPT, EventRelay
from amoc.scenario import events

FIRST, SECOND, REPLACED = (WorkerId("node0", *ids) for ids in ((0, 1), (1, 1), (0, 2)))


class Sent:
    """A relay and the events it has sent."""

    def __init__(self) -> None:
        self.sent: list[tuple[int, str, dict]] = []
        self.relay = EventRelay(
            lambda worker, one: self.sent.append((worker.incarnation, one.name, dict(one.data)))
        )

    def names(self) -> list[str]:
        return [name for _, name, _ in self.sent]


@pytest.fixture
def relay() -> Iterator[Sent]:
    made = Sent()
    yield made
    made.relay.end()


def test_only_subscribed_events_are_sent(relay):
    relay.relay.want(["throttle.stop"])
    relay.relay.worker_up(FIRST)
    events.THROTTLE_STOP(throttle="t")
    events.COORDINATOR_STOP(coordinator="c")
    assert relay.sent == [(1, "throttle.stop", {"throttle": "t"})]
    assert not events.COORDINATOR_STOP.subscribers


def test_events_before_a_worker_is_up_are_kept_until_the_run_begins(relay):
    events.THROTTLE_STOP(throttle="a")
    events.COORDINATOR_STOP(coordinator="c")
    relay.relay.want(["throttle.stop"])
    relay.relay.worker_up(FIRST)
    events.THROTTLE_STOP(throttle="b")
    relay.relay.worker_up(SECOND)
    assert [data["throttle"] for _, _, data in relay.sent] == ["a", "b", "a", "b"]
    relay.relay.begin()
    relay.relay.worker_lost(FIRST)
    relay.relay.worker_up(REPLACED)
    assert len(relay.sent) == 4
    events.THROTTLE_STOP(throttle="c")
    assert [incarnation for incarnation, _, _ in relay.sent[4:]] in ([1, 2], [2, 1])


def test_workers_up_before_subscriptions_are_known_get_only_subscribed_events(relay):
    relay.relay.worker_up(FIRST)
    events.THROTTLE_STOP(throttle="before")
    events.COORDINATOR_STOP(coordinator="c")
    relay.relay.worker_up(SECOND)
    assert not relay.sent
    relay.relay.want(["throttle.stop"])
    assert [one["throttle"] for _, _, one in relay.sent] == ["before", "before"]


def test_the_number_of_kept_events_is_limited(relay):
    for number in range(MAX_KEPT + 1):
        events.THROTTLE_STOP(throttle=str(number))
    relay.relay.want(["throttle.stop"])
    relay.relay.worker_up(FIRST)
    assert len(relay.sent) == MAX_KEPT


def test_the_relay_unsubscribes_at_the_end(relay):
    relay.relay.want(["throttle.stop"])
    relay.relay.worker_up(FIRST)
    relay.relay.end()
    assert not events.THROTTLE_STOP.subscribers
