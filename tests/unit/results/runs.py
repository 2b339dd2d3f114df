"""Points and run directories as left by a run, for tests of their readers."""

from __future__ import annotations

import json
import random
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from amoc.base import json_lines
from amoc.base.clock import S_NS
from amoc.ipc.messages.samples import Sample
from amoc.metrics.health_figures import NodePoint, WorkerPoint
from amoc.metrics.histogram import Histogram
from amoc.results.merge import SampleMerger
from amoc.results.per_second import Moment, PointCutter
from amoc.results.run_directory import RunDirectory
from amoc.results.series import Point, ThrottlePoint
from amoc.results.store.writer import SeriesWriter

BEGAN_AT = 1_790_000_000.0


def points(
    seconds: int = 60,
    *,
    rate: int = 100,
    service_s: float = 0.020,
    stall: range = range(0),
    seed: int = 1,
) -> list[Point]:
    """A run of 50 users at `rate` messages a second, whose target may stall for some seconds."""
    draw = random.Random(seed)
    made = []
    for second in range(1, seconds + 1):
        stalls = second in stall
        done = rate // 50 if stalls else rate + draw.randint(-3, 3)
        service = [
            int(1e9 * (2.0 if stalls else draw.lognormvariate(0, 0.3) * service_s))
            for _ in range(done)
        ]
        users = min(50, 10 * second)
        made.append(
            Point(
                t_s=float(second),
                span_s=1.0,
                at=BEGAN_AT + second,
                users={
                    "running": users,
                    "waiting": 50 - users,
                    "started": users,
                    "finished": 0,
                    "crashed": second // 20,
                    "removed": 0,
                    "restarted": 0,
                    "peak": users,
                },
                starts=users - min(50, 10 * (second - 1)),
                counters={"messages_sent": done, "messages_received": done},
                gauges={"connected": float(users)},
                timers={
                    "message_ttd": Histogram.of(service),
                    "message_ttd.response": Histogram.of(ns + 1_000_000 for ns in service),
                    "loop_lag": Histogram.of([draw.randint(100_000, 900_000) for _ in range(20)]),
                },
                crashes={"OSError: timed out (chat.py:12 in start)": 1} if second % 20 == 0 else {},
                throttles={
                    "messages": ThrottlePoint(
                        rate=float(rate * 60),
                        interval_s=60.0,
                        mode="run",
                        requests=done,
                        executions=done,
                        waiting=0 if stalls else 20,
                    )
                },
                workers=[
                    WorkerPoint(
                        node="node0",
                        worker=worker,
                        users=users // 2,
                        cpu=round(0.2 + draw.random() / 10, 3),
                        lag_p99_s=0.001,
                        late_p99_s=0.0002,
                        gc_s=0.001,
                        cpu_wait_s=0.01,
                        rss_bytes=40 << 20,
                        fds=users // 2 + 20,
                        fd_limit=20_000,
                    )
                    for worker in range(2)
                ],
                nodes=[
                    NodePoint(
                        name="node0",
                        cpu=0.4,
                        memory_bytes=24 << 30,
                        memory_free_bytes=20 << 30,
                        ports=28_232,
                    )
                ],
                controller_cpu=0.05,
                controller_lag_s=0.002,
            )
        )
    return made


def journal(seconds: int = 60, **run: Any) -> list[dict[str, Any]]:
    """The journal of such a run."""
    at = "2026-11-25T02:00:00.000Z"
    plan = {
        "id": "20261125T020000-1a2b",
        "scenario": "chat.py",
        "scenario_name": "chat",
        "comment": "before the change",
        "seed": 42,
        **run,
    }
    lines: list[dict[str, Any]] = [
        {"t_s": None, "kind": "run", **plan},
        {"t_s": None, "kind": "state", "state": "starting"},
        {"t_s": 0.0, "kind": "state", "state": "running"},
        {
            "t_s": 20.0,
            "kind": "crash",
            "cause": "OSError: timed out (chat.py:12 in start)",
            "user_id": 7,
            "traceback": 'Traceback (most recent call last):\n  File "chat.py", line 12, in start\n'
            "    client.receive()\nOSError: timed out\n",
        },
        {
            "t_s": 30.5,
            "kind": "command",
            "name": "update_settings",
            "arguments": {"values": {"message_rate": "600"}},
            "source": "cli",
            "comment": "half the rate",
            "outcome": "ok",
            "answer": {"summary": "message_rate is 600"},
        },
        {"t_s": 40.0, "kind": "event", "level": "warning", "text": "worker 1 was <b>slow</b>"},
        {"t_s": float(seconds), "kind": "end", "verdict": "ok", "exit_code": 0, "message": ""},
    ]
    return [{"at": at, **line} for line in lines]


def leave(
    path: Path,
    seconds: Sequence[Point],
    entries: Iterable[dict[str, Any]] | None = None,
    summary: dict[str, Any] | None = None,
) -> Path:
    """A run directory at `path` with these points and journal; one without summary was killed."""
    path.mkdir(parents=True, exist_ok=True)
    series = SeriesWriter(RunDirectory(path).series)
    for point in seconds:
        series.write(point)
    assert not series.missing
    series.close()
    file = json_lines.LineFile(RunDirectory(path).journal, "journal", seal=True)
    for line in journal() if entries is None else entries:
        assert file.write(line)
    file.close()
    if summary is not None:
        (path / "summary.json").write_text(json.dumps(summary))
    return path


def feed(
    samples: SampleMerger,
    *said: Sample,
    span_s: float = 10.0,
    throttles: Mapping[str, ThrottlePoint] | None = None,
    node: str = "node0",
) -> Point:
    """The point of a second of `span_s` in which a node sent these samples."""
    seconds = PointCutter(samples)
    seconds.begin(1)
    for one in said:
        samples.take(node, one)
    end_ns = 1 + round(span_s * S_NS)
    moment = Moment(BEGAN_AT, end_ns, "running", 0, throttles or {}, 0.0, 0.0)
    point = seconds.cut(end_ns, moment)
    assert point is not None
    return point
