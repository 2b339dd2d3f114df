"""What a node may say: reports that no node of ours makes are found before anything acts on them.

Pure. A node may run on a host that is not ours. Whatever number in its reports is an index, a size
or an id here is held against the node's own workers and the run's ids; the rest is shown or summed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from amoc.base.errors import ExitCode, PeerError
from amoc.base.text import cut
from amoc.ipc.messages.envelope import BETWEEN_WORKERS, Envelope
from amoc.ipc.messages.lifecycle import Failed, Loaded, Note, Terminated, WorkerLost, WorkerUp
from amoc.ipc.messages.links import FromNode
from amoc.ipc.messages.samples import Sample
from amoc.ipc.messages.users import Blocked, CrashSeen, FailureSeen, Started, Stopped, UsersNow
from amoc.metrics.health_figures import TOLD

MAX_WORKERS = 4_096
"""Of one node."""
MAX_CORES = 65_536
CODES = frozenset(map(int, ExitCode))
LEVELS = frozenset({"info", "warning", "error", "trace"})
_SIZES = {
    "workers": (1, MAX_WORKERS),
    "cores": (1, MAX_CORES),
    "fds_per_user": (0, 1 << 32),
    "fd_limit": (0, 1 << 62),
}


class _Known(NamedTuple):
    """What reports of a node are held against."""

    workers: range
    highest_id: int
    is_ready: bool

    def incarnation(self, one: WorkerUp | WorkerLost) -> None:
        """A worker has come up, or was lost."""
        _worker(one.worker, self.workers)
        _number("incarnation", one.incarnation, 1, 1 << 32)
        if isinstance(one, WorkerLost):
            _number("arrival_slots", one.arrival_slots, 0, 1 << 62)
        else:
            self.ids([*one.restart, *one.start])

    def worker(self, one: CrashSeen | FailureSeen | Blocked | Started) -> None:
        """A worker has said something of itself."""
        _worker(one.worker, self.workers)
        if isinstance(one, Started):
            _number("number", one.number, 0, 1 << 32)

    def envelope(self, one: Envelope) -> None:
        """A worker has sent something to the controller, or to a worker that is anywhere."""
        part, worker, _ = one.header()
        if part not in BETWEEN_WORKERS:
            _worker(worker, self.workers)

    def sample(self, one: Sample) -> None:
        """The node has looked at its board."""
        _number("sequence", one.sequence, 1, 1 << 62)
        numbers = self.workers if self.is_ready else range(MAX_WORKERS)
        _number("workers", len(one.workers), 0, len(numbers))
        for worker, *figures in one.workers:
            _worker(worker, numbers)
            _number("figures", len(figures), len(TOLD) - 1, len(TOLD) - 1)
        _worker(one.first, numbers)
        _alive(one.alive)
        for first, count in one.gone:
            self.ids((first, first + _number("count", count, 1, self.highest_id) - 1))

    def users(self, one: UsersNow) -> None:
        """The node has looked at its users."""
        _number("workers", len(one.alive), len(self.workers), len(self.workers))
        _alive(one.alive)
        self.ids(one.beyond)

    def stopped(self, one: Stopped) -> None:
        """Its users have left."""
        _number("killed", one.killed, 0, 1 << 32)
        _number("lost", one.lost, 0, 1 << 32)
        self.ids(one.stuck)

    def loaded(self, one: Loaded) -> None:
        """It has loaded the scenario."""
        for name, (low, high) in _SIZES.items():
            _number(name, getattr(one, name), low, high)

    def words(self, one: Failed | Note | Terminated) -> None:
        """It has something to say."""
        if isinstance(one, Failed) and one.exit_code not in CODES:
            raise PeerError(f"there is no exit code {cut(one.exit_code)}")
        if isinstance(one, Note) and one.level not in LEVELS:
            raise PeerError(f"there is no level {cut(one.level)}")
        if isinstance(one, Terminated) and not isinstance(one.error, str):
            raise PeerError(f"an error must be text, got {cut(one.error)}")

    def ids(self, ids: Iterable[object]) -> None:
        """Some ids of users."""
        for one in ids:
            _number("a user's id", one, 1, self.highest_id)


_CHECKS: Mapping[type, Callable[[_Known, Any], None]] = {
    WorkerUp: _Known.incarnation,
    WorkerLost: _Known.incarnation,
    **dict.fromkeys((CrashSeen, FailureSeen, Blocked, Started), _Known.worker),
    Envelope: _Known.envelope,
    Sample: _Known.sample,
    UsersNow: _Known.users,
    Stopped: _Known.stopped,
    Loaded: _Known.loaded,
    **dict.fromkeys((Failed, Note, Terminated), _Known.words),
}


def check(record: FromNode, workers: range, highest_id: int, *, is_ready: bool = True) -> None:
    """Make sure that a node can have said that.

    Args:
        record: What it has said.
        workers: The numbers of its workers.
        highest_id: The highest id of a user of the run.
        is_ready: Whether it has told that it knows these numbers; until then its samples number
            workers as if there were no other node.

    Raises:
        PeerError: It cannot; the message says what is wrong with it.
        TypeError, ValueError: Part of it is not even of the right kind.
    """
    if (of_kind := _CHECKS.get(type(record))) is not None:
        of_kind(_Known(workers, highest_id, is_ready), record)


def _number(name: str, value: object, low: int, high: int) -> int:
    if type(value) is int and low <= value <= high:
        return value
    raise PeerError(f"{name} must be a whole number from {low} to {high}, got {cut(value)}")


def _alive(counts: Sequence[int]) -> None:
    if counts and {*map(type, counts)} == {int}:  # a look at each takes five times as long
        counts = min(counts), max(counts)
    for alive in counts:
        _number("alive", alive, 0, 1 << 32)


def _worker(worker: object, workers: range) -> None:
    # type(): a range finds 1.0 and True as well, which are no keys of ours.
    if type(worker) is not int or worker not in workers:
        own = f"{workers[0]} to {workers[-1]}" if workers else "none yet"
        raise PeerError(f"its workers are {own}, got worker {cut(worker)}")
