"""A full board: coordinators work uncounted, barriers share counters, no worker ends."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from amoc import metrics
from amoc.base import context
from amoc.base.errors import PeerError
from amoc.coordinator import api
from amoc.coordinator.barrier_worker import BarrierTimeout
from amoc.coordinator.worker import Actions
from amoc.metrics import optional, registry
from amoc.metrics.area import ENTRIES, Area
from tests.unit.coordinator.connected import Cluster, Crowd, until


@pytest.fixture(autouse=True)
def area() -> Iterator[Area]:
    private = Area.private()
    with registry.Registry(private).activated(), context.WorkerContext().activated():
        yield private


def counts() -> dict[str, Any]:
    return {metric.name: metric.value for metric in metrics.read()}


def fill() -> None:
    number = 0
    while registry.current.fits(f"full.{number}", 0):
        metrics.counter(f"full.{number}")
        number += 1


def test_coordinators_beyond_the_board_work_uncounted_with_one_note(
    capsys: pytest.CaptureFixture[str],
) -> None:
    met: list[Any] = []

    def fail(event: Any, users: Any) -> None:
        met.append(users[0][0])
        raise ValueError("no")

    number = ENTRIES // 3  # three counters each
    cluster = Cluster()
    for index in range(number):
        cluster.start_in_init(f"c{index}", (1, fail))
    worker = cluster.up(0)
    for index in range(number):
        worker.add(f"c{index}", index + 1)
    until(lambda: len(met) == number)
    until(cluster.quiet)
    assert len(worker.failures) == number
    assert worker.actions.runners <= 2
    assert counts()["coordinator.c0.action_errors"] == 1
    assert f"coordinator.c{number - 1}.groups" not in counts()
    said = capsys.readouterr().err
    assert said.startswith("not all throttles or coordinators are counted: a worker has no room")
    assert said.count("\n") == 1
    # There is room left for others.
    metrics.counter("mine").inc()
    assert counts()["mine"] == 1
    crowd = Crowd(lambda user_id: worker.actions.barriers.wait("all", 2, 60.0))
    crowd.start([1, 2])
    until(lambda: not crowd.alive)
    assert counts()["barriers.released"] == 2


def test_coordinators_without_adds_take_no_room() -> None:
    cluster = Cluster()
    for index in range(100):
        cluster.start_in_init(f"c{index}", (1, lambda event: None))
    cluster.up(0)
    assert not any(name.startswith("coordinator.") for name in counts())


def test_what_a_predecessor_counted_is_counted_on_where_the_board_is_full(area: Area) -> None:
    optional.counter("coordinator.x.adds").inc()
    fill()
    with registry.Registry(area).activated():
        optional.counter("coordinator.x.adds").inc()
        optional.counter("coordinator.y.adds").inc()
        assert counts()["coordinator.x.adds"] == 2


def test_barriers_of_any_number_of_names_are_counted_together() -> None:
    pairs = 300
    cluster = Cluster()
    worker = cluster.up(0)

    def come(user_id: int) -> None:
        worker.actions.barriers.wait(f"pair-{(user_id + 1) // 2}", 2, 60.0)

    crowd = Crowd(come)
    crowd.start(range(1, 2 * pairs + 1))
    until(lambda: not crowd.alive)
    assert not crowd.errors
    assert counts()["barriers.released"] == 2 * pairs
    assert not any(name.startswith("barrier.") for name in counts())


def test_a_barrier_releases_and_times_out_on_a_full_board() -> None:
    cluster = Cluster()
    worker = cluster.up(0)
    fill()
    crowd = Crowd(
        lambda user_id: worker.actions.barriers.wait("pair" * (user_id < 3) + "x", 2, 0.3)
    )
    crowd.start([1, 2, 3])
    until(lambda: not crowd.alive)
    assert set(crowd.errors) == {3}
    assert isinstance(crowd.errors[3], BarrierTimeout)


def test_an_add_that_cannot_leave_is_refused_in_the_same_words_where_the_board_is_full(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    cluster = Cluster()
    worker = cluster.up(0)
    cluster.start_in_init("x", (2, lambda event, users: None))
    fill()
    monkeypatch.setattr(api, "ROOM_S", 0.01)
    context.active().set(Actions, worker.actions)
    worker.actions.room.shut()
    with pytest.raises(PeerError, match=r"an add to coordinator x could not be sent from worker 0"):
        api.add("x", 1, None)
