"""Pacer and gate in one process, through the API that scenarios use."""

from __future__ import annotations

import gc
import time
from itertools import pairwise
from math import inf, nan

import gevent
import pytest
from gevent import get_hub

from amoc import metrics, throttle
from amoc.base import context, pause
from amoc.base.clock import MS_NS, S_NS, now_ns
from amoc.base.errors import ScenarioError, UsageError
from amoc.base.operator_log import OperatorLog
from amoc.base.waiting import Waiter, interrupt
from amoc.ipc.messages.throttle import THROTTLE_TO_WORKER, Permits
from amoc.ipc.rpc import Handler
from amoc.throttle import controller
from amoc.throttle import worker as gates
from amoc.throttle.controller import Pacer
from amoc.throttle.slot_allocator import VOID_NS
from amoc.throttle.throttle import LEAD_NS
from amoc.users.mail import MAX_BYTES, MailRouter
from amoc.users.user import User, UserStopped
from tests.unit.throttle.local import HERE
from tests.unit.throttle.support import Here, counted, eventually


def pass_forever(name: str) -> None:
    while True:
        throttle.wait(name)


def test_no_slot_is_used_twice_or_early_and_the_rate_is_never_exceeded(here: Here):
    throttle.start("a", 2000, 1)
    for _ in range(50):
        here.spawn(pass_forever, "a")
    eventually(lambda: len(here.used) > 500, "500 slots used")
    slots = [(one.epoch, one.slot) for one in here.used]
    assert len(slots) == len(set(slots))
    assert all(one.used_ns >= one.due_ns for one in here.used)
    dues = sorted(one.due_ns for one in here.used)
    for first in range(0, len(dues), 20):
        for last in range(first, len(dues), 20):
            assert last - first + 1 <= (dues[last] - dues[first]) / (MS_NS / 2) + 1.001


def test_waiters_pass_in_fifo_order(here: Here):
    order: list[int] = []
    throttle.start("a", 0)
    for number in range(5):
        here.spawn(lambda n: (throttle.wait("a"), order.append(n)), number)
    eventually(lambda: here.gate.queue("a").waiting == 5, "all wait")
    throttle.change_rate("a", 1000, 1)
    eventually(lambda: len(order) == 5, "all pass")
    assert order == [0, 1, 2, 3, 4]


def test_rate_0_blocks_everyone_and_infinity_nobody(here: Here):
    throttle.start("none", 0)
    throttle.start("all", inf)
    eventually(lambda: here.gate.queue("all").is_open(now_ns()), "open")
    for _ in range(1000):
        throttle.wait("all")
    with pytest.raises(throttle.ThrottleTimeout, match=r"throttle none did not .* within 0\.03 s"):
        throttle.wait("none", timeout=0.03)
    assert here.gate.queue("none").waiting == 0


def test_a_rate_change_takes_effect_at_one_moment(here: Here):
    throttle.start("a", 1000, 1)
    here.spawn(pass_forever, "a")
    eventually(lambda: len(here.used) > 50, "it runs")
    asked_ns = now_ns()
    throttle.change_rate("a", 100, 1)
    eventually(lambda: sum(one.epoch == 2 for one in here.used) > 5, "the new rate")
    old = [one.due_ns for one in here.used if one.epoch == 1]
    new = [one.due_ns for one in here.used if one.epoch == 2]
    assert max(old) < min(new)
    assert min(new) - asked_ns < 150 * MS_NS
    gaps = [b - a for a, b in pairwise(new)]
    assert all(gap >= 10 * MS_NS - 2 for gap in gaps)


def test_a_rate_without_an_interval_is_checked_against_the_current_interval(here: Here):
    throttle.start("hourly", 1, 3600)
    throttle.change_rate("hourly", 100_000_000)
    assert throttle.state("hourly").rate == 100_000_000
    throttle.change_rate_gradually("hourly", from_rate=0, to_rate=200_000_000, duration=3600)
    assert throttle.state("hourly").plan == "from 0 to 2e+08 in 1h00m00s"
    throttle.start("secondly", 1, 1)
    with pytest.raises(ScenarioError, match=r"must be at most 1000000/s .* per 1 s"):
        throttle.change_rate("secondly", 2_000_000)


def test_a_huge_timeout_is_no_timeout(here: Here):
    throttle.start("a", 1000, 1)
    throttle.wait("a", timeout=10**400)


def test_setting_the_same_rate_is_no_change(here: Here):
    throttle.start("a", 600)
    throttle.change_rate("a", 600)
    throttle.change_rate("a", 10, 1)
    throttle.change_rate("a", interarrival=0.1)
    assert here.gate.queue("a").epoch in (0, 1)
    assert throttle.state("a").rate == 600


def test_pause_resume_and_unlock(here: Here):
    throttle.start("a", 1000, 1)
    here.spawn(pass_forever, "a")
    eventually(lambda: len(here.used) > 10, "it runs")
    throttle.pause("a")
    assert throttle.state("a").mode == "paused"
    eventually(lambda: throttle.state("a").actual_rate == 0, "paused")
    eventually(lambda: ", held:" in repr(here.gate.queue("a")), "paused at the gate")
    eventually(lambda: here.gate.queue("a").waiting == 1, "who was let through is back")
    held = len(here.used)
    with pytest.raises(throttle.ThrottleTimeout):
        throttle.wait("a", timeout=0.05)
    assert len(here.used) == held
    throttle.resume("a")
    eventually(lambda: len(here.used) > held + 10, "it runs again")
    throttle.unlock("a")
    eventually(lambda: here.gate.queue("a").is_open(now_ns()), "unlocked")
    assert throttle.state("a").actual_rate == inf
    throttle.change_rate("a", 1, 1)
    eventually(lambda: not here.gate.queue("a").is_open(now_ns()), "no more")
    assert throttle.state("a").mode == "run"


def test_stop_fails_the_waiters_and_frees_the_name(here: Here):
    throttle.start("a", 0)
    failures: list[str] = []

    def try_it() -> None:
        try:
            throttle.wait("a")
        except ScenarioError as error:
            failures.append(str(error))

    for _ in range(3):
        here.spawn(try_it)
    eventually(lambda: here.gate.queue("a").waiting == 3, "all wait")
    throttle.stop("a")
    eventually(lambda: len(failures) == 3, "all fail")
    assert set(failures) == {"throttle a was stopped"}
    with pytest.raises(ScenarioError, match="throttle a is not started; started: none"):
        throttle.wait("a")
    throttle.start("a", 1000, 1)
    throttle.wait("a", timeout=5)
    assert here.used[-1].epoch > 1


def test_a_late_answer_does_not_revive_a_stopped_throttle(here: Here):
    answer = context.find(Handler)

    def slow_answer(
        operation: str, arguments: tuple[object, ...], timeout_s: float, interruptible: bool
    ) -> object:
        found = answer(operation, arguments, timeout_s, interruptible)
        here.pacer.stop("a")  # the caller was delayed, for example by a pause of the run
        gevent.sleep(0.05)
        return found

    context.active().set(Handler, slow_answer)
    throttle.start("a", 0)
    assert here.gate.find("a") is None
    context.active().set(Handler, answer)
    with pytest.raises(ScenarioError, match="throttle a is not started"):
        throttle.wait("a", timeout=1)
    throttle.start("a", 0)
    here.gate.queues.pop("a", None)  # as if this worker had not been told of it
    context.active().set(Handler, slow_answer)
    with pytest.raises(ScenarioError, match="throttle a was stopped"):
        throttle.wait("a", timeout=1)
    context.active().set(Handler, answer)
    throttle.start("a", 1000, 1)
    throttle.wait("a", timeout=5)


def test_the_number_of_remembered_stopped_throttles_is_limited(here: Here, monkeypatch):
    monkeypatch.setattr(gates, "MAX_GONE", 3)
    for number in range(6):
        throttle.start(f"t{number}", 0)
        throttle.stop(f"t{number}")
    eventually(lambda: "t5" in here.gate.gone, "all are heard to be gone")
    assert list(here.gate.gone) == ["t3", "t4", "t5"]
    for name in ("t0", "t3"):
        throttle.start(name, 1000, 1)
        throttle.wait(name, timeout=5)


def test_starting_a_name_twice_needs_the_same_arguments(here: Here):
    assert throttle.start("a", 1) == "started"
    throttle.change_rate("a", 5)
    assert throttle.start("a", 1) == "already started"
    assert throttle.state("a").rate == 5, "the same again changes nothing"
    assert throttle.limit_concurrency("b", 2) == "started"
    assert throttle.limit_concurrency("b", 2) == "already started"
    with pytest.raises(ScenarioError, match="throttle a is already started"):
        throttle.start("a", 2)


def test_an_infinite_interarrival_blocks_everyone(here: Here):
    throttle.start("a", interarrival=inf)
    throttle.start("b", 100)
    throttle.change_rate("b", interarrival=inf)
    assert throttle.state("a").rate == throttle.state("b").rate == 0
    for name in "ab":
        with pytest.raises(throttle.ThrottleTimeout):
            throttle.wait(name, timeout=0.1)


HOLD = [
    lambda: throttle.change_rate("a", 0),
    lambda: throttle.pause("a"),
    lambda: throttle.steps("a", [(0, 1)]),
    lambda: throttle.change_rate_gradually("a", from_rate=0, to_rate=0, duration=1),
]


@pytest.mark.parametrize("hold", HOLD)
@pytest.mark.parametrize("first", [1000, inf])
def test_a_change_is_in_force_when_the_call_returns(here: Here, first, hold):
    throttle.start("a", first, 1)
    passed: list[int] = []

    def user() -> None:
        while True:
            throttle.wait("a")
            passed.append(now_ns())
            if first == inf:
                gevent.sleep(0.001)

    for _ in range(5):
        here.spawn(user)
    eventually(lambda: len(passed) > 50, "the throttle is in use")
    hold()
    count, at_ns = len(passed), now_ns()
    eventually(lambda: now_ns() > at_ns + 2 * VOID_NS, "slots of before would be void")
    assert len(passed) == count


def test_a_change_with_wait_false_returns_before_it_is_in_force(here: Here):
    throttle.start("a", inf)
    throttle.change_rate("a", 0, wait=False)
    throttle.wait("a", timeout=5)  # it is in force only 40 ms later


def test_a_change_in_a_paused_run_takes_effect_on_resume(here: Here):
    throttle.start("a", inf)
    here.pacer.pause_run()
    pause.pause()
    throttle.change_rate("a", 0)
    at_ns = now_ns()
    eventually(lambda: now_ns() > at_ns + LEAD_NS, "a pause that is no mere moment")
    pause.resume()
    here.pacer.resume_run()
    with pytest.raises(throttle.ThrottleTimeout):
        throttle.wait("a", timeout=0.2)


def test_a_change_returns_when_the_last_worker_is_lost(here: Here):
    throttle.start("a", inf)
    changing = here.spawn(throttle.change_rate, "a", 0)
    gevent.sleep(0)
    here.pacer.worker_lost(HERE)
    changing.get(timeout=5)


def test_waiting_users_follow_a_switch_between_rate_and_concurrency_limit(here: Here):
    throttle.start("a", 0)
    at_once, most, done = 0, 0, 0

    def user() -> None:
        nonlocal at_once, most, done
        with throttle.permit("a"):
            at_once += 1
            most = max(most, at_once)
            gevent.sleep(0.002)
            at_once -= 1
        done += 1

    users = [here.spawn(user) for _ in range(40)]
    gevent.sleep(0)
    throttle.change_rate("a", 3, 0)
    eventually(lambda: done >= 10, "users pass by permits")
    assert most == 3
    throttle.change_rate("a", 0, 60)
    eventually(lambda: not at_once, "those that had passed are done")
    assert not here.gate.holders
    assert done < 40
    before = len(here.used)
    throttle.change_rate("a", 1000, 1)
    gevent.joinall(users, timeout=5, raise_error=True)
    assert done == 40
    assert len(here.used) > before, "by slots again"
    throttle.change_rate("a", 1, 0)
    with throttle.permit("a", timeout=5), pytest.raises(throttle.ThrottleTimeout):
        here.spawn(throttle.wait, "a", 0.2).get()


def test_a_killed_waiter_takes_no_slot(here: Here):
    throttle.start("a", 0)
    first = here.spawn(throttle.wait, "a")
    second = here.spawn(throttle.wait, "a")
    eventually(lambda: here.gate.queue("a").waiting == 2, "both wait")
    first.kill()
    throttle.change_rate("a", 1, 3600)
    second.join(10)
    assert second.successful()
    assert len(here.used) == 1


def test_waiters_that_leave_the_queue_are_not_retained(here: Here):
    throttle.start("a", 0)
    queue = here.gate.queue("a")
    for _ in range(5000):
        waiter: Waiter[int] = Waiter()
        queue.enter(waiter)
        queue.leave(waiter)
    assert queue.waiting == 0
    assert sum(type(one) is Waiter for one in gc.get_objects()) < 500


def test_permits_are_returned_however_their_holder_ends(here: Here):
    throttle.limit_concurrency("places", 2)
    inside, most = 0, 0

    def visit(how: str) -> None:
        nonlocal inside, most
        with throttle.permit("places"):
            inside += 1
            most = max(most, inside)
            try:
                gevent.sleep(0.001)
                if how == "raise":
                    raise gevent.GreenletExit
                if how == "hang":
                    gevent.sleep(60)
            finally:
                inside -= 1

    visits = [here.spawn(visit, how) for how in ("end", "raise", "hang") * 20]
    hanging = [
        one for one, how in zip(visits, ("end", "raise", "hang") * 20, strict=True) if how == "hang"
    ]
    for one in hanging:
        gevent.joinall([one], timeout=0.02)
        one.kill()
    gevent.joinall(visits, timeout=10)
    assert all(one.dead for one in visits)
    assert most == 2
    eventually(lambda: here.pacer.throttles["places"].permits.held == 0, "all back")


def test_a_permit_is_returned_when_its_greenlet_ends(here: Here):
    throttle.limit_concurrency("places", 1)
    for _ in range(3):
        here.spawn(throttle.wait, "places").join(10)
    eventually(lambda: not here.gate.holders, "nobody holds any")


def visit_repeatedly(name: str, times: int) -> None:
    for _ in range(times):
        with throttle.permit(name):
            pass


def test_a_permit_is_kept_briefly_for_users_that_return_at_once(here: Here):
    throttle.limit_concurrency("places", 2)
    sent = 0
    handle = here.gate.handle

    def noting(body: bytes) -> None:
        nonlocal sent
        sent += sum(isinstance(one, Permits) for one in THROTTLE_TO_WORKER.unpack_stream(body))
        handle(body)

    here.gate.handle = noting  # type: ignore[method-assign]
    here.spawn(visit_repeatedly, "places", 1000).join(10)
    assert 0 < sent < 200
    permits = here.pacer.throttles["places"].permits
    visit_until_kept(here)
    eventually(lambda: permits.held == 0, "all back")
    assert not here.gate.queue("places").stock.kept


def visit_until_kept(here: Here) -> None:
    def visit() -> None:
        while not here.gate.queue("places").stock.kept:
            visit_repeatedly("places", 1)

    here.spawn(visit).join(10)
    assert here.gate.queue("places").stock.kept


def test_no_permit_is_kept_when_users_do_not_return_soon(here: Here):
    throttle.limit_concurrency("places", 1)
    for _ in range(5):
        here.spawn(visit_repeatedly, "places", 1).join(10)
        assert not here.gate.queue("places").stock.kept
        gevent.sleep(0.02)


def test_a_permit_that_was_held_for_long_is_not_kept(here: Here):
    throttle.limit_concurrency("places", 1)
    visit_until_kept(here)
    with throttle.permit("places"):
        assert here.gate.queue("places").stock.users_return_soon
        gevent.sleep(0.02)
    assert not here.gate.queue("places").stock.kept


def test_a_kept_permit_does_not_survive_a_change(here: Here):
    throttle.limit_concurrency("places", 1)
    visit_until_kept(here)
    throttle.change_rate("places", 0)
    eventually(lambda: here.gate.queue("places").epoch == 2, "it is heard of")
    assert not here.gate.queue("places").stock.kept
    gevent.sleep(0.1)  # until then the old limit holds
    with pytest.raises(throttle.ThrottleTimeout):
        throttle.permit("places", timeout=0.05).__enter__()


def test_throttle_run_can_take_a_kept_permit(here: Here):
    throttle.limit_concurrency("places", 1)
    visit_until_kept(here)
    inside: list[int] = []
    throttle.run("places", lambda: inside.append(here.pacer.throttles["places"].permits.held))
    assert not here.gate.queue("places").stock.kept
    eventually(lambda: inside == [1], "it runs")
    eventually(lambda: here.pacer.throttles["places"].permits.held == 0, "all back")


class Linked(gevent.Greenlet):
    """Counts how often the gate links its callback to this greenlet."""

    links = 0

    def rawlink(self, callback):
        self.links += callback == gates.current().iteration_ended
        super().rawlink(callback)


def test_a_greenlet_that_passes_repeatedly_is_linked_once(here: Here):
    throttle.limit_concurrency("places", 1000)
    links: list[int] = []

    def visit() -> None:
        for _ in range(20):
            with throttle.permit("places"):
                pass
        links.append(one.links)
        for _ in range(20):
            with throttle.permit("places"):
                throttle.wait("places")
        links.append(one.links)

    one = Linked(visit)
    here.greenlets.append(one)
    one.start()
    one.join(10)
    assert links == [0, 1]
    eventually(lambda: not here.gate.holders, "nobody holds any")
    eventually(lambda: here.pacer.throttles["places"].permits.held == 0, "all back")


def test_run_calls_the_function_on_its_slot_and_reports_crashes(here: Here):
    crashes: list[BaseException] = []
    here.gate.on_crash = crashes.append
    throttle.start("a", 1000, 1)
    ran: list[int] = []
    for number in range(3):
        throttle.run("a", ran.append, number)
    throttle.run("a", lambda: 1 / 0)
    eventually(lambda: crashes and len(ran) == 3, "all have run")
    assert ran == [0, 1, 2]
    assert isinstance(crashes[0], ZeroDivisionError)


class Sent:
    """Accepts and records all mail."""

    def __init__(self) -> None:
        self.all: list[tuple[int, object]] = []

    def send(self, user_id: int, message: object, check: bool) -> None:
        self.all.append((user_id, message))


def test_send_copies_the_message_when_called(here: Here):
    sent = Sent()
    context.active().set(MailRouter, sent)
    throttle.start("a", 0)
    message = ["first", ["inner"]]
    throttle.send("a", message, to=7)
    message[0] = "changed afterwards"
    throttle.change_rate("a", 1000, 1)
    eventually(lambda: sent.all, "it is sent")
    assert sent.all == [(7, ("first", ("inner",)))]


class Me(User):
    """A user outside any pool that runs `fn`."""

    def __init__(self, fn) -> None:
        super().__init__(1, None)
        self.fn = fn
        self.raised: BaseException | None = None

    def run(self) -> None:
        try:
            self.fn()
        except (ScenarioError, UserStopped) as error:
            self.raised = error


class Odd:
    """Cannot be packed by msgpack."""


class Frozen(dict):
    """A hashable key that arrives as an unhashable dict."""

    def __hash__(self) -> int:
        return 1


@pytest.mark.parametrize(
    ("message", "refusal"),
    [
        (Odd(), "packable by msgpack, got Odd"),
        (1 << 64, "packable by msgpack, got int"),
        (bytes(MAX_BYTES), "must be at most 1048576 bytes, got "),
        ({Frozen(x=1): 1}, "a message must be readable by msgpack"),
    ],
)
def test_an_unsendable_message_is_refused_before_it_takes_a_slot(here: Here, message, refusal):
    throttle.start("a", 1000, 1)
    eventually(lambda: here.gate.find("a"), "it is known")
    for call in (
        lambda: throttle.send("a", message, to=7),
        lambda: throttle.send("a", message),
        lambda: throttle.send_and_wait("a", message),
    ):
        me = Me(call)
        get_hub().loop.run_callback(me.switch)
        eventually(lambda: me.dead, "it is done")  # noqa: B023
        assert isinstance(me.raised, ScenarioError)
        assert refusal in str(me.raised)
    assert here.gate.queue("a").waiting == 0
    assert not here.used
    with pytest.raises(ScenarioError, match="requires a user id"):
        throttle.send("a", "x", to="you")


def test_service_and_response_times_are_both_recorded(here: Here):
    throttle.start("a", 1000, 1)
    timer = metrics.timer("work_here")
    outer = metrics.timer("outer_here")
    late_before = {one.name: one.value for one in metrics.read()}["token_lateness"].count
    before_ns = now_ns()
    throttle.wait("a")
    with outer.time(), timer.time():
        pass
    with timer.time():  # the token has been used
        pass
    counts = {one.name: one.value for one in metrics.read()}
    assert counts["work_here"].count == 2
    assert counts["work_here.response"].count == 1
    assert counts["outer_here.response"].count == 1
    assert counts["outer_here.response"].max_ns >= counts["outer_here"].max_ns
    assert counts["work_here.response"].max_ns <= now_ns() - before_ns + VOID_NS
    assert counts["token_lateness"].count == late_before + 1


def test_metric_names_ending_in_response_are_reserved():
    with pytest.raises(ScenarioError, match=r"must not be called 'other\.response'"):
        metrics.counter("other.response")


def test_nobody_passes_while_the_run_is_paused(here: Here):
    throttle.start("a", stages="1s:0/s, 1h:0/s", interval=1)
    throttle.change_rate("a", 1000, 1)
    here.spawn(pass_forever, "a")
    eventually(lambda: len(here.used) > 10, "it runs")
    pause.pause()
    here.pacer.pause_run()
    assert throttle.state("a").mode == "frozen"
    seen = len(here.used)
    gevent.sleep(0.1)
    assert len(here.used) == seen
    pause.resume()
    here.pacer.resume_run()
    eventually(lambda: len(here.used) > seen + 10, "it runs again")


def stalls_ns(stalls: list[int]) -> None:
    """Record how long this process was not scheduled, where that voids slots."""
    before_ns = now_ns()
    while True:
        gevent.sleep(0.001)
        ns = now_ns() - before_ns
        before_ns += ns
        if ns > VOID_NS // 2:
            stalls.append(ns)


def test_slots_due_during_a_pause_of_the_run_do_not_count_as_missed(here: Here):
    throttle.start("paused", 1000, 1)
    stalls: list[int] = []
    here.spawn(stalls_ns, stalls)
    for _ in range(20):
        here.spawn(pass_forever, "paused")
    eventually(lambda: len(here.used) > 100, "it runs")
    for _ in range(2):
        pause.pause()
        here.pacer.pause_run()
        gevent.sleep(0.25)
        pause.resume()
        here.pacer.resume_run()
        seen = len(here.used)
        eventually(lambda: len(here.used) > seen + 100, "it runs again")  # noqa: B023
    # Pauses cause none; time when the machine did not schedule this process does.
    assert counted("paused", "missed") <= sum(stalls) * 1000 / S_NS
    assert here.gate.queue("paused").waiting == 20


def test_slots_due_while_the_worker_stalls_count_as_missed(here: Here):
    throttle.start("stalled", 1000, 1)
    for _ in range(200):
        here.spawn(pass_forever, "stalled")
    eventually(lambda: len(here.used) > 100, "it runs")
    time.sleep(0.25)
    eventually(lambda: counted("stalled", "missed") > 0, "some are missed")


def test_a_thousand_throttles_at_once(here: Here):
    names = [f"t{number}" for number in range(1000)]
    for name in names:
        throttle.start(name, 1, 1)  # low rates: this tests bookkeeping, not throughput
        here.spawn(throttle.wait, name)  # once: on a busy machine all others get its time
    eventually(lambda: len(here.used) == len(names), "all run")
    assert {one.name for one in here.used} == set(names)


def test_the_limit_on_throttles_does_not_count_amocs_own(monkeypatch):
    monkeypatch.setattr(controller, "MAX_THROTTLES", 3)
    pacer = Pacer(lambda _worker, _record: None)
    for name in ("a", "b", "c"):
        pacer.start(name, ["constant", 1])
    pacer.start("user_rate", ["constant", 1])
    with pytest.raises(ScenarioError, match=r"^throttle d .* at most 3 throttles besides"):
        pacer.start("d", ["constant", 1])
    pacer.stop("a")
    pacer.start("d", ["constant", 1])
    assert len(pacer.states()) == 4


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: throttle.start("a\n", 1), "the name of a throttle must be"),
        (lambda: throttle.start("a"), "must be given one of rate, interarrival and stages"),
        (lambda: throttle.start("a", -1), "a rate must be 0 or more"),
        (lambda: throttle.start("a", True), "a rate must be 0 or more"),
        (lambda: throttle.start("a", 1, -1), "its interval must be 0"),
        (lambda: throttle.start("a", stages="x"), "throttle a: its rate must be"),
        (lambda: throttle.change_rate("zz", 1), "throttle zz is not started"),
        (lambda: throttle.change_rate("a"), "must be given either rate or interarrival"),
        (lambda: throttle.change_rate_gradually("a", to_rate=1), "either duration, or step_inter"),
        (lambda: throttle.sine("here", 5, 1, 10), "must be from low to high"),
        (lambda: throttle.steps("here", []), "steps must be 1 to"),
        (lambda: throttle.sine("here", 1, inf, 10), "a rate must be below infinity"),
        (lambda: throttle.send("here", "x"), "only a user has a mailbox"),
        (lambda: throttle.wait("here", timeout=nan), "timeout must be 0 s or more"),
        (lambda: throttle.wait("here", timeout=-1), "timeout must be 0 s or more"),
        (lambda: throttle.wait("here", timeout="5"), "timeout must be 0 s or more"),
        (lambda: throttle.wait("here", timeout=None), "timeout must be 0 s or more"),
        (lambda: throttle.permit("here", timeout=nan), "timeout must be 0 s or more"),
        (lambda: throttle.change_rate("here", nan), "a rate must be 0 or more"),
        (lambda: throttle.change_rate("here", 10**400), "a rate must be at most 1000000/s"),
        (lambda: throttle.change_rate("here", 10**8), "a rate must be at most .* per 60 s"),
        (lambda: throttle.change_rate("here", 1, "x"), "its interval must be 0, or from"),
        (
            lambda: throttle.change_rate_gradually(
                "here", from_interarrival=1, to_rate=5, duration=1
            ),
            "must be given interval= to combine from_interarrival",
        ),
    ],
)
def test_invalid_arguments_are_refused(here: Here, call, message):
    throttle.start("here", 1)
    with pytest.raises(ScenarioError, match=message):
        call()


def test_the_operators_rate_overrides_the_scenarios():
    notes: list[str] = []
    operator = OperatorLog(lambda _, text: notes.append(text))
    pacer = Pacer(lambda *_: None, rates={"a": "30/s", "b": "1/s"}, operator=operator)
    pacer.start("a", ("constant", 1))
    assert [state.rate for state in pacer.states()] == [1800]
    assert notes == ["throttle a is started with 30/s (from --throttle)"]
    assert pacer.unused_rates == ["b"]


def test_an_operator_can_change_a_rate_and_an_invalid_one_changes_nothing(here: Here):
    throttle.start("a", 10, 1)
    throttle.limit_concurrency("b", 2)
    assert here.pacer.change_rate("a", "1200/min") == "throttle a is changed to 1200/min"
    assert (throttle.state("a").rate, throttle.state("a").interval) == (20, 1)
    here.pacer.change_rate("b", "5")
    assert (throttle.state("b").rate, throttle.state("b").interval) == (5, 0)
    for name, rate, message in (
        ("a", "fast", "throttle a: its rate .*'fast'"),
        ("b", "5/s", "throttle b: its rate must be a number without a unit"),
        ("c", "5/s", "throttle c is not started; started: a, b"),
    ):
        with pytest.raises(UsageError, match=message):
            here.pacer.change_rate(name, rate)
    assert (throttle.state("a").rate, throttle.state("b").rate) == (20, 5)


def test_state_describes_gradual_changes(here: Here):
    throttle.start("a", 10, 1)
    throttle.change_rate_gradually("a", to_rate=1000, duration=60)
    assert throttle.state("a").plan == "from 10 to 1000 in 60 s"
    throttle.change_rate_gradually("a", from_rate=1, to_rate=5, step_interval=1, step_count=4)
    assert throttle.state("a").plan == "5 steps from 1 to 5"
    throttle.sine("a", 1, 9, 60)
    assert throttle.state("a").plan == "sine between 1 and 9, period 60 s"
    throttle.change_rate("a", 5)
    assert throttle.state("a").plan == ""


def test_a_gradual_change_may_use_another_interval(here: Here):
    throttle.start("a", 600, 60)
    throttle.change_rate_gradually("a", to_rate=40, interval=1, duration=60)
    assert throttle.state("a").plan == "from 10 to 40 in 60 s"
    assert throttle.state("a").interval == 1
    throttle.change_rate("a", 5, 1)
    eventually(lambda: throttle.state("a").actual_rate == 5, "in force")
    throttle.change_rate_gradually(
        "a", to_rate=36_000, interval=3600, step_interval=1, step_count=2
    )
    assert throttle.state("a").plan == "3 steps from 18000 to 36000"
    throttle.start("places", 4, 0)
    throttle.change_rate_gradually("places", to_rate=8, duration=60)
    assert throttle.state("places").plan == "from 4 to 8 in 60 s"


def test_a_throttle_started_during_a_pause_of_the_run_waits_for_resume(here: Here):
    pause.pause()
    here.pacer.pause_run()
    throttle.start("late", 1000, 1)
    assert throttle.state("late").mode == "frozen"
    here.spawn(pass_forever, "late")
    # It starts at its rate and is frozen as soon as the worker has been told.
    eventually(lambda: throttle.state("late").actual_rate == 0, "it stands still")
    pause.resume()
    here.pacer.resume_run()
    assert throttle.state("late").mode == "run"
    eventually(lambda: len(here.used) > 10, "it runs")
    assert {one.epoch for one in here.used} <= {1, 3}


@pytest.mark.parametrize("rate", [5, 1000])
def test_stop_ends_every_wait_whatever_the_rate(here: Here, rate: int):
    throttle.start("a", rate, 1)
    outcomes: list[str] = []

    def pass_repeatedly() -> None:
        try:
            pass_forever("a")
        except ScenarioError as error:
            outcomes.append(str(error))

    for _ in range(20):
        here.spawn(pass_repeatedly)
    eventually(lambda: len(here.used) > 1, "it runs")
    throttle.stop("a")
    eventually(lambda: len(outcomes) == 20, "all are turned away")
    assert set(outcomes) <= {"throttle a was stopped", "throttle a is not started; started: none"}
    used = len(here.used)
    throttle.start("a", 0)
    eventually(lambda: here.gate.find("a"), "it is known again")
    assert len(here.used) == used


def test_a_killed_wait_leaves_no_timer_behind(here: Here):
    throttle.start("a", 0)
    woken: list[str] = []

    def patient() -> None:
        try:
            throttle.wait("a", timeout=1.0)  # the kill comes earlier, however busy the machine
        finally:
            gevent.sleep(1.2)
            woken.append("by its own sleep")

    begun_ns = now_ns()
    one = here.spawn(patient)
    eventually(lambda: here.gate.queue("a").waiting == 1, "it waits")
    gevent.spawn(one.kill)
    one.join(10)
    assert woken
    assert now_ns() - begun_ns >= 1200 * MS_NS


def test_amocs_own_throttle_cannot_be_stopped(here: Here):
    throttle.start("user_rate", 1)
    with pytest.raises(ScenarioError, match="user_rate is amoc's own"):
        throttle.stop("user_rate")


def test_an_unlimited_throttle_lets_the_loop_turn(here: Here):
    throttle.start("a", inf)
    here.spawn(pass_forever, "a")
    turns: list[int] = []

    def turn() -> None:
        for number in range(10):
            turns.append(number)
            gevent.sleep(0)

    here.spawn(turn)
    eventually(lambda: len(turns) == 10, "the loop turns")


def pass_until(name: str, done: list[bool], passed: list[str]) -> None:
    while not done:
        throttle.wait(name)
        passed.append(name)


@pytest.mark.parametrize("kind", ["unlocked", "permits"])
def test_a_throttle_with_a_long_queue_does_not_starve_others(here: Here, kind: str):
    throttle.start("slow", 100, 1)
    passed: list[str] = []
    done: list[bool] = []
    for _ in range(10):
        here.spawn(pass_until, "slow", done, passed)
    if kind == "permits":
        throttle.limit_concurrency("busy", 5)

        def visit() -> None:
            while not done:
                with throttle.permit("busy"):
                    passed.append("busy")

        for _ in range(50):
            here.spawn(visit)
    else:
        throttle.start("busy", 0)
        # More than can pass in one turn, and each returns while others still wait.
        for _ in range(500):
            here.spawn(pass_until, "busy", done, passed)
        eventually(lambda: here.gate.queue("busy").waiting == 500, "all wait")
        throttle.unlock("busy")
    eventually(lambda: passed.count("busy") > 500, "users pass the busy one")
    before, end_s = passed.count("slow"), time.process_time() + 0.5
    # Half a second of this process's CPU time is at least as long on the clock of slots.
    eventually(lambda: time.process_time() > end_s, "the busy one keeps this process busy")
    done.append(True)
    assert passed.count("slow") - before >= 40


def test_slot_is_a_deprecated_alias_of_permit(here: Here):
    throttle.start("places", 1, 0)  # as limit_concurrency("places", 1)
    with (
        pytest.deprecated_call(match=r"throttle\.slot is now throttle\.permit"),
        throttle.slot("places", timeout=5),
    ):
        assert here.gate.holders
        with pytest.raises(throttle.ThrottleTimeout):
            throttle.permit("places", timeout=0.01).__enter__()
    assert not here.gate.holders


def test_a_user_asked_to_stop_leaves_the_queue_and_takes_no_slot(here: Here):
    throttle.start("a", 0)
    user = Me(lambda: throttle.wait("a"))
    get_hub().loop.run_callback(user.switch)
    eventually(lambda: here.gate.queue("a").waiting == 1, "it waits")
    interrupt(user, UserStopped())
    eventually(lambda: user.dead, "it ends")
    assert isinstance(user.raised, UserStopped)
    assert here.gate.queue("a").waiting == 0
    throttle.change_rate("a", 1000, 1)
    throttle.wait("a", timeout=5)
    assert len(here.used) == 1
