"""`amoc.http` against nginx and httpbin: each feature, as a scenario uses it."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from pathlib import Path

import gevent
import pytest
from gevent import socket
from gevent.server import StreamServer

from amoc import http
from amoc.base.errors import ScenarioError
from amoc.http import meters
from amoc.metrics import registry
from tests.certificates import Authority
from tests.servers.httpbin import HttpBin
from tests.servers.web import Web
from tests.unit.http.support import counters


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def web(tmp_path_factory: pytest.TempPathFactory, authority: Authority) -> Iterator[Web]:
    certificate = authority.issue("web.pem", ["localhost", "127.0.0.1"])
    with Web(tmp_path_factory.mktemp("web"), certificate) as server:
        yield server


@pytest.fixture(scope="module")
def httpbin(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HttpBin]:
    with HttpBin(tmp_path_factory.mktemp("httpbin")) as server:
        yield server


@pytest.fixture
def bin_(httpbin: HttpBin) -> Iterator[http.Session]:
    """A session with httpbin, and a metrics registry for this test."""
    with (
        registry.Registry().activated(),
        http.session(httpbin.url, timeout=60, connect_timeout=60) as session,
    ):
        yield session


@pytest.fixture
def shop(web: Web) -> Iterator[http.Session]:
    """A session with nginx, and a metrics registry for this test."""
    with (
        registry.Registry().activated(),
        http.session(web.url, timeout=60, connect_timeout=60) as session,
    ):
        yield session


def test_methods(bin_: http.Session) -> None:
    for method in ("GET", "POST", "PUT", "PATCH", "DELETE"):
        call = getattr(bin_, method.lower())
        answer = call(f"/{method.lower()}", headers={"X-Own": "yes"}).check(status=200)
        assert answer.json()["headers"]["X-Own"] == "yes"
        assert answer.json()["headers"]["User-Agent"] == "amoc"
    assert bin_.head("/get").bytes == b""
    assert "GET" in bin_.options("/get").headers["allow"]


def test_queries_paths_and_names(bin_: http.Session) -> None:
    answer = bin_.get("/get?x=0", params={"a": "b c&d", "n": [1, 2], "no": None, "ü": "é"})
    assert answer.json()["args"] == {"x": "0", "a": "b c&d", "n": ["1", "2"], "ü": "é"}
    answer = bin_.get("/anything/{kind}/{n}", path={"kind": "a b?", "n": 7})
    assert answer.json()["url"].endswith("/anything/a%20b%3F/7")
    assert bin_.get("/anything/mit Leerzeichen/ü", name="odd").status == 200
    found = counters()
    assert found["GET /get.count"] == found["GET /anything/{kind}/{n}.count"] == 1
    assert found["odd.count"] == 1


def test_bodies(bin_: http.Session, tmp_path: Path) -> None:
    assert bin_.post("/post", json={"ü": [1, None]}).json()["json"] == {"ü": [1, None]}
    assert bin_.post("/post", form={"a": ["1", "2"], "b": "ü &"}).json()["form"] == {
        "a": ["1", "2"],
        "b": "ü &",
    }
    assert bin_.post("/post", data="grüß").json()["data"] == "grüß"
    assert bin_.post("/post", data=b"raw").json()["headers"]["Content-Length"] == "3"
    chunked = bin_.post("/post", data=iter([b"in ", b"", b"chunks"])).json()
    assert chunked["headers"]["Transfer-Encoding"] == "chunked"
    big = tmp_path / "big.txt"
    big.write_bytes(b"0123456789" * 50_000)
    assert len(bin_.put("/put", data=big).json()["data"]) == 500_000
    with big.open("rb") as file:
        file.seek(499_990)
        assert bin_.post("/post", data=file).json()["data"] == "0123456789"
    own = bin_.post("/post", json=1, headers={"content-type": "application/x-own"}).json()
    assert own["headers"]["Content-Type"] == "application/x-own"
    assert bin_.post("/post").json()["headers"]["Content-Length"] == "0"


def test_files(bin_: http.Session, tmp_path: Path) -> None:
    picture = tmp_path / "picture.png"
    picture.write_bytes(b"\x89PNG")
    files = {"one": picture, "two": ('q"1.txt', b"text"), "three": io.BytesIO(b"open")}
    answer = bin_.post("/post", files=files, form={"title": "ü"}).check(status=200).json()
    assert answer["form"] == {"title": "ü"}
    assert answer["files"]["two"] == "text"
    assert answer["files"]["three"] == "open"
    assert answer["files"]["one"].startswith("data:") or "PNG" in answer["files"]["one"]
    small = bin_.post("/post", files={"f": ("a.json", b"{}", "application/json")}).json()
    assert small["files"] == {"f": "{}"}
    assert small["headers"]["Content-Type"].startswith("multipart/form-data; boundary=")


def test_cookies(bin_: http.Session) -> None:
    assert bin_.get("/cookies").json() == {"cookies": {}}
    bin_.get("/cookies/set", params={"session": "abc", "b": "2"})
    assert bin_.get("/cookies").json() == {"cookies": {"session": "abc", "b": "2"}}
    assert bin_.cookies["session"] == "abc"
    bin_.get("/cookies/delete", params={"session": ""})
    assert bin_.get("/cookies").json() == {"cookies": {"b": "2"}}
    assert "session" not in bin_.cookies
    bin_.cookies.clear()
    assert bin_.get("/cookies").json() == {"cookies": {}}


def test_initial_cookies_and_cookies_disabled(httpbin: HttpBin) -> None:
    with http.session(httpbin.url, cookies={"a": "1"}) as session:
        assert session.get("/cookies").json() == {"cookies": {"a": "1"}}
    with http.session(httpbin.url, cookies=False) as session:
        session.get("/cookies/set", params={"a": "1"})
        assert session.get("/cookies").json() == {"cookies": {}}


def test_redirects(bin_: http.Session, httpbin: HttpBin) -> None:
    answer = bin_.get("/redirect/3")
    assert (answer.status, answer.redirects) == (200, 3)
    assert answer.url == f"{httpbin.url}/get"
    assert bin_.get("/absolute-redirect/1").status == 200
    assert bin_.get("/redirect/2", redirects=0).status == 302
    turned = bin_.post("/redirect-to", params={"url": "/anything", "status_code": 303}, data=b"x")
    assert (turned.json()["method"], turned.json()["data"]) == ("GET", "")
    kept = bin_.put("/redirect-to", params={"url": "/anything", "status_code": 307}, data=b"x")
    assert (kept.json()["method"], kept.json()["data"]) == ("PUT", "x")
    with pytest.raises(http.RedirectError, match="more than 2 redirects"):
        bin_.get("/redirect/5", redirects=2)
    with pytest.raises(http.RedirectError):
        bin_.get("/redirect-to", params={"url": "ftp://127.0.0.1/"})
    found = counters()
    assert found["GET /redirect/3.count"] == 1
    assert found["GET /redirect-to.failures.too many redirects"] == 1


def test_credentials_and_cookies_are_not_sent_to_another_host(
    bin_: http.Session, httpbin: HttpBin, web: Web
) -> None:
    seen = []

    def behave(sock: socket.socket, _: object) -> None:
        seen.append(sock.recv(65536))
        sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")

    other = StreamServer(("127.0.0.1", 0), behave)
    other.start()
    there = f"http://localhost:{other.server_port}/"
    with http.session(httpbin.url, auth=("u", "p"), cookies={"c": "1"}) as session:
        session.get("/redirect-to", params={"url": there}, headers={"Authorization": "own"})
        session.get("/redirect-to", params={"url": there})
        session.get(there)
    other.stop()
    assert len(seen) == 3
    for head in seen:
        assert b"uthorization" not in head
        assert b"ookie" not in head
        assert f"Host: localhost:{other.server_port}".encode() in head


def test_authorization(bin_: http.Session, httpbin: HttpBin) -> None:
    assert bin_.get("/basic-auth/u/p", auth=("u", "p")).json()["authenticated"]
    assert bin_.get("/basic-auth/u/p", allow=(401,)).status == 401
    assert bin_.get("/bearer", auth=http.bearer("t0ken")).json()["token"] == "t0ken"
    bin_.set_header("Authorization", "Bearer later")
    assert bin_.get("/bearer").json()["token"] == "later"
    bin_.set_header("Authorization", None)
    assert not bin_.get("/bearer").ok
    with http.session(httpbin.url.replace("//", "//u:p@")) as session:
        assert session.get("/basic-auth/u/p").ok


def test_netrc_is_read_only_on_request(
    httpbin: HttpBin, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / ".netrc").write_text("machine 127.0.0.1 login u password p\n")
    (tmp_path / ".netrc").chmod(0o600)
    monkeypatch.setenv("HOME", str(tmp_path))
    with http.session(httpbin.url) as session:
        assert session.get("/basic-auth/u/p", allow=(401,)).status == 401
    with http.session(httpbin.url, netrc=True) as session:
        assert session.get("/basic-auth/u/p").ok


def test_compression(bin_: http.Session, httpbin: HttpBin) -> None:
    for path, what in (("/gzip", "gzipped"), ("/deflate", "deflated"), ("/brotli", "brotli")):
        answer = bin_.get(path)
        assert answer.json()[what]
        assert answer.headers["content-encoding"] in ("gzip", "deflate", "br")
    said = bin_.get("/headers").json()["headers"]["Accept-Encoding"]
    assert said == "gzip, deflate, br, zstd"
    with http.session(httpbin.url, compressed=False) as session:
        assert session.get("/headers").json()["headers"]["Accept-Encoding"] == "identity"


def test_text_and_its_charset(bin_: http.Session) -> None:
    assert "∮ E⋅da = Q" in bin_.get("/encoding/utf8").text
    assert bin_.get(
        "/response-headers", params={"Content-Type": "text/plain; charset=no-such"}
    ).text


def test_chunks_and_streams(bin_: http.Session) -> None:
    answer = bin_.get("/stream/5")
    assert len(answer.text.splitlines()) == 5
    with bin_.stream("GET", "/stream/5") as stream:
        assert [json.loads(line)["id"] for line in stream.lines()] == [0, 1, 2, 3, 4]
    with bin_.stream("GET", "/stream-bytes/100000", params={"chunk_size": 1000}) as stream:
        assert sum(map(len, stream.chunks())) == 100_000
    with bin_.stream("GET", "/gzip") as stream:
        assert json.loads(b"".join(stream.chunks()))["gzipped"]
    with bin_.stream("GET", "/drip", params={"duration": 1, "numbytes": 5, "delay": 0}) as drip:
        assert drip.first_byte_s < 1
        assert b"".join(drip.chunks()) == b"*****"
    found = counters()
    assert found["GET /stream-bytes/100000.bytes"] == 100_000
    assert found["GET /drip.count"] == 1


def test_an_abandoned_stream_closes_only_its_own_connection(bin_: http.Session) -> None:
    for _ in range(3):
        with bin_.stream("GET", "/stream-bytes/100000") as stream:
            next(stream.chunks())
    assert bin_.get("/get").ok
    assert counters()["GET /stream-bytes/100000.failures"] == 0


def test_time_limits(bin_: http.Session, httpbin: HttpBin) -> None:
    with pytest.raises(http.RequestTimeout) as caught:
        bin_.get("/delay/5", timeout=1)
    assert caught.value.cause == "timeout (read)"
    with pytest.raises(http.RequestTimeout) as caught:
        bin_.get("/drip", params={"duration": 5, "numbytes": 50, "delay": 0}, timeout=1.5)
    assert caught.value.cause == "timeout (whole)"
    with http.session(httpbin.url, read_timeout=1, raises=False) as session:
        assert session.get("/delay/5").cause == "timeout (read)"
        drip = session.get("/drip", params={"duration": 2, "numbytes": 10, "delay": 0})
        assert (drip.ok, len(drip.bytes)) == (True, 10)  # the whole response takes longer
    assert bin_.get("/get").ok


def test_statuses_and_checks(bin_: http.Session) -> None:
    assert bin_.get("/status/404").cause == "status 404"
    assert bin_.get("/status/404", allow=(404,)).ok
    assert not bin_.get("/status/503").ok
    answer = bin_.get("/json")
    good = answer.check(
        status=200,
        contains=["slideshow", "WonderWidgets"],
        json={"slideshow.slides.0.type": "all", "slideshow.author": "Yours Truly"},
        headers={"Content-Type": "application/json"},
        faster_than=30,
    )
    assert good is answer
    assert answer.ok
    assert (
        bin_.get("/json").check(json={"slideshow.slides.7": 1}).cause
        == "check json slideshow.slides.7"
    )
    assert bin_.get("/html").check(json={"a": 1}).cause == "check json"
    assert bin_.get("/html").check(contains="Nessie").cause == "check contains"
    assert bin_.get("/get").check(status=(201, 204)).check(contains="no").cause == "check status"
    assert bin_.get("/get").check(faster_than=0).cause == "check faster_than"
    mine = bin_.get("/uuid")
    mine.fail("no order", "there is none")
    found = counters()
    assert found["GET /uuid.failures.no order"] == 1
    assert found["GET /status/404.count"] == 2
    assert found["GET /status/404.failures"] == 1
    assert found["GET /json.count"] == 2
    assert found["GET /json.failures"] == 1
    assert found["GET /get.failures"] == 2


def test_connections_are_kept_alive_and_reused(shop: http.Session) -> None:
    opened, reused = meters.opened.value, meters.reused.value
    ports = {shop.get("/port").text for _ in range(20)}
    assert len(ports) == 1
    assert meters.opened.value == opened + 1
    assert meters.reused.value == reused + 19
    greenlets = [gevent.spawn(shop.get, "/port") for _ in range(5)]
    gevent.joinall(greenlets, raise_error=True)
    assert len({one.value.text for one in greenlets}) == 5
    assert {shop.get("/port").text for _ in range(5)} <= {one.value.text for one in greenlets}


def test_requests_bytes_and_statuses_are_measured(shop: http.Session) -> None:
    received, sent = meters.bytes_received.value, meters.bytes_sent.value
    ok, bad = meters.statuses[1].value, meters.statuses[4].value
    answer = shop.get("/item/7")
    assert answer.text.startswith("item /item/7")
    assert 0 < answer.first_byte_s <= answer.elapsed_s
    shop.get("/down")
    assert meters.statuses[1].value == ok + 1
    assert meters.statuses[4].value == bad + 1
    assert meters.bytes_received.value - received > 2 * len(answer.bytes)
    assert meters.bytes_sent.value - sent > 100
    found = counters()
    assert found["GET /item/7.bytes"] == len(answer.bytes)
    assert found["GET /down.failures.status 503"] == 1
    assert found["Aggregated.count"] == 2


def test_a_file_that_nginx_compresses(shop: http.Session, web: Web) -> None:
    (web.files / "page.txt").write_text("grüße " * 5000)
    answer = shop.get("/files/page.txt")
    assert answer.headers["content-encoding"] == "gzip"
    assert answer.text == "grüße " * 5000
    assert shop.get("/files/page.txt", headers={"accept-encoding": None}).text == answer.text
    etag = shop.get("/files/page.txt", headers={"Accept-Encoding": "identity"}).headers["etag"]
    fresh = shop.get(
        "/files/page.txt", headers={"If-None-Match": etag, "Accept-Encoding": "identity"}
    )
    assert (fresh.status, fresh.bytes) == (304, b"")


def test_uploads_refused_by_the_server(shop: http.Session) -> None:
    big = bytes(2 << 20)
    assert shop.post("/upload", data=big[: 1 << 20]).status == 200
    assert shop.post("/upload", data=big, allow=(413,)).status == 413
    assert shop.post("/upload", data=big, expect_continue=True, allow=(413,)).status == 413
    assert shop.post("/upload", data=big[:1000], expect_continue=True).text == "taken"
    assert shop.post("/upload", data=iter([big] * 9), allow=(413,)).status == 413


def test_tls(web: Web, authority: Authority) -> None:
    with http.session(web.tls_url, raises=False) as session:
        assert session.get("/hello").cause == "tls (certificate)"
    with (
        pytest.raises(http.CertificateError, match="cannot be trusted"),
        http.session(web.tls_url, ca=authority.ca, server_name="elsewhere.example") as session,
    ):
        session.get("/hello")
    with http.session(web.url.replace("http:", "https:"), raises=False) as session:
        assert session.get("/hello").cause == "tls (handshake)"
    resumed, unverified = meters.tls_resumed.value, meters.tls_unverified.value
    texts = []
    for _ in range(3):
        with http.session(web.tls_url, ca=authority.ca) as session:
            texts.append(session.get("/hello").check(contains="hello TLS").text)
            assert session.get("/hello").ok
    assert [text.split()[2] for text in texts] == [".", "r", "r"]
    assert meters.tls_resumed.value == resumed + 2
    with http.session(web.tls_url, verify=False) as session:
        assert session.get("/away").check(contains="hello").redirects == 1
        big = session.post("/upload", data=bytes(1 << 20))
        assert big.text == "taken"
    assert meters.tls_unverified.value > unverified


def test_host_names_are_resolved_as_the_scenario_sets(web: Web, authority: Authority) -> None:
    port = web.url.rpartition(":")[2]
    dns = {"shop.example": f"127.0.0.1:{port}"}
    with http.session("http://shop.example", dns=dns) as session:
        assert session.get("/hello").text.endswith("shop.example")
    asked = []

    def look_up(host: str) -> list[str]:
        asked.append(host)
        return ["127.0.0.1"]

    with http.session(f"http://shop.example:{port}", dns=look_up) as session:
        assert session.get("/hello").ok
    assert asked == ["shop.example"]
    with http.session("http://no-such-host.invalid", raises=False) as session:
        assert session.get("/").cause == "unknown host"


def test_source_addresses(web: Web) -> None:
    with http.session(web.url, source="127.0.0.7") as session:
        assert session.get("/item/1").text.endswith("from 127.0.0.7")
    with http.session(web.url, source=["127.0.0.8", "127.0.0.9"]) as session:
        assert session.get("/item/1").text.endswith("from 127.0.0.8")
    with http.session(web.url, source="192.0.2.1", raises=False) as session:
        assert session.get("/item/1").cause == "OSError EADDRNOTAVAIL"


def test_ipv6(web: Web) -> None:
    with http.session(web.url.replace("127.0.0.1", "[::1]")) as session:
        assert session.get("/item/1").text.endswith("from ::1")


def pump(one: socket.socket, other: socket.socket) -> None:
    while data := one.recv(65536):
        other.sendall(data)
    other.shutdown(socket.SHUT_WR)


def test_proxies(web: Web, authority: Authority, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []

    def behave(sock: socket.socket, _: object) -> None:
        head = sock.recv(65536)
        seen.append(head.split(b"\r\n")[0])
        assert b"Proxy-Authorization: Basic dTpw" in head
        port = head.split()[1].rpartition(b":")[2].partition(b"/")[0]
        with socket.create_connection(("127.0.0.1", int(port))) as there:
            if head.startswith(b"CONNECT"):
                sock.sendall(b"HTTP/1.1 200 Connected\r\nX: y\r\n\r\n")
            else:
                there.sendall(head)
            ways = [gevent.spawn(pump, sock, there), gevent.spawn(pump, there, sock)]
            gevent.joinall(ways)

    server = StreamServer(("127.0.0.1", 0), behave)
    server.start()
    proxy = f"http://u:p@127.0.0.1:{server.server_port}"
    with http.session(web.url, proxy=proxy) as session:
        assert session.get("/item/1").ok
    with http.session(web.tls_url, ca=authority.ca, proxy=proxy) as session:
        assert session.get("/item/2").ok
    assert [line.split()[0] for line in seen] == [b"GET", b"CONNECT"]
    assert seen[0].startswith(f"GET {web.url}/item/1".encode())
    monkeypatch.setenv("http_proxy", proxy)
    monkeypatch.delenv("no_proxy", raising=False)
    with http.session(web.url) as session:
        assert session.get("/item/3").ok
    assert len(seen) == 2
    with http.session(web.url, proxy="environment") as session:
        assert session.get("/item/3").ok
    assert len(seen) == 3
    with http.session(web.tls_url, proxy=web.url, raises=False) as session:
        assert session.get("/").cause == "proxy"  # nginx is not a proxy
    server.stop()


def test_invalid_arguments_raise_scenario_errors(shop: http.Session) -> None:
    for wrong in (
        {"url": "/", "jsn": {}},
        {"url": "/", "json": {}, "data": b""},
        {"url": "/", "data": {"a": 1}},
        {"url": "/{a}", "path": {"b": 1}},
        {"url": "/", "headers": {"X": "a\r\nEvil: yes"}},
        {"url": "/", "headers": {"X y": "a"}},
        {"url": "/", "timeout": 0},
        {"url": "ftp://127.0.0.1/"},
    ):
        with pytest.raises(ScenarioError):
            shop.request("GET", **wrong)
    with pytest.raises(ScenarioError):
        shop.request("GET / HTTP/1.1\r\nX:", "/")
    with pytest.raises(ScenarioError, match="without a base URL"):
        http.session().get("/")


def test_a_path_cannot_break_the_request(shop: http.Session) -> None:
    answer = shop.get("/item/a b\r\nX: y", name="odd", allow=(400,))
    assert "\n" not in answer.text
    assert shop.get("/item/2").ok
