"""Attacks on a real daemon, and its defences."""

from __future__ import annotations

import base64
import http.client
import json
import re
import shutil
import socket
import ssl
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, closing, suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.certificates import Authority
from tests.process.support import DEADLINE_S, ROOT, eventually
from tests.service.archives import ATTACKS, reason
from tests.service.support import Answer, Daemon, serving

pytestmark = pytest.mark.slow

READ, RUN, ADMIN = (f"{role}-token-0123456789" for role in ("read", "run", "admin"))
SHOP = b'"""A shop."""\n\n\ndef start(user_id): ...\n'


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    """A daemon that requires tokens."""
    directory = tmp_path_factory.mktemp("guarded")
    tokens = directory / "tokens"
    tokens.write_text(f"# of the test\nread {READ}\nrun {RUN}\n{ADMIN}\n")
    tokens.chmod(0o600)
    with serving(directory, "--token-file", "tokens") as found:
        yield found


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def detail(answer: Answer, status: int) -> str:
    """Assert that a request is refused with `status` and a problem document; return its detail."""
    assert answer.status == status, answer.data[:500]
    assert answer.headers.get_content_type() == "application/problem+json"
    return str(answer.json["detail"])


def test_requests_for_a_foreign_host_name_are_refused(daemon: Daemon) -> None:
    port = urlsplit(daemon.url).port
    for host in ("evil.example", f"evil.example:{port}", "localhost.evil.example"):
        assert "not served here" in detail(daemon.request("GET", "/status", Host=host), 421)
    for host in (f"localhost:{port}", "127.0.0.1", f"[::1]:{port}", "LOCALHOST."):
        assert daemon.request("GET", "/status", Host=host).status == 200


def test_pages_of_other_sites_cannot_send_requests(daemon: Daemon) -> None:
    start = {"scenario": "stayers"}
    for origin in ("http://evil.example", "null", f"{daemon.url}0", "http://localhost:1"):
        answer = daemon.request("PATCH", "/execution/start", start, Origin=origin)
        assert "other sites" in detail(answer, 403)
        detail(daemon.request("GET", "/runs", Origin=origin), 403)
    for site in ("cross-site", "same-site"):
        answer = daemon.request("PATCH", "/execution/start", start, Sec_Fetch_Site=site)
        assert "other sites" in detail(answer, 403)
    assert daemon.request("GET", "/status", Origin=daemon.url).status == 200
    assert "Access-Control-Allow-Origin" not in daemon.request("GET", "/status").headers


def test_a_form_of_another_site_cannot_send_a_command(daemon: Daemon) -> None:
    for kind in ("application/x-www-form-urlencoded", "text/plain", "multipart/form-data"):
        data = b'{"scenario": "stayers"}'
        answer = daemon.request("PATCH", "/execution/start", data=data, Content_Type=kind)
        detail(answer, 415)


def test_without_a_token_nothing_is_shown(guarded: Daemon) -> None:
    for path in ("/status", "/", "/openapi.json", "/api-docs", "/runs/x/events", "/nothing"):
        answer = guarded.request("GET", path)
        detail(answer, 401)
        assert answer.headers.get_all("WWW-Authenticate") == ["Bearer"]


def test_each_role_allows_only_its_requests(guarded: Daemon) -> None:
    def status(token: str, method: str, path: str, body: Any = None) -> int:
        return guarded.request(method, path, body, **bearer(token)).status

    for token in (READ, RUN, ADMIN):
        assert status(token, "GET", "/runs") == 200
    assert status(READ, "PATCH", "/execution/stop") == 403
    assert status(RUN, "PATCH", "/execution/stop") == 409  # no run is running
    source = {"scenario": "shop", "module_source": SHOP.decode()}
    for path in ("start", "replay", "plan", "plan_replay"):
        method = "POST" if path.startswith("plan") else "PATCH"
        assert status(READ, method, f"/execution/{path}", {}) == 403
        assert status(RUN, method, f"/execution/{path}", {}) == 422
    for token in (READ, RUN):
        assert status(token, "POST", "/scenarios", source) == 403
        for path in ("upload?name=shop", "files"):
            assert status(token, "PUT", f"/scenarios/{path}") == 403
        assert status(token, "DELETE", "/runs/none") == 403
    assert status(ADMIN, "DELETE", "/runs/none") == 404
    as_browser = base64.b64encode(f"anybody:{READ}".encode()).decode()
    answer = guarded.request("GET", "/status", Authorization=f"Basic {as_browser}")
    assert answer.json["role"] == "read"


def test_a_token_in_a_url_is_refused(guarded: Daemon) -> None:
    for name in ("token", "access_token"):
        answer = guarded.request("GET", f"/status?{name}={ADMIN}")
        assert "never in a URL" in detail(answer, 400)
    assert ADMIN not in guarded.output


def test_uploads_can_be_disabled_and_guessing_tokens_is_throttled(tmp_path: Path) -> None:
    (tmp_path / "tokens").write_text(ADMIN)
    (tmp_path / "tokens").chmod(0o600)
    with serving(tmp_path, "--token-file", "tokens", "--no-upload") as guarded:
        for path in ("upload?name=shop", "files"):
            sent = {"data": SHOP, "Content_Type": "application/octet-stream", **bearer(ADMIN)}
            upload = guarded.request("PUT", f"/scenarios/{path}", **sent)
            assert "--no-upload" in detail(upload, 403)
        source = {"scenario": "shop", "module_source": SHOP.decode()}
        detail(guarded.request("POST", "/scenarios", source, **bearer(ADMIN)), 403)
        assert not guarded.request("GET", "/status", **bearer(ADMIN)).json["uploads"]
        assert not uploads(guarded).exists()
        wrong = [guarded.request("GET", "/status", **bearer(f"wrong-{n}")) for n in range(10)]
        assert {answer.status for answer in wrong} == {401}
        answer = guarded.request("GET", "/status", **bearer(ADMIN))
        detail(answer, 429)
        assert 0 < int(answer.headers["Retry-After"]) <= 61
        command_line = Path(f"/proc/{guarded.pid}/cmdline").read_bytes()
        assert ADMIN.encode() not in command_line
        assert ADMIN not in guarded.output


ONE_NETWORK = """
import http.client, subprocess, sys
from pathlib import Path
from urllib.parse import urlsplit
from tests.service.support import serving

for command in (
    "link set lo up",
    *(f"-6 address add {one}/64 dev lo nodad" for one in ("fd00:1::1", "fd00:1::2", "fd00:2::1")),
):
    subprocess.run(["ip", *command.split()], check=True)
with serving(Path(sys.argv[1]), "--token-file", "tokens", "--listen", "[::]:0") as daemon:
    for address, token in zip(sys.argv[2::2], sys.argv[3::2]):
        line = http.client.HTTPConnection("fd00:1::1", urlsplit(daemon.url).port, 60, (address, 0))
        line.request("GET", "/status", headers={"Authorization": f"Bearer {token}"})
        print(line.getresponse().status)
"""


def test_token_guesses_are_counted_per_ipv6_network(tmp_path: Path) -> None:
    (tmp_path / "tokens").write_text(ADMIN)
    (tmp_path / "tokens").chmod(0o600)
    tries = [("fd00:1::1", "wrong"), ("fd00:1::2", "wrong")] * 5
    tries += [("fd00:1::2", ADMIN), ("fd00:2::1", ADMIN)]
    arguments = [str(tmp_path), *(word for one in tries for word in one)]
    done = subprocess.run(
        ["unshare", "--map-root-user", "--net", sys.executable, "-c", ONE_NETWORK, *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
    )
    if "unshare" in done.stderr:
        pytest.skip(done.stderr)
    assert done.stdout.split() == ["401"] * 10 + ["429", "200"], done.stderr


def test_slow_requests_of_readers_do_not_block_operators(guarded: Daemon) -> None:
    go_on = guarded.directory / "go_on"
    scenarios = guarded.directory / "scenarios"
    (scenarios / "slow.py").write_text(
        f"import os, time\n\nwhile not os.path.exists({str(go_on)!r}):\n    time.sleep(0.05)\n"
        "\n\ndef start(user_id): ...\n"
    )

    def ask() -> http.client.HTTPConnection:
        line = guarded.connection()
        line.request("GET", "/scenarios/info/slow", headers=bearer(READ))
        return line

    lines = [ask() for _ in range(3)]
    try:
        slow = str(scenarios / "slow.py").encode()

        def loaded() -> list[int]:
            tree = guarded.tree()
            return [pid for pid in tree if slow in Path(f"/proc/{pid}/cmdline").read_bytes()]

        eventually(loaded, "one of them is loaded")
        for token in (RUN, ADMIN):
            answer = guarded.request("GET", "/scenarios/info/stayers", **bearer(token))
            assert answer.status == 200
        assert len(loaded()) == 1
        go_on.touch()
        assert [line.getresponse().status for line in lines] == [200] * 3  # one after the other
    finally:
        go_on.touch()
        for line in lines:
            line.close()
        (scenarios / "slow.py").unlink()


@pytest.mark.parametrize(
    "path",
    [
        "/runs/..%2f..%2fetc/report",
        "/runs/%2e%2e/summary",
        "/runs/../../etc/passwd/log",
        "/runs/..%00/log",
        "/scenarios/info/..%2f..%2fetc%2fpasswd",
        "/scenarios/info/../../etc/passwd",
        "/scenarios/info/%2fetc%2fpasswd",
        "/api-docs/../../../etc/passwd",
        "/api-docs/js/..%2f..%2f..%2fplugins.py",
    ],
)
def test_no_path_escapes_the_served_directories(daemon: Daemon, path: str) -> None:
    assert daemon.request("GET", path).status in (404, 422)
    assert daemon.request("DELETE", path).status in (404, 405, 422)


def test_a_symlink_is_not_a_run(daemon: Daemon, tmp_path: Path) -> None:
    (tmp_path / "journal.jsonl").write_text("{}\n")
    daemon.runs.mkdir(exist_ok=True)
    link = daemon.runs / "elsewhere"
    link.symlink_to(tmp_path)
    try:
        detail(daemon.request("GET", "/runs/elsewhere/log"), 404)
        detail(daemon.request("DELETE", "/runs/elsewhere"), 404)
    finally:
        link.unlink()
    assert (tmp_path / "journal.jsonl").exists()


def test_a_run_is_not_deleted_while_starting_nor_by_an_ambiguous_name(daemon: Daemon) -> None:
    go_on = daemon.directory / "go_on"
    (daemon.directory / "scenarios" / "slow_init.py").write_text(
        f"import os, time\n\n\ndef init():\n    while not os.path.exists({str(go_on)!r}):\n"
        "        time.sleep(0.05)\n\n\ndef start(user_id): ...\n"
    )
    start = daemon.connection()
    body = json.dumps({"scenario": "slow_init", "workers": 1, "settings": {"repeat_num": 1}})
    start.request("PATCH", "/execution/start", body, {"Content-Type": "application/json"})
    [journal] = eventually(
        lambda: [*daemon.runs.glob("*-slow_init/journal.jsonl")], "its directory exists"
    )
    run = journal.parent.name
    try:
        assert "stop it first" in detail(daemon.request("DELETE", f"/runs/{run}"), 409)
    finally:
        go_on.touch()
        assert start.getresponse().status == 200
        start.close()
    daemon.wait_for_end(run)
    for name in ("last", run[:-1]):
        assert "there is no run" in detail(daemon.request("DELETE", f"/runs/{name}"), 404)
    known = daemon.get(f"/runs/{run}/summary")["run"]["id"]
    assert daemon.request("DELETE", f"/runs/{known}").status == 204


def test_a_slow_upload_does_not_block_another(daemon: Daemon) -> None:
    slow = daemon.connection()
    slow.putrequest("PUT", "/scenarios/upload?name=slow")
    slow.putheader("Content-Type", "text/x-python")
    slow.putheader("Content-Length", str(len(SHOP)))
    slow.endheaders()
    eventually(lambda: [*uploads(daemon).glob(".upload-*")], "the upload has begun")
    path = "/scenarios/upload?name=quick"
    assert daemon.request("PUT", path, data=SHOP, Content_Type="text/x-python").status == 200
    slow.send(SHOP)
    assert slow.getresponse().status == 200
    slow.close()
    shutil.rmtree(uploads(daemon))


def test_a_secret_appears_on_no_command_line_and_in_no_file(daemon: Daemon) -> None:
    secret = "hush-0123456789"
    run = daemon.start(users=1, settings={"password": secret})
    body = {"scenario": "stayers", "settings": {"password": secret}, "queue": True}
    queued = daemon.patch("/execution/start", body, status=202)["run"]
    tree = daemon.tree()
    assert len(tree) > 2
    for pid in tree:
        for what in ("cmdline", "environ"):
            assert secret.encode() not in Path(f"/proc/{pid}/{what}").read_bytes()
    for one in (queued, run):
        daemon.patch("/execution/stop", {"run": one})
    daemon.wait_for_end(run)
    files = [one for one in daemon.directory.rglob("*") if one.is_file()]
    assert any(one.parent.name == run for one in files)
    assert [one for one in files if secret.encode() in one.read_bytes()] == []


def test_runs_on_other_hosts_are_refused(daemon: Daemon) -> None:
    for cluster in ("ssh://root@load.example", "join"):
        body = {"scenario": "stayers", "cluster": cluster}
        for method, path in (("PATCH", "start"), ("POST", "plan")):
            answer = daemon.request(method, f"/execution/{path}", body)
            assert "nodes of the server's host" in detail(answer, 422)
        elsewhere = daemon.runs / f"20200101T000000-{cluster[:3]}"
        elsewhere.mkdir(parents=True)
        plan = {"kind": "run", "plan": {"cluster": cluster}}
        (elsewhere / "journal.jsonl").write_text(json.dumps(plan) + "\n")
        answer = daemon.request("PATCH", "/execution/replay", {"run": elsewhere.name})
        assert "other hosts" in detail(answer, 409)
        shutil.rmtree(elsewhere)


def test_silent_clients_and_many_open_requests_lock_nobody_out(daemon: Daemon) -> None:
    where = urlsplit(daemon.url)

    def connect(source: str, sent: bytes = b"") -> socket.socket:
        line = socket.create_connection(
            (where.hostname, where.port), DEADLINE_S, source_address=(source, 0)
        )
        line.sendall(sent)
        return line

    def answer(source: str) -> bytes:
        with connect(source, b"GET /status HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n") as line:
            return line.recv(12)

    body = (
        b"PATCH /execution/stop HTTP/1.1\r\nHost: 127.0.0.1\r\n"
        b"Content-Type: application/json\r\nContent-Length: 9\r\n\r\n"
    )
    with ExitStack() as lines:
        silent = [
            lines.enter_context(connect(source))
            for source in ("127.0.0.2", "127.0.0.3")
            for _ in range(128)
        ]
        assert answer("127.0.0.1") == b"HTTP/1.1 200"
        assert (
            silent[0].recv(1) == b""
        )  # the oldest connection of the client with the most was closed
        busy = [lines.enter_context(connect("127.0.0.4", body)) for _ in range(140)]
        eventually(lambda: answer("127.0.0.4") == b"HTTP/1.1 503", "it has reached its limit")
        assert answer("127.0.0.1") == b"HTTP/1.1 200"
        busy[0].sendall(b"{}       ")
        assert busy[0].recv(12) == b"HTTP/1.1 409"  # there is no run, but the request was served
    assert answer("127.0.0.4") == b"HTTP/1.1 200"
    assert "clients want more" in daemon.output


def test_bodies_that_are_too_large_are_refused(daemon: Daemon) -> None:
    body = {"scenario": "stayers", "comment": "x" * (1 << 20)}
    detail(daemon.request("PATCH", "/execution/start", body), 413)
    for path in ("upload?name=huge", "files"):
        line = daemon.connection()
        line.putrequest("PUT", f"/scenarios/{path}")
        line.putheader("Content-Type", "application/octet-stream")
        line.putheader("Content-Length", str(1 << 40))
        line.endheaders()
        answer = line.getresponse()
        assert answer.status == 413  # by its Content-Length, before any of it is read
        assert "at most 16,777,216 bytes" in json.loads(answer.read())["detail"]
        line.close()
    assert not list(uploads(daemon).glob("**/huge*"))
    deep = b"[" * 100_000
    answer = daemon.request("PATCH", "/execution/start", data=deep, Content_Type="application/json")
    detail(answer, 400)


@pytest.mark.parametrize(
    ("head", "status"),
    [
        (b"GET /" + b"x" * (1 << 20) + b" HTTP/1.1\r\n", b"414"),
        (b"GET /status HTTP/1.1\r\nX-Long: " + b"x" * (1 << 20) + b"\r\n", b"400"),
        (b"GET /status HTTP/1.1\r\n" + b"X-Many: x\r\n" * 5000, b"400"),
        (b"POST / HTTP/1.1\r\nContent-Length: -5\r\n", b"400"),
        (b"POST / HTTP/1.1\r\nContent-Length: 5\r\nContent-Length: 44\r\n", b"400"),
        (b"POST / HTTP/1.1\r\nContent-Length: 44\r\nTransfer-Encoding: chunked\r\n", b"400"),
        (b"POST / HTTP/1.1\r\nTransfer-Encoding: x\r\nTransfer-Encoding: chunked\r\n", b"400"),
        (b"POST / HTTP/1.1\r\nTransfer-Encoding: gzip, chunked\r\n", b"400"),
        (b"POST / HTTP/1.1\r\nTransfer-Encoding:\r\n chunked\r\n", b"400"),
        (b"POST / HTTP/1.1\r\nTransfer-Encoding : chunked\r\n", b"400"),
        (b"POST / HTTP/1.1\r\nX-Some: x\rTransfer-Encoding: chunked\r\n", b"400"),
        (b"POST / HTTP/1.1\r\nContent-Length: +5\r\n", b"400"),
    ],
    ids=[
        "line",
        "header",
        "headers",
        "negative",
        "two lengths",
        "length and chunks",
        "two codings",
        "another coding",
        "folded",
        "blank",
        "bare CR",
        "sign",
    ],
)
def test_an_oversized_or_ambiguous_head_is_refused_and_closes_the_connection(
    daemon: Daemon, head: bytes, status: bytes
) -> None:
    where = urlsplit(daemon.url)
    smuggled = b"0\r\n\r\nGET /openapi.json HTTP/1.1\r\nHost: localhost\r\n\r\n"
    said = b""
    with socket.create_connection((where.hostname, where.port), DEADLINE_S) as line:
        with suppress(ConnectionError):  # the server need not read all of it
            line.sendall(head + b"Host: localhost\r\n\r\n" + smuggled)
        with suppress(ConnectionError):
            while data := line.recv(1 << 16):
                said += data
    assert said.startswith(b"HTTP/1.1 " + status)
    assert said.count(b"HTTP/1.1 ") == 1
    assert "Traceback" not in daemon.output


def test_readers_cannot_take_all_event_streams(guarded: Daemon) -> None:
    body = {"scenario": "stayers", "workers": 1}
    run = guarded.request("PATCH", "/execution/start", body, **bearer(ADMIN)).json["run"]

    def listen(token: str) -> http.client.HTTPResponse:
        line = lines.enter_context(closing(guarded.connection()))
        line.request("GET", f"/runs/{run}/events", headers=bearer(token))
        return line.getresponse()

    with ExitStack() as lines:
        answers = [listen(READ).status for _ in range(49)]
        assert (answers.count(200), answers[-1]) == (48, 503)
        assert listen(RUN).status == 200
    assert guarded.request("PATCH", "/execution/stop", {"run": run}, **bearer(RUN)).status == 200


def uploads(daemon: Daemon) -> Path:
    return daemon.directory / "amoc-scenarios"


@pytest.mark.parametrize("why", ["only relative", "only files", "at most, header"])
def test_hostile_archives_are_refused(daemon: Daemon, why: str) -> None:
    for path in ("upload?name=shop", "files"):
        sent = {"data": ATTACKS[why](), "Content_Type": "application/octet-stream"}
        answer = daemon.request("PUT", f"/scenarios/{path}", **sent)
        assert reason(why) in detail(answer, 422)
        assert answer.json["errors"][0]["field"] == "body"
    assert not [one for one in uploads(daemon).rglob("*") if one.name != "_sent"]
    assert not (daemon.directory / "evil.py").exists()


def refused(directory: Path, *arguments: str) -> str:
    """Call ``amoc serve`` with invalid options; return its error."""
    done = subprocess.run(
        [sys.executable, "-m", "amoc", "serve", *arguments],
        cwd=directory,
        env={"PYTHONPATH": str(ROOT), "PATH": ""},
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
    )
    assert done.returncode == 2, (done.stdout, done.stderr)
    return done.stderr


def test_other_hosts_need_a_token(tmp_path: Path) -> None:
    for host in ("0.0.0.0", "[::]", "192.0.2.1", "load.example"):
        assert "--token-file" in refused(tmp_path, "--listen", f"{host}:0")


def test_a_token_file_that_others_can_read_is_refused(tmp_path: Path) -> None:
    tokens = tmp_path / "tokens"
    tokens.write_text(f"admin {ADMIN}")
    tokens.chmod(0o644)
    assert "chmod 600" in refused(tmp_path, "--token-file", "tokens", "--listen", "0")
    tokens.chmod(0o600)
    for text in ("short", f"boss {ADMIN}", "", f"read {READ} {RUN}"):
        tokens.write_text(text)
        said = refused(tmp_path, "--token-file", "tokens", "--listen", "0")
        assert "token" in said
        assert READ not in said


def test_pages_allow_only_their_own_scripts(daemon: Daemon) -> None:
    page = daemon.request("GET", "/api-docs")
    policy = page.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "script-src 'self';" in policy
    text = page.data.decode()
    for script in re.findall(r"<script[^>]*>(.*?)</script>", text, re.DOTALL):
        assert script == ""
    for address in re.findall(r'(?:src|href)="([^"]+)"', text):
        assert address.startswith("/")
        assert daemon.request("GET", address).status == 200
    answer = daemon.request("GET", "/status")
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["X-Frame-Options"] == "DENY"


def test_a_report_allows_only_its_own_script(daemon: Daemon) -> None:
    run = daemon.start(users=1, comment="<script>alert(1)</script>")
    daemon.patch("/execution/stop")
    daemon.wait_for_end(run)
    report = daemon.request("GET", f"/runs/{run}/report")
    policy = report.headers["Content-Security-Policy"]
    assert "'unsafe-inline'" not in policy
    assert re.search(r"script-src 'sha256-[^']+'", policy)
    assert policy.endswith("sandbox allow-scripts")
    assert b"<script>alert(1)" not in report.data


def test_with_a_certificate_the_server_accepts_only_tls(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    both = authority.issue("server.pem", ["127.0.0.1"])
    with serving(tmp_path, "--cert", both, "--key", both) as daemon:
        where = urlsplit(daemon.url)
        assert where.scheme == "https"
        context = ssl.create_default_context(cafile=authority.ca)
        with (
            socket.create_connection((where.hostname, where.port), DEADLINE_S) as line,
            context.wrap_socket(line, server_hostname="127.0.0.1") as secure,
        ):
            secure.sendall(b"GET /status HTTP/1.0\r\nHost: localhost\r\n\r\n")
            assert secure.recv(100).startswith(b"HTTP/1.1 200")
        with socket.create_connection((where.hostname, where.port), DEADLINE_S) as line:
            line.sendall(b"GET /status HTTP/1.0\r\nHost: localhost\r\n\r\n")
            with suppress(ConnectionResetError):
                assert not line.recv(100).startswith(b"HTTP")
