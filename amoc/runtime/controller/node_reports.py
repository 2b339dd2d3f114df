"""Checks of reports from nodes: reports that no genuine node sends are refused before use. Pure.

A node may run on a foreign host. Every number in its reports that is used here as an index, a size
or an id is checked against the node's own workers and the run's ids. Whatever is summed must be a
number; everything else is only shown.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any, NamedTuple, TypeVar

from amoc.base.errors import ExitCode, PeerError
from amoc.base.text import cut
from amoc.ipc.messages.envelope import BETWEEN_WORKERS, Envelope
from amoc.ipc.messages.lifecycle import Failed, Loaded, Note, Terminated, WorkerLost, WorkerUp
from amoc.ipc.messages.links import FromNode
from amoc.ipc.messages.samples import Sample
from amoc.ipc.messages.users import (
    Blocked,
    CrashSeen,
    FailureSeen,
    Started,
    Stopped,
    TargetSeen,
    UsersNow,
)
from amoc.metrics.health_figures import NODE, SENT
from amoc.metrics.throttle_counts import COUNTS
from amoc.metrics.timer_block import TimerBlock
from amoc.metrics.workers_together import OF_ALL

T = TypeVar("T")

MAX_WORKERS = 4_096
"""Most workers of one node."""
MAX_CORES = 65_536
CODES = frozenset(map(int, ExitCode))
LEVELS = frozenset({"info", "warning", "error", "trace"})
_WHOLE, _ANY_NUMBER = (int,), (int, float)
_SIZES = {
    "workers": (1, MAX_WORKERS),
    "cores": (1, MAX_CORES),
    "fds_per_user": (0, 1 << 32),
    "fd_limit": (0, 1 << 62),
}


class _Limits(NamedTuple):
    """What the reports of a node are checked against."""

    workers: range
    highest_id: int
    is_ready: bool

    def incarnation(self, one: WorkerUp | WorkerLost) -> None:
        """Check a report that a worker has started or was lost."""
        _worker(one.worker, self.workers)
        _number("incarnation", one.incarnation, 1, 1 << 32)
        if isinstance(one, WorkerLost):
            _number("arrival_slots", one.arrival_slots, 0, 1 << 62)
        else:
            self.ids([*one.restart, *one.start])

    def worker(self, one: CrashSeen | FailureSeen | TargetSeen | Blocked | Started) -> None:
        """Check a worker's report about itself."""
        _worker(one.worker, self.workers)
        if isinstance(one, Started):
            _number("number", one.number, 0, 1 << 32)
        if isinstance(one, TargetSeen) and not isinstance(one.address, str):
            raise PeerError(f"an address must be text, got {cut(one.address)}")

    def envelope(self, one: Envelope) -> None:
        """Check a worker's envelope to the controller, or to a worker on any node."""
        part, worker, _ = one.header()
        if part not in BETWEEN_WORKERS:
            _worker(worker, self.workers)

    def sample(self, one: Sample) -> None:
        """Check a sample of the node's board."""
        _number("sequence", one.sequence, 1, 1 << 62)
        for name in ("at_ns", "users_peak", "restarted"):
            _number(name, getattr(one, name), 0, 1 << 62)
        _types("users", one.users, _WHOLE)
        if one.timers:
            TimerBlock(*one.timers)
        numbers = self.workers if self.is_ready else range(MAX_WORKERS)
        _number("workers", len(one.workers), 0, len(numbers))
        for worker, *figures in one.workers:
            _worker(worker, numbers)
            _figures(figures, len(SENT) - 1)
        if one.together:
            _number("together", len(one.together), len(OF_ALL), len(OF_ALL))
        for of_all in one.together:
            _figures(of_all, len(SENT))
        _figures(one.host, len(NODE))
        for counts in (one.users, one.counters, one.crashes, one.waiting):
            _types("counts", _values(counts), _WHOLE)
        for passed in _values(one.throttles):
            _number("counts", len(passed), len(COUNTS), len(COUNTS))
            _types("counts", passed, _WHOLE)
        for gauge in _values(one.gauges):
            _types("gauges", gauge, _ANY_NUMBER)
        _worker(one.first, numbers)
        _alive(one.alive)
        for first, count in one.gone:
            self.ids((first, first + _number("count", count, 1, self.highest_id) - 1))

    def users(self, one: UsersNow) -> None:
        """Check the present state of the node's users."""
        _number("workers", len(one.alive), len(self.workers), len(self.workers))
        _alive(one.alive)
        self.ids(one.beyond)

    def stopped(self, one: Stopped) -> None:
        """Check a report that the node's users have left."""
        _number("killed", one.killed, 0, 1 << 32)
        _number("lost", one.lost, 0, 1 << 32)
        self.ids(one.stuck)

    def loaded(self, one: Loaded) -> None:
        """Check a report that the node has loaded the scenario."""
        for name, (low, high) in _SIZES.items():
            _number(name, getattr(one, name), low, high)

    def text(self, one: Failed | Note | Terminated) -> None:
        """Check a message for people."""
        if isinstance(one, Failed) and one.exit_code not in CODES:
            raise PeerError(f"exit_code must be one of amoc's, got {cut(one.exit_code)}")
        if isinstance(one, Note) and one.level not in LEVELS:
            raise PeerError(
                f"level must be one of {', '.join(sorted(LEVELS))}, got {cut(one.level)}"
            )
        if isinstance(one, Terminated) and not isinstance(one.error, str):
            raise PeerError(f"an error must be text, got {cut(one.error)}")

    def ids(self, ids: Iterable[object]) -> None:
        """Check ids of users."""
        for one in ids:
            _number("a user's id", one, 1, self.highest_id)


_CHECKS: Mapping[type, Callable[[_Limits, Any], None]] = {  # Any: an instance of the key
    WorkerUp: _Limits.incarnation,
    WorkerLost: _Limits.incarnation,
    **dict.fromkeys((CrashSeen, FailureSeen, TargetSeen, Blocked, Started), _Limits.worker),
    Envelope: _Limits.envelope,
    Sample: _Limits.sample,
    UsersNow: _Limits.users,
    Stopped: _Limits.stopped,
    Loaded: _Limits.loaded,
    **dict.fromkeys((Failed, Note, Terminated), _Limits.text),
}


def check(record: FromNode, workers: range, highest_id: int, *, is_ready: bool = True) -> None:
    """Check that a node can have sent a report.

    Args:
        record: The report.
        workers: The numbers of the node's workers.
        highest_id: The highest id of a user of the run.
        is_ready: Whether the node has confirmed these numbers; before that its samples number
            workers as if it were the only node.

    Raises:
        PeerError: The report is invalid; the message says why.
        TypeError, ValueError: A part of it has the wrong type.
    """
    if (of_kind := _CHECKS.get(type(record))) is not None:
        of_kind(_Limits(workers, highest_id, is_ready), record)


def _number(name: str, value: object, low: int, high: int) -> int:
    if type(value) is int and low <= value <= high:
        return value
    raise PeerError(f"{name} must be a whole number from {low} to {high}, got {cut(value)}")


def _figures(figures: Sequence[object], wanted: int) -> None:
    _number("figures", len(figures), wanted, wanted)
    _types("figures", figures, _ANY_NUMBER)


def _values(by_name: Mapping[int, T] | Mapping[str, T]) -> Iterable[T]:
    if not isinstance(by_name, Mapping):
        raise PeerError(f"counts must be given by name, got {cut(by_name)}")
    return by_name.values()


def _types(name: str, values: Iterable[object], allowed: Collection[type]) -> None:
    for kind in {*map(type, values)}:  # checking each takes five times as long
        if kind not in allowed:
            raise PeerError(f"{name} must be numbers, got {kind.__name__}")


def _alive(counts: Sequence[int]) -> None:
    if counts and {*map(type, counts)} == {int}:  # checking each takes five times as long
        counts = min(counts), max(counts)
    for alive in counts:
        _number("alive", alive, 0, 1 << 32)


def _worker(worker: object, workers: range) -> None:
    # type(): a range contains 1.0 and True as well, which must not be used as keys.
    if type(worker) is not int or worker not in workers:
        own = f"{workers[0]} to {workers[-1]}" if workers else "none yet"
        raise PeerError(f"its workers are {own}, got worker {cut(worker)}")
