"""The bus: commands go down by PUB/SUB, reports go up by PUSH/PULL, and nothing is lost silently.

The parent binds both ends, its children connect. Each child has a topic of its own, ending in a dot
so that ``w3.`` does not hear ``w30.``.

Down: each command carries the topic's next number. The child takes commands in order only, drops
what it has had, and acknowledges the highest number with whatever it sends up. What is not
acknowledged is kept and published again, so a command that a full queue dropped arrives late and in
order instead of never; a gap is also reported by name. A child that leaves too much unacknowledged
is broken, and its parent is told so.

Up: reports gather for a few milliseconds and travel as one message (19 µs an event single, 0.8 µs
by the hundred); one that is urgent leaves at the loop's next turn, and takes with it what gathered.
A full queue makes the child wait: reports are few, figures are on the board.

PUB drops what a late subscriber missed, so a child says hello until it hears welcome; its parent
learns of it once, when the welcome is acknowledged.

Sockets are plain ZeroMQ ones, watched through their descriptor (`amoc.ear`): one greenlet for each.
"""

from __future__ import annotations

import os
import tempfile
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice
from types import TracebackType
from typing import Any, NamedTuple, Self

import gevent
import zmq
from gevent.event import Event

from amoc import ear, messages
from amoc.errors import PeerError, ResourceError
from amoc.gathering import Gathering, pack_batch
from amoc.messages import CrashSeen, Hello, Note, Record, Sample, Welcome
from amoc.timing import S_NS, now_ns
from amoc.waiting import Bell

TICK_S = ear.TICK_S
"""How long a message can be there before somebody notices."""
BATCH_S = 0.005
"""How long a report may wait for company."""
HELLO_S = 0.05
LONGEST_HELLO_S = 1.0
"""Between two hellos, first and at most; many children at once must not shout their parent down."""
LINGER_MS = 2_000
"""How long the end of a context may wait for what is still to be sent."""
RESEND_NS = S_NS // 2
MOST_RESENT = 1_000
MOST_RESENT_BYTES = 4 << 20
"""What is published again at once: a child that does not read must not be buried."""
MOST_UNACKED = 20_000
"""Commands on their way to one child, beyond which it counts as broken."""
MOST_BATCHES = 200
"""Messages of reports on their way from one child, beyond which it holds them back."""
INFORMS = (CrashSeen, Note, Sample)
"""Reports without which the run goes on all the same; figures are on the board."""
MOST_REPORTS = 100_000
"""Reports that a child holds back at most."""
MOST_HELD_BYTES = 16 << 20
"""What a child holds back before it counts as crowded."""


def _send(socket: zmq.Socket[bytes], data: bytes) -> None:
    """Send, waiting for room in the queue."""
    while True:
        try:
            socket.send(data, zmq.NOBLOCK)
            return
        except zmq.Again:
            gevent.sleep(BATCH_S)


def make_directory() -> str:
    """A directory for a run's sockets that only we may enter.

    The path of a socket has room for 107 bytes; where TMPDIR is too long for that, /tmp is taken.
    """
    base = tempfile.gettempdir()
    return tempfile.mkdtemp(prefix="amoc-", dir=base if len(base.encode()) < 70 else "/tmp")  # noqa: S108


def endpoints(directory: str) -> tuple[str, str]:
    """Where a parent publishes and where it collects, on this host."""
    return f"ipc://{directory}/commands", f"ipc://{directory}/reports"


class Envelope(NamedTuple):
    """A report and who sent it."""

    child: str
    record: Record


@dataclass
class _Line:
    """What a parent keeps for one child."""

    sent: int = 0
    unacked: deque[tuple[int, bytes]] = field(default_factory=deque)
    unacked_bytes: int = 0
    resent: int = 0
    """The last command that was published again."""
    moved_ns: int = 0
    """When it last acknowledged something, or there was nothing to acknowledge."""
    reports: int = 0
    hello: Record = None
    """What it said first, until it has heard our welcome."""

    def take(self, number: int, acked: int) -> int:
        """A batch has arrived; how many before it have not."""
        missing = 0
        if number:
            missing, self.reports = number - self.reports - 1, number
        while self.unacked and self.unacked[0][0] <= acked:
            self.unacked_bytes -= len(self.unacked.popleft()[1])
            # When it has had all that was published again, the rest may have been lost as well.
            self.moved_ns = 0 if acked == self.resent else now_ns()
        return max(0, missing)


class Parent:
    """The end that commands: binds, knows its children by name, publishes again what they missed.

    Attributes:
        directory: A directory that only we may enter, with the sockets in it.
    """

    def __init__(self, context: zmq.Context[zmq.Socket[bytes]], directory: str) -> None:
        """Bind both ends in `directory`.

        Raises:
            ResourceError: The system does not let us.
        """
        self.directory = directory
        down, up = endpoints(directory)
        self._pub = context.socket(zmq.PUB)
        self._pull = context.socket(zmq.PULL)
        self._pub.set_hwm(MOST_UNACKED)
        self._pull.set_hwm(MOST_BATCHES)
        for socket, endpoint in ((self._pub, down), (self._pull, up)):
            socket.linger = LINGER_MS
            try:
                socket.bind(endpoint)
            except zmq.ZMQError as error:
                self._pub.close(0)
                self._pull.close(0)
                raise ResourceError(f"{endpoint} cannot be a socket: {error}") from None
        self._ear = ear.Ear(self._pull)
        self._lines: dict[str, _Line] = {}
        self._next_resend_ns = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._ear.close()
        self._pull.close(0)
        self._pub.close()

    def expect(self, child: str) -> None:
        """Let `child` join; reports of children that nobody expects are dropped."""
        self._lines[child] = _Line(moved_ns=now_ns())

    def forget(self, child: str) -> None:
        """`child` is no more: nothing is sent to it again."""
        self._lines.pop(child, None)

    def send(self, child: str, command: Record) -> None:
        """Send `command` to `child`; in vain when it is forgotten.

        Raises:
            PeerError: It has not acknowledged the `MOST_UNACKED` commands before.
        """
        line = self._lines.get(child)
        if line is None:
            return
        if len(line.unacked) >= MOST_UNACKED:
            raise PeerError(
                f"{child} must acknowledge its commands, but {MOST_UNACKED} are outstanding"
            )
        if not line.unacked:
            line.moved_ns = now_ns()
        line.sent += 1
        data = messages.pack([line.sent, messages.to_wire(command)])
        line.unacked.append((line.sent, data))
        line.unacked_bytes += len(data)
        self._publish(child, data)

    def _publish(self, child: str, data: bytes) -> None:
        # One frame: a second would cost another 10 µs, and topics are matched as prefixes.
        self._pub.send(f"{child}.".encode() + data)

    def backlog(self, child: str) -> int:
        """How many commands `child` has not acknowledged; none when it is forgotten."""
        line = self._lines.get(child)
        return len(line.unacked) if line is not None else 0

    def backlog_bytes(self, child: str) -> int:
        """What the commands take that `child` has not acknowledged."""
        line = self._lines.get(child)
        return line.unacked_bytes if line is not None else 0

    def reports(self) -> Iterator[Envelope | None]:
        """Reports as they come, without end; None at least every `TICK_S`."""
        for message in self._ear.messages():
            self._resend()
            if message is None:
                yield None
                continue
            try:
                child, number, acked, records = messages.unpack(message)
                number, acked = int(number), int(acked)
                line = self._lines.get(child)
                reports = [messages.from_wire(data) for data in records]
            except (PeerError, ValueError, TypeError):
                continue  # not one of ours; the directory is closed to others
            if line is None:
                continue
            if missing := line.take(number, acked):
                note = f"{missing} report(s) of {child} are lost"
                yield Envelope(child, Note("error", note))
            if line.unacked and not line.moved_ns:
                self._resend_to(child, line)
            for report in reports:
                if type(report) is Hello:
                    self._welcome(child, line, report)
                else:
                    yield Envelope(child, report)
            if line.hello is not None and acked:
                # Only now does it hear us: what was published before would have been lost.
                hello, line.hello = line.hello, None
                yield Envelope(child, hello)

    def _welcome(self, child: str, line: _Line, hello: Record) -> None:
        if line.sent == 0:
            line.hello = hello
            self.send(child, Welcome())
        elif line.unacked and line.unacked[0][0] == 1:
            self._publish(child, line.unacked[0][1])  # it subscribed after we had said it

    def _resend(self) -> None:
        now = now_ns()
        if now < self._next_resend_ns:
            return
        self._next_resend_ns = now + RESEND_NS // 2
        for child, line in self._lines.items():
            if line.unacked and now - line.moved_ns > RESEND_NS:
                self._resend_to(child, line)

    def _resend_to(self, child: str, line: _Line) -> None:
        line.moved_ns = now_ns()
        size = 0
        for number, data in islice(line.unacked, MOST_RESENT):
            self._publish(child, data)
            line.resent = number
            size += len(data)
            if size >= MOST_RESENT_BYTES:
                break


class Child:
    """The end that obeys: hears the commands for its own name, and reports.

    Attributes:
        name: What its parent expects it to be called.
    """

    def __init__(self, context: zmq.Context[zmq.Socket[bytes]], directory: str, name: str) -> None:
        self.name = name
        down, up = endpoints(directory)
        self._sub = context.socket(zmq.SUB)
        self._topic = f"{name}.".encode()
        self._sub.subscribe(self._topic)
        self._push = context.socket(zmq.PUSH)
        self._sub.set_hwm(MOST_UNACKED)
        self._push.set_hwm(MOST_BATCHES)
        for socket, endpoint in ((self._sub, down), (self._push, up)):
            socket.linger = LINGER_MS
            socket.connect(endpoint)
        self._ear = ear.Ear(self._sub)
        self._heard = 0
        self._gap_at = -1
        self._dropped = 0
        self._acked = 0
        self._batches = 0
        self._reports = Gathering()
        self._due = Bell()
        self._hurry = Bell()
        self._room = Event()
        self._room.set()
        self._flushed = Event()
        self._flushed.set()
        self._writer = gevent.spawn(self._write)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._writer.kill()
        self._ear.close()
        self._sub.close(0)
        self._push.close()

    def join(self, deadline_s: float) -> None:
        """Say hello until welcome is heard.

        Raises:
            PeerError: It is not heard within `deadline_s`.
        """
        # A hello has no number, for one that comes before it is expected is rightly passed over.
        hello = pack_batch(self.name, 0, 0, [messages.pack_item(Hello(os.getpid()))])
        deadline = now_ns() + int(deadline_s * S_NS)
        pause_s, next_hello = HELLO_S, 0
        while (now := now_ns()) < deadline:
            if now >= next_hello:
                _send(self._push, hello)
                next_hello = now + int(pause_s * S_NS)
                pause_s = min(2 * pause_s, LONGEST_HELLO_S)
            self._ear.wait(max(0, next_hello - now) / S_NS)
            try:
                message = self._sub.recv(zmq.NOBLOCK)
            except zmq.Again:
                continue
            number, record = self._read(message)
            if type(messages.from_wire(record)) is Welcome:
                self._heard = number
                self._due.ring()
                return
        raise PeerError(f"{self.name} must be welcomed within {deadline_s} s, but heard nothing")

    def _read(self, message: bytes) -> Any:
        """A command's number, and the command."""
        return messages.unpack(message[len(self._topic) :])

    def commands(self) -> Iterator[Record | None]:
        """Commands in order, without end; None at least every `TICK_S`."""
        for message in self._ear.messages():
            if message is None:
                yield None
                continue
            number, data = self._read(message)
            if number == self._heard + 1:
                self._heard = number
                self._due.ring()
                yield messages.from_wire(data)
            elif number > self._heard + 1:
                # Drop it: the parent publishes all that is missing again, in order.
                if self._gap_at == self._heard:
                    continue  # said already
                self._gap_at = self._heard
                self.report(
                    Note(
                        "warning",
                        f"{self.name} missed command {self._heard + 1} (got {number});"
                        " it is sent again",
                    )
                )
            else:
                self._acked = 0  # had it: our acknowledgement is late or was lost, so repeat it
                self._due.ring()

    def crowded(self) -> bool:
        """Whether so much is held back that what can be left out should be."""
        return self._reports.size > MOST_HELD_BYTES

    def report(self, record: Record) -> None:
        """Report `record` within `BATCH_S`; waits while `MOST_REPORTS` are held back."""
        self._room.wait()
        self._reports.add(record)
        if len(self._reports) >= MOST_REPORTS:
            self._room.clear()
        self._flushed.clear()
        self._due.ring()

    def report_nowait(self, record: Record) -> None:
        """Report `record` from where waiting is forbidden, such as a callback of the loop.

        While `MOST_REPORTS` are held back what only informs is dropped, and counted.
        """
        if len(self._reports) >= MOST_REPORTS and isinstance(record, INFORMS):
            self._dropped += 1
            return
        self._reports.add(record)
        self._flushed.clear()
        self._due.ring()

    def report_urgent(self, record: Record) -> None:
        """As `report_nowait`, but leave at the loop's next turn instead of waiting for company."""
        self.report_nowait(record)
        self._hurry.ring()

    def flush(self, deadline_s: float) -> bool:
        """Wait until all reports are handed to ZeroMQ; whether that was so within `deadline_s`."""
        return bool(self._flushed.wait(deadline_s))

    def _write(self) -> None:
        while True:
            if not self._reports:
                self._due.wait()
            if not self._reports.full:
                self._hurry.wait(BATCH_S)
            if self._dropped:
                note = f"{self._dropped} notes of {self.name} are dropped: too many at once"
                self._reports.add(Note("warning", note))
                self._dropped = 0
            batch = self._reports.take()
            if len(self._reports) < MOST_REPORTS:
                self._room.set()
            if not batch and self._heard == self._acked:
                continue
            self._batches += 1
            self._acked = self._heard
            _send(self._push, pack_batch(self.name, self._batches, self._heard, batch))
            if not self._reports:
                self._flushed.set()
            else:
                gevent.sleep(0)
