"""Requests: what is sent where, what is refused, and what failed requests leave behind."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import gevent
import pytest

from amoc import http
from amoc.base.errors import ScenarioError
from amoc.base.redaction import HIDDEN
from amoc.http import meters, urls
from amoc.steps import tracing

from .conftest import Behaviour, Server
from .support import counters

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
Serve = Callable[[Behaviour], Server]


def redirect_to(where: str) -> Behaviour:
    return lambda *_: (
        f"HTTP/1.1 302 Found\r\nLocation: {where}\r\nContent-Length: 0\r\n\r\n".encode()
    )


def sockets() -> int:
    found = 0
    for one in Path("/proc/self/fd").iterdir():
        with suppress(OSError):
            found += str(one.readlink()).startswith("socket:")
    return found


@pytest.mark.parametrize("has_base", [False, True])
def test_a_redirect_to_another_server_drops_secrets_and_the_host_header(
    serve: Serve, has_base: bool
) -> None:
    other = serve(lambda *_: OK)
    server = serve(redirect_to(f"{other.url}/there"))
    with http.session(
        server.url if has_base else "",
        auth=("ann", "pw"),
        headers={"Cookie": "a=b", "Host": "shop.example", "X-Kept": "1"},
    ) as session:
        assert session.get(f"{server.url}/here").ok
    here, there = server.heads[0].lower(), other.heads[0].lower()
    assert b"authorization:" in here
    assert b"cookie:" in here
    assert b"host: shop.example" in here
    assert b"authorization:" not in there
    assert b"cookie:" not in there
    assert f"host: 127.0.0.1:{other.port}".encode() in there
    assert b"x-kept: 1" in there


def test_credentials_in_a_url_are_sent_but_not_part_of_the_name(serve: Serve) -> None:
    server = serve(lambda *_: OK)
    url = server.url.replace("//", "//ann:pw@")
    with http.session() as session:
        assert session.get(f"{url}/x?y=1#z").name == f"GET {server.url}/x"
        session.get(f"{url}/x", auth=http.bearer("abc"))
    assert b"Authorization: Basic YW5uOnB3\r\n" in server.heads[0]
    assert b"Authorization: Bearer abc\r\n" in server.heads[1]
    assert not [name for name in counters() if "pw" in name]


def test_error_messages_hide_secrets(serve: Serve) -> None:
    server = serve(lambda *_: b"nonsense")
    with http.session(server.url) as session:
        with pytest.raises(http.MalformedAnswer) as failed:
            session.get("/x?access_token=abc&page=2")
        with pytest.raises(ScenarioError) as refused:
            session.get("/", headers={"Authorization": "Bearer abc\n"})
    assert f"/x?access_token={HIDDEN}&page=2: " in str(failed.value)
    assert str(refused.value) == "header Authorization must have a value in one line"
    for url in ("http://ann:secret@host:99999", "ftp://ann:secret@host", "http://ann:secret@[x/"):
        with pytest.raises(ScenarioError) as refused:
            urls.parse(url)
        assert "secret" not in str(refused.value)


@pytest.mark.parametrize("value", ["a\r\nX-Evil: 1", "a; b=c", "€", 5])
def test_an_invalid_cookie_is_refused(value: str) -> None:
    with pytest.raises(ScenarioError, match="cookie 'n' must have a value"):
        http.session("http://127.0.0.1:1", cookies={"n": value})


def test_framing_headers_cannot_be_set_by_hand(serve: Serve) -> None:
    server = serve(lambda *_: OK)
    with http.session(server.url) as session:
        for name in ("content-length", "Transfer-Encoding"):
            with pytest.raises(ScenarioError, match="must be left to the body"):
                session.post("/", data=b"abc", headers={name: "3"})
    assert not server.heads


@pytest.mark.parametrize("piece", [5, None, [b"x"]])
def test_a_piece_of_a_body_that_is_not_bytes_is_refused(serve: Serve, piece: object) -> None:
    server = serve(lambda *_: OK)
    with http.session(server.url) as session, pytest.raises(ScenarioError, match="must be bytes"):
        session.post("/", data=[b"a", piece])  # type: ignore[list-item]


def test_a_single_allowed_status_may_be_a_number(serve: Serve) -> None:
    server = serve(lambda *_: OK.replace(b"200", b"404"))
    with http.session(server.url) as session:
        assert session.get("/", allow=404).ok
        assert session.get("/", allow=402).cause == "status 404"


@pytest.mark.parametrize("limit", ["redirects", "max_body", "max_idle"])
def test_a_negative_limit_is_refused(limit: str) -> None:
    with pytest.raises(ScenarioError, match=f"{limit} must be at least 0, got -1"):
        http.session("http://127.0.0.1", **{limit: -1})


def test_requests_that_fail_outside_an_exchange_leave_no_connection_open(serve: Serve) -> None:
    server = serve(redirect_to("/again"))
    with http.session(server.url, redirects=1) as session:
        with pytest.raises(http.RedirectError):
            session.get("/")
        before = sockets()
        for _ in range(5):
            with pytest.raises(http.RedirectError):
                session.get("/")
            with pytest.raises(ScenarioError):
                session.get("/", headers={"X": "\n"})
        assert sockets() == before
    assert server.connections == 1


def test_only_requests_of_killed_users_count_as_unanswered(serve: Serve) -> None:
    before = meters.unanswered.value
    server = serve(lambda *_: gevent.sleep(30))
    with http.session(server.url) as session:
        with pytest.raises(ScenarioError):
            session.get("/bad", headers={"X": "\n"})
        with pytest.raises(gevent.Timeout), gevent.Timeout(0.05):
            session.get("/slow")
        killed = gevent.spawn(session.get, "/killed")
        with gevent.Timeout(30):
            while not any(b"/killed" in head for head in server.heads):
                gevent.sleep(0.001)
        killed.kill()
    found = counters()
    assert found["GET /bad.failures.ScenarioError"] == 1
    assert found["GET /slow.failures.Timeout"] == 1
    assert found["GET /killed.count"] == 0
    assert meters.unanswered.value == before + 1


def test_checks_of_requests_above_the_name_limit_count_as_other(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("amoc.http.names.MAX_NAMES", 1)
    server = serve(lambda *_: OK)
    with http.session(server.url) as session:
        session.get("/").check(status=201)
        for number in range(3):
            session.get(f"/{number}").check(status=201)
        session.get("/", name="x" * 200).check(status=201)
    found = counters()
    assert found["other.count"] == found["other.failures"] == 4
    assert not [name for name in found if name.startswith(("GET /0", "x"))]


def test_only_traced_requests_carry_a_traceparent_header(serve: Serve) -> None:
    server = serve(lambda *_: OK)
    spans: list[tracing.Span] = []
    with http.session(server.url) as session:
        session.get("/off")
    tracing.begin(1.0, spans.append)
    try:
        with http.session(server.url) as session:
            session.get("/on")
            session.get("/own", headers={"Traceparent": "mine"})
    finally:
        tracing.end()
    with http.session(server.url) as session:
        session.get("/off")
    off, on, own, after = [head.lower() for head in server.heads]
    assert b"traceparent" not in off + after
    trace = f"00-{spans[0].trace_id:032x}-{spans[0].span_id:016x}-01"
    assert f"\r\ntraceparent: {trace}\r\n".encode() in on
    assert own.count(b"traceparent") == 1
    assert b"\r\ntraceparent: mine\r\n" in own
    assert [one.name for one in spans] == ["GET /on", "GET /own"]
    assert spans[0].attributes["http.response.status_code"] == 200
    assert spans[0].attributes["server.port"] == server.port
