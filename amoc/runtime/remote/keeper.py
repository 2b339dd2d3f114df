"""The keeper: ``amoc node``, on a host that takes part in a controller's run.

It joins, fetches what the scenario needs, and starts the node as a child whose standard input is
the node's lifeline. It passes on what the node prints. It ends the node when asked to, when its own
lifeline closes, or when the controller has been silent for too long (`fencing`). If the keeper
itself is killed the lifeline closes with it; if it is stalled, the node misses its beats. In both
cases the node stops its users and exits.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import traceback
from collections.abc import Callable
from pathlib import Path

import gevent
import zmq
from gevent import socket as gsocket
from gevent.event import Event
from gevent.lock import BoundedSemaphore

from amoc.base import process
from amoc.base.clock import S_NS, now_ns
from amoc.base.errors import AmocError, ExitCode, PeerError, ResourceError, UsageError, os_error_as
from amoc.base.polling import poll
from amoc.install import bundle
from amoc.install.choice import Choice
from amoc.install.declared import declared
from amoc.ipc import bus
from amoc.ipc.messages import keeper as messages
from amoc.ipc.messages.lifecycle import Note
from amoc.ipc.messages.links import BOOTSTRAP
from amoc.ipc.pipe import encode
from amoc.runtime.child import ChildProcess
from amoc.runtime.remote import fencing
from amoc.runtime.remote.joining import ABANDONED, Place
from amoc.runtime.remote.log_shipping import LogReader, ship
from amoc.runtime.remote.node_clock import NodeClock

JOIN_S = 30.0
LOOK_S = 0.1
QUICK_BEAT_S = 0.02
SHIP_S = 0.5
ALONE_S = (fencing.KILLED_NS - fencing.ORPHANED_NS) / S_NS
"""How long a node may take to exit when there is no controller left to ask."""
STOP_S = 1.0
"""How much of that its users may take before they are killed."""
FLUSH_S = 2.0


class Keeper:
    """Keeps one node."""

    def __init__(
        self, context: zmq.Context[zmq.Socket[bytes]], place: Place, tell: Callable[[str], object]
    ) -> None:
        """Connect to the controller; `tell` shows lines to whoever started the keeper."""
        self._number = place.number
        self._place = place
        self._tell = tell
        self._directory = Path(bus.new_directory())
        self._in_use = socket.socket(socket.AF_UNIX)
        self._line: bus.Child[messages.ToKeeper, messages.FromKeeper] = bus.Child(
            context, place.remote, f"keeper{place.number}", messages.TO_KEEPER, messages.FROM_KEEPER
        )
        self._fence = fencing.Fence(now_ns(), fencing.PATIENCE_NS)
        self._clock = NodeClock(place.clock)
        self._node: ChildProcess | None = None
        self._told: ChildProcess | None = None
        self._logs = LogReader(self._directory / "logs")
        self._shipping = BoundedSemaphore()
        self._begin: messages.Begin | None = None
        self._data = bytearray()
        self._leave = Event()
        self._why = ""
        self._code = ExitCode.OK

    def run(self, lifeline: int | None) -> int:
        """Keep the node until the run is over; return the exit code.

        Args:
            lifeline: A descriptor; when it closes, the node is no longer wanted.
        """
        with self._line, self._in_use:
            try:
                self._make_directory()
                spawned = []
                if lifeline is not None:
                    spawned.append(gevent.spawn(self._guarded, self._watch, lifeline))
                joining = gevent.spawn(self._line.join, JOIN_S)
                either: list[gevent.Greenlet[..., None] | Event] = [joining, self._leave]
                gevent.wait(either, count=1)
                if not self._leave.is_set():
                    joining.get()
                    self._fence = fencing.Fence(now_ns(), fencing.PATIENCE_NS)
                    tasks = [self._receive, self._beat, self._guard, self._clock.follow, self._ship]
                    spawned += [gevent.spawn(self._guarded, task) for task in tasks]
                    self._leave.wait()
                self._end_node(self._why)
                self._line.report_urgent(
                    messages.Ended(f"has left: {self._why}" if self._why else "has left")
                )
                gevent.killall([*spawned, joining])
                self._line.flush(FLUSH_S)
            except AmocError as error:
                self._give_up(error.exit_code, str(error))
            finally:
                self._end_node()
                shutil.rmtree(self._directory, ignore_errors=True)
        if self._why:
            self._tell(self._why)
        return int(self._code)

    def _make_directory(self) -> None:
        """Create the keeper's directory.

        Raises:
            ResourceError: The system does not allow it.
        """
        with os_error_as(ResourceError, f"{self._directory} cannot be created"):
            self._directory.mkdir(0o700)
            # Nobody connects to it, but a directory without a bound socket counts as abandoned.
            self._in_use.bind(str(self._directory / "keeper"))
            self._in_use.listen()

    def stop(self, signum: int) -> None:
        """Stop because of a signal."""
        self._give_up(ExitCode.INTERRUPTED, f"told to stop by {signal.Signals(signum).name}")

    def _guarded(self, task: Callable[..., object], *arguments: object) -> None:
        try:
            task(*arguments)
        except AmocError as error:
            self._give_up(error.exit_code, str(error))
        except OSError as error:
            self._give_up(ExitCode.RESOURCE, str(error))
        except Exception as error:
            self._tell(traceback.format_exc())
            self._give_up(ExitCode.INTERNAL, f"internal error: {error!r}")

    def _give_up(self, code: ExitCode, why: str) -> None:
        if not self._why:
            self._why, self._code = why, code
            if self._node is None:
                self._line.report_urgent(Note("error", why))
                self._line.report_urgent(messages.Ended(f"was not started: {why}"))
        self._leave.set()

    # The controller

    def _receive(self) -> None:
        for command in self._line.commands():
            match command:
                case messages.Echo(asked_ns, received_ns, answered_ns):
                    self._fence.echoed(asked_ns)
                    self._clock.note(asked_ns, received_ns, answered_ns, now_ns())
                case messages.Begin():
                    self._begin = command
                    self._fetch()
                case messages.Chunk(offset, data):
                    self._take(offset, data)
                case messages.Kill():
                    if self._node is not None:
                        self._node.kill()
                    else:  # it may have ended already, which is then reported once more
                        self._line.report_urgent(messages.Ended("was not running"))
                case messages.Leave(why):
                    if why and not self._why:
                        self._why, self._code = why, ExitCode.NODE_LOST
                    self._leave.set()

    def _beat(self) -> None:
        while True:
            self._line.report_urgent(messages.Beat(now_ns(), self._clock.bound_ns))
            # A node can start soon; from then on clocks drift slowly.
            gevent.sleep(fencing.BEAT_S if self._clock.is_known else QUICK_BEAT_S)
            if self._told is not None and not self._fence.is_orphaned(now_ns()):
                self._told.write(fencing.BEAT)  # without beats the node would stop

    def _guard(self) -> None:
        while not self._fence.is_orphaned(now_ns()):
            gevent.sleep(LOOK_S)
        silent_s = (now_ns() - self._fence.known_ns) // S_NS
        why = f"nothing received from the controller for {silent_s} s"
        self._tell(f"{why}; stopping the node")
        if self._node is not None:
            self._node.close_lifeline(why)
        while not self._fence.is_over(now_ns()) and self._runs():
            gevent.sleep(LOOK_S)
        self._give_up(ExitCode.NODE_LOST, "lost contact with the controller")

    def _watch(self, lifeline: int) -> None:
        while True:
            gsocket.wait_read(lifeline)
            if not os.read(lifeline, 4096):
                self._give_up(ExitCode.NODE_LOST, ABANDONED)
                return

    # The bundle

    def _fetch(self) -> None:
        assert self._begin is not None
        digest = self._begin.digest
        data = bundle.cached(digest) if digest else b""
        if data is None:
            self._line.report_urgent(messages.Fetch(0))
        else:
            gevent.spawn(self._guarded, self._start, data)

    def _take(self, offset: int, data: bytes) -> None:
        if self._begin is None or offset != len(self._data):
            return  # a repeated answer
        self._data += data
        if len(self._data) < self._begin.size:
            if not data:
                raise PeerError("the bundle is incomplete")
            self._line.report_urgent(messages.Fetch(len(self._data)))
            return
        whole = bytes(self._data)
        bundle.keep(whole, self._begin.digest)
        gevent.spawn(self._guarded, self._start, whole)

    # The node

    def _start(self, data: bytes) -> None:
        assert self._begin is not None
        bootstrap = BOOTSTRAP.unpack(self._begin.bootstrap)
        if data:
            try:
                bundle.unpack(data, self._directory / "bundle")
            except UsageError as error:
                raise PeerError(f"the bundle cannot be used: {error}") from None
            os.chdir(self._directory / "bundle")
        libraries = ""
        if declared(bootstrap.scenario) is not None:
            # This may take minutes, and beats must continue.
            libraries = gevent.get_hub().threadpool.apply(_libraries, (bootstrap.scenario,))
        remote, keys = self._place.remote, self._place.node_keys
        address = remote.commands.rpartition(":")[0]
        commands, reports = (f"{address}:{port}" for port in self._begin.ports)
        told = bootstrap._replace(
            endpoint=str(self._directory),
            libraries=libraries,
            stop_timeout_s=min(bootstrap.stop_timeout_s, STOP_S),
            remote=(commands, reports, remote.parent_key, keys.public, keys.secret),
        )
        while not self._clock.is_known and not self._leave.is_set():
            gevent.sleep(QUICK_BEAT_S)
        while self._fence.is_silent(now_ns()) and not self._leave.is_set():
            gevent.sleep(LOOK_S)  # a node started now would have to stop at once
        if self._leave.is_set():
            return
        self._fence.node_starts()
        started = self._clock.start_node(self._directory)
        node = self._node = ChildProcess(started, self._printed)
        node.write(encode(BOOTSTRAP, told))
        self._told = node
        while (status := node.exit_status()) is None:
            gevent.sleep(LOOK_S)
        self._end_node()
        self._ship_logs()
        self._line.report_urgent(messages.Ended(process.describe_exit(status), status == 0))

    def _ship(self) -> None:
        while True:
            gevent.sleep(SHIP_S)
            self._ship_logs()

    def _ship_logs(self) -> None:
        """Send what was logged since the last call."""
        with self._shipping:  # parts of a file must be sent in order
            ship(self._logs, self._line.report, self._await_echo)

    def _await_echo(self) -> None:
        """Wait until all reports so far have arrived, as long as the controller responds."""
        asked_ns = now_ns()
        self._line.report_urgent(messages.Beat(asked_ns, self._clock.bound_ns))
        while self._fence.known_ns < asked_ns and not self._fence.is_orphaned(now_ns()):
            gevent.sleep(QUICK_BEAT_S)

    def _printed(self, line: str) -> None:
        self._line.report_nowait(messages.Printed([line]))

    def _runs(self) -> bool:
        return self._node is not None and self._node.exit_status() is None

    def _end_node(self, why: str = "") -> None:
        """End the node and anything left of it; the node is told why."""
        node, self._told = self._node, None
        if node is None:
            return
        node.close_lifeline(why)
        poll(
            lambda: not self._runs() or self._fence.is_over(now_ns()), ALONE_S, LOOK_S, gevent.sleep
        )
        if self._node is node:
            self._node = None
            node.end(0.0)


def _libraries(scenario: str) -> str:
    """Return the directory of the scenario's dependencies, after installing them if needed."""
    from amoc.install.environment import Preparation

    return Preparation(scenario, Choice(), lambda _line: None).environment().libraries


def on_signals(stop: Callable[[int], object]) -> None:
    """Call `stop` on signals that ask the process to end."""
    for signum in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        with contextlib.suppress(ValueError, OSError):
            gevent.signal_handler(signum, stop, signum)
