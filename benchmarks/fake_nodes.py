"""Nodes that run nothing but send what real ones send: one process of benchmarks/controller.py.

Each has a keeper, which joins with the secret and sends beats, and a node, which loads, comes up
with its workers, starts users, requests slots and reports them, samples once a second, stops and
terminates. Everything goes over the bus of real nodes, encrypted, by two connections each. What
they have counted is written to a file at the end, to be compared with the run's summary.

    python -m benchmarks.fake_nodes '{"controller": "tcp://…", …}'      # the fields of `Fakes`
"""

from __future__ import annotations

import gevent.monkey

gevent.monkey.patch_all()

import json  # noqa: E402
import sys  # noqa: E402
from collections import Counter  # noqa: E402
from collections.abc import Callable, Sequence  # noqa: E402
from functools import cache  # noqa: E402
from heapq import heappop, heappush  # noqa: E402
from itertools import count  # noqa: E402
from pathlib import Path  # noqa: E402
from typing import NamedTuple  # noqa: E402

import gevent  # noqa: E402
import zmq  # noqa: E402

import amoc.runtime.host  # noqa: E402, F401 - whatever a node declares
from amoc import __version__  # noqa: E402
from amoc.base.clock import S_NS, now_ns  # noqa: E402
from amoc.ipc import bus  # noqa: E402
from amoc.ipc.messages.envelope import Envelope, Part  # noqa: E402
from amoc.ipc.messages.keeper import (  # noqa: E402
    FROM_KEEPER,
    TO_KEEPER,
    Beat,
    Begin,
    Echo,
    Ended,
    FromKeeper,
    Kill,
    Leave,
    ToKeeper,
)
from amoc.ipc.messages.lifecycle import (  # noqa: E402
    Bootstrap,
    Init,
    Loaded,
    Ready,
    Terminate,
    Terminated,
    WorkerUp,
)
from amoc.ipc.messages.links import BOOTSTRAP, FROM_NODE, TO_NODE, FromNode, ToNode  # noqa: E402
from amoc.ipc.messages.orders import ORDER_REPLIES, ORDERS, CountUsers, Done, UserCounts  # noqa: E402
from amoc.ipc.messages.samples import Sample  # noqa: E402
from amoc.ipc.messages.throttle import (  # noqa: E402
    THROTTLE_TO_CONTROLLER,
    THROTTLE_TO_WORKER,
    ThrottleMode,
    Tokens,
    Want,
)
from amoc.ipc.messages.users import Started, StartUsers, Stopped, StopUsers  # noqa: E402
from amoc.metrics.area import Kind  # noqa: E402
from amoc.metrics.board import UserState  # noqa: E402
from amoc.metrics.workers_together import named_every  # noqa: E402
from amoc.runtime.remote import address, fencing, joining, secret  # noqa: E402
from amoc.runtime.remote.joining import Place  # noqa: E402
from amoc.scenario import settings  # noqa: E402
from amoc.scenario.resolving import resolve  # noqa: E402
from amoc.scenario.start_rate import USER_RATE  # noqa: E402
from amoc.throttle.blocks import Block  # noqa: E402
from benchmarks import fake_figures  # noqa: E402

JOIN_S = 120.0
LOOK_S = 0.01
THROTTLE = "turns"
FEW = 8
"""Slots that a worker requests at once."""
SAMPLE_S = 1.0


class Fakes(NamedTuple):
    """Configuration of one process of fake nodes."""

    controller: str
    secret_file: str
    first: int
    """Number of its first node, for names."""
    nodes: int
    workers: int
    """Per node."""
    rate: float
    """Slots per second of the throttle, over all nodes; 0 without a throttle."""
    counters: int
    timers: int
    counted: str
    """The file for their counts."""


class Alarms:
    """Timers with a resolution of `LOOK_S`; thousands of sleeping greenlets cost far more."""

    def __init__(self) -> None:
        self._due: list[tuple[int, int, Callable[[], None]]] = []
        self._numbers = count()

    def at(self, due_ns: int, call: Callable[[], None]) -> None:
        """Call at `due_ns` a function that must not wait."""
        heappush(self._due, (due_ns, next(self._numbers), call))

    def run(self) -> None:
        """Call whatever is due, forever."""
        while True:
            now = now_ns()
            while self._due and self._due[0][0] <= now:
                heappop(self._due)[2]()
            gevent.sleep(LOOK_S)


class Node:
    """A node with its keeper."""

    def __init__(
        self,
        fakes: Fakes,
        number: int,
        place: Place,
        context: zmq.Context[zmq.Socket[bytes]],
        alarms: Alarms,
    ) -> None:
        self.ended = False
        self.late_s = 0.0
        self._fakes = fakes
        self._context = context
        self._place = place
        self._name = f"fake{number}"
        self._keeper: bus.Child[ToKeeper, FromKeeper] = bus.Child(
            context, place.remote, f"keeper{place.number}", TO_KEEPER, FROM_KEEPER
        )
        self._line: bus.Child[ToNode, FromNode] | None = None
        self._node = 0
        self._first = 0
        self._users = [0] * fakes.workers
        self._state = UserState.RUNNING
        self.passed = 0
        self._epochs: Counter[str] = Counter()
        self._alarms = alarms
        self._is_over = False
        self._samples = 0
        self._layout: Sequence[int] = ()

    def keep(self) -> None:
        """Act as the keeper until the run is over."""
        self._keeper.join(JOIN_S)
        self._beat()
        for command in self._keeper.commands():
            match command:
                case Echo(asked_ns):
                    if self._samples and self._state is UserState.RUNNING:
                        self.late_s = max(self.late_s, (now_ns() - asked_ns) / S_NS)
                case Begin():
                    gevent.spawn(self._begin, command)
                case Kill():
                    self._keeper.report_urgent(Ended("was killed"))
                case Leave():
                    break
        self.ended = True
        self._keeper.flush(1.0)
        self._keeper.close()

    def _beat(self) -> None:
        if not self.ended:
            now = now_ns()
            self._keeper.report_urgent(Beat(now))
            self._alarms.at(now + int(fencing.BEAT_S * S_NS), self._beat)

    def _begin(self, begin: Begin) -> None:
        told: Bootstrap = BOOTSTRAP.unpack(begin.bootstrap)
        remote, keys = self._place.remote, self._place.node_keys
        host = remote.commands.rpartition(":")[0]
        commands, reports = (f"{host}:{port}" for port in begin.ports)
        self._node = told.node
        place = bus.Remote(commands, reports, remote.parent_key, keys)
        self._line = bus.Child(self._context, place, f"node{told.node}", TO_NODE, FROM_NODE)
        self._line.join(JOIN_S)
        declared = settings.declared()
        values = resolve(declared, [settings.Source(*one) for one in told.sources])
        self._line.report_urgent(
            Loaded(
                name=told.scenario,
                doc="",
                settings=[
                    (
                        one.name,
                        settings.as_text(one.name, values[one.name]),
                        values[one.name].source,
                        one.description,
                        one.module,
                    )
                    for one in declared
                ],
                pacing=(0.0, values[USER_RATE].value),
                workers=self._fakes.workers,
                fds_per_user=0,
                fd_limit=1 << 20,
                thresholds=[],
                cores=self._fakes.workers,
                version=__version__,
            )
        )
        self._obey(self._line)

    def _obey(self, line: bus.Child[ToNode, FromNode]) -> None:
        """Act as the node until it is asked to terminate."""
        for command in line.commands():
            match command:
                case Envelope():
                    self._hear(line, command)
                case StartUsers(worker, ids):
                    self._users[worker - self._first] += len(ids)
                    line.report_nowait(Started(worker, len(ids)))
                case Init():
                    self._init(line, command)
                    begin_ns = now_ns() + self._node % 50 * int(SAMPLE_S * S_NS) // 50
                    self._alarms.at(begin_ns, lambda: self._sample_each_second(line))
                case StopUsers():
                    self._state = UserState.FINISHED
                    line.report_nowait(self._sample())
                    line.report_urgent(Stopped(0, [], 0))
                case Terminate():
                    break
        self._is_over = True
        line.report_nowait(self._sample(last=True))
        line.report_urgent(Terminated(""))
        line.flush(5.0)
        line.close()
        self._keeper.report_urgent(Ended("exited with 0"))

    def _init(self, line: bus.Child[ToNode, FromNode], init: Init) -> None:
        self._layout, *_ = init.layout
        self._first = sum(self._layout[: self._node])
        rate = self._fakes.rate
        calls = [("throttle.start", (THROTTLE, ["constant", rate], 1.0))] if rate else []
        metrics = [
            (name, int(Kind.COUNTER))
            for name in fake_figures.names("counter", self._fakes.counters)
        ]
        metrics += [
            (name, int(Kind.TIMER)) for name in fake_figures.names("timer", self._fakes.timers)
        ]
        line.report_nowait(Ready(calls, metrics))
        for worker in self._numbers:
            line.report_nowait(WorkerUp(worker, 1, 1, [], []))

    @property
    def _numbers(self) -> range:
        return range(self._first, self._first + self._fakes.workers)

    # Throttles and orders

    def _hear(self, line: bus.Child[ToNode, FromNode], envelope: Envelope) -> None:
        part, worker, _ = envelope.header()
        if part is Part.THROTTLE:
            for one in THROTTLE_TO_WORKER.unpack_stream(envelope.body):
                match one:
                    case ThrottleMode(name, epoch):
                        self._epochs[name] = epoch
                        if name in (THROTTLE, USER_RATE):
                            self._want(line, worker, name, 0)
                    case Tokens():
                        self._use(line, worker, Block(*one[1:]))
        elif part is Part.CONTROL:
            for order in ORDERS.unpack_stream(envelope.body):
                users = self._users[worker - self._first]
                is_count = isinstance(order, CountUsers)
                reply = UserCounts(order.number, users, 0, users) if is_count else None
                packed = ORDER_REPLIES.pack(reply or Done(order.number, "done"))
                line.report_urgent(Envelope.of(Part.CONTROL, worker, 1, packed))

    def _want(self, line: bus.Child[ToNode, FromNode], worker: int, name: str, seen: int) -> None:
        epoch, outstanding = self._epochs[name], FEW if name == THROTTLE else 0
        want = Want(name, epoch, seen, outstanding, FEW, now_ns(), 0, 0, epoch)
        packed = THROTTLE_TO_CONTROLLER.pack(want)
        line.report_urgent(Envelope.of(Part.THROTTLE, worker, 1, packed))

    def _use(self, line: bus.Child[ToNode, FromNode], worker: int, block: Block) -> None:
        """Let users that have used their slots wait for others."""

        def used() -> None:
            if not self._is_over:
                self.passed += block.size
                self._want(line, worker, THROTTLE, block.number)

        self._alarms.at(block.due_at(block.size - 1), used)

    # Samples

    def _sample_each_second(self, line: bus.Child[ToNode, FromNode]) -> None:
        if not self._is_over:
            line.report_nowait(self._sample())
            again_ns = now_ns() + int(SAMPLE_S * S_NS)
            self._alarms.at(again_ns, lambda: self._sample_each_second(line))

    def _sample(self, last: bool = False) -> Sample:
        self._samples += 1
        every, users = named_every(self._layout), sum(self._users)
        by_worker = tuple(self._users)
        each, named = last or not every, every and (self._samples + self._node) % every == 0
        told = fake_figures.told(by_worker, self._samples, each) if each or named else ()
        throttles = {THROTTLE: (self.passed, self.passed, 0)} if self._fakes.rate else {}
        return Sample(
            sequence=self._samples,
            at_ns=now_ns(),
            users={int(self._state): users},
            users_peak=users,
            counters=fake_figures.counters(self._fakes.counters, self._samples),
            gauges={},
            timers=fake_figures.timers(self._fakes.timers, self._samples),
            crashes={},
            throttles=throttles,
            waiting={THROTTLE: users} if self._fakes.rate else {},
            workers=[(self._first + index, *figures) for index, *figures in told],
            host=[0.1, 1 << 34, 1 << 33, 28_232, 0],
            first=self._first,
            alive=self._users,
            together=fake_figures.together(by_worker, self._samples) if every else (),
        )

    def counted(self) -> dict[str, int]:
        """Return what this node has reported in its samples."""
        return {"samples": self._samples, "passed": self.passed}


def main() -> None:
    """Act as some nodes until the run is over."""
    fakes = Fakes(**json.loads(sys.argv[1]))
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    context.set(zmq.MAX_SOCKETS, 8 * fakes.nodes + 64)
    # Each host derives them once.
    joining.shared_keys = cache(joining.shared_keys)  # type: ignore[attr-defined]
    where = address.parse(fakes.controller, "controller")
    known = secret.in_file(fakes.secret_file)
    nodes: list[Node] = []
    alarms = Alarms()
    gevent.spawn(alarms.run)

    def one(number: int) -> None:
        name = f"fake{number}"
        place = joining.join(context, where, known, JOIN_S, name)
        node = Node(fakes, number, place, context, alarms)
        nodes.append(node)
        node.keep()

    numbers = range(fakes.first, fakes.first + fakes.nodes)
    greenlets = [gevent.spawn(one, number) for number in numbers]
    gevent.joinall(greenlets, raise_error=True)
    total = Counter[str]()
    for node in nodes:
        total.update(node.counted())
    late_s = max(node.late_s for node in nodes)
    Path(fakes.counted).write_text(json.dumps({**total, "late_s": late_s}))
    context.destroy(linger=bus.LINGER_MS)


if __name__ == "__main__":
    main()
