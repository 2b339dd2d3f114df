"""The child's end of the bus: it receives the commands for its name, and sends reports.

It detects when too many reports are held back because its parent does not read, and signals that to
callers that can hold back.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from typing import Generic, TypeVar

import gevent
import zmq

from amoc.base.clock import MS_NS, S_NS, now_ns
from amoc.base.errors import PeerError
from amoc.base.open_gate import OpenGate
from amoc.base.text import counted
from amoc.base.waiting import Notify
from amoc.ipc.bus.end import MAX_BATCHES, MAX_UNACKED, OWN, WELCOME, End, send_nowait
from amoc.ipc.bus.place import Remote, endpoints, secure
from amoc.ipc.bus.report_queue import ReportQueue, pack_batch
from amoc.ipc.messages.codec import UNPACKABLE, Codec, culprit, unpack
from amoc.ipc.messages.lifecycle import Hello, Note, Output
from amoc.ipc.messages.users import CrashSeen, FailureSeen, TargetSeen

ACK_NS = 100 * MS_NS
ACK_AT = 100
ACK_BYTES = 1 << 20
"""Limits on acknowledgements waiting for a report to travel with: time, commands and their bytes.
Usually there is a report in time; a separate message costs as much as a report."""
BATCH_S = 0.005
"""How long a report waits for others to share a batch."""
HELLO_S = 0.005
MAX_HELLO_S = 1.0
"""First and maximum interval between hellos; the backoff keeps many children from flooding their
parent. Most need a second hello, since the first welcome is sent before the parent's socket has
their subscription."""
INFORMATIVE = (CrashSeen, FailureSeen, TargetSeen, Note, Output)
"""Merely informative reports, which may be dropped."""
MAX_REPORTS = 100_000
MAX_HELD_BYTES = 16 << 20
"""Held-back reports from which a child is crowded, until they have fallen to half of that."""
STALL_NS = 10 * S_NS
"""A child is also crowded if its parent has accepted nothing for this long."""
MAX_REFUSED = 50
"""Maximum number of unpackable parts of reports that are each reported."""
ROOM_S = 1.0
"""How long `Child.report` waits while it is crowded."""


_C = TypeVar("_C")
_R = TypeVar("_R")


class Child(End, Generic[_C, _R]):
    """Receives commands in order, and sends reports.

    Attributes:
        name: The name under which the parent expects it.
        room: Open while there is room for messages to be forwarded by the parent; callers that wait
            for it need their own deadline.
    """

    def __init__(
        self,
        context: zmq.Context[zmq.Socket[bytes]],
        place: str | Remote,
        name: str,
        commands: Codec[_C],
        reports: Codec[_R],
        at_crowded: Callable[[bool], object] | None = None,
    ) -> None:
        """Connect to the parent in `place`.

        Args:
            context: The context for its sockets.
            place: The directory of a parent on this host, or the address of one on another host.
            name: The name under which the parent expects it.
            commands: Decodes commands.
            reports: Encodes reports.
            at_crowded: Called when `crowded` changes, with the new value.
        """
        super().__init__(context, (zmq.PUSH, MAX_BATCHES), (zmq.SUB, MAX_UNACKED))
        self.name = name
        self.room = OpenGate()
        self._topic = f"{name}.".encode()
        self._receive_socket.subscribe(self._topic)
        for socket, endpoint in zip(
            (self._receive_socket, self._send_socket), endpoints(place), strict=True
        ):
            if isinstance(place, Remote):
                secure(socket, place.parent_key, place.keys)
            socket.connect(endpoint)
        self._received = self._received_bytes = 0
        self._gap_at = -1
        self._dropped = 0
        self._refused: set[str] = set()
        self._acked = 0
        self._batches = 0
        self._commands = commands
        self._codec = reports
        self._reports = ReportQueue()
        self._due = Notify()
        self._urgent = Notify()
        self._flushed = OpenGate()
        self._at_crowded = at_crowded
        self._crowded = self._stalled = self._held = self._is_mute = self._is_patient = False
        self._writer = gevent.spawn(self._write)

    def close(self) -> None:
        """Stop sending and receiving."""
        self._writer.kill()
        super().close()

    def join(self, deadline_s: float) -> None:
        """Send hellos until the welcome arrives.

        Raises:
            PeerError: It did not arrive within `deadline_s`.
        """
        # A hello has no number, since the parent ignores those it does not expect yet.
        hello = pack_batch(self.name, 0, 0, [OWN.pack(Hello(os.getpid()))])
        deadline = now_ns() + int(deadline_s * S_NS)
        pause_s, next_hello = HELLO_S, 0
        while (now := now_ns()) < deadline:
            if now >= next_hello:
                send_nowait(self._send_socket, hello)  # without room, enough hellos are queued
                next_hello = now + int(pause_s * S_NS)
                pause_s = min(2 * pause_s, MAX_HELLO_S)
            self.reader.wait(max(0, next_hello - now) / S_NS)
            try:
                message = self._receive_socket.recv(zmq.NOBLOCK)
            except zmq.Again:
                continue
            number, commands = self._read(message)
            if commands == [WELCOME]:
                self._received = number
                self._due.ring()
                return
        raise PeerError(f"{self.name} was not welcomed by its parent within {deadline_s} s")

    def _read(self, message: bytes) -> tuple[int, list[object]]:
        """Return the number and commands of a frame; `WELCOME` and booleans are the bus's own."""
        frame = unpack(memoryview(message)[len(self._topic) :])
        try:
            number, *commands = frame
            return int(number), commands
        except (TypeError, ValueError):
            raise PeerError(f"expected a numbered command, got {str(frame)[:80]!r}") from None

    # Commands

    def commands(self) -> Iterator[_C | None]:
        """Yield commands in order, indefinitely, and None at least every `TICK_S`.

        Raises:
            PeerError: A command cannot be decoded. None may be skipped, so this is fatal.
        """
        for message in self.reader.messages():
            if message is None:
                yield None
                continue
            number, commands = self._read(message)
            if not number:
                yield from map(self._commands.from_wire, commands)
            elif number == self._received + 1:
                self._received = number
                self._received_bytes += len(message)
                if not self._is_patient or self._must_acknowledge:
                    self._due.ring()
                for data in commands:
                    if isinstance(data, bool):
                        self._held = data
                        self._set_room()
                    else:
                        yield self._commands.from_wire(data)
            elif number > self._received + 1:
                self._missed(number)
            else:
                self._acked = 0  # a duplicate: the acknowledgement is late or lost, so repeat it
                self._due.ring()

    def _missed(self, number: int) -> None:
        """Drop command `number`; the parent publishes all missing commands again, in order."""
        if self._gap_at == self._received:
            return  # already reported
        self._gap_at = self._received
        missed = f"missed command {self._received + 1} (got {number})"
        self._put(OWN.pack(Note("warning", f"{self.name} {missed}; it is sent again")))

    # Reports

    def crowded(self) -> bool:
        """Return whether so much is held back that callers should omit what they can."""
        return self._crowded

    def backlog(self) -> int:
        """Return the number of reports held back."""
        return len(self._reports.items)

    def report(self, record: _R) -> None:
        """Report `record` within `BATCH_S`; for callers that may wait.

        While crowded, wait for at most `ROOM_S`, and then do as `report_nowait` does.
        """
        if self._crowded:
            self.room.wait(ROOM_S)
        self.report_nowait(record)

    def report_nowait(self, record: _R) -> None:
        """Report `record` without blocking, for callers such as callbacks of the loop.

        While crowded, merely informative reports are dropped and counted.
        """
        if self._is_mute:
            return
        if self._crowded and isinstance(record, INFORMATIVE):
            self._dropped += 1
            return
        try:
            report = self._codec.pack(record)
        except UNPACKABLE as error:
            self._refuse(record, error)
        else:
            self._put(report)

    def _refuse(self, record: object, error: Exception) -> None:
        """Omit a report that cannot be packed; say so once for each part that is the cause.

        A value of a scenario that cannot be packed must not end the process that reports it.
        """
        what = culprit(record, type(record).__name__)
        if what not in self._refused and len(self._refused) < MAX_REFUSED:
            self._refused.add(what)
            why = f"{what} cannot be sent: {error}; it is omitted (reported once)"
            self._put(OWN.pack(Note("error", f"{self.name}: {why}")))

    def _put(self, report: bytes) -> None:
        self._reports.add(report)
        self._flushed.shut()
        self._update_crowded()
        self._due.ring()

    def report_urgent(self, record: _R) -> None:
        """Like `report_nowait`, but send at the loop's next turn instead of waiting for others."""
        self.report_nowait(record)
        self._urgent.ring()

    def mute(self) -> None:
        """Ignore all further reports; those made before are still sent."""
        self._is_mute = True

    def flush(self, deadline_s: float) -> bool:
        """Wait until ZeroMQ has all reports; return whether that was within `deadline_s`."""
        return self._flushed.wait(deadline_s)

    def _update_crowded(self) -> None:
        """Determine whether the child is crowded now."""
        part = 2 if self._crowded else 1
        crowded = (
            self._stalled
            or len(self._reports.items) >= MAX_REPORTS // part
            or self._reports.size >= MAX_HELD_BYTES // part
        )
        if crowded != self._crowded:
            self._crowded = crowded
            self._set_room()
            if self._at_crowded is not None:
                self._at_crowded(crowded)

    def _set_room(self) -> None:
        if self._crowded or self._held:
            self.room.shut()
        else:
            self.room.open()

    def _write(self) -> None:
        while True:
            if not self._has_reports:
                self._due.wait()
                self._wait_to_acknowledge()
            if self._has_reports and not self._reports.full:
                self._urgent.wait(BATCH_S)
            if self._dropped:
                note = f"dropped {counted(self._dropped, 'note')} of {self.name}: too many at once"
                self._reports.add(OWN.pack(Note("warning", note)))
                self._dropped = 0
            batch = self._reports.take()
            self._update_crowded()
            if not batch and self._received == self._acked:
                continue
            self._batches += 1
            self._acked, self._received_bytes = self._received, 0
            self._hand_over(pack_batch(self.name, self._batches, self._received, batch))
            if not self._reports.items:
                self._flushed.open()
            else:
                gevent.sleep(0)

    @property
    def _has_reports(self) -> bool:
        return bool(self._reports.items or self._dropped)

    @property
    def _must_acknowledge(self) -> bool:
        """Whether to acknowledge commands now, rather than with the next report."""
        # The parent waits for the first; and for a duplicate it has waited long enough.
        behind = self._received - self._acked
        return self._acked == 0 or behind >= ACK_AT or self._received_bytes >= ACK_BYTES

    def _wait_to_acknowledge(self) -> None:
        """Wait until there is a report, or commands must be acknowledged."""
        until_ns = now_ns() + ACK_NS
        self._is_patient = True  # so further commands need not wake this greenlet
        while not self._has_reports and not self._must_acknowledge:
            left_ns = until_ns - now_ns()
            if left_ns <= 0:
                break
            self._due.wait(left_ns / S_NS)
        self._is_patient = False

    def _hand_over(self, data: bytes) -> None:
        """Pass a batch to ZeroMQ as soon as there is room.

        A batch is never dropped, since the parent would miss its number. Callers that wait for it
        have a deadline, and after `STALL_NS` merely informative reports are dropped.
        """
        stalls_ns = now_ns() + STALL_NS
        while not send_nowait(self._send_socket, data):
            if now_ns() >= stalls_ns and not self._stalled:
                self._stalled = True
                self._update_crowded()
            gevent.sleep(BATCH_S)
        if self._stalled:
            self._stalled = False
            self._update_crowded()
