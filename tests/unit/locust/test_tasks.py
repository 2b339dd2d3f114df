"""Tasks of a user: choice, order, waiting, interrupts and callbacks."""

from __future__ import annotations

import random
from collections import Counter
from typing import Any, ClassVar

import pytest

from amoc.base.errors import ScenarioError
from amoc.locust.environment import Environment
from amoc.locust.exceptions import (
    InterruptTaskSet,
    LocustError,
    NotCarried,
    RescheduleTask,
    RescheduleTaskImmediately,
    StopTest,
    StopUser,
)
from amoc.locust.tasks import SequentialTaskSet, TaskSet, keep_tagged, tag, task
from amoc.locust.users import User
from amoc.locust.wait_time import constant


class Recording(User):
    """A user that records what it does and how often it waits."""

    abstract = True
    limit = 6

    def __init__(self, environment: Environment) -> None:
        super().__init__(environment)
        self.done: list[str] = []
        self.waits = 0

    def wait_for(self, seconds: float) -> None:
        self.waits += 1
        super().wait_for(seconds)

    def note(self, what: str) -> None:
        if len(self.done) >= self.limit:
            raise StopUser
        self.done.append(what)

    def on_stop(self) -> None:
        self.done.append("stopped")


def test_tasks_are_picked_by_weight(environment: Environment) -> None:
    class Visitor(Recording):
        limit = 3000

        @task(3)
        def look(self) -> None:
            self.note("look")

        @task
        def buy(self) -> None:
            self.note("buy")

    random.seed(1)
    user = Visitor(environment)
    user.run()
    counts = Counter(user.done)
    assert counts["look"] + counts["buy"] == 3000
    assert counts["look"] == pytest.approx(2250, abs=150)


def look(user: Any) -> None:
    user.note("look")


def buy(user: Any) -> None:
    user.note("buy")


@pytest.mark.parametrize("listed", [[look, look, buy], {look: 2, buy: 1}, [(look, 2), (buy, 1)]])
def test_tasks_may_be_listed_and_are_inherited(listed: Any) -> None:
    base = type("Base", (User,), {"tasks": listed})
    assert Counter(base.tasks) == {look: 2, buy: 1}

    class Heir(base):  # type: ignore[misc, valid-type] # it is made just above
        @task
        def leave(self) -> None: ...

    assert Counter(Heir.tasks) == {look: 2, buy: 1, Heir.leave: 1}
    with pytest.raises(LocustError, match="tasks must be a list"):
        type("Wrong", (User,), {"tasks": 7})


def test_an_interrupt_ends_a_nested_set_and_returns_to_the_user(environment: Environment) -> None:
    class Inner(TaskSet):
        def on_start(self) -> None:
            self.user.note("enter")

        @task
        def leave(self) -> None:
            self.user.note("inner")
            self.interrupt()

        def on_stop(self) -> None:
            self.user.done.append("left")

    class Visitor(Recording):
        tasks = (Inner,)
        limit = 9

    user = Visitor(environment)
    user.run()
    # The last visit ends in on_start, so the set's on_stop is not called.
    assert user.done == [*["enter", "inner", "left"] * 3, "stopped"]
    assert user.waits == 0  # an interrupt with reschedule does not wait


def test_an_interrupt_without_reschedule_waits_first(environment: Environment) -> None:
    class Inner(TaskSet):
        @task
        def leave(self) -> None:
            self.user.note("inner")
            self.interrupt(reschedule=False)

    class Visitor(Recording):
        tasks = (Inner,)

    user = Visitor(environment)
    user.run()
    assert user.waits == 6


def test_an_interrupt_in_on_start_returns_to_the_user(environment: Environment) -> None:
    class Closed(TaskSet):
        def on_start(self) -> None:
            self.user.note("closed")
            self.interrupt()

    class Visitor(Recording):
        tasks = (Closed,)

    user = Visitor(environment)
    user.run()
    assert user.done == ["closed"] * 6 + ["stopped"]


def test_sequences_keep_their_order_and_start_over(environment: Environment) -> None:
    class Steps(SequentialTaskSet):
        @task
        def first(self) -> None:
            self.user.note("first")

        tasks = (lambda steps: steps.user.note("second"),)

        @task
        def third(self) -> None:
            self.user.note("third")

    class Visitor(Recording):
        tasks = (Steps,)
        limit = 7

    user = Visitor(environment)
    user.run()
    assert user.done == [*["first", "second", "third"] * 2, "first", "stopped"]


def test_stopping_a_user_stops_the_innermost_set_first(environment: Environment) -> None:
    class Inner(TaskSet):
        @task
        def end(self) -> None:
            raise StopUser

        def on_stop(self) -> None:
            self.user.done.append("inner left")

    class Outer(TaskSet):
        tasks = (Inner,)

        def on_stop(self) -> None:
            self.user.done.append("outer left")

    class Visitor(Recording):
        tasks = (Outer,)

    user = Visitor(environment)
    user.run()
    assert user.done == ["inner left", "outer left", "stopped"]


def test_a_scheduled_task_runs_before_others(environment: Environment) -> None:
    class Steps(TaskSet):
        @task
        def begin(self) -> None:
            self.user.note("begin")
            self.schedule_task(self.second)
            self.schedule_task(Steps.first, first=True)

        def first(self) -> None:
            self.user.note("first")

        def second(self) -> None:
            self.user.note("second")

    class Visitor(Recording):
        tasks = (Steps,)

    user = Visitor(environment)
    user.run()
    assert user.done == [*["begin", "first", "second"] * 2, "stopped"]


@pytest.mark.parametrize(("raised", "waits"), [(RescheduleTask, 6), (RescheduleTaskImmediately, 0)])
def test_a_task_may_choose_whether_to_wait(
    environment: Environment, raised: type[Exception], waits: int
) -> None:
    class Visitor(Recording):
        @task
        def look(self) -> None:
            self.note("look")
            raise raised

    user = Visitor(environment)
    user.run()
    assert user.waits == waits


def test_a_user_that_stops_itself_finishes_its_task(environment: Environment) -> None:
    class Visitor(Recording):
        @task
        def look(self) -> None:
            self.stop()
            self.note("to its end")

    user = Visitor(environment)
    user.run()
    assert user.done == ["to its end", "stopped"]


def test_stop_test_ends_the_run(environment: Environment) -> None:
    class Runner:
        reasons: ClassVar[list[str]] = []

        def end(self, reason: str) -> None:
            self.reasons.append(reason)

    class Visitor(Recording):
        @task
        def end(self) -> None:
            raise StopTest

    runner: Any = Runner()
    environment.runner = runner
    user = Visitor(environment)
    user.run()
    assert user.done == ["stopped"]
    assert runner.reasons == ["the locustfile has raised StopTest"]


def test_the_wait_time_of_a_set_overrides_its_users(environment: Environment) -> None:
    class Inner(TaskSet):
        wait_time = constant(0.001)

        @task
        def look(self) -> None:
            self.user.note("look")

    class Visitor(Recording):
        wait_time = constant(1000)
        tasks = (Inner,)

    user = Visitor(environment)
    user.run()  # would take too long otherwise


def test_a_user_without_tasks_is_an_error(environment: Environment) -> None:
    class Nothing(Recording):
        pass

    with pytest.raises(LocustError, match="Nothing has no tasks"):
        Nothing(environment).run()


def test_listeners_receive_exceptions_of_tasks(environment: Environment) -> None:
    heard = []
    environment.events.user_error.add_listener(lambda **told: heard.append(told["exception"]))

    class Visitor(Recording):
        @task
        def fail(self) -> None:
            raise ValueError("no")

    with pytest.raises(ValueError, match="no"):  # outside a run nothing counts it
        Visitor(environment).run()
    assert [str(one) for one in heard] == ["no"]


def tagged() -> tuple[Any, ...]:
    class Inner(TaskSet):
        @task
        @tag("slow", "inner")
        def slow(self) -> None: ...

        @task
        def plain(self) -> None: ...

    class Visitor(User):
        tasks = (Inner,)

        @task
        @tag("fast")
        def fast(self) -> None: ...

    return Visitor, Inner


def test_tags_select_tasks_in_nested_sets_too() -> None:
    visitor, inner = tagged()
    keep_tagged(visitor, {"slow"}, set())
    assert (visitor.tasks, inner.tasks) == ([inner], [inner.slow])
    visitor, inner = tagged()
    keep_tagged(visitor, set(), {"slow", "fast"})
    assert (visitor.tasks, inner.tasks) == ([inner], [inner.plain])
    visitor, inner = tagged()
    keep_tagged(visitor, {"fast"}, set())
    assert (visitor.tasks, inner.tasks) == ([visitor.fast], [])


def test_a_tag_on_a_set_applies_to_all_its_tasks() -> None:
    @tag("all")
    class Inner(TaskSet):
        @task
        @tag("one")
        def look(self) -> None: ...

    assert Inner.look.locust_tag_set == {"all", "one"}  # type: ignore[attr-defined]
    with pytest.raises(ValueError, match="must be given names"):
        tag(test_stop_test_ends_the_run)  # type: ignore[arg-type]


def test_a_task_must_not_be_called_run() -> None:
    with pytest.raises(LocustError, match="must not be called run"):

        @task
        def run(self: object) -> None: ...


def test_an_interrupt_knows_whether_to_reschedule() -> None:
    assert InterruptTaskSet(False).reschedule is False
    error = NotCarried("locust.MarkovTaskSet")
    assert isinstance(error, ScenarioError)
    assert str(error) == (
        "locust.MarkovTaskSet is a feature of Locust that amoc does not support; see docs/locust.md"
    )
