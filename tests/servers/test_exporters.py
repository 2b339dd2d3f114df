"""A run's metrics in real backends, read back from them."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.request import ProxyHandler, build_opener

import pytest
from prometheus_client.parser import text_string_to_metric_families

from amoc.base.errors import ExitCode
from amoc.results.exporters import RunInfo
from amoc.results.exporters.graphite import Graphite as ToGraphite
from amoc.results.exporters.graphite_events import GraphiteEvents
from amoc.results.exporters.statsd import Statsd as ToStatsd
from amoc.results.run_directory import RunDirectory
from amoc.results.series import Point, Tally
from amoc.results.store.reader import StoredSeries
from tests.process.support import running
from tests.servers import graphite as graphite_server
from tests.servers import statsd as statsd_server
from tests.servers.daemon import free_port
from tests.servers.graphite import Graphite
from tests.servers.oteltap import OtelTap
from tests.servers.statsd import Statsd
from tests.servers.web import Application
from tests.unit.results import runs
from tests.unit.results.exporters.support import Carbon, eventually, feed

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def graphite(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Graphite]:
    graphite_server.available()
    server = Graphite(tmp_path_factory.mktemp("graphite"))
    yield server
    server.stop()


@pytest.fixture
def statsd(tmp_path: Path) -> Iterator[Statsd]:
    server = Statsd(statsd_server.available(), tmp_path)
    yield server
    server.kill()


def just_now(count: int) -> tuple[list[Point], list[int]]:
    """Return points of a run that ended a moment ago, and their times."""
    seconds = list(range(int(time.time()) - count, int(time.time())))
    made = runs.points(count, stall=range(5, 7))
    return [replace(one, at=at + 0.5) for one, at in zip(made, seconds, strict=True)], seconds


def test_graphite_returns_every_value_at_its_second(graphite: Graphite) -> None:
    points, seconds = just_now(30)
    told: list[str] = []
    exporter = ToGraphite("127.0.0.1", graphite.carbon.port, "read.back", told.append)
    feed(exporter, points)
    exporter.close(10.0)

    def rendered(path: str) -> dict[int, float]:
        """Return a series once its last value has arrived; carbon creates files one by one."""

        def now() -> dict[int, float] | None:
            found = graphite.rendered(f"read.back.{path}", seconds[0], seconds[-1])
            series = found.get(f"read.back.{path}", {})
            return series if seconds[-1] in series else None

        known: dict[int, float] = eventually(now, f"{path} is there")
        return known

    sent = [float(one.counters["messages_sent"]) for one in points]
    assert list(rendered("counters.messages_sent.rate").values()) == sent
    assert rendered("counters.messages_sent.total")[seconds[-1]] == sum(sent)
    p99_ms = [one.timers["message_ttd"].quantiles_s(0.99)[0] * 1e3 for one in points]
    assert list(rendered("timers.message_ttd.p99_ms").values()) == pytest.approx(p99_ms)
    running = [float(one.users["running"]) for one in points]
    assert rendered("users.running") == dict(zip(seconds, running, strict=True))
    executions = [float(one.throttles["messages"].executions) for one in points]
    assert list(rendered("throttles.messages.executions.rate").values()) == executions
    cause = "OSError_timed_out_chat_py_12_in_start"
    assert rendered(f"crashes.causes.{cause}.total")[seconds[-1]] == 1
    for name in ("message_ttd_response", "loop_lag"):
        assert len(rendered(f"timers.{name}.p99_ms")) == len(points)
    all_timers = graphite.rendered("read.back.timers.*.p99_ms", seconds[0], seconds[-1])
    assert set(all_timers) == {
        f"read.back.timers.{name}.p99_ms"
        for name in ("message_ttd", "message_ttd_response", "loop_lag")
    }
    assert told == []


def test_points_of_a_carbon_outage_are_delivered_afterwards(graphite: Graphite) -> None:
    points, seconds = just_now(30)
    told: list[str] = []
    exporter = ToGraphite("127.0.0.1", graphite.carbon.port, "outage", told.append)
    path = "outage.nodes.node0.ports_used"

    def arrived() -> list[int]:
        return list(graphite.rendered(path, seconds[0], seconds[-1]).get(path, {}))

    tally = feed(exporter, points[:10])
    eventually(lambda: arrived() == seconds[:10], "the first ones are there")
    graphite.carbon.kill()
    feed(exporter, points[10:20], tally)
    eventually(lambda: told, "it is said")
    graphite.carbon.start()
    feed(exporter, points[20:], tally)
    exporter.close(20.0)
    # What carbon had not written when it was killed is lost, unless amoc sends it again.
    eventually(lambda: set(seconds[8:]) <= set(arrived()), "those of the outage are there")
    assert len(told) == 1


def test_annotations_become_graphite_web_events(graphite: Graphite) -> None:
    told: list[str] = []
    run = RunInfo("20261125T020000-1a2b", "chat")
    exporter = GraphiteEvents(f"http://127.0.0.1:{graphite.web.port}", run, told.append)
    at = time.time() - 100
    exporter.annotate("half the rate: “message_rate” is 600", ["command"], at)
    exporter.annotate("x" * 400, ["warning"], at + 1)
    exporter.close(20.0)
    assert told == []
    events = graphite.events("20261125T020000-1a2b")
    assert {(event["what"], int(event["when"])) for event in events} == {
        ("half the rate: “message_rate” is 600", int(at)),
        ("x" * 255, int(at + 1)),
    }
    assert {event["data"] for event in events} >= {"x" * 400}
    assert set(events[0]["tags"]) >= {"amoc", "20261125T020000-1a2b", "chat"}
    assert len(graphite.events("warning")) == 1


def test_statsd_sums_counters_and_keeps_the_latest_gauges(statsd: Statsd) -> None:
    points, _ = just_now(30)
    level = [replace(one, gauges={"level": float(n - 50)}) for n, one in enumerate(points)]
    told: list[str] = []
    exporter = ToStatsd("127.0.0.1", statsd.port, "load", told.append)
    tally = feed(exporter, level)
    exporter.close(10.0)
    sent = tally.counters["messages_sent"]
    counters = eventually(
        lambda: (
            (found := statsd.known("counters")).get("load.counters.messages_sent") == sent and found
        ),
        "all of it is there",
    )
    assert counters["load.timers.message_ttd"] == tally.timers["message_ttd"].count
    assert counters["load.throttles.messages.executions"] == sent
    assert counters["load.crashes.causes.OSError_timed_out_chat_py_12_in_start"] == 1
    assert counters["statsd.bad_lines_seen"] == 0
    gauges = statsd.known("gauges")
    last = points[-1].timers["message_ttd"]
    p99_ms = last.quantiles_s(0.99)[0] * 1e3
    assert gauges["load.timers.message_ttd.p99_ms"] == pytest.approx(p99_ms)
    assert gauges["load.timers.message_ttd.max_ms"] == pytest.approx(last.max_ns / 1e6)
    assert gauges["load.users.running"] == 50
    assert gauges["load.gauges.level"] == -21
    assert told == []


def test_sending_to_a_restarted_statsd_resumes(statsd: Statsd) -> None:
    points, _ = just_now(3)
    told: list[str] = []
    exporter = ToStatsd("127.0.0.1", statsd.port, "load", told.append)
    tally = feed(exporter, points[:1])
    eventually(lambda: "load.users.running" in statsd.known("gauges"), "the first is there")
    statsd.kill()
    feed(exporter, points[1:2], tally)
    eventually(lambda: told, "it is said")
    statsd.start()
    feed(exporter, points[2:], tally)
    exporter.close(10.0)
    sent = points[2].counters["messages_sent"]
    eventually(
        lambda: statsd.known("counters").get("load.counters.messages_sent") == sent,
        "the last is there",
    )
    assert len(told) == 2
    assert re.search("[123] points? may not have been delivered", told[1])


SCENARIO = """
from amoc import metrics, sleep, throttle

def init():
    throttle.start("rounds", rate=20, interval=1)

def start(user_id):
    throttle.wait("rounds")
    with metrics.timer("turn").time():
        sleep(0.005)
    metrics.counter("rounds").inc()
"""


def scraped(port: int) -> dict[str, float]:
    """Return the samples without labels of a scrape; none while nobody answers."""
    try:
        with build_opener(ProxyHandler({})).open(
            f"http://127.0.0.1:{port}/metrics", timeout=20
        ) as answer:
            text = answer.read().decode()
    except URLError:
        return {}
    samples = [one for family in text_string_to_metric_families(text) for one in family.samples]
    return {one.name: one.value for one in samples if not one.labels}


def test_a_run_reports_the_same_values_to_all_backends(
    graphite: Graphite, statsd: Statsd, tmp_path: Path
) -> None:
    (tmp_path / "rounds.py").write_text(SCENARIO)
    port, began = free_port(), int(time.time())
    with running(
        tmp_path / "rounds.py",
        *("--users", "4", "--set", "repeat_interval=0", "--set", "user_rate=infinity"),
        *("--comment", "all of them", "--set", f"prometheus_port={port}"),
        directory=tmp_path,
        AMOC_GRAPHITE_HOST="127.0.0.1",
        AMOC_GRAPHITE_PORT=str(graphite.carbon.port),
        AMOC_GRAPHITE_PREFIX="run",
        AMOC_GRAPHITE_WEB=f"http://127.0.0.1:{graphite.web.port}",
        AMOC_STATSD_HOST="127.0.0.1",
        AMOC_STATSD_PORT=str(statsd.port),
        AMOC_STATSD_PREFIX="run",
    ) as run:
        first = eventually(
            lambda: (found := scraped(port)).get("amoc_rounds_total", 0) and found,
            "Prometheus sees rounds",
        )
        second = eventually(
            lambda: (
                (found := scraped(port)).get("amoc_rounds_total", 0) > first["amoc_rounds_total"]
                and found
            ),
            "Prometheus sees more rounds",
        )
        assert second["amoc_turn_seconds_count"] > first["amoc_turn_seconds_count"]
        told = (sys.executable, "-m", "amoc", "note", "half-way", "--run", str(run.directory))
        subprocess.run(told, check=True, capture_output=True, timeout=30)
        run.kill(run.pid, signal.SIGINT)
        assert run.end() == 0, run.output
        summary = run.summary()
    assert "accepts no data" not in run.output
    assert "could not be delivered" not in run.output
    rounds = summary["counters"]["rounds"]
    assert rounds >= second["amoc_rounds_total"]

    series = StoredSeries(RunDirectory(run.directory).series)
    assert Tally.of(series).counters["rounds"] == rounds

    def rendered(path: str) -> list[float]:
        found = graphite.rendered(f"run.{path}", began, int(time.time()) + 1)
        return list(found.get(f"run.{path}", {}).values())

    timers = summary["timers"]
    # A user asked to stop during a round has passed the throttle, but does not finish the round.
    for path, total in {
        "counters.rounds": rounds,
        "timers.turn": timers["turn"]["count"],
        "timers.turn_response": timers["turn.response"]["count"],
        "throttles.rounds.executions": summary["throttles"]["rounds"]["executions"],
    }.items():
        eventually(
            lambda path=path, total=total: rendered(f"{path}.total")[-1:] == [total],
            f"Graphite knows of {total} {path}",
        )
    eventually(
        lambda: statsd.known("counters").get("run.counters.rounds") == rounds,
        f"statsd knows of {rounds} rounds",
    )
    assert statsd.known("gauges")["run.throttles.rounds.wanted_rate"] == 20
    events = [event["what"] for event in graphite.events(summary["run"]["id"])]
    assert any("all of them" in what for what in events)
    assert "noted: half-way" in events
    assert len(events) >= 2


def test_unreachable_backends_give_one_warning_each_and_the_points_lost(tmp_path: Path) -> None:
    (tmp_path / "rounds.py").write_text(SCENARIO)
    with Carbon(listening=False) as nobody:
        with running(
            tmp_path / "rounds.py",
            *("--users", "4", "--duration", "1.5s"),
            *("--set", "repeat_interval=0", "--set", "user_rate=infinity"),
            directory=tmp_path,
            AMOC_GRAPHITE_HOST="127.0.0.1",
            AMOC_GRAPHITE_PORT=str(nobody.port),
            AMOC_GRAPHITE_WEB=f"http://127.0.0.1:{nobody.port}",
            AMOC_STATSD_HOST="statsd.invalid",
        ) as run:
            assert run.end() == 0, run.output
            output = run.output
            summary = run.summary()
        assert summary["run"]["verdict"] == "no criteria"
        assert summary["counters"]["rounds"] > 0
        for what in (
            f"graphite at 127.0.0.1:{nobody.port}",
            f"graphite-web at http://127.0.0.1:{nobody.port}",
            "statsd at statsd.invalid:8125",
        ):
            assert output.count(f"{what} does not accept data: ") == 1, output
        assert re.search(r"graphite at \S+ \d+ points? could not be delivered", output), output
        assert re.search(r"graphite-web at \S+ \d+ events? could not be delivered", output), output


def test_a_port_in_use_ends_a_run_before_its_users_start(tmp_path: Path) -> None:
    (tmp_path / "rounds.py").write_text(SCENARIO)
    with Carbon() as other:
        taken = ("--users", "1", "--set", f"prometheus_port={other.port}")
        with running(tmp_path / "rounds.py", *taken, directory=tmp_path) as run:
            assert run.end() == ExitCode.RESOURCE, run.output
            assert run.output.count("prometheus_port must be free to listen on") == 1
            assert not run.json.exists()


STEPS = """
from amoc import check, metrics, sleep, step

def start(user_id):
    for number in range(5):
        with step("turn"):
            sleep(0.005)
            check("small enough", number < 4)
    metrics.counter("rounds").inc()
"""


@pytest.mark.parametrize("buckets", ["histogram", "exponentialHistogram"])
def test_an_otlp_receiver_gets_the_same_values_as_the_summary(buckets: str, tmp_path: Path) -> None:
    (tmp_path / "steps.py").write_text(STEPS)
    env = {
        "OTEL_SERVICE_NAME": "trial",
        "OTEL_EXPORTER_OTLP_METRICS_DEFAULT_HISTOGRAM_AGGREGATION": {
            "histogram": "explicit_bucket_histogram",
            "exponentialHistogram": "base2_exponential_bucket_histogram",
        }[buckets],
    }
    chosen = ("--set=repeat_num=1", "--set=user_rate=infinity")
    with OtelTap(tmp_path) as tap:
        env["OTEL_EXPORTER_OTLP_ENDPOINT"] = tap.url
        arguments = ("--users", "10", *chosen)
        with running(tmp_path / "steps.py", *arguments, directory=tmp_path, **env) as run:
            assert run.end() == ExitCode.OK, run.output
            summary = run.summary()

        def latest() -> dict[str, dict[str, Any]]:
            return {one["name"]: one for one in tap.received()}

        def rounds() -> list[str]:
            told = latest().get("amoc.counter", {}).get("sum", {}).get("dataPoints", [])
            return [str(one["asInt"]) for one in told if attributes(one) == {"counter": "rounds"}]

        eventually(lambda: rounds() == ["10"], "all of it is there")
        known = latest()
    assert "OpenTelemetry" not in run.output
    (turn,) = known["amoc.step.duration"][buckets]["dataPoints"]
    assert attributes(turn) == {"step": "turn"}
    timer = summary["timers"]["turn"]
    assert int(turn["count"]) == timer["count"] == 40
    assert turn["max"] == pytest.approx(timer["max_s"])
    assert turn["sum"] == pytest.approx(timer["mean_s"] * timer["count"])
    counts = turn["bucketCounts"] if "bucketCounts" in turn else turn["positive"]["bucketCounts"]
    assert sum(map(int, counts)) == 40
    (failed,) = known["amoc.step.failures"]["sum"]["dataPoints"]
    assert attributes(failed) == {"step": "turn", "cause": "check small enough"}
    assert int(failed["asInt"]) == 10
    states = {attributes(one)["state"]: one for one in known["amoc.users"]["gauge"]["dataPoints"]}
    assert states["finished"]["asDouble"] == 10


VISITS = """
from amoc import check, http, setting, step

base = setting("http://127.0.0.1:8080", "The server")

def start(user_id):
    with http.session(base.get()) as client:
        with step("visit"):
            with client.stream("GET", "/trace", name="GET /trace") as answer:
                said = b"".join(answer.chunks()).decode()
            check("the server hears of it", said.startswith("00-") and said.endswith("-01"))
            client.get("/nowhere")
"""


def test_an_otlp_receiver_gets_spans_and_the_target_their_trace_context(tmp_path: Path) -> None:
    (tmp_path / "visits.py").write_text(VISITS)
    with OtelTap(tmp_path) as tap, Application(tmp_path) as site:
        chosen = {"repeat_num": 1, "user_rate": "infinity", "base": site.url}
        given = [f"--set={name}={value}" for name, value in chosen.items()]
        env = {
            "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": f"{tap.url}/v1/traces",
            "OTEL_TRACES_SAMPLER": "parentbased_always_on",
        }
        file = tmp_path / "visits.py"
        with running(file, "--users", "10", *given, directory=tmp_path, **env) as run:
            assert run.end() == ExitCode.OK, run.output
            summary = run.summary()
        eventually(lambda: sum("traceId" in one for one in tap.received()) == 30, "all are there")
        spans = [one for one in tap.received() if "traceId" in one]
    assert summary["counters"]["otel_spans"] == 30
    checked = summary["checks"]["the server hears of it"]
    assert (checked["passed"], checked["failed"]) == (10, 0)
    by_trace: dict[str, dict[str, dict[str, Any]]] = {}
    for one in spans:
        by_trace.setdefault(one["traceId"], {})[one["name"]] = one
    assert len(by_trace) == 10
    for trace in by_trace.values():
        visit = trace.pop("visit")
        assert visit["parentSpanId"] == ""
        assert {one["parentSpanId"] for one in trace.values()} == {visit["spanId"]}
        assert set(trace) == {"GET /trace", "GET /nowhere"}
        assert trace["GET /nowhere"]["status"]["message"].startswith("status 404")


CHATS = """
from amoc import step, xmpp

def start(user_id):
    with xmpp.connect(user_id) as client:
        client.send_presence()
        with step("talk"):
            client.ping()
            client.send_chat(user_id, "hello")
            client.receive(timeout=30)
"""


def test_an_otlp_receiver_gets_xmpp_spans(tmp_path: Path) -> None:
    file = tmp_path / "chats.py"
    file.write_text(CHATS)
    with OtelTap(tmp_path) as tap:
        given = [f"--set={one}" for one in ("repeat_num=1", "user_rate=infinity", "otel_traces=1")]
        env = {"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": f"{tap.url}/v1/traces"}
        with running(file, "--users", "5", *given, directory=tmp_path, **env) as run:
            assert run.end() == ExitCode.OK, run.output
        eventually(lambda: sum("traceId" in one for one in tap.received()) == 20, "all are there")
        spans = [one for one in tap.received() if "traceId" in one]
    by_name: dict[str, list[dict[str, Any]]] = {}
    for one in spans:
        by_name.setdefault(one["name"], []).append(one)
    kinds = ("connection", "talk", "ping", "message delivery")
    assert {name: len(found) for name, found in by_name.items()} == dict.fromkeys(kinds, 5)
    talks = {one["traceId"]: one["spanId"] for one in by_name["talk"]}
    assert all(talks[one["traceId"]] == one["parentSpanId"] for one in by_name["ping"])
    assert all(one["parentSpanId"] == "" for one in by_name["connection"])
    assert all(int(one["endTimeUnixNano"]) > int(one["startTimeUnixNano"]) for one in spans)


def attributes(point: dict[str, Any]) -> dict[str, str]:
    return {one["key"]: one["value"]["stringValue"] for one in point["attributes"]}
