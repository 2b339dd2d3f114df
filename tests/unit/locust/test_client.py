"""A locustfile's client: requests sent, responses read and metrics recorded."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from amoc.base.errors import ScenarioError
from amoc.locust import request_errors
from amoc.locust.client import FastHttpSession, HttpSession
from amoc.locust.environment import Environment
from amoc.locust.exceptions import CatchResponseError, LocustError, NotCarried, ResponseError
from amoc.locust.response import Redirected, Response
from amoc.locust.users import FastHttpUser, HttpUser
from tests.unit.http.conftest import Behaviour, Server
from tests.unit.http.support import counters

Serve = Callable[[Behaviour], Server]
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nX-Kind: test\r\n\r\nhello"
GONE = b"HTTP/1.1 404 Not Found\r\nContent-Length: 4\r\n\r\ngone"


def answers(said: bytes) -> Behaviour:
    return lambda *_: said


def client(server: Server, environment: Environment, **config: Any) -> HttpSession:
    return HttpSession(server.url, environment.events.request, None, timeout=60, **config)


def fast(server: Server, environment: Environment) -> FastHttpSession:
    return FastHttpSession(server.url, environment.events.request, None, timeout=60)


def line(server: Server) -> str:
    """The first line of the last request, without the version."""
    return server.heads[-1].split(b" HTTP/")[0].decode()


def test_a_response_behaves_like_one_of_requests(serve: Serve, environment: Environment) -> None:
    answer = client(serve(answers(OK)), environment).get("/hello")
    assert (answer.status_code, answer.ok, answer.reason) == (200, True, "OK")
    assert (answer.text, answer.content) == ("hello", b"hello")
    assert answer.headers["x-kind"] == answer.headers.get("X-KIND") == "test"
    assert answer.elapsed.total_seconds() > 0
    assert answer.url.endswith("/hello")
    assert (answer.request.method, answer.request.url) == ("GET", answer.url)
    assert answer
    assert answer.error is None
    answer.raise_for_status()
    assert list(answer.iter_lines(decode_unicode=True)) == ["hello"]
    assert b"".join(answer.iter_content()) == b"hello"
    with pytest.raises(request_errors.JSONDecodeError):
        answer.json()
    with pytest.raises(json.JSONDecodeError):
        answer.json()


def test_requests_are_named_as_in_locust(serve: Serve, environment: Environment) -> None:
    server = serve(answers(OK))
    slow, quick = client(server, environment), fast(server, environment)
    for one in (slow, quick):
        one.get("/a?b=c")
        one.get("/a", params={"x": [1, 2], "none": None, "y": "ü"})
        one.get("/a b")
        one.get(f"{server.url}/whole")
        one.get("/named", name="/[name]")
        with one.rename_request("renamed"):
            one.post("/a")
            one.post("/b", name="own")
    count = {name.removesuffix(".count"): n for name, n in counters().items() if ".count" in name}
    assert count == {
        "GET /a?b=c": 2,
        "GET /a?x=1&x=2&y=%C3%BC": 1,
        "GET /a": 1,
        "GET /a%20b": 1,
        "GET /a b": 1,
        "GET /whole": 1,
        f"GET {server.url}/whole": 1,
        "GET /[name]": 2,
        "POST renamed": 2,
        "POST own": 2,
        "Aggregated": 14,
    }
    assert b"GET /a?x=1&x=2&y=%C3%BC HTTP" in server.heads[1]


def test_a_path_is_appended_to_the_host(serve: Serve, environment: Environment) -> None:
    server = serve(answers(OK))
    made = HttpSession(f"{server.url}/api/", environment.events.request)
    made.get("/items", params="of=1")
    assert line(server) == "GET /api/items?of=1"
    assert counters()["GET /api/items?of=1.count"] == 1


def test_request_bodies(serve: Serve, environment: Environment) -> None:
    server = serve(answers(OK))
    made = client(server, environment)
    made.post("/", json={"a": 1})
    assert json.loads(server.bodies[-1]) == {"a": 1}
    made.post("/", {"a": "b c", "n": None})
    assert server.bodies[-1] == b"a=b+c"
    assert b"Content-Type: application/x-www-form-urlencoded" in server.heads[-1]
    made.put("/", data="täxt")
    assert server.bodies[-1] == "täxt".encode()
    assert b"content-type" not in server.heads[-1].lower()
    made.patch("/", data=b"\x00\x01")
    assert server.bodies[-1] == b"\x00\x01"
    made.post("/", data=[("a", 1), ("a", 2)])
    assert server.bodies[-1] == b"a=1&a=2"
    made.post("/", data={"title": "a cat"}, files={"file": ("cat.png", b"png", "image/png")})
    assert b'name="title"\r\n\r\na cat' in server.bodies[-1]
    assert b'filename="cat.png"\r\nContent-Type: image/png\r\n\r\npng' in server.bodies[-1]
    made.post("/")
    assert server.bodies[-1] == b""
    fast(server, environment).post("/", json=[1])
    assert b"Accept: application/json" in server.heads[-1]


def test_headers_authentication_and_cookies(serve: Serve, environment: Environment) -> None:
    said = OK.replace(b"X-Kind: test", b"Set-Cookie: token=t1; Path=/")
    server = serve(answers(said))
    made = client(server, environment)
    made.headers.update({"X-Own": "1", "Gone": "2"})
    del made.headers["gone"]
    assert made.get("/", headers={"X-More": "3"}).cookies.get_dict() == {"token": "t1"}
    head = server.heads[-1]
    assert b"X-Own: 1\r\n" in head
    assert b"X-More: 3\r\n" in head
    assert b"Gone" not in head
    assert made.cookies.get("token") == "t1"
    made.headers["x-own"] = "4"
    made.cookies.set("own", "o")
    made.get("/", cookies={"once": "n"}, auth=("ann", "secret"))
    head = server.heads[-1]
    assert b"Cookie: token=t1; own=o; once=n\r\n" in head
    assert b"x-own: 4\r\n" in head
    assert b"Authorization: Basic YW5uOnNlY3JldA==\r\n" in head
    made.auth = ("bob", "pw")
    del made.cookies["token"]
    made.get("/")
    assert b"Authorization: Basic Ym9iOnB3\r\n" in server.heads[-1]
    assert b"Cookie: own=o\r\n" in server.heads[-1]
    made.cookies = {"new": "n"}
    made.headers = {"X-New": "5"}
    made.headers.update({"X-Newer": "6"})
    made.get("/")
    head = server.heads[-1]
    assert b"Cookie: new=n\r\n" in head
    assert b"X-New: 5\r\n" in head
    assert b"X-Newer: 6\r\n" in head
    assert b"own" not in head
    made.cookies.clear()
    assert len(made.cookies) == 0


def test_requests_without_certificate_verification_keep_cookies(
    serve: Serve, environment: Environment
) -> None:
    server = serve(answers(OK.replace(b"X-Kind: test", b"Set-Cookie: token=t1; Path=/")))
    made = client(server, environment)
    made.get("/")
    made.get("/", verify=False)
    assert b"Cookie: token=t1" in server.heads[-1]
    made.verify = False
    made.headers["X-All"] = "1"
    made.get("/")
    assert b"Cookie: token=t1" in server.heads[-1]
    assert b"X-All: 1" in server.heads[-1]
    assert server.connections == 2
    made.close()


def test_redirects(serve: Serve, environment: Environment) -> None:
    away = b"HTTP/1.1 302 Found\r\nLocation: /there\r\nContent-Length: 0\r\n\r\n"
    server = serve(lambda _, head: away if b" /here" in head else OK)
    made = client(server, environment)
    assert made.get("/here").url.endswith("/there")
    assert len(made.get("/here").history) == 1
    assert not made.get("/there").history
    answer = made.get("/here", allow_redirects=False)
    assert (answer.status_code, answer.is_redirect) == (302, True)
    assert made.head("/here").status_code == 302  # as in requests
    assert counters()["GET /here.count"] == 3


def test_an_error_status_is_a_failure_but_raises_nothing(
    serve: Serve, environment: Environment
) -> None:
    made = client(serve(answers(GONE)), environment)
    answer = made.get("/x")
    assert not answer.ok
    with pytest.raises(request_errors.HTTPError, match="404 Client Error: Not Found for") as caught:
        answer.raise_for_status()
    assert caught.value.response is answer
    assert counters()["GET /x.failures.status 404"] == counters()["Aggregated.failures"] == 1


def test_a_failed_connection_yields_a_response_with_status_0(
    serve: Serve, environment: Environment
) -> None:
    server = serve(answers(OK))
    server.close()
    for made, text in ((client(server, environment), ""), (fast(server, environment), None)):
        answer = made.get("/x", name="x")
        assert (answer.status_code, answer.ok, answer.content, answer.text) == (
            0,
            False,
            None,
            text,
        )
        assert isinstance(answer.error, request_errors.ConnectionError)
        with pytest.raises(request_errors.RequestException):
            answer.raise_for_status()
    assert counters()["GET x.failures.ConnectionRefusedError"] == 2


def test_a_timeout_is_a_read_timeout_of_requests(serve: Serve, environment: Environment) -> None:
    made = client(serve(answers(b"")), environment)
    answer = made.get("/x", timeout=(0.02, 0.03))
    assert isinstance(answer.error, request_errors.ReadTimeout)


def test_a_with_block_decides_between_success_and_failure(
    serve: Serve, environment: Environment
) -> None:
    server = serve(lambda _, head: GONE if b" /gone" in head else OK)
    made = client(server, environment)
    with made.get("/gone", catch_response=True) as answer:
        answer.success()
    with made.get("/gone", catch_response=True):
        pass
    with made.get("/ok", catch_response=True) as answer:
        answer.failure("no good")
        with pytest.raises(CatchResponseError, match="no good"):
            answer.raise_for_status()
    with made.get("/ok", catch_response=True) as answer:
        answer.failure(ValueError("too short"))
    with made.get("/ok", catch_response=True):
        raise ResponseError("by the block")
    with made.get("/ok", catch_response=True) as answer:
        pass
    found = counters()
    assert (found["GET /gone.count"], found["GET /gone.failures"]) == (2, 1)
    assert (found["GET /ok.count"], found["GET /ok.failures"]) == (4, 3)
    assert found["GET /ok.failures.no good"] == 1
    assert found["GET /ok.failures.ValueError"] == 1
    assert found["GET /ok.failures.ResponseError"] == 1


def test_a_with_block_may_change_what_is_recorded(serve: Serve, environment: Environment) -> None:
    made = client(serve(answers(OK)), environment)
    with made.get("/", catch_response=True) as answer:
        answer.request_meta["name"] = "/of its own"
        answer.request_meta["response_length"] = 1000
        answer.failure("no")
    found = counters()
    assert found["GET /of its own.failures.no"] == 1
    assert found["GET /of its own.bytes"] == 1000


def test_a_with_block_that_raises_before_a_verdict_is_not_recorded_as_in_locust(
    serve: Serve, environment: Environment
) -> None:
    made = client(serve(answers(OK)), environment)
    with pytest.raises(KeyError), made.get("/", catch_response=True):
        raise KeyError("x")

    def mark(answer: Response) -> None:
        answer.failure("told")
        raise KeyError("x")

    with pytest.raises(KeyError), made.get("/", catch_response=True) as answer:
        mark(answer)
    assert counters()["GET /.count"] == 1


def test_success_and_failure_require_a_with_block(serve: Serve, environment: Environment) -> None:
    made = client(serve(answers(OK)), environment)
    for change in (lambda one: one.success(), lambda one: one.failure("x")):
        with pytest.raises(LocustError, match="catch_response=True"):
            change(made.get("/"))
        with pytest.raises(LocustError, match="with block"):
            change(made.get("/", catch_response=True))
    with pytest.raises(LocustError, match="catch_response=True"), made.get("/"):
        pass


def test_listeners_are_called_for_each_request(serve: Serve, environment: Environment) -> None:
    server = serve(lambda _, head: GONE if b" /gone" in head else OK)
    heard: list[dict[str, Any]] = []
    environment.events.request.add_listener(lambda **told: heard.append(told))

    class Visitor(HttpUser):
        host = server.url

        def context(self) -> dict[str, Any]:
            return {"user": "ann"}

    made = Visitor(environment).client
    made.get("/a", context={"more": 1})
    made.get("/gone", name="g")
    assert [
        (one["request_type"], one["name"], one["response_length"], one["url"]) for one in heard
    ] == [("GET", "/a", 5, f"{server.url}/a"), ("GET", "g", 4, f"{server.url}/gone")]
    assert heard[0]["context"] == {"user": "ann", "more": 1}
    assert heard[0]["exception"] is None
    assert isinstance(heard[1]["exception"], request_errors.HTTPError)
    assert heard[0]["response"].text == "hello"
    assert 0 < heard[0]["response_time"] < 60_000
    assert counters()["GET g.failures.status 404"] == 1  # recorded as without listeners
    assert counters()["GET /a.bytes"] == 5


def test_a_stream_is_read_incrementally_and_its_connection_is_reused(
    serve: Serve, environment: Environment
) -> None:
    said = (
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\na\nb\n\r\n2\r\nc\n\r\n0\r\n\r\n"
    )
    server = serve(answers(said))
    made = fast(server, environment)
    with made.get("/", stream=True, catch_response=True) as answer:
        assert list(answer.iter_lines(decode_unicode=True)) == ["a", "b", "c"]
    assert list(made.iter_lines("/")) == ["a", "b", "c"]
    assert made.get("/", stream=True).content == b"a\nb\nc\n"
    assert made.get("/").text == "a\nb\nc\n"
    assert server.connections == 1
    assert counters()["GET /.count"] == 4


def test_rest_reads_json_and_fails_without_it(serve: Serve, environment: Environment) -> None:
    said = b'HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\n{"a":1}'
    server = serve(lambda _, head: OK if b" /text" in head else said)

    class Visitor(FastHttpUser):
        host = server.url

    user = Visitor(environment)
    with user.rest("POST", "/json", json={}) as answer:
        assert answer.js == {"a": 1}
    with user.rest("GET", "/json"):
        raise AssertionError("wrong number")
    with user.rest("GET", "/json") as answer:
        answer.js["b"]
    with user.rest("GET", "/text", headers={"accept": "text/plain"}) as answer:
        assert answer.js is None
    with user.rest_("GET", "/json?a=b"):
        pass
    found = counters()
    assert found["GET /json.failures"] == 2
    assert found["GET /json.failures.wrong number"] == 1
    assert found["GET /json.failures.KeyError: 'b'"] == 1
    assert found["GET /text.failures"] == 1
    assert found["GET /json?a=b&_=....count"] == 1
    assert b"Accept: application/json" in server.heads[0]
    assert b"accept: text/plain" in server.heads[3]
    user.close()


@pytest.mark.parametrize(
    ("call", "named"),
    [
        (lambda made: made.get("/", hooks={}), "hooks= of a request"),
        (lambda made: made.get("/", auth=object()), "auth=object(…)"),
        (lambda made: made.get("/").links, "response.links"),
        (lambda _: Redirected().url, "response.history[…].url"),
        (lambda made: made.get("/").request.body, "response.request.body"),
        (lambda made: made.mount("https://", None), "client.mount"),
        (lambda made: made.post("/", files={"a": ("n", b"", "t", {})}), "headers of a file"),
    ],
)
def test_unsupported_features_are_named(
    serve: Serve, environment: Environment, call: Callable[[HttpSession], object], named: str
) -> None:
    made = client(serve(answers(OK)), environment)
    with pytest.raises(NotCarried) as caught:
        call(made)
    assert str(caught.value).startswith(named)


def test_text_beside_files_is_an_error(serve: Serve, environment: Environment) -> None:
    made = client(serve(answers(OK)), environment)
    with pytest.raises(ScenarioError, match="data with files must be a form, got str"):
        made.post("/", data="text", files={"a": b""})


def test_a_user_without_a_host_is_an_error(environment: Environment) -> None:
    class Visitor(HttpUser):
        pass

    with pytest.raises(Exception, match="host must be given: --host URL, or host = … in class V"):
        Visitor(environment)
