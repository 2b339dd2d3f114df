"""HTTP within a user: metric names, stopping, pausing, throttling and cleanup."""

from __future__ import annotations

import gc
import gzip
from collections.abc import Callable
from contextlib import suppress
from time import monotonic

import gevent
import pytest
from gevent import socket

from amoc import http, metrics, step
from amoc.base import pause
from amoc.base.clock import now_ns
from amoc.base.waiting import interrupt
from amoc.http import deadlines, meters, names, pools
from amoc.http.cookies import Cookies
from amoc.http.headers import Headers
from amoc.http.urls import parse
from amoc.metrics import put_token
from amoc.users.user import UserStopped

from .conftest import Behaviour, Server
from .support import counters

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
Serve = Callable[[Behaviour], Server]


def eventually(condition: Callable[[], object]) -> None:
    with gevent.Timeout(30):
        while not condition():
            gevent.sleep(0.001)


def test_beyond_the_limit_the_least_recently_used_servers_connections_are_closed(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pools, "MAX_SERVERS", 2)
    server = serve(lambda *_: OK)
    address = server.url.removeprefix("http://")
    with http.session(server.url, dns=lambda _: address) as session:

        def opened(name: str) -> int:
            before = server.connections
            assert session.get(f"http://{name}.example/" if name else "/").ok
            return server.connections - before

        assert [opened(name) for name in ("", "a", "b", "a", "c")] == [1, 1, 1, 0, 1]
        assert [opened(name) for name in ("a", "c", "", "b")] == [0, 0, 0, 1]
        connections = []
        for _ in range(2):
            with session.stream("GET", "http://d.example/") as answer:
                assert answer.stream is not None
                connections.append(answer.stream.connection)
                assert b"".join(answer.chunks()) == b"ok"
        kept = connections[0]
        assert connections == [kept, kept]
        assert kept.is_open
        with session.stream("GET", "http://d.example/") as answer:
            assert [opened(name) for name in ("e", "f")] == [1, 1]
            assert b"".join(answer.chunks()) == b"ok"
        assert not kept.is_open  # its server was evicted while the connection was in use


def test_names_above_the_limit_count_as_other_and_are_counted(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(names, "MAX_NAMES", 5)
    server, beyond = serve(lambda *_: OK), meters.names_beyond.value
    with http.session(server.url) as session:
        for number in range(20):
            session.get(f"/item/{number}")
            session.get(f"/item/{number}?q={number}", name="item")
    found = counters()
    assert sum(n for name, n in found.items() if name.endswith(".count")) == 2 * 40  # Aggregated
    assert found["item.count"] == 20
    assert found["other.count"] == 16
    assert meters.names_beyond.value - beyond == 16


@pytest.mark.parametrize("end", [".count", ".bytes", ".response", ".failures"])
@pytest.mark.parametrize("is_longer_first", [False, True])
def test_a_path_may_end_like_the_metrics_of_another_path(
    serve: Serve, end: str, is_longer_first: bool
) -> None:
    server = serve(lambda *_: OK)
    paths = sorted(("/x", f"/x{end}"), reverse=is_longer_first)
    with http.session(server.url) as session:
        for path in (*paths, *paths):
            assert session.get(path).ok
    found = counters()
    assert found["GET /x.count"] == found[f"GET /x·{end[1:]}.count"] == 2


def test_any_path_yields_a_valid_name(serve: Serve) -> None:
    server = serve(lambda *_: OK)
    with http.session(server.url) as session:
        for path in ("/" + "ü" * 500, "/a\tb", "/x.failures", "/x.failures.y", "/" + "x" * 112):
            assert session.get(path).ok
            assert session.get(path).ok
    found = {name.removesuffix(".count"): n for name, n in counters().items() if ".count" in name}
    assert found.pop("Aggregated") == 10
    assert set(found.values()) == {2}
    assert len(found) == 5
    assert f"GET /{'ü' * 57}…" in found


def test_a_request_within_a_step_is_counted_separately(serve: Serve) -> None:
    server = serve(lambda *_: OK.replace(b"200 OK", b"503 No"))
    with http.session(server.url) as session, step("login"):
        session.get("/")
    found = counters()
    assert (found["GET /.failures"], found["login.failures"]) == (1, 0)
    assert (found["Aggregated.count"], found["Aggregated.failures"]) == (1, 1)


@pytest.mark.parametrize("status", [b"201 Created", b"503 No"])
def test_a_failed_check_fails_the_surrounding_step(serve: Serve, status: bytes) -> None:
    server = serve(lambda *_: OK.replace(b"200 OK", status))
    with http.session(server.url) as session, step("login"):
        session.get("/").check(status=200)
    found = counters()
    assert (found["GET /.failures"], found["login.failures"]) == (1, 1)
    assert found["login.failures.check status"] == 1
    assert (found["Aggregated.count"], found["Aggregated.failures"]) == (1, 1)


def test_several_failed_checks_fail_a_request_once(serve: Serve) -> None:
    server = serve(lambda *_: OK)
    with http.session(server.url) as session:
        answer = session.get("/").check(contains="nothing").check(status=500)
        answer.fail("more")
        assert (answer.ok, answer.cause) == (False, "check contains")
    found = counters()
    assert (found["GET /.count"], found["GET /.failures"]) == (1, 1)
    assert found["Aggregated.failures"] == 1


def test_each_request_is_recorded_once_whatever_its_answer(serve: Serve) -> None:
    packed = gzip.compress(b"packed")
    answers = {
        b"/ok": OK,
        b"/empty": b"HTTP/1.1 204 No Content\r\n\r\n",
        b"/busy": OK.replace(b"200 OK", b"503 Busy"),
        b"/packed": b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n%b"
        % (len(packed), packed),
        b"/broken": b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 2\r\n\r\nno",
        b"/moved": b"HTTP/1.1 302 Found\r\nLocation: /ok\r\nContent-Length: 0\r\n\r\n",
    }
    server = serve(lambda _, head: answers[head.split()[1]])
    kinds = [one.value for one in meters.statuses]
    reused, received = meters.reused.value, meters.bytes_received.value
    with http.session(server.url, raises=False) as session:
        for _ in range(5):
            for path in answers:
                session.get(path.decode())
    found = counters()
    assert {found[f"GET {path.decode()}.count"] for path in answers} == {5}
    assert found["Aggregated.count"] == 30
    assert found["GET /busy.failures"] == found["GET /broken.failures"] == 5
    assert found["Aggregated.failures"] == 10
    assert found["GET /ok.bytes"] == found["GET /moved.bytes"] == 10
    assert found["GET /packed.bytes"] == 30
    timers = {one.name: one.value.count for one in metrics.read() if hasattr(one.value, "count")}
    assert (timers["GET /ok"], timers["GET /empty"], timers["GET /busy"]) == (5, 5, 0)
    assert timers["Aggregated"] == 20
    grown = [one.value - before for one, before in zip(meters.statuses, kinds, strict=True)]
    assert grown == [0, 25, 5, 0, 5]
    assert meters.reused.value - reused == 34
    sizes = sum(map(len, answers.values())) + len(OK)
    assert meters.bytes_received.value - received == 5 * sizes


def test_connections_on_both_sides_of_a_redirect_are_reused(serve: Serve) -> None:
    there = serve(lambda *_: OK)
    moved = b"HTTP/1.1 302 Found\r\nLocation: %b/\r\nContent-Length: 0\r\n\r\n"
    here = serve(lambda *_: moved % there.url.encode())
    with http.session(here.url) as session:
        for _ in range(5):
            assert session.get("/").ok
    assert (here.connections, there.connections) == (1, 1)
    assert (len(here.heads), len(there.heads)) == (5, 5)


def test_stopping_a_user_interrupts_its_wait_for_an_answer(serve: Serve) -> None:
    server = serve(lambda *_: gevent.sleep(60))
    before = meters.unanswered.value
    ended: list[BaseException] = []

    def use() -> None:
        with http.session(server.url) as session:
            try:
                session.get("/")
            except UserStopped as stopped:
                ended.append(stopped)

    one = gevent.spawn(use)
    eventually(lambda: server.heads)
    interrupt(one, UserStopped())
    one.join(30)
    assert len(ended) == 1
    assert meters.unanswered.value == before + 1
    assert counters().get("GET /.count", 0) == 0


def test_pausing_the_run_delays_the_next_request(serve: Serve) -> None:
    server = serve(lambda *_: OK)
    done = []

    def use() -> None:
        with http.session(server.url) as session:
            for number in range(2):
                done.append(session.get("/"))
                if not number:
                    pause.pause()

    one = gevent.spawn(use)
    try:
        eventually(lambda: done)
        gevent.sleep(0.5)
        assert len(server.heads) == 1
    finally:
        pause.resume()
    one.join(30)
    assert len(server.heads) == len(done) == 2
    assert done[1].elapsed_s < 0.5  # excludes the pause
    pause.reset()


def test_a_throttled_request_records_a_response_time(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = serve(lambda *_: OK)

    def use() -> None:
        with http.session(server.url) as session:
            put_token(gevent.getcurrent(), now_ns() - 5_000_000_000)
            session.get("/late")
            session.get("/without")

    gevent.spawn(use).get()
    timers = {one.name: one.value for one in metrics.read() if hasattr(one.value, "count")}
    assert timers["GET /late.response"].count == 1
    assert timers["GET /late.response"].quantiles_s(0.5)[0] > 4.9
    assert timers["GET /late"].quantiles_s(0.5)[0] < 4
    assert "GET /without.response" not in timers


def test_finished_requests_leave_nothing_for_the_garbage_collector(serve: Serve) -> None:
    server = serve(lambda *_: OK)

    def use() -> None:
        for said in (OK, b"nonsense", OK[:-1] + b"!!", OK.replace(b"200", b"503")):
            server.behave = lambda *_, said=said: said
            with http.session(server.url, raises=False) as session:
                session.get("/")
                with session.stream("GET", "/") as answer:
                    list(answer.chunks())
            with suppress(http.RequestError), http.session(server.url) as session:
                session.post("/", json={})

    def one_round() -> None:
        gevent.spawn(use).get()
        gevent.sleep(0.01)  # the loop releases its pending callbacks

    one_round()  # creates everything that is created only once
    gc.collect()
    gc.disable()
    try:
        for _ in range(10):
            one_round()
        gc.set_debug(gc.DEBUG_SAVEALL)  # garbage is kept in gc.garbage instead of being freed
        gc.collect()
        ours = {type(one).__name__ for one in gc.garbage if type(one).__module__ != "builtins"}
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
        gc.enable()
    assert not ours & {"Answer", "Call", "Connection", "Reader", "Session", "Stream"}
    assert not any(name.endswith(("Error", "Early", "Answer")) for name in ours)


def test_dropping_a_session_closes_its_connections(serve: Serve) -> None:
    gone = []

    def behave(sock: socket.socket, _: bytes) -> None:
        sock.sendall(OK)
        gone.append(sock.recv(1))

    server = serve(behave)
    session = http.session(server.url)
    session.get("/")
    del session
    eventually(lambda: gone)
    assert gone == [b""]


class _Limited:
    """An operation with a time limit that records when it expires."""

    def __init__(self, name: object, told: list[tuple[object, float]]) -> None:
        self.since_ns = 0
        self._name = name
        self._told = told

    def begin(self, queue: deadlines.Deadlines, ago_s: float = 0.0) -> None:
        self.since_ns = now_ns() - int(ago_s * 1e9)
        queue.watch(self)
        if self.since_ns < queue.queued_ns:
            queue.join(self)

    def overdue(self) -> None:
        assert self.since_ns == deadlines.TOLD
        self._told.append((self._name, monotonic()))


def test_deadlines_expire_in_order_and_only_for_watched_operations() -> None:
    told: list[tuple[int, float]] = []
    queue = deadlines.Deadlines(0.05)
    begun = {}
    ones = [_Limited(number, told) for number in range(20)]
    for number, one in enumerate(ones):
        begun[number] = monotonic()
        one.begin(queue)
        gevent.sleep(0.002)
    for one in ones[::2]:
        queue.unwatch(one)
    late = {number for number, _ in told}
    eventually(lambda: len(told) == 10 + len(late & set(range(0, 20, 2))))
    assert [number for number, _ in told] == sorted(number for number, _ in told)
    assert set(range(1, 20, 2)) <= {number for number, _ in told}
    assert all(at - begun[number] >= 0.049 for number, at in told)
    assert len(told) == len(dict(told))


def test_a_late_joiner_expires_by_its_own_start_time() -> None:
    told: list[tuple[str, float]] = []
    queue = deadlines.Deadlines(60)
    agos = {"early": 0.0, "late": 59.95, "too late": 99.0, "ended": 59.9, "gone": 59.9}
    ones = {name: _Limited(name, told) for name in agos}
    for name, ago_s in agos.items():
        ones[name].begin(queue, ago_s)
    ones["ended"].since_ns = 0
    queue.unwatch(ones["gone"])
    eventually(lambda: len(told) >= 2)
    gevent.sleep(0.15)
    assert [name for name, _ in told] == ["too late", "late"]


def test_a_restarted_operation_gets_its_full_time_and_each_expires_once() -> None:
    told: list[tuple[str, float]] = []
    queue = deadlines.Deadlines(0.05)
    again, once, later = (_Limited(name, told) for name in ("again", "once", "later"))
    for one in (again, once, later):
        one.begin(queue)
    later.since_ns = 0
    end = monotonic() + 0.2
    begun = 0.0
    while monotonic() < end:
        again.since_ns, begun = now_ns(), monotonic()  # like the next request on a connection
        gevent.sleep(0.01)
    assert [name for name, _ in told] == ["once"]
    later.since_ns = now_ns()
    assert later.since_ns >= queue.queued_ns  # so it need not join the queue again
    eventually(lambda: len(told) == 3)
    assert [name for name, _ in told] == ["once", "again", "later"]
    assert told[1][1] - begun >= 0.049
    eventually(lambda: queue.queued_ns > now_ns())  # the queue is empty and nothing is watched


class _Chained(_Limited):
    """An operation whose user starts another one as soon as it expires."""

    def __init__(self, after: Callable[[], object], told: list[tuple[object, float]]) -> None:
        super().__init__("told", told)
        self._after = after

    def overdue(self) -> None:
        super().overdue()
        self._after()


def test_an_operation_begun_while_another_expires_has_a_time_limit() -> None:
    told: list[tuple[object, float]] = []
    queue = deadlines.Deadlines(0.02)
    ended, begun, other = (_Limited(name, told) for name in ("ended", "begun", "other"))

    def go_on() -> None:
        begun.begin(queue)
        queue.unwatch(other)
        other.since_ns = 0

    first = _Chained(go_on, told)
    for one in (ended, first, other):
        one.begin(queue)
    assert first.since_ns >= queue.queued_ns  # so only the one that ends is in the queue
    ended.since_ns = 0
    late = monotonic() + 0.06
    while monotonic() < late:
        pass  # a busy loop delays the others, so they are overdue when they are queued
    eventually(lambda: len(told) == 2)
    assert [name for name, _ in told] == ["told", "begun"]


def test_cookies_are_sent_only_where_they_belong() -> None:
    here = parse("http://shop.example/cart/x")
    cookies = Cookies()

    def answer(*lines: str) -> None:
        cookies.take(Headers([("Set-Cookie", line) for line in lines]), here)

    answer("a=1; Path=/", "b=2; Path=/cart", "c=3; Secure; Path=/", "d=4; Domain=evil.example")
    assert set(cookies.header(here).split("; ")) == {"a=1", "b=2"}
    assert cookies.header(parse("http://shop.example/")) == "a=1"
    assert cookies.header(parse("http://other.example/")) == ""
    assert set(cookies.header(parse("https://shop.example/")).split("; ")) == {"a=1", "c=3"}
    answer("b=; Max-Age=0; Path=/cart")
    assert cookies.header(here) == cookies.header(here) == "a=1"
    answer("a=9; Path=/")
    assert cookies.header(here) == "a=9"
    assert (cookies["a"], "d" in cookies) == ("9", False)
    answer(*(f"n{number}=x; Path=/" for number in range(1500)))
    assert len(cookies) == 1000
    cookies.clear()
    assert (cookies.header(here), cookies.any) == ("", False)
