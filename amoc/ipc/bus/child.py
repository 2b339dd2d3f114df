"""The end of the bus that obeys: it takes the commands for its own name, and reports.

It knows when too much is held back because its parent does not read, and says so to those who can
do something about it.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from typing import Generic, TypeVar

import gevent
import zmq

from amoc.base.clock import MS_NS, S_NS, now_ns
from amoc.base.errors import PeerError
from amoc.base.waiting import Notify, OpenGate
from amoc.ipc.bus.end import MAX_BATCHES, MAX_UNACKED, OWN, WELCOME, End, send_nowait
from amoc.ipc.bus.place import Remote, endpoints
from amoc.ipc.bus.report_queue import ReportQueue, pack_batch
from amoc.ipc.messages.codec import UNPACKABLE, Codec, culprit, unpack
from amoc.ipc.messages.lifecycle import Hello, Note, Output
from amoc.ipc.messages.users import CrashSeen, FailureSeen

ACK_NS = 100 * MS_NS
ACK_AT = 100
ACK_BYTES = 1 << 20
"""How long an acknowledgement may wait for a report to go with, how many commands, and what these
take; most have one within that, and a message by itself costs as much as a report."""
BATCH_S = 0.005
"""How long a report may wait for company."""
HELLO_S = 0.005
MAX_HELLO_S = 1.0
"""Between two hellos, first and at most: many children at once must not shout their parent down.
Most need a second one, for their first welcome leaves before the parent's socket knows of them."""
INFORMS = (CrashSeen, FailureSeen, Note, Output)
"""Reports without which the run goes on all the same."""
MAX_REPORTS = 100_000
MAX_HELD_BYTES = 16 << 20
"""What a child holds back before it counts as crowded; half of it, and it does no longer."""
STALL_NS = 10 * S_NS
"""It also counts as crowded when its parent has taken nothing for so long."""
MAX_REFUSED = 50
"""Parts of reports that cannot be packed, of which each is told."""
ROOM_S = 1.0
"""How long `Child.report` waits while it is crowded."""


_C = TypeVar("_C")
_R = TypeVar("_R")


class Child(End, Generic[_C, _R]):
    """Takes commands in order, and reports.

    Attributes:
        name: What its parent expects it to be called.
        room: Open while there is room for what would go on beyond the parent; those that wait for
            it have to set themselves a deadline.
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
            context: Where its sockets are made.
            place: The directory of a parent on this host, or where another host's parent is.
            name: What the parent expects it to be called.
            commands: Reads what comes down.
            reports: Packs what goes up.
            at_crowded: Told when `crowded` changes.
        """
        super().__init__(context, (zmq.PUSH, MAX_BATCHES), (zmq.SUB, MAX_UNACKED))
        self.name = name
        self.room = OpenGate()
        self._topic = f"{name}.".encode()
        self._hears.subscribe(self._topic)
        for socket, endpoint in zip((self._hears, self._speaks), endpoints(place), strict=True):
            if isinstance(place, Remote):
                place.secure(socket)
            socket.connect(endpoint)
        self._heard = self._heard_bytes = 0
        self._gap_at = -1
        self._dropped = 0
        self._refused: set[str] = set()
        self._acked = 0
        self._batches = 0
        self._commands = commands
        self._codec = reports
        self._reports = ReportQueue()
        self._due = Notify()
        self._hurry = Notify()
        self._flushed = OpenGate()
        self._at_crowded = at_crowded
        self._crowded = self._stalled = self._held = self._is_mute = self._is_patient = False
        self._writer = gevent.spawn(self._write)

    def close(self) -> None:
        """Report no more, and hear no more."""
        self._writer.kill()
        super().close()

    def join(self, deadline_s: float) -> None:
        """Say hello until welcome is heard.

        Raises:
            PeerError: It is not heard within `deadline_s`.
        """
        # A hello has no number, for one that comes before it is expected is rightly passed over.
        hello = pack_batch(self.name, 0, 0, [OWN.pack(Hello(os.getpid()))])
        deadline = now_ns() + int(deadline_s * S_NS)
        pause_s, next_hello = HELLO_S, 0
        while (now := now_ns()) < deadline:
            if now >= next_hello:
                send_nowait(
                    self._speaks, hello
                )  # where there is no room, hellos enough wait already
                next_hello = now + int(pause_s * S_NS)
                pause_s = min(2 * pause_s, MAX_HELLO_S)
            self.reader.wait(max(0, next_hello - now) / S_NS)
            try:
                message = self._hears.recv(zmq.NOBLOCK)
            except zmq.Again:
                continue
            number, commands = self._read(message)
            if commands == [WELCOME]:
                self._heard = number
                self._due.ring()
                return
        raise PeerError(f"{self.name} was not welcomed by its parent within {deadline_s} s")

    def _read(self, message: bytes) -> tuple[int, list[object]]:
        """The number of a frame, and its commands; the bus's own are `WELCOME` and booleans."""
        frame = unpack(memoryview(message)[len(self._topic) :])
        try:
            number, *commands = frame
            return int(number), commands
        except (TypeError, ValueError):
            raise PeerError(f"expected a numbered command, got {str(frame)[:80]!r}") from None

    # Commands

    def commands(self) -> Iterator[_C | None]:
        """Commands in order, without end; None at least every `TICK_S`.

        Raises:
            PeerError: A command cannot be read. None may be left out, so there is no going on.
        """
        for message in self.reader.messages():
            if message is None:
                yield None
                continue
            number, commands = self._read(message)
            if not number:
                yield from map(self._commands.from_wire, commands)
            elif number == self._heard + 1:
                self._heard = number
                self._heard_bytes += len(message)
                if not self._is_patient or self._must_acknowledge:
                    self._due.ring()
                for data in commands:
                    if isinstance(data, bool):
                        self._held = data
                        self._set_room()
                    else:
                        yield self._commands.from_wire(data)
            elif number > self._heard + 1:
                self._missed(number)
            else:
                self._acked = 0  # had it: our acknowledgement is late or was lost, so repeat it
                self._due.ring()

    def _missed(self, number: int) -> None:
        """Drop command `number`: the parent publishes all that is missing again, in order."""
        if self._gap_at == self._heard:
            return  # said already
        self._gap_at = self._heard
        missed = f"missed command {self._heard + 1} (got {number})"
        self._put(OWN.pack(Note("warning", f"{self.name} {missed}; it is sent again")))

    # Reports

    def crowded(self) -> bool:
        """Whether so much is held back that what can be left out should be."""
        return self._crowded

    def backlog(self) -> int:
        """How many reports are held back."""
        return len(self._reports.items)

    def report(self, record: _R) -> None:
        """Report `record` within `BATCH_S`; for those that can wait a little.

        While the line is crowded it waits, `ROOM_S` at the most, and then does as `report_nowait`.
        """
        if self._crowded:
            self.room.wait(ROOM_S)
        self.report_nowait(record)

    def report_nowait(self, record: _R) -> None:
        """Report `record` from where waiting is forbidden, such as a callback of the loop.

        While the line is crowded what only informs is dropped, and counted.
        """
        if self._is_mute:
            return
        if self._crowded and isinstance(record, INFORMS):
            self._dropped += 1
            return
        try:
            report = self._codec.pack(record)
        except UNPACKABLE as error:
            self._refuse(record, error)
        else:
            self._put(report)

    def _refuse(self, record: object, error: Exception) -> None:
        """Leave out what cannot be packed, and say so once for each part that is to blame.

        One value of a scenario that no message can carry must not end the process that reports it.
        """
        what = culprit(record, type(record).__name__)
        if what not in self._refused and len(self._refused) < MAX_REFUSED:
            self._refused.add(what)
            why = f"{what} cannot be sent: {error}; it is left out (reported once)"
            self._put(OWN.pack(Note("error", f"{self.name}: {why}")))

    def _put(self, report: bytes) -> None:
        self._reports.add(report)
        self._flushed.shut()
        self._weigh()
        self._due.ring()

    def report_urgent(self, record: _R) -> None:
        """As `report_nowait`, but leave at the loop's next turn instead of waiting for company."""
        self.report_nowait(record)
        self._hurry.ring()

    def mute(self) -> None:
        """Report nothing any more; what was reported by now still leaves."""
        self._is_mute = True

    def flush(self, deadline_s: float) -> bool:
        """Wait until all reports are handed to ZeroMQ; whether that was so within `deadline_s`."""
        return self._flushed.wait(deadline_s)

    def _weigh(self) -> None:
        """See whether the line is crowded now."""
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
                self._hurry.wait(BATCH_S)
            if self._dropped:
                note = f"{self._dropped} notes of {self.name} are dropped: too many at once"
                self._reports.add(OWN.pack(Note("warning", note)))
                self._dropped = 0
            batch = self._reports.take()
            self._weigh()
            if not batch and self._heard == self._acked:
                continue
            self._batches += 1
            self._acked, self._heard_bytes = self._heard, 0
            self._hand_over(pack_batch(self.name, self._batches, self._heard, batch))
            if not self._reports.items:
                self._flushed.open()
            else:
                gevent.sleep(0)

    @property
    def _has_reports(self) -> bool:
        return bool(self._reports.items or self._dropped)

    @property
    def _must_acknowledge(self) -> bool:
        """Whether what was heard is to be acknowledged now, and not with the next report."""
        # The first is waited for, and one that comes again has been waited for long enough.
        behind = self._heard - self._acked
        return self._acked == 0 or behind >= ACK_AT or self._heard_bytes >= ACK_BYTES

    def _wait_to_acknowledge(self) -> None:
        """Wait until there is a report, or what was heard must be acknowledged."""
        until_ns = now_ns() + ACK_NS
        self._is_patient = True  # so what is heard meanwhile need not wake us
        while not self._has_reports and not self._must_acknowledge:
            left_ns = until_ns - now_ns()
            if left_ns <= 0:
                break
            self._due.wait(left_ns / S_NS)
        self._is_patient = False

    def _hand_over(self, data: bytes) -> None:
        """Give a batch to ZeroMQ, as soon as there is room for it.

        A batch is never given up, for its parent would wait for its number: who waits for it to
        leave has a deadline, and after `STALL_NS` nothing is added that can be left out.
        """
        stalls_ns = now_ns() + STALL_NS
        while not send_nowait(self._speaks, data):
            if now_ns() >= stalls_ns and not self._stalled:
                self._stalled = True
                self._weigh()
            gevent.sleep(BATCH_S)
        if self._stalled:
            self._stalled = False
            self._weigh()
