"""Any exception raised anywhere in a scenario's code counts as a crash or a refusal."""

from __future__ import annotations

import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from amoc.base.errors import ExitCode
from tests.process.support import running
from tests.process.test_control import controlled

pytestmark = pytest.mark.slow

FAST = ("--set", "user_rate=inf", "--workers", "2")
ONCE = ("--set", "repeat_num=1")
KINDS = [
    "SystemExit(3)",
    "KeyboardInterrupt()",
    "gevent.Timeout(1)",
    "greenlet.GreenletExit()",
    "user.UserStopped()",
    "RuntimeError('x')",
]
kinds = pytest.mark.parametrize("kind", KINDS)

PLACES = """
    import gevent
    import greenlet
    from amoc import coordinator, events, metrics, receive, send, setting, throttle, user

    def in_start():
        raise KIND

    def in_throttle_run():
        raise KIND

    def in_match(message):
        raise KIND

    def in_action(event):
        raise KIND

    def in_greenlet():
        raise KIND

    def in_callback():
        raise KIND

    @events.on("user.added")
    def in_subscriber(event):
        raise KIND

    def in_update(old, new):
        if new > 1:
            raise KIND

    def in_check(value):
        if value == 9:
            raise KIND

    pace = setting(1, "Pace", update=in_update, verify=in_check)

    def init():
        throttle.start("t", 60000)
        coordinator.start("c", (1, in_action))

    def start(user_id):
        if user_id == 1:
            in_start()
        if user_id == 2:
            throttle.run("t", in_throttle_run)
        if user_id == 3:
            send(3, "hello")
            receive(in_match)
        if user_id == 4:
            coordinator.add("c")
        if user_id == 5:
            gevent.spawn(in_greenlet)
        if user_id == 6:
            gevent.get_hub().loop.run_callback(in_callback)
        metrics.counter("reached").inc()
        user.wait_stopping()
"""


@kinds
def test_exceptions_anywhere_are_counted_by_cause_and_no_worker_dies(
    kind: str, scenario: Callable[[str], Path], tmp_path: Path
) -> None:
    file = scenario(PLACES.replace("KIND", kind))
    with controlled(file, "--users", "20", *FAST, "--duration", "1h", directory=tmp_path) as one:
        one.run.wait_for_output("reached")
        for value in ("pace=2", "pace=9"):
            answer = one.say("set", value, code=int(ExitCode.SETTING))
            assert kind.partition("(")[0].rpartition(".")[2] in answer
        one.run.wait_for_output("reached 18")
        one.run.kill(one.run.pid, signal.SIGINT)
        assert one.run.end() == ExitCode.OK, one.run.output
        summary, output = one.run.summary(), one.run.output
    assert summary["users"]["restarted"] == 0
    assert "was replaced" not in output
    causes = " ".join(one["cause"] for one in summary["crashes"])
    places = ["in_start", "in_throttle_run", "in_match", "in_action", "in_callback", "in_greenlet"]
    if kind in ("greenlet.GreenletExit()", "user.UserStopped()"):
        places.remove("in_greenlet")  # this is how gevent ends a greenlet
    assert [place for place in places if f" in {place})" not in causes] == [], summary["crashes"]
    assert "trial.in_subscriber, a subscriber of user.added, raised" in output


BOTH_ENDS = """
    import gevent
    import greenlet
    from amoc import user

    def init():
        if IN_INIT:
            raise KIND

    def start(user_id):
        pass

    def terminate():
        raise KIND
"""


@kinds
@pytest.mark.parametrize(
    ("in_init", "code"), [(True, ExitCode.INIT_FAILED), (False, ExitCode.TERMINATE_FAILED)]
)
def test_any_exception_in_init_or_terminate_fails_the_run(
    kind: str, in_init: bool, code: int, scenario: Callable[[str], Path], tmp_path: Path
) -> None:
    file = scenario(BOTH_ENDS.replace("IN_INIT", str(in_init)).replace("KIND", kind))
    with running(file, "--users", "1", *FAST, *ONCE, directory=tmp_path) as run:
        assert run.end() == code, run.output
        assert f"{'init' if in_init else 'terminate'}() of" in run.output
        assert kind.partition("(")[0].rpartition(".")[2] in run.output


DEADLY = """
    import os
    from amoc import setting, user

    def changed(old, new):
        if new == 2:
            os._exit(1)

    pace = setting(1, "Pace", update=changed)

    def start(user_id):
        user.wait_stopping()
"""


@pytest.mark.parametrize("workers", [1, 2])
def test_a_change_that_kills_workers_is_rolled_back(
    workers: int, scenario: Callable[[str], Path], tmp_path: Path
) -> None:
    file = scenario(DEADLY)
    with controlled(
        file,
        *("--users", "4", "--set", "user_rate=inf", "--workers", str(workers)),
        *("--duration", "1h"),
        directory=tmp_path,
    ) as one:
        one.wait_for_users(4)
        answer = one.say("set", "pace=2", code=int(ExitCode.SETTING))
        assert "2 workers were lost while applying pace; nothing was changed" in answer
        one.wait_for_users(4)
        assert "pace is 3 now, was 1" in one.say("set", "pace=3")
        assert one.run.output.count("was replaced") == 2
        one.say("stop")
        assert one.run.end() == ExitCode.OK, one.run.output


SPAWNING = """
    import gevent
    from amoc import AmocError, metrics, receive, user

    def beat(name):
        while True:
            metrics.counter(name).inc()
            gevent.sleep(0.01)

    def start(user_id):
        user.spawn(beat, "own")
        gevent.spawn(beat, "others")
        for _ in range(1000):
            try:
                receive(timeout=0)
            except AmocError:
                pass
        metrics.counter("looked").inc()
        gevent.sleep(0.05)
"""


def test_greenlets_that_outlive_their_user_are_counted_and_reported(
    scenario: Callable[[str], Path], tmp_path: Path
) -> None:
    file = scenario(SPAWNING)
    with running(file, "--users", "6", *FAST, *ONCE, "--duration", "3s", directory=tmp_path) as run:
        assert run.end() == ExitCode.OK, run.output
        summary = run.summary()
    counters = summary["counters"]
    assert counters["greenlets_left"] == counters["looked"] == 6
    assert counters["others"] > counters["own"] > 0
    assert "6 greenlets outlived the users that spawned them" in summary["run"]["notes"]
    assert run.output.count("when they are killed (counted in greenlets_left)") == 2
