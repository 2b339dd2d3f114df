"""Both ends of feeds together: workers ask, the controller deals, users wait if they must."""

from __future__ import annotations

from itertools import pairwise

import pytest
from gevent import get_hub

from amoc import feed
from amoc.base.errors import PeerError, ScenarioError
from amoc.base.operator_log import OperatorLog
from amoc.feed import registry
from amoc.feed import worker as worker_module
from amoc.feed.controller import Feeds
from amoc.feed.worker import WorkerFeeds
from amoc.ipc.messages.envelope import Part
from amoc.ipc.messages.feed import FEED_TO_WORKER
from amoc.ipc.outbox import Outbox
from amoc.ipc.worker_id import WorkerId
from amoc.metrics.board import UserState
from amoc.metrics.registry import Registry
from amoc.users.user import StopReason, User
from tests.unit.users.test_user import Crowd, begin, wait_gone, wait_until


@pytest.fixture(autouse=True)
def own_metrics():
    with Registry().activated(), registry.separate():
        yield


class Joined:
    """A controller and some workers, each with a feed of the same rows."""

    def __init__(self, rows, workers=2, order="unique", **how):
        self.told: list[str] = []
        self.operator = OperatorLog(lambda level, text: self.told.append(f"{level}: {text}"))
        self.down = Outbox(self._down, gather_s=0)
        self.controller = Feeds(self.down.sender(Part.FEED, FEED_TO_WORKER), self.operator)
        self.feeds = [feed.rows(rows, order, **how) for _ in range(workers)]
        self.envelopes = 0
        self.deaf: set[int] = set()
        self.on_their_way: list[object] | None = None
        for operation in self.controller.operations.values():
            operation(None, *self.feeds[0].declaration)
        self.ends = [
            WorkerFeeds(WorkerId("here", at, 1), Outbox(self._up), [one])
            for at, one in enumerate(self.feeds)
        ]

    def _up(self, worker, envelope):
        self.envelopes += 1
        self.controller.handle(worker, envelope.body)

    def _down(self, worker, envelope):
        if self.on_their_way is not None:
            self.on_their_way.append(envelope)
        elif worker.worker not in self.deaf:
            self.ends[worker.worker].handle(envelope.body)

    def take(self, users, worker=0, **settings):
        """Start users of a worker that take one row each; return their pool and the rows."""
        rows: list[object] = []
        crowd = Crowd(lambda _: rows.append(self.feeds[worker].next()), **settings)
        for user_id in range(1, users + 1):
            begin(crowd, user_id)
        return crowd, rows


def test_users_of_all_workers_get_each_row_once_and_then_end():
    joined = Joined(range(100))
    first, rows = joined.take(60)
    wait_gone(first, 60)
    second, more = joined.take(60, worker=1)
    wait_gone(second, 60)
    assert rows == sorted(rows)
    assert sorted([*rows, *more]) == list(range(100))
    assert first.crashes == second.crashes == []
    assert second.state(60) is UserState.FINISHED
    assert joined.controller.states()[0][3:] == (100, 100, True)


def test_buffered_rows_of_an_idle_worker_go_to_waiting_users():
    joined = Joined(range(10))
    crowd, rows = joined.take(1)
    wait_gone(crowd)  # now the worker has some rows in its buffer
    crowd, more = joined.take(12, worker=1)
    wait_gone(crowd, 12)
    assert sorted([*rows, *more]) == list(range(10))


def test_most_rows_take_no_message():
    joined = Joined(range(100_000), workers=1)
    crowd, rows = joined.take(1, repeat_num=50_000)
    wait_gone(crowd)
    assert rows == list(range(50_000))
    assert joined.envelopes < 500


def test_workers_share_a_circular_feed_evenly():
    joined = Joined(range(10), order="circular")
    crowds = [joined.take(1, worker, repeat_num=1_000) for worker in (0, 1)]
    for crowd, _ in crowds:
        wait_gone(crowd)
    assert not joined.controller.states()[0].ended
    for _, rows in crowds:
        steps = {(after - before) % 10 for before, after in pairwise(rows)}
        assert 1 in steps  # in order, except where the other worker's block lies between


def test_rows_of_a_lost_worker_are_reported_and_not_dealt_again():
    joined = Joined(range(100))
    crowd, rows = joined.take(1)
    wait_gone(crowd)
    joined.controller.worker_lost(WorkerId("here", 0, 1))
    crowd, more = joined.take(99, worker=1)
    wait_gone(crowd, 99)
    assert len(more) == len(set(more)) < 99
    assert not set(rows) & set(more)
    (told,) = joined.told
    assert told.startswith("warning: worker 0 was lost with up to ")
    assert told.endswith(" rows of feed rows; they are not handed out again")


def test_a_worker_lost_during_a_recall_does_not_block_the_others():
    joined = Joined(range(4))
    crowd, _ = joined.take(1)
    wait_gone(crowd)
    joined.deaf.add(0)
    crowd, rows = joined.take(8, worker=1)
    wait_until(lambda: len(rows) > 0)
    joined.controller.worker_lost(WorkerId("here", 0, 1))
    wait_gone(crowd, 8)
    assert not crowd.crashes


def test_a_user_waiting_for_a_row_ends_when_asked_to_stop():
    joined = Joined(range(10))
    joined.deaf.add(0)
    crowd, rows = joined.take(2)
    wait_until(lambda: all(crowd.states[user_id] == UserState.RUNNING for user_id in (1, 2)))
    user = begin(crowd, 3)
    wait_until(lambda: user.waiting_for is not None)
    user.ask_to_stop(StopReason.RUN_ENDS)
    wait_gone(crowd)
    assert crowd.gone == [3]
    joined.deaf.clear()  # the request is repeated; rows that were not delivered are lost
    wait_gone(crowd, 3)
    assert len(rows) == 2


def test_a_users_wait_for_a_row_has_a_deadline(monkeypatch):
    monkeypatch.setattr(worker_module, "WAIT_S", 0.01)
    monkeypatch.setattr(worker_module, "REMIND_S", 0.01)
    joined = Joined(range(10), workers=1)
    joined.deaf.add(0)
    crowd, _ = joined.take(1)
    wait_gone(crowd)
    (crash,) = crowd.crashes
    assert isinstance(crash, PeerError)
    assert "feed rows: no row arrived within 0.01 s" in str(crash)


@pytest.mark.parametrize("end", [lambda user: user.ask_to_stop(StopReason.RUN_ENDS), User.kill])
def test_a_row_for_a_user_that_just_ended_goes_to_another(end):
    joined = Joined(range(1), workers=1)
    joined.on_their_way = []
    ending, none = joined.take(0)
    victim = begin(ending, 1)
    wait_until(lambda: joined.on_their_way)
    crowd, rows = joined.take(1)
    wait_until(lambda: crowd.state() is UserState.RUNNING)
    end(victim)
    (envelope,) = joined.on_their_way  # with the only row; both happen in one turn of the loop
    joined.on_their_way = None
    joined.ends[0].handle(envelope.body)
    wait_gone(ending)
    wait_gone(crowd)
    assert (rows, none) == ([0], [])


def test_a_handler_in_the_loop_gets_a_buffered_row_and_never_waits():
    joined = Joined(range(10), workers=1)
    outcomes = []

    def handler():
        try:
            outcomes.append(joined.feeds[0].next())
        except ScenarioError as refused:
            outcomes.append(str(refused))

    get_hub().loop.run_callback(handler)
    wait_until(lambda: outcomes)
    assert "must not wait" in outcomes[0]
    crowd, _ = joined.take(1)
    wait_gone(crowd)
    get_hub().loop.run_callback(handler)
    wait_until(lambda: len(outcomes) == 2)
    assert type(outcomes[1]) is int


def test_a_feed_with_fewer_rows_than_users_is_reported():
    short = Joined(range(10), workers=1).controller.too_short_for
    text = "feed rows has 10 rows, each handed out once, but there will be up to 1,000 users"
    assert short(lambda _: 10) == []
    assert short(lambda _: 1_000) == [text]
    kinds = " of several kinds; that is enough only if few of them take rows"
    assert short(lambda _: 1_000, mixed=True) == [text + kinds]
    circular = Joined(range(10), workers=1, order="circular").controller
    assert circular.too_short_for(lambda _: 1_000) == []


def test_a_scenarios_feed_is_compared_with_its_own_users():
    controller = Feeds(lambda *_: None)
    (declare,) = controller.operations.values()
    declare(None, "accounts", "unique", "run", 10, False, "buy.py")
    assert controller.too_short_for({"buy.py": 10, "": 100}.__getitem__, mixed=True) == []
    (text,) = controller.too_short_for({"buy.py": 11, "": 100}.__getitem__, mixed=True)
    assert text.endswith("each handed out once, but there will be up to 11 users of buy.py")


def test_hosts_must_have_the_same_rows():
    joined = Joined(range(10), workers=1)
    (declare,) = joined.controller.operations.values()
    declare(None, *joined.feeds[0].declaration)  # init() of another host
    with pytest.raises(ScenarioError, match="feed rows must be the same on all hosts, got 10 rows"):
        declare(None, "rows", "unique", "run", 11, False)
