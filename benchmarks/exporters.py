"""What exporters cost the controller: CPU per point, and how late its loop turns meanwhile.

Goal: with 1,000 metrics a point costs each exporter less than 10 % of the second that it covers,
and never holds the loop for 20 ms in a row; throttles are dealt on it up to 100 ms ahead.

    python -m benchmarks.exporters [--metrics 1000] [--points 20] [--interval 1.0] [--values 1000]

Counters, gauges and timers are a third of the metrics each; every timer has `--values` durations
per point, spread over a factor of ten. The backends are separate processes: one accepts TCP, one
UDP, one HTTP, and one scrapes once per point. Points come on schedule. A greenlet that wants to
wake every millisecond measures how late the loop is, and how much CPU was used between two turns;
the rest of the lateness is the machine's.
"""

from __future__ import annotations

import argparse
import math
import multiprocessing
import random
import resource
import socket
import sys
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from multiprocessing.connection import Connection
from threading import Thread
from typing import Any
from urllib.request import ProxyHandler, build_opener

import gevent
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest

from amoc.metrics.health_figures import WorkerPoint
from amoc.metrics.histogram import Histogram
from amoc.results import exporters
from amoc.results.exporters import Exporter
from amoc.results.series import Point, Tally, ThrottlePoint
from benchmarks import machine, outcome

SHORT = ["--metrics", "30", "--points", "4", "--interval", "0.25", "--values", "50"]
WANTED_CPU, WANTED_HELD_MS = 0.10, 20.0
TICK_S = 0.001


def points(options: argparse.Namespace) -> list[Point]:
    """Make the points of a run with so many metrics; few kinds of timers, to be quick to make."""
    draw = random.Random(1)
    each = options.metrics // 3
    kinds = [
        Histogram.of(int(1e6 * 10 ** draw.uniform(0, 1)) for _ in range(options.values))
        for _ in range(10)
    ]
    workers = [WorkerPoint(node="node0", worker=worker) for worker in range(2)]
    return [
        Point(
            t_s=float(second),
            span_s=options.interval,
            at=time.time() + second,
            users={"running": 1000, "started": 1000},
            counters={f"counter_{number}": draw.randrange(1, 1000) for number in range(each)},
            gauges={f"gauge_{number}": draw.random() for number in range(each)},
            timers={f"timer_{number}": draw.choice(kinds) for number in range(each)},
            throttles={"rounds": ThrottlePoint(600.0, 60.0, "run", 10, 10, 0, 5)},
            workers=workers,
        )
        for second in range(1, options.points + 1)
    ]


def take_tcp(parent: Connection) -> None:
    listener = socket.create_server(("127.0.0.1", 0))
    parent.send(listener.getsockname()[1])
    connection, _ = listener.accept()
    received = 0
    while data := connection.recv(1 << 20):
        received += data.count(b"\n")
    parent.send(received)


def take_udp(parent: Connection) -> None:
    hearing = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    hearing.bind(("127.0.0.1", 0))
    parent.send(hearing.getsockname()[1])
    received = 0
    hearing.settimeout(2.0)
    while True:
        try:
            received += hearing.recv(65536).count(b"\n") + 1
        except TimeoutError:
            if received or parent.poll():
                break
    parent.send(received)


class _TakeOtlp(BaseHTTPRequestHandler):
    """Counts the values of requests."""

    protocol_version = "HTTP/1.1"
    received = 0

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        (of_resource,) = ExportMetricsServiceRequest.FromString(body).resource_metrics
        for metric in of_resource.scope_metrics[0].metrics:
            _TakeOtlp.received += len(getattr(metric, metric.WhichOneof("data")).data_points)
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Log nothing."""


def take_http(parent: Connection) -> None:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _TakeOtlp)
    Thread(target=server.serve_forever, daemon=True).start()
    parent.send(server.server_port)
    parent.recv()
    parent.send(_TakeOtlp.received)


def scrape(parent: Connection) -> None:
    port, received = parent.recv(), 0
    while parent.recv() == "scrape":
        with build_opener(ProxyHandler({})).open(
            f"http://127.0.0.1:{port}/metrics", timeout=60
        ) as answer:
            lines = answer.read().splitlines()
        received += sum(not line.startswith(b"#") for line in lines)
    parent.send(received)


def cpu_s() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


class WorkerWatch:
    """How late the loop turns, and the CPU time for which it was held in a row, in ms."""

    def __init__(self) -> None:
        self.late_ms: list[float] = []
        self.held_ms = 0.0
        self._greenlet = gevent.spawn(self._run)

    def _run(self) -> None:
        while True:
            due, used = time.monotonic() + TICK_S, time.thread_time()
            gevent.sleep(TICK_S)
            self.late_ms.append((time.monotonic() - due) * 1e3)
            self.held_ms = max(self.held_ms, (time.thread_time() - used) * 1e3)

    def late(self, fraction: float) -> float:
        """Return a quantile of the lateness."""
        ordered = sorted(self.late_ms)
        return ordered[max(0, math.ceil(fraction * len(ordered)) - 1)]

    def end(self) -> None:
        """Stop watching."""
        self._greenlet.kill()


def feed(
    exporter: Exporter | None,
    made: list[Point],
    interval: float,
    after: Callable[[], None],
    close: bool,
) -> tuple[float, float, WorkerWatch, float]:
    """Return CPU seconds, the largest lateness of points, the loop's lateness, the close's time."""
    tally, watch, late_s = Tally(), WorkerWatch(), 0.0
    begin_cpu, begin = cpu_s(), time.monotonic()
    for number, point in enumerate(made):
        due = begin + number * interval
        gevent.sleep(max(0.0, due - time.monotonic()))
        late_s = max(late_s, time.monotonic() - due)
        tally.add(point)
        if exporter is not None:
            exporter.take(point, tally)
        after()
    gevent.sleep(max(0.0, begin + len(made) * interval - time.monotonic()))
    closing = time.monotonic()
    if exporter is not None and close:
        exporter.close(5.0)
    used = cpu_s() - begin_cpu
    watch.end()
    return used, late_s, watch, time.monotonic() - closing


def show(name: str, made: list[Point], interval: float, idle_s: float) -> float:
    """Measure one exporter, or none. Return the CPU that it used."""
    backends = {"graphite": take_tcp, "statsd": take_udp, "prometheus": scrape, "otel": take_http}
    off = {"graphite_host": "", "graphite_web": "", "statsd_host": "", "prometheus_port": "0"}
    off |= {"otel_endpoint": "", "otel_traces": "0"}
    here, there = multiprocessing.Pipe()
    exporter, child = None, None
    told: list[Any] = []
    if name != "nothing":
        child = multiprocessing.get_context("spawn").Process(
            target=backends[name], args=(there,), daemon=True
        )
        child.start()
        if name == "prometheus":
            with socket.create_server(("127.0.0.1", 0)) as free:
                port = free.getsockname()[1]
            values = {"prometheus_port": str(port), "prometheus_host": "127.0.0.1"}
        else:
            port = here.recv()
            values = {f"{name}_host": "127.0.0.1", f"{name}_port": str(port)}
            values[f"{name}_prefix"] = "amoc"
            if name == "otel":
                values = {"otel_endpoint": f"http://127.0.0.1:{port}"}
        run = exporters.RunInfo("20261125T020000-1a2b", "benchmark")
        (exporter,) = exporters.start({**off, **values}, run, told.append)
        if name == "prometheus":
            here.send(port)
    ask = (lambda: here.send("scrape")) if name == "prometheus" else lambda: None
    used, late_s, watch, close_s = feed(exporter, made, interval, ask, close=name != "prometheus")
    received = 0
    if child is not None and exporter is not None:
        here.send("end")
        while not here.poll():  # the last scrape may still be in progress, on this loop
            gevent.sleep(0.01)
        received = here.recv()
        exporter.close(5.0)
        child.join()
    per_point_ms = (used - idle_s) / len(made) * 1e3
    print(
        f"{name}: {len(made)} points sent, at most {late_s * 1e3:.1f} ms late;"
        f" {received:,} values arrived, {received / len(made):,.0f} per point"
    )
    warned = told or "none"
    print(
        f"  CPU per point {per_point_ms:.1f} ms; the loop is held for {watch.held_ms:.1f} ms of CPU"
        f" at the worst, and turns late by {watch.late(0.99):.2f} ms (p99),"
        f" {watch.late(1.0):.1f} ms (worst); close {close_s * 1e3:.0f} ms; warnings: {warned}"
    )
    if name != "nothing":
        outcome.figure(f"{name}, CPU per point", per_point_ms, "ms")
        outcome.figure(f"{name}, loop held", watch.held_ms, "ms")
        if per_point_ms >= WANTED_CPU * 1e3 or watch.held_ms >= WANTED_HELD_MS:
            outcome.missed(f"{name} costs more than the goal")
        if told or not received:
            outcome.failed(f"{name}: {received} values arrived; warnings: {warned}")
    return used


def main() -> int:
    """Print the goals and the results."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--metrics", type=int, default=1000)
    parser.add_argument("--points", type=int, default=20)
    parser.add_argument("--interval", type=float, default=1.0)
    parser.add_argument("--values", type=int, default=1000)
    options = parser.parse_args()
    print(machine.describe())
    made = points(options)
    print(f"{options.metrics} metrics, timers with {options.values} durations per point")
    # The cost of the loop, the tally and the watcher without an exporter is subtracted.
    idle_s = show("nothing", made, options.interval, 0.0)
    for name in ("graphite", "statsd", "prometheus", "otel"):
        show(name, made, options.interval, idle_s)
    return outcome.exit_code()


if __name__ == "__main__":
    sys.exit(main())
