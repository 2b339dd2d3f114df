"""What a board says at one moment, merged over its slots."""

from __future__ import annotations

from amoc.board import Board, Cell, Kind, Merge
from amoc.engine import process
from amoc.histogram import CELLS, Histogram, cell_of
from amoc.messages import Sample, WorkerFigures
from amoc.timing import S_NS, now_ns

SILENT_NS = S_NS
"""A worker that has noted nothing for so long is looked at from outside."""


def take_sample(board: Board, ids: range, users_peak: int) -> Sample:
    """What the board says now, merged over its slots, of the users `ids`."""
    counters: dict[str, int] = {}
    crashes: dict[str, int] = {}
    gauges: dict[str, tuple[Merge, list[float]]] = {}
    timers: dict[str, Histogram] = {}
    workers = []
    for slot in range(board.slots):
        lag = 0.0
        for kind, name, merge, value in board.area(slot).read():
            if isinstance(value, Histogram):
                if name == "loop_lag":
                    (lag,) = value.quantiles_s(0.99)
                timers.setdefault(name, Histogram()).add(value.cells, value.max_ns)
            elif kind is Kind.GAUGE:
                gauges.setdefault(name, (merge, []))[1].append(value)
            else:
                counts = crashes if kind is Kind.CRASH else counters
                counts[name] = counts.get(name, 0) + int(value)
        row = board.row(slot)
        silent_ns = max(0, now_ns() - row[Cell.HEARTBEAT_NS])
        cpu_ns = row[Cell.CPU_NS]
        if silent_ns > SILENT_NS and (used_ns := process.cpu_ns(row[Cell.PID])) is not None:
            # A loop that does not turn notes nothing; it must not look idle because of that.
            lag = max(lag, silent_ns / S_NS)
            cpu_ns = max(cpu_ns, used_ns)
        workers.append(
            WorkerFigures(
                slot=slot,
                epoch=row[Cell.EPOCH],
                pid=row[Cell.PID],
                users=row[Cell.USERS],
                users_peak=row[Cell.USERS_PEAK],
                restarted=row[Cell.RESTARTED],
                waiting=row[Cell.WAITING],
                cpu_ns=cpu_ns,
                max_rss_bytes=row[Cell.MAX_RSS_BYTES],
                loop_lag_p99_s=lag,
                lag_p99_s=lag,
                late_p99_s=0.0,
                gc_ns=row[Cell.GC_NS],
                queued_ns=row[Cell.QUEUED_NS],
                rss_bytes=row[Cell.RSS_BYTES],
                fds=0,
                fd_limit=0,
            )
        )
    return Sample(
        sequence=0,
        at_ns=now_ns(),
        users_peak=users_peak,
        users={int(state): count for state, count in board.count_users(ids).items()},
        counters=counters,
        gauges={name: (int(merge), values) for name, (merge, values) in gauges.items()},
        timers={
            name: (one.max_ns, [number for item in one.cells.items() for number in item])
            for name, one in timers.items()
        },
        crashes=crashes,
        workers=[tuple(figures) for figures in workers],
        host=(),
    )


def note_silence(board: Board, slot: int, cpu_ns: int) -> None:
    """Note for a worker that has died for how long it had not noted anything itself.

    A loop that stood still until the end must not look as if it had turned in time.
    """
    row = board.row(slot)
    silent_ns = now_ns() - row[Cell.HEARTBEAT_NS]
    if row[Cell.HEARTBEAT_NS] and silent_ns > SILENT_NS:
        lag = board.area(slot).declare(Kind.TIMER, "loop_lag")
        lag[CELLS] = max(lag[CELLS], silent_ns)
        lag[cell_of(silent_ns)] += 1
        row[Cell.CPU_NS] = max(row[Cell.CPU_NS], cpu_ns)
