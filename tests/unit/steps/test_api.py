"""Steps and checks as scenarios use them."""

from __future__ import annotations

from contextlib import nullcontext

import gevent
import pytest
from gevent import getcurrent
from greenlet import GreenletExit
from hypothesis import given
from hypothesis import strategies as st

from amoc import check, metrics, step
from amoc.base.clock import MS_NS, S_NS, now_ns
from amoc.base.errors import ScenarioError
from amoc.base.loop_guard import Killed
from amoc.metrics import registry
from amoc.metrics.histogram import Histogram
from amoc.steps import recorder

from .test_recorder import counters, timer


@pytest.fixture(autouse=True)
def own_metrics():
    with registry.Registry().activated():
        yield


def row(name: str) -> tuple[int, int, dict[str, int]]:
    """Return a step's count, its failures, and failures by cause."""
    found = counters()
    cause = f"{name}.failures."
    causes = {one.removeprefix(cause): n for one, n in found.items() if one.startswith(cause)}
    return found[f"{name}.count"], found[f"{name}.failures"], causes


def test_a_block_is_counted_and_timed():
    for _ in range(3):
        with step("login"):
            gevent.sleep(0.001)
    assert row("login") == (3, 0, {})
    assert timer("login").count == 3
    assert timer("login").quantiles_s(0.0)[0] >= 0.001
    assert timer("Aggregated") == timer("login")


def test_an_exception_in_a_block_fails_the_step_and_propagates():
    with pytest.raises(ConnectionRefusedError), step("login"):
        raise ConnectionRefusedError("nobody listens")
    assert row("login") == (1, 1, {"ConnectionRefusedError": 1})
    assert row("Aggregated") == (1, 1, {})
    assert not timer("login").cells


def test_an_expected_exception_fails_the_step_and_is_swallowed():
    with step("pay", expected=(TimeoutError, KeyError)):
        raise TimeoutError
    with pytest.raises(ValueError, match="other"), step("pay", expected=TimeoutError):
        raise ValueError("other")
    assert row("pay") == (2, 2, {"TimeoutError": 1, "ValueError": 1})


def test_a_gevent_timeout_is_a_failure():
    with gevent.Timeout(0.01, False), step("slow"):
        gevent.sleep(10)
    assert row("slow") == (1, 1, {"Timeout": 1})


@pytest.mark.parametrize("end", [Killed, GreenletExit])
def test_a_step_whose_user_is_killed_is_not_counted(end: type[BaseException]):
    with pytest.raises(end), step("long"):
        raise end
    assert row("long") == (0, 0, {})
    assert not timer("long").cells


def test_fail_counts_once_and_the_block_continues():
    went_on = False
    with step("pay") as this:
        this.fail("payment refused", "no money")
        this.fail("too late")
        went_on = True
    assert went_on
    assert this.failed
    assert row("pay") == (1, 1, {"payment refused": 1})


def test_a_decorated_function_is_a_step():
    @step
    def browse(item: int) -> int:
        return item + 1

    @step("buy", group="shop", expected=ValueError)
    def buy() -> str:
        raise ValueError

    assert [browse(1), browse(item=2)] == [2, 3]
    assert browse.__name__ == "browse"
    assert buy() is None
    assert row("browse") == (2, 0, {})
    assert row("shop: buy") == (1, 1, {"ValueError": 1})


def test_a_decorated_function_may_call_itself():
    @step("down")
    def down(n: int) -> None:
        if n:
            down(n - 1)

    down(3)
    assert row("down")[0] == 4
    assert row("Aggregated")[0] == 1  # only the innermost


def test_a_generator_function_cannot_be_a_step():
    with pytest.raises(ScenarioError, match="generator"):

        @step
        def pages():
            yield 1

    with pytest.raises(ScenarioError, match="must be text"):
        step(7)


def test_a_failed_check_fails_the_innermost_step():
    with step("buy"):
        with step("pay"):
            assert check("has a price", 3 > 2) is True
            assert check("total is right", [] != [], "3 and 4") is False
        assert check("is quick", 1)
    found = counters()
    assert (found["total is right.passed"], found["total is right.failed"]) == (0, 1)
    assert found["has a price.passed"] == found["is quick.passed"] == 1
    assert row("pay") == (1, 1, {"check total is right": 1})
    assert row("buy") == (1, 0, {})


def test_a_check_outside_a_step_is_counted_alone():
    assert not check("total is right", None)
    assert counters() == {"total is right.passed": 0, "total is right.failed": 1}


@pytest.mark.parametrize("is_step_first", [False, True])
def test_a_step_cannot_have_the_name_of_a_checks_counter(is_step_first: bool):
    calls = [lambda: check("total", True), lambda: step("total.failed")]
    if is_step_first:
        calls.reverse()
    calls[0]()
    with pytest.raises(ScenarioError, match=r"'total\.failed' is a"):
        calls[1]()


def test_steps_that_contain_others_are_not_requests():
    with step("buy"):
        with step("cart"):
            pass
        recorder.record("POST /pay", 5)
    assert row("Aggregated") == (2, 0, {})


def test_a_failed_outer_step_counts_one_of_its_requests_as_failed():
    with step("buy") as this:
        recorder.record("POST /pay", 5)
        this.fail("payment refused")
    assert row("Aggregated") == (1, 1, {})
    assert row("POST /pay") == (1, 0, {})


def test_a_failure_that_propagates_through_outer_steps_counts_once():
    @step("cart")
    def cart() -> None:
        recorder.record("POST /pay", 5)
        raise ConnectionError("gone")

    with pytest.raises(ConnectionError, match="gone"), step("all"), step("buy"):
        cart()
    assert row("Aggregated") == (1, 1, {})
    assert [row(name)[1] for name in ("all", "buy", "cart")] == [1, 1, 1]


_trees = st.recursive(
    st.tuples(st.booleans(), st.just(())),
    lambda inner: st.tuples(st.booleans(), st.lists(inner, max_size=3).map(tuple)),
    max_leaves=8,
)


def _execute(tree: tuple[bool, tuple]) -> tuple[int, int]:
    """Execute nested steps; return the number of requests and of failures that count."""
    fails, inner = tree
    with step("any") as this:
        found = [_execute(one) for one in inner]
        if fails:
            this.fail("no")
    requests = sum(one for one, _ in found) or 1
    failures = sum(one for _, one in found) or int(fails)
    return requests, failures


@given(_trees)
def test_each_request_counts_once_and_each_failure_is_counted(tree):
    with registry.Registry().activated():
        requests, failures = _execute(tree)
        assert row("Aggregated")[:2] == (requests, failures)
        assert failures <= requests


def test_steps_of_other_greenlets_are_not_nested():
    with step("outer"):
        gevent.spawn(lambda: step("other").__enter__().__exit__(None, None, None)).join()
    assert row("Aggregated")[0] == 2
    assert getattr(getcurrent(), "open_step", None) is None


def test_under_a_throttle_the_response_time_is_recorded_once():
    metrics.put_token(getcurrent(), now_ns() - S_NS, of_slot=False)
    with step("turn"), step("inner"):
        pass
    with step("turn"):
        pass
    assert timer("turn.response").count == 1
    assert timer("turn.response").quantiles_s(0.5)[0] >= 0.99
    assert timer("turn").count == 2


TURNS = st.lists(st.tuples(st.sampled_from("ab"), st.integers(0, 5000), st.booleans()), max_size=20)


@given(TURNS)
def test_the_aggregated_response_times_are_the_sum_of_all_requests(turns):
    """Including missed turns; a step that contains others is not a request."""

    def user() -> None:
        slot_ns = now_ns() - 120 * S_NS
        for name, later_ms, within in turns:
            slot_ns += later_ms * MS_NS
            metrics.put_token(getcurrent(), slot_ns)
            with step("around") if within else nullcontext(), step(name):
                pass

    with registry.Registry().activated():
        gevent.spawn(user).join()
        names = {name for name, _, _ in turns}
        every = Histogram()
        for name in names:
            one = timer(f"{name}.response")
            every.add(one.cells, one.max_ns)
        assert every.count >= len(turns)
        if names:
            assert timer("Aggregated.response") == every


def test_a_failed_step_uses_up_its_token():
    metrics.put_token(getcurrent(), now_ns(), of_slot=False)
    with step("turn") as this:
        this.fail("no")
    assert getcurrent().throttle_token is None
    assert "turn.response" not in {name for name, _ in registry.current.declared()}


def test_bytes_of_a_step():
    with step("page") as this:
        this.read(100)
        this.read(20)
    assert counters()["page.bytes"] == counters()["Aggregated.bytes"] == 120


def test_a_step_reads_zero_before_it_is_executed():
    step("later")
    assert row("later") == (0, 0, {})
    assert timer("later") == Histogram()
