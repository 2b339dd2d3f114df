"""A throttle with distant workers, in simulated time: slots arrive before they are due."""

from __future__ import annotations

from collections.abc import Callable
from heapq import heappop, heappush
from itertools import count, pairwise

import pytest

from amoc import metrics
from amoc.base.clock import MS_NS, S_NS
from amoc.base.node_latency import NodeLatency
from amoc.ipc.messages.throttle import AskBack, ThrottleMode, Tokens
from amoc.metrics import registry
from amoc.metrics.area import Area
from amoc.throttle import worker_queue
from amoc.throttle.profiles import Constant
from amoc.throttle.throttle import Throttle
from amoc.throttle.token_waiter import OnToken
from amoc.throttle.worker_queue import WorkerQueue

pytestmark = pytest.mark.once

START_NS = 10**15
TICK_NS = MS_NS


class World:
    """A controller and workers with a one-way latency of `way_ms`; users return at once.

    Attributes:
        used: The due time of each used slot, and the time it was used.
    """

    def __init__(
        self, monkeypatch: pytest.MonkeyPatch, rate: float, way_ms: int, workers: int, users: int
    ) -> None:
        registry.current.attach(Area.private(), inherit=False)
        self.now_ns = START_NS
        self._way_ns = way_ms * MS_NS
        monkeypatch.setattr(worker_queue, "now_ns", lambda: self.now_ns)
        monkeypatch.setattr(worker_queue, "round_trip_ns", lambda: 2 * self._way_ns)
        self._on_the_way: list[tuple[int, int, Callable[[], object]]] = []
        self._order = count()
        self.used: list[tuple[int, int]] = []
        latency = NodeLatency()
        latency.round_trip_ns = 2 * self._way_ns
        self.throttle = Throttle[int]("t", Constant(rate), 1.0, 1, self.now_ns, latency)
        self.queues = [
            WorkerQueue("t", metrics.timer("lateness"), self._record) for _ in range(workers)
        ]
        self._tell()
        for queue in self.queues:
            for _ in range(users):
                self._enter(queue)

    def _record(self, _name: str, _epoch: int, _slot: int, due_ns: int, used_ns: int) -> None:
        self.used.append((due_ns, used_ns))

    def _enter(self, queue: WorkerQueue) -> None:
        queue.enter(OnToken(lambda _token: self._enter(queue)))

    def _send(self, deliver: Callable[[], object]) -> None:
        heappush(self._on_the_way, (self.now_ns + self._way_ns, next(self._order), deliver))

    def _tell(self) -> None:
        news = self.throttle.newest_change()
        for queue in self.queues:
            self._send(lambda queue=queue: queue.receive_mode(news))

    def change_rate(self, rate: float) -> None:
        self.throttle.change_profile(Constant(rate), None, self.now_ns)
        self._tell()

    def go_on(self, seconds: float) -> None:
        until_ns = self.now_ns + int(seconds * S_NS)
        while self.now_ns < until_ns:
            self.now_ns += TICK_NS
            while self._on_the_way and self._on_the_way[0][0] <= self.now_ns:
                heappop(self._on_the_way)[2]()
            if self.throttle.next_ns(self.now_ns) <= self.now_ns:
                for worker, record in self.throttle.deal(self.now_ns):
                    self._send(lambda worker=worker, record=record: self._receive(worker, record))
            for worker, queue in enumerate(self.queues):
                queue.work(self.now_ns, self.now_ns + S_NS)
                if queue.report_due_ns <= self.now_ns:
                    want = queue.want(self.now_ns)
                    self._send(
                        lambda worker=worker, want=want: self.throttle.want(
                            worker, want, self.now_ns
                        )
                    )

    def _receive(self, worker: int, record: object) -> None:
        queue = self.queues[worker]
        match record:
            case Tokens():
                queue.receive_tokens(record)
            case AskBack():
                queue.receive_ask_back()
            case ThrottleMode():
                queue.receive_mode(record)

    def used_since(self, since_ns: int) -> list[int]:
        return [due_ns for due_ns, _ in self.used if due_ns >= since_ns]


@pytest.mark.parametrize("way_ms", [0, 5, 20, 40, 80, 120, 200])
@pytest.mark.parametrize(
    ("rate", "workers", "users"), [(5.0, 2, 3), (50.0, 3, 20), (200.0, 6, 5), (2_000.0, 4, 200)]
)
def test_the_rate_is_reached_at_any_latency(monkeypatch, rate, workers, users, way_ms):
    world = World(monkeypatch, rate, way_ms, workers, users)
    world.go_on(3)
    since_ns = world.now_ns
    world.go_on(6)
    dues = world.used_since(since_ns)
    assert len(dues) == pytest.approx(6 * rate, rel=0.01, abs=2)
    assert all(due_ns <= used_ns for due_ns, used_ns in world.used)
    assert world.throttle.state(world.now_ns).missed <= rate * 0.5


@pytest.mark.parametrize("way_ms", [0, 20, 80, 200])
def test_a_lower_rate_takes_effect_everywhere_at_the_same_time(monkeypatch, way_ms):
    world = World(monkeypatch, 200.0, way_ms, 4, 10)
    world.go_on(3)
    world.change_rate(20.0)
    changed_ns = world.throttle.changed_ns
    world.go_on(5)
    dues = sorted(world.used_since(changed_ns))
    assert len(dues) > 60
    assert all(later - sooner >= 49 * MS_NS for sooner, later in pairwise(dues))
