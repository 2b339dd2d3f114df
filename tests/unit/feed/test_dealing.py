"""Rows are dealt so that each is handed out once, and none is stranded."""

from __future__ import annotations

from collections import deque

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from amoc.feed.dealing import Dealer, Dealt


def ranges_of(rows: list[int]) -> list[tuple[int, int]]:
    """Group consecutive rows into ranges."""
    found: list[tuple[int, int]] = []
    for row in rows:
        first, count = found.pop() if found and sum(found[-1]) == row else (row, 0)
        found.append((first, count + 1))
    return found


class Worker:
    """A worker with users; its messages arrive in order, but each at some later time."""

    def __init__(self, run: Run) -> None:
        self.run = run
        self.hand: list[int] = []
        self.waiting = self.received = 0
        self.ended = False
        self.up: deque = deque()
        self.down: deque = deque()

    def user_wants(self) -> None:
        if self.hand:
            self.run.use(self.hand.pop(0))
        elif self.ended:
            self.run.told_ended += 1
        else:
            self.waiting += 1
            self.ask(ahead=3)

    def user_gives_up(self) -> None:
        self.waiting = max(0, self.waiting - 1)

    def ask(self, ahead: int) -> None:
        self.up.append(("want", self.waiting, ahead, len(self.hand), self.received))

    def say(self, dealer: Dealer) -> None:
        what, *arguments = self.up.popleft()
        self.run.pass_on(getattr(dealer, what)(self, *arguments))

    def handle(self) -> None:
        what, ranges = self.down.popleft()
        if what == "rows":
            rows = [row for first, count in ranges for row in range(first, first + count)]
            self.received += len(rows)
            self.ended = False
            while rows and self.waiting:
                self.run.use(rows.pop(0))
                self.waiting -= 1
            self.hand += rows
            if self.waiting:
                self.ask(ahead=0)
        elif what == "recall":
            given, self.hand = self.hand, []
            self.up.append(("returned", ranges_of(given), self.received))
        else:
            self.ended = True
            self.run.told_ended += self.waiting
            self.waiting = 0


class Run:
    """A dealer and its workers, and the fate of each row."""

    def __init__(self, rows: int, workers: int, wraps: bool = False) -> None:
        self.dealer: Dealer[Worker] = Dealer(rows, wraps)
        self.workers = [Worker(self) for _ in range(workers)]
        self.used: list[int] = []
        self.told_ended = 0
        self.lost_at_most = 0

    def use(self, row: int) -> None:
        self.used.append(row)

    def pass_on(self, told) -> None:
        for worker, ranges in told.rows:
            worker.down.append(("rows", ranges))
        for worker in told.recall:
            worker.down.append(("recall", ()))
        for worker in told.ended:
            worker.down.append(("ended", ()))

    def kill(self, at: int) -> None:
        killed, self.workers[at] = self.workers[at], Worker(self)
        lost, told = self.dealer.lost(killed)
        self.lost_at_most += lost
        told.rows = [one for one in told.rows if one[0] is not killed]
        self.pass_on(told)

    def settle(self) -> None:
        """Deliver all messages; this must come to an end."""
        for _ in range(10_000):
            busy = [one for one in self.workers if one.up or one.down]
            if not busy:
                return
            one = busy[0]
            if one.up:
                one.say(self.dealer)
            else:
                one.handle()
        pytest.fail("workers and dealer never stop talking")


WORKERS = st.integers(1, 4)
ACTIONS = st.lists(
    st.tuples(
        st.sampled_from(["want"] * 4 + ["say", "say", "hear", "hear", "gives_up", "kill"]),
        st.integers(0, 3),
    ),
    max_size=200,
)


def play(run: Run, actions, kills: bool = True) -> None:
    for what, at in actions:
        worker = run.workers[at % len(run.workers)]
        if what == "want":
            worker.user_wants()
        elif what == "gives_up":
            worker.user_gives_up()
        elif what == "say" and worker.up:
            worker.say(run.dealer)
        elif what == "hear" and worker.down:
            worker.handle()
        elif what == "kill" and kills:
            run.kill(at % len(run.workers))


@settings(max_examples=150)
@given(st.integers(1, 40), WORKERS, ACTIONS)
def test_no_row_is_used_twice_whatever_workers_do(rows, workers, actions):
    run = Run(rows, workers)
    play(run, actions)
    run.settle()
    assert len(set(run.used)) == len(run.used)
    assert set(run.used) <= set(range(rows))
    assert not any(one.waiting for one in run.workers)


@settings(max_examples=150)
@given(st.integers(1, 40), WORKERS, ACTIONS, st.integers(0, 3))
def test_every_row_is_used_before_a_user_is_told_that_none_is_left(rows, workers, actions, at):
    run = Run(rows, workers)
    play(run, actions, kills=False)
    run.settle()
    last = run.workers[at % workers]
    while not run.told_ended:
        last.user_wants()
        run.settle()
    assert sorted(run.used) == list(range(rows))
    assert run.dealer.ended
    assert run.dealer.dealt == rows


@settings(max_examples=100)
@given(st.integers(1, 40), WORKERS, ACTIONS, st.integers(0, 3))
def test_a_lost_worker_loses_no_more_rows_than_reported(rows, workers, actions, at):
    run = Run(rows, workers)
    play(run, actions)
    run.settle()
    while not run.told_ended:
        run.workers[at % workers].user_wants()
        run.settle()
    assert rows - run.lost_at_most <= len(run.used) <= rows


@given(st.integers(1, 10), WORKERS, ACTIONS)
def test_a_feed_that_wraps_never_ends(rows, workers, actions):
    run = Run(rows, workers, wraps=True)
    play(run, actions)
    run.settle()
    assert not run.told_ended
    assert len(set(run.used)) == len(
        run.used
    )  # numbers keep growing; rows are numbers modulo the count


def test_rows_are_dealt_in_order_and_blocks_get_smaller_towards_the_end():
    dealer: Dealer[str] = Dealer(100, wraps=False)
    dealer.want("b", 0, 0)
    sizes, position = [], 0
    while position < 100:
        told = dealer.want("a", 1, 64, received=position)
        ((worker, ranges),) = told.rows
        assert (worker, ranges[0][0], len(ranges)) == ("a", position, 1)
        sizes.append(ranges[0][1])
        position += sizes[-1]
    assert sizes[:3] == [26, 20, 15]
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[-1] == 1


def test_waiting_users_get_their_rows_even_if_these_are_all_that_is_left():
    dealer: Dealer[str] = Dealer(100, wraps=False)
    dealer.want("b", 0, 0)
    assert dealer.want("a", 100, 10).rows == [("a", [(0, 100)])]


def test_buffered_rows_are_recalled_only_for_waiting_users():
    dealer: Dealer[str] = Dealer(4, wraps=False)
    dealer.want("a", 0, 8)  # two rows, as it is the only one that has asked
    dealer.want("b", 2, 0)
    assert dealer.want("b", 0, 5, received=2) == Dealt()
    told = dealer.want("c", 0, 5)
    assert not told.recall
    told = dealer.want("b", 1, 0, received=2)
    assert (told.recall, told.ended) == (["a"], [])
    told = dealer.returned("a", [(1, 1)], received=2)
    assert (told.rows, told.ended) == ([("b", [(1, 1)])], [])
    told = dealer.want("b", 1, 0, received=3)
    assert told.ended == ["b"]


def test_a_worker_lost_during_a_recall_ends_the_wait():
    dealer: Dealer[str] = Dealer(4, wraps=False)
    dealer.want("a", 4, 0)
    assert dealer.want("b", 1, 0).recall == ["a"]
    held, told = dealer.lost("a")
    assert (held, told.ended, dealer.dealt) == (4, ["b"], 4)


def test_rows_in_transit_to_a_worker_are_not_dealt_again():
    dealer: Dealer[str] = Dealer(100, wraps=True)
    assert dealer.want("a", 1, 9).rows == [("a", [(0, 10)])]
    assert dealer.want("a", 1, 9).rows == []  # asked again before the rows came
    assert dealer.want("a", 3, 9).rows == [("a", [(10, 2)])]
    assert dealer.want("a", 20, 0).rows == [("a", [(12, 8)])]
    assert dealer.want("a", 1, 9, received=20).rows == [("a", [(20, 10)])]


def test_rows_that_a_worker_has_used_are_not_lost_with_it():
    dealer: Dealer[str] = Dealer(100, wraps=False)
    dealer.want("a", 4, 0)
    dealer.want("a", 0, 0, held=1, received=4)
    assert dealer.lost("a") == (1, Dealt())
    assert dealer.lost("never seen") == (0, Dealt())


def test_returned_rows_are_dealt_only_for_waiting_users():
    dealer: Dealer[str] = Dealer(4, wraps=False)
    dealer.want("a", 4, 0)
    dealer.want("b", 2, 9)
    assert dealer.returned("a", [(0, 4)], received=4).rows == [("b", [(0, 2)])]
    assert dealer.want("b", 1, 0, received=2).rows == [("b", [(2, 1)])]
    told = dealer.want("b", 2, 0, received=3)
    assert (told.rows, told.ended) == ([("b", [(3, 1)])], ["b"])


def test_a_worker_told_that_no_row_is_left_stops_waiting():
    dealer: Dealer[str] = Dealer(1, wraps=False)
    assert not dealer.ended
    dealer.want("a", 1, 0)
    assert not dealer.ended
    assert dealer.want("b", 1, 0).recall == ["a"]
    assert dealer.returned("a", [], received=1).ended == ["b"]
    assert dealer.ended
    assert dealer.returned("a", [(0, 1)], received=1) == Dealt()
    assert dealer.want("b", 1, 0).rows == [("b", [(0, 1)])]
    assert not dealer.ended
