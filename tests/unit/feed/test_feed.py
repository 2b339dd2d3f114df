"""Feeds in one process: how rows are handed out, where they end, and what is refused."""

from __future__ import annotations

import sys
from collections import Counter

import gevent
import pytest

from amoc import feed, metrics
from amoc.base.context import WorkerContext
from amoc.base.errors import ScenarioError
from amoc.feed import registry
from amoc.ipc import rpc
from amoc.metrics.board import UserState
from amoc.metrics.registry import Registry
from amoc.scenario import settings
from amoc.scenario.facts import RunFacts
from amoc.users import api as user_module
from amoc.users.spawned import note_spawned, stop_noting_spawned
from tests.unit.users.test_user import Crowd, begin, wait_gone

NUMBERS = [{"n": n} for n in range(5)]


@pytest.fixture(autouse=True)
def own_metrics():
    with Registry().activated(), registry.separate():
        yield


def used(name="rows"):
    return metrics.built_in(metrics.Counter, f"feed.{name}.used").value


def crowd_of(start, users=1, **settings):
    """Run `start` in users until they have left; return their pool."""
    crowd = Crowd(start, **settings)
    for user_id in range(1, users + 1):
        begin(crowd, user_id)
    wait_gone(crowd, users)
    return crowd


def test_unique_rows_are_given_once_in_order_then_the_user_ends():
    rows, seen = feed.rows(NUMBERS, order="unique"), []
    crowd = crowd_of(lambda _: seen.append(rows.next()["n"]), repeat_num=100)
    assert seen == [0, 1, 2, 3, 4]
    assert (crowd.state(), crowd.crashes, used()) == (UserState.FINISHED, [], 5)
    assert metrics.built_in(metrics.Counter, "feed.rows.users_stopped").value == 1


def test_a_user_may_catch_the_end_of_a_feed_and_continue():
    rows, caught = feed.rows([{"n": 1}]), []

    def start(_):
        rows.next()
        try:
            rows.next()
        except feed.Exhausted as end:
            caught.append(str(end))
        user_module.sleep(0)
        caught.append("goes on")

    assert crowd_of(start).crashes == []
    assert caught == ["feed rows has no row left", "goes on"]
    assert metrics.built_in(metrics.Counter, "feed.rows.users_stopped").value == 0


@pytest.mark.parametrize("how", [{"order": "circular"}, {"order": "unique", "at_end": "wrap"}])
def test_a_circular_feed_starts_again(how):
    rows = feed.rows(NUMBERS, **how)
    assert [rows.next()["n"] for _ in range(12)] == [0, 1, 2, 3, 4, 0, 1, 2, 3, 4, 0, 1]


def test_blocks_of_a_circular_feed_wrap_around_its_end():
    rows = feed.rows([{"n": n} for n in range(100)], order="circular")
    assert [rows.next()["n"] for _ in range(1_000)] == [n % 100 for n in range(1_000)]


def test_a_user_crashes_at_the_end_of_a_feed_with_at_end_fail():
    rows = feed.rows(NUMBERS, at_end="fail", name="accounts")
    crowd = crowd_of(lambda _: rows.next(), users=6)
    assert [str(one) for one in crowd.crashes] == [
        "feed accounts has no row left of 5 (at_end is fail)"
    ]


def test_with_share_user_each_user_reads_all_rows():
    rows, seen = feed.rows(NUMBERS, share="user"), []

    def start(user_id):
        seen.append((user_id, rows.next()["n"]))
        user_module.sleep(0)

    crowd = crowd_of(start, users=2, repeat_num=100)
    assert [n for user_id, n in seen if user_id == 1] == [0, 1, 2, 3, 4]
    assert [n for user_id, n in seen if user_id == 2] == [0, 1, 2, 3, 4]
    assert (crowd.crashes, used()) == ([], 10)


def test_with_share_user_each_user_wraps_on_its_own():
    rows, seen = feed.rows(NUMBERS, order="circular", share="user"), []
    crowd_of(lambda _: seen.append(rows.next()["n"]), repeat_num=7)
    assert seen == [0, 1, 2, 3, 4, 0, 1]


def test_random_rows_are_reproducible_by_seed():
    rows = feed.rows([{"n": n} for n in range(1_000)], order="random")

    def drawn(seed):
        seen = []
        crowd_of(lambda _: seen.extend(rows.next()["n"] for _ in range(200)), seed=seed)
        return seen

    first = drawn(1)
    assert drawn(1) == first != drawn(2)
    assert Counter(first).most_common(1)[0][1] < 10  # drawn from all of them


def test_a_row_is_a_copy_that_the_user_may_change():
    rows = feed.rows([{"n": 1}], order="circular")
    rows.next()["n"] = 2
    assert rows.next() == {"n": 1}


def test_a_spawned_greenlet_reads_its_users_rows():
    rows, seen = feed.rows(NUMBERS, share="user"), []

    def start(_):
        seen.append(rows.next()["n"])
        one = user_module.spawn(lambda: seen.append(rows.next()["n"]))
        gevent.joinall([one], raise_error=True)
        seen.append(rows.next()["n"])

    note_spawned()
    try:
        crowd = crowd_of(start)
    finally:
        stop_noting_spawned()
    assert (seen, crowd.crashes) == ([0, 1, 2], [])


def test_a_path_is_relative_to_the_code_that_names_it(tmp_path, monkeypatch):
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "a.csv").write_text("n\n1\n")
    (tmp_path / "b.jsonl").write_text('{"n": 2}\n')
    scenario = tmp_path / "beside.py"
    scenario.write_text(
        "from amoc import feed\na = feed.csv('data/a.csv')\nb = feed.jsonl('b.jsonl', 'circular')\n"
    )
    namespace = {"__name__": "beside"}
    exec(compile(scenario.read_text(), scenario, "exec"), namespace)
    assert str(namespace["a"]) == "feed data/a.csv: 1 row, unique, by run"
    assert namespace["a"].next() == {"n": "1"}
    assert namespace["b"].next() == namespace["b"].next() == {"n": 2}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"order": "ordered"}, "order of feed rows must be one of unique, circular, random, got"),
        ({"share": "worker"}, "share of feed rows must be one of run, user, got 'worker'"),
        ({"at_end": "loop"}, "at_end of feed rows must be one of stop, wrap, fail, got 'loop'"),
        ({"at_end": "stop", "order": "random"}, "at_end of feed rows requires order unique, got"),
        ({"name": ""}, "the name of a feed must be text of 1 to 200 characters"),
    ],
)
def test_invalid_arguments_are_refused(arguments, message):
    with pytest.raises(ScenarioError, match=message):
        feed.rows(NUMBERS, **arguments)
    with pytest.raises(ScenarioError, match="the delimiter of a feed must be one character"):
        feed.csv("a.csv", delimiter=", ")
    with pytest.raises(ScenarioError, match=r"other than a quote or line break, got '\\n'"):
        feed.csv("a.csv", delimiter="\n")
    with pytest.raises(ScenarioError, match="the path of a feed must be text, got 7"):
        feed.csv(7)


def test_feeds_are_declared_before_users_start_and_read_only_by_users():
    rows = feed.rows(NUMBERS)
    worker, supervisor = WorkerContext(), WorkerContext()
    worker.set(rpc.Handler, rpc.Handler())
    supervisor.process = "supervisor"
    with worker.activated(), pytest.raises(ScenarioError, match=r"feed\.rows\(\) must be called"):
        feed.rows(NUMBERS)
    not_now = pytest.raises(ScenarioError, match=r"next\(\) is for users of a run, not for in")
    with rpc.recording(), not_now:
        feed.rows(NUMBERS, name="made in init").next()
    with supervisor.activated(), not_now:
        rows.next()
    settings.importing(True)
    try:
        with not_now:
            feed.rows(NUMBERS, name="of a module").next()
    finally:
        settings.importing(False)
    assert rows.next() == NUMBERS[0]


def module(name, file, source, monkeypatch):
    """Make a module as if imported from its own file."""
    made = type(sys)(name)
    made.__file__ = str(file)
    monkeypatch.setitem(sys.modules, name, made)
    exec(compile(source, file, "exec"), made.__dict__)


def test_two_feeds_of_one_name_are_refused_unless_a_module_was_replaced(tmp_path, monkeypatch):
    source = "from amoc import feed\nrows = feed.rows([1], name={!r})\n"
    module("some_scenario", tmp_path / "one.py", source.format("some rows"), monkeypatch)
    module("some_scenario", tmp_path / "two.py", source.format("some rows"), monkeypatch)
    mine = [one for one in registry.declared() if one.name == "some rows"]
    assert len(mine) == 1
    assert (registry.DECLARE, ("some rows", "unique", "run", 1, False, "")) in registry.calls()
    module("another", tmp_path / "three.py", source.format("some rows"), monkeypatch)
    assert len(registry.declared()) == 2
    with pytest.raises(ScenarioError, match="got it in line 2 of some_scenario and line 2 of ano"):
        registry.calls()


def test_feeds_are_assigned_to_the_scenario_that_declares_them(tmp_path, monkeypatch):
    source = "from amoc import feed\nrows = feed.rows([1], name={!r})\n"
    here = WorkerContext()
    here.set(RunFacts, RunFacts(is_part=True, scenario=str(tmp_path / "buy.py")))
    with registry.separate(), here.activated():
        module("buy", tmp_path / "buy.py", source.format("its own"), monkeypatch)
        module("shop", tmp_path / "shop.py", source.format("for all"), monkeypatch)
        calls = {arguments[0]: arguments[-1] for _, arguments in registry.calls()}
    assert calls == {"its own": str(tmp_path / "buy.py"), "for all": ""}
