"""``amoc.Client`` with a real daemon."""

from __future__ import annotations

import re
import socket
import tarfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

import amoc
from amoc.base.errors import PeerError, ScenarioError, UsageError
from tests.certificates import Authority
from tests.process import wheels
from tests.process.support import ROOT, eventually
from tests.service.support import serving

TOKEN = "a-token-that-is-long-enough"
READER = "another-token-that-reads"
DEADLINE_S = 60.0
PAGE = ROOT / "docs/client.md"


@pytest.fixture(scope="module")
def daemon(tmp_path_factory):
    directory = tmp_path_factory.mktemp("client")
    tokens = directory / "tokens"
    tokens.write_text(f"{TOKEN}\nread {READER}\n")
    tokens.chmod(0o600)
    with serving(directory, "--token-file", "tokens") as running:
        (directory / "token").write_text(f"{TOKEN}\n")
        yield running


@pytest.fixture
def client(daemon):
    made = amoc.Client(daemon.url, token_file=daemon.directory / "token")
    yield made
    for one in made.status().runs:  # left by a failed test
        made.stop(one.run)
        made.wait(one.run, DEADLINE_S)


def test_a_run_from_its_start_to_its_report(client, daemon, tmp_path):
    assert client.scenarios() == ("stayers",)
    about = client.scenario("stayers")
    assert about.doc == "Users that stay until they are asked to leave."
    assert next(one.choices for one in about.settings if one.name == "mode") == ["calm", "wild"]

    run = client.start("stayers", users=3, workers=1, set={"pause": 0.05}, expect="looks > 0").run
    seconds = client.live(run)
    first = next(seconds)
    assert first.second == 1
    assert client.status().runs[0].run == run
    assert client.nodes() == {"node0": "up"}

    def users(count):
        eventually(lambda: client.users(run)["running"] == count, f"{count} users")

    assert client.add(2, on_nodes=["node0"]).summary == "users 4 to 5 will start"
    users(5)
    client.remove(1, run=run, on_nodes=("node0",))
    users(4)
    with pytest.raises(amoc.ServiceError, match="node7"):
        client.add(1, on_nodes=["node7"])
    client.set({"pause": 0.1}, comment="slower")
    assert client.set({"pause": 0.2}, on_nodes=["node0"]).summary == (
        "on node0 only: pause is 0.2 now, was 0.1"
    )
    client.throttle("looks", "500/s")
    client.pause()
    assert client.status().runs[0].state == "paused"
    client.resume(run)
    client.note("that was it")
    assert client.node("node0").runs[0] == {"run": run, "users": 4}
    with pytest.raises(amoc.ServiceError) as raised:
        client.set({"pause": -1})
    assert raised.value.status == 422
    assert "pause" in raised.value.detail
    assert raised.value.problem["status"] == 422
    with pytest.raises(amoc.ServiceError) as raised:
        client.start("stayers")
    assert raised.value.status == 409
    client.stop(run)

    later = list(seconds)  # ends with the run
    numbers = [first.second, *(one.second for one in later)]
    assert numbers == list(range(1, len(numbers) + 1))
    info = client.wait(run, DEADLINE_S)
    assert (info.state, info.comment) == ("over", "")
    assert [one.second for one in client.series(run)] == numbers
    assert [one.second for one in client.live(run, after=1)] == numbers[1:]

    result = client.result(run)
    assert result.verdict == info.verdict
    assert result.counters["looks"] == sum(one.counters.get("looks", 0) for one in [first, *later])
    assert [one.passed for one in result.thresholds] == [True]
    assert client.report(run, to=tmp_path / "report.html").startswith("<!doctype html>")
    assert (tmp_path / "report.html").stat().st_size > 10_000
    assert any("supervisor" in str(one["process"]) for one in client.log(run))
    assert client.runs()[0].id == client.run().id == run
    client.delete(run)
    with pytest.raises(amoc.ServiceError) as raised:
        client.run(run)
    assert raised.value.status == 404


def test_a_queued_run_and_a_comparison_of_two(client):
    at = datetime.now(UTC) + timedelta(hours=1)
    waiting = client.start("stayers", users=1, at=at)
    assert waiting.state == "queued"
    assert client.run(waiting.run).state == "queued"
    assert waiting.run in client.status().queued
    with pytest.raises(UsageError, match=rf"^run {waiting.run} is not running at http://\S+$"):
        client.users(waiting.run)
    with pytest.raises(UsageError, match=r"^no run is running at http://\S+$"):
        client.users()
    with pytest.raises(TimeoutError, match="has not ended after 0 s"):
        client.wait(waiting.run, 0)

    both = []
    for _ in range(2):
        load = {"arrival_rate": "5/s", "max_users": 2} if both else {"users": 1}
        made = client.start("stayers", workers=1, duration=1, queue=True, **load)
        both.append(made.run)
        client.wait(both[-1], DEADLINE_S)
    assert client.compare(*both)


def test_a_local_file_is_run_and_replayed_by_the_daemon(client, tmp_path):
    shop = tmp_path / "shop.py"
    shop.write_text('"""A shop."""\nfrom amoc import user\nfrom till import take\nstart = take\n')
    (tmp_path / "till.py").write_text(
        "from amoc import metrics, setting\n"
        'sum = setting(1, "How much")\n'
        'def take(user_id):\n    metrics.counter("taken").inc(sum.get())\n'
    )
    about = client.scenario(shop)
    assert (about.doc, about.dependencies) == ("A shop.", ())
    load = {"users": 2, "workers": 1, "set": {"repeat_num": 1, "sum": 5}, "comment": "by hand"}
    preview = client.plan(shop, **load)
    assert preview.users["count"] == 2
    assert ("sum", "5") in [(one["name"], one["value"]) for one in preview.settings]
    assert client.scenarios() == ("stayers",)

    first = client.start(str(shop), **load)
    assert client.wait(first.run, DEADLINE_S).comment == "by hand"
    assert client.result(first.run).counters["taken"] == 10
    assert client.plan_replay(first.run, set={"sum": 7}).users["count"] == 2
    again = client.replay(first.run, set={"sum": 7}, comment="again")
    assert client.wait(again.run, DEADLINE_S).comment == "again"
    assert client.result(again.run).counters["taken"] == 14

    both = client.plan({shop: 1, "stayers": "10/s"})
    assert both.open is not None
    with pytest.raises(ScenarioError, match=r"absent\.py does not exist here, and names of"):
        client.plan(tmp_path / "absent.py")


def test_uploads_are_accepted_replaced_or_refused(client, tmp_path):
    shop = tmp_path / "shop.py"
    shop.write_text('"""A shop."""\nstart = print\n')
    made = client.upload(shop)
    assert (made.name, made.doc, made.replaced) == ("shop", "A shop.", False)
    assert client.upload(shop).replaced

    with tarfile.open(tmp_path / "shop.tgz", "w:gz") as archive:
        archive.add(shop, "packed.py")
    assert client.upload(tmp_path / "shop.tgz", name="packed").doc == "A shop."

    shop.write_text("start =\n")
    with pytest.raises(amoc.ServiceError) as raised:
        client.upload(shop, name="other")
    assert raised.value.status == 422
    assert "line 1" in raised.value.detail or ":1" in raised.value.detail
    with pytest.raises(UsageError, match=r"absent\.py cannot be read"):
        client.upload(tmp_path / "absent.py")


def test_a_token_decides_what_is_allowed(daemon):
    with pytest.raises(amoc.ServiceError) as raised:
        amoc.Client(daemon.url).status()
    assert raised.value.status == 401
    assert "requires a token: --server-token-file FILE" in str(raised.value)

    reader = amoc.Client(daemon.url, token=READER)
    assert reader.status().role == "read"
    with pytest.raises(amoc.ServiceError) as raised:
        reader.start("stayers")
    assert raised.value.status == 403
    assert TOKEN not in repr(reader)
    assert READER not in repr(reader) + repr(vars(reader))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"url": "ftp://host"}, "url must be such as http://127.0.0.1:4000"),
        ({"url": "http://me:s3cret@host"}, "url must be such as"),
        ({"url": "http://host:99999"}, "url must be such as"),
        ({"token": "a\nb"}, "token must be printable ASCII"),
        ({"token": "a", "token_file": "b"}, "mutually exclusive"),
        ({"token_file": "/absent"}, "token_file /absent cannot be read: No such file"),
        ({"ca_file": "/absent"}, "ca_file is for https URLs"),
        ({"url": "https://host", "ca_file": "/absent"}, "ca_file /absent cannot be read"),
    ],
)
def test_invalid_arguments_are_refused_without_showing_secrets(arguments, message):
    with pytest.raises(UsageError, match=message) as raised:
        amoc.Client(**arguments)
    assert "s3cret" not in str(raised.value)


def test_an_unreachable_daemon_is_named():
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    why = r"Connection refused; is amoc serve running there\?"
    with pytest.raises(PeerError, match=f"^http://127.0.0.1:{port}: {why}$"):
        amoc.Client(f"http://127.0.0.1:{port}").status()


@contextmanager
def cutting(port: int, after: int) -> Iterator[int]:
    """A proxy that cuts its first event streams after `after` bytes of the answer."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            left = 3
            while True:
                try:
                    line, _ = server.accept()
                except OSError:
                    return
                with line, socket.create_connection(("127.0.0.1", port)) as other:
                    request = line.recv(1 << 16)
                    stream = b"/events" in request
                    other.sendall(request)
                    passed = 0
                    while data := other.recv(1 << 12):
                        line.sendall(data)
                        passed += len(data)
                        if stream and left and passed > after:
                            left -= 1
                            break

        threading.Thread(target=serve, daemon=True).start()
        yield server.getsockname()[1]


def test_an_interrupted_stream_resumes_without_gap_or_repetition(client, daemon):
    run = client.start("stayers", users=1, workers=1, duration="3s").run
    port = int(daemon.url.rpartition(":")[2])

    with cutting(port, 1_000) as cut:
        through = amoc.Client(f"http://127.0.0.1:{cut}", token=TOKEN)
        seconds = [one.second for one in through.live(run)]

    assert seconds == [one.second for one in client.series(run)]
    assert len(seconds) >= 3


def test_tls_is_verified_with_the_given_ca_file(tmp_path):
    authority = Authority(tmp_path)
    both = authority.issue("both.pem")
    with serving(tmp_path, "--cert", both, "--key", both) as daemon:
        url = f"https://localhost:{daemon.url.rpartition(':')[2]}"
        with pytest.raises(PeerError, match="its certificate is not trusted"):
            amoc.Client(url).status()
        assert amoc.Client(url, ca_file=authority.ca).status().state == "idle"


def test_the_pages_examples_work(client, daemon, tmp_path, monkeypatch, capsys):
    blocks = re.findall(r"^```python\n(.*?)^```$", PAGE.read_text(), re.DOTALL | re.MULTILINE)
    shop, shown = blocks[0], next(one for one in blocks if "amoc.Client(" in one)
    monkeypatch.chdir(tmp_path)
    Path("shop.py").write_text(shop)
    connected = shown.replace('"http://127.0.0.1:4000"', f'"{daemon.url}", token="{TOKEN}"')
    assert connected != shown

    exec(compile(connected, "client.md", "exec"), {})

    verdict, p95 = capsys.readouterr().out.splitlines()[-1].rsplit(" ", 1)
    assert verdict == "no criteria"
    assert 0 < float(p95) < 60
    assert Path("report.html").is_file()


def test_dependencies_of_an_uploaded_scenario_are_installed(tmp_path):
    index = tmp_path / "index"
    index.mkdir()
    wheels.wheel(index, "amoctestleaf", "1.0")
    shop = tmp_path / "shop.py"
    head = '# /// script\n# dependencies = ["amoctestleaf"]\n# ///\n'
    shop.write_text(f"{head}import amoctestleaf\nstart = print\n")

    with serving(tmp_path, **wheels.environment(index, tmp_path / "cache", "uv")) as daemon:
        client = amoc.Client(daemon.url)
        assert client.upload(shop).name == "shop"
        run = client.start("shop", users=1, workers=1, set={"repeat_num": 1}).run
        assert client.wait(run, DEADLINE_S).verdict == "no criteria"

        shop.write_text(f"{head.replace('leaf', 'absent')}start = print\n")
        with pytest.raises(amoc.ServiceError) as raised:
            client.upload(shop)
    assert raised.value.status == 422
    assert "amoctestabsent" in raised.value.detail
