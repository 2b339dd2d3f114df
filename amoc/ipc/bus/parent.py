"""The parent's end of the bus: it sends commands to children by name, and resends lost ones."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from typing import Generic, NamedTuple, TypeVar

import zmq

from amoc.base.clock import MS_NS, S_NS, now_ns
from amoc.base.errors import PeerError, ResourceError
from amoc.base.text import counted
from amoc.ipc.bus.end import MAX_BATCHES, MAX_UNACKED, WELCOME, End
from amoc.ipc.bus.place import Listen, endpoints
from amoc.ipc.messages.codec import Codec, pack, packer, unpack
from amoc.ipc.messages.lifecycle import Hello, Note

RESEND_NS = S_NS // 2
RESEND_EACH_NS = 3 * MS_NS
"""Time without an acknowledgement after which commands are resent, with an extra per child: many
children that get much at once are slow, and resending makes that worse."""
MAX_RESENT = 1_000
MAX_RESENT_BYTES = 4 << 20
"""Limits on what is resent at once, so that a child that does not read is not flooded."""
GATHER_EACH_S = 20e-6
MIN_GATHER_S, MAX_GATHER_S = 0.002, 0.005
"""How long reports wait for others, per child, with limits: waking up for a turn of the loop costs
as much as several reports."""

MAX_MAIL = 5_000
MAX_MAIL_BYTES = 32 << 20
"""Commands in flight to a child beyond which it accepts no more mail."""

_pack_header: Callable[[int], bytes] = packer().pack_array_header

_C = TypeVar("_C")
_R = TypeVar("_R")


class Received(NamedTuple, Generic[_R]):
    """A report and its sender."""

    child: str
    """Empty if unreadable."""
    record: _R


@dataclass
class _Line:
    """A parent's state for one child."""

    sent: int = 0
    unacked: deque[tuple[int, bytes]] = field(default_factory=deque)
    unacked_bytes: int = 0
    resent: int = 0
    """The last command that was resent."""
    moved_ns: int = 0
    """When it last acknowledged a command, or had none to acknowledge."""
    reports: int = 0
    hello: Hello | None = None
    """Its hello, until it has acknowledged the welcome."""

    def take(self, number: int, acked: int) -> int:
        """Record the arrival of a batch; return how many before it are missing."""
        missing = 0
        if number:
            missing, self.reports = number - self.reports - 1, number
        while self.unacked and self.unacked[0][0] <= acked:
            self.unacked_bytes -= len(self.unacked.popleft()[1])
            # Once it has everything that was resent, the rest may have been lost as well.
            self.moved_ns = 0 if acked == self.resent else now_ns()
        return max(0, missing)


class Parent(End, Generic[_C, _R]):
    """Sends commands to its children by name, and receives their reports.

    Attributes:
        endpoints: The endpoints for commands and reports, with the actual ports.
        pack: Encodes a command for `send_packed`, once for many children.
    """

    def __init__(
        self,
        context: zmq.Context[zmq.Socket[bytes]],
        place: str | Listen,
        commands: Codec[_C],
        reports: Codec[_R],
    ) -> None:
        """Bind both sockets in `place`.

        Args:
            context: The context for its sockets.
            place: A directory accessible only to this user, or where to listen for other hosts.
            commands: Encodes commands.
            reports: Decodes reports.

        Raises:
            ResourceError: An endpoint cannot be bound.
        """
        self._listen = place if isinstance(place, Listen) else None
        receive = self._receive if self._listen is not None else None
        super().__init__(context, (zmq.PUB, MAX_UNACKED), (zmq.PULL, MAX_BATCHES), receive)
        self._sender = ""
        bound: list[str] = []
        for socket, endpoint in zip(
            (self._send_socket, self._receive_socket), endpoints(place), strict=True
        ):
            try:
                if isinstance(place, Listen):
                    place.gate.guard(socket, place.domain, place.keys)
                socket.bind(endpoint)
            except zmq.ZMQError as error:
                self.close()
                raise ResourceError(f"{endpoint} cannot be bound: {error}") from None
            bound.append(socket.getsockopt_string(zmq.LAST_ENDPOINT))
        self.endpoints = bound[0], bound[1]
        self.pack = commands.pack
        self._reports = reports
        self._lines: dict[str, _Line] = {}
        self._next_resend_ns = 0
        self._holding = False

    def close(self) -> None:
        """Stop receiving, and let pending messages be sent."""
        if self._listen is not None:
            self._listen.gate.leave(self._send_socket)
            self._listen.gate.leave(self._receive_socket)
        super().close()

    def expect(self, child: str, public_key: bytes = b"") -> None:
        """Let `child` join; reports of children not expected are dropped.

        A child on another host needs the secret key for `public_key`, without which nobody can
        report in its name.
        """
        self._lines[child] = _Line(moved_ns=now_ns())
        if self._listen is not None:
            self._listen.gate.allow(self._listen.domain, child, public_key)
        self._set_gather()

    def forget(self, child: str) -> None:
        """Drop `child` for good: nothing more is sent to it, and it cannot rejoin."""
        self._lines.pop(child, None)
        if self._listen is not None:
            self._listen.gate.forbid(self._listen.domain, child)
        self._set_gather()

    def _set_gather(self) -> None:
        gather_s = min(GATHER_EACH_S * len(self._lines), MAX_GATHER_S)
        self.reader.gather_s = gather_s if gather_s >= MIN_GATHER_S else 0.0

    def send(self, child: str, command: _C) -> None:
        """Send `command` to `child`; do nothing if it was forgotten.

        Raises:
            PeerError: It already has `MAX_UNACKED` unacknowledged commands.
        """
        self.send_packed(child, self.pack(command))

    def send_packed(self, child: str, *commands: bytes) -> None:
        """Like `send`, for results of `pack`; several share a frame and count as one command."""
        line = self._lines.get(child)
        if line is None:
            return
        if len(line.unacked) >= MAX_UNACKED:
            raise PeerError(
                f"{child} must acknowledge its commands, but {MAX_UNACKED} are outstanding"
            )
        if not line.unacked:
            line.moved_ns = now_ns()
        line.sent += 1
        packed = _numbered(line.sent, *commands)
        line.unacked.append((line.sent, packed))
        line.unacked_bytes += len(packed)
        self.publish(child, packed)

    def send_once(self, child: str, command: _C) -> None:
        """Send `command` to `child` without a number, if a later one of its kind can replace it.

        It is neither acknowledged nor resent, and may arrive before commands sent earlier.
        """
        if child in self._lines:
            self.publish(child, _numbered(0, self.pack(command)))

    def hold(self, holding: bool) -> None:
        """Shut or open the children's `Child.room`, which holds back messages to be forwarded."""
        self._holding = holding
        for child, line in self._lines.items():
            if line.sent and len(line.unacked) < MAX_UNACKED:
                self.send_packed(child, pack(holding))

    def publish(self, child: str, data: bytes) -> None:
        """Publish a packed command with its number, for the first time or again."""
        # A single frame: a second would cost another 10 µs, and topics are matched as prefixes.
        self._send_socket.send(f"{child}.".encode() + data)

    def backlog(self, child: str) -> int:
        """Return the number of commands `child` has not acknowledged; 0 if it was forgotten."""
        line = self._lines.get(child)
        return len(line.unacked) if line is not None else 0

    def backlog_bytes(self, child: str) -> int:
        """Return the size of the commands `child` has not acknowledged."""
        line = self._lines.get(child)
        return line.unacked_bytes if line is not None else 0

    def accepts_mail(self, child: str) -> bool:
        """Return whether mail for `child` may be sent; if not, drop it, count it and report it."""
        return self.backlog(child) < MAX_MAIL and self.backlog_bytes(child) < MAX_MAIL_BYTES

    def has_unread_messages(self) -> bool:
        """Return whether reports are queued that `reports` has not yielded; if so, wake it."""
        if self._receive_socket.closed:
            return False
        unread = bool(int(self._receive_socket.getsockopt(zmq.EVENTS)) & zmq.POLLIN)
        if unread:  # reading EVENTS has consumed the event that the watcher would have seen
            self.reader.on_readable()
        return unread

    def reports(self) -> Iterator[Received[_R | Hello | Note] | None]:
        """Yield reports as they arrive, indefinitely, and None at least every `TICK_S`.

        A report that cannot be decoded is replaced by a `Note` that quotes it.
        """
        for message in self.reader.messages():
            self._resend()
            if message is None:
                if self._listen is not None and (news := self._listen.gate.news()):
                    yield Received("", Note("warning", news))
                yield None
                continue
            try:
                child, number, acked, items = unpack(message)
                number, acked, items = int(number), int(acked), list(items)
                line = self._lines.get(child)
            except (PeerError, ValueError, TypeError, OverflowError):
                text = f"expected reports of a child, got {message[:80]!r}"
                yield Received("", Note("error", text))
                continue
            if line is None or (self._listen is not None and child != self._sender):
                if self._listen is not None:
                    self._listen.gate.refusals.late()
                continue
            if missing := line.take(number, acked):
                note = f"lost {counted(missing, 'report')} of {child}"
                yield Received(child, Note("error", note))
            if line.unacked and not line.moved_ns:
                self._resend_to(child, line)
            for item in items:
                report = self._read(child, item)
                if isinstance(report, Hello):
                    self._welcome(child, line, report)
                else:
                    yield Received(child, report)
            if line.hello is not None and acked:
                # Not before its acknowledgement: commands published earlier would have been lost.
                hello, line.hello = line.hello, None
                yield Received(child, hello)

    def _receive(self) -> bytes:
        """Receive a message from another host; sets `_sender` to the owner of its key."""
        frame = self._receive_socket.recv(zmq.NOBLOCK, copy=False)
        self._sender = str(frame.get("User-Id"))
        return frame.bytes

    def _read(self, child: str, item: object) -> _R | Hello | Note:
        try:
            return self._reports.from_wire(item)
        except PeerError as error:
            return Note("error", f"report of {child}: {error}")

    def _welcome(self, child: str, line: _Line, hello: Hello) -> None:
        if line.sent == 0:
            line.hello = hello
            self.send_packed(child, pack(WELCOME))
            if self._holding:
                self.send_packed(child, pack(True))
        elif line.unacked and line.unacked[0][0] == 1:
            self.publish(child, line.unacked[0][1])  # it subscribed after the first welcome

    def _resend(self) -> None:
        now = now_ns()
        if now < self._next_resend_ns:
            return
        self._next_resend_ns = now + RESEND_NS // 2
        after_ns = RESEND_NS + RESEND_EACH_NS * len(self._lines)
        for child, line in self._lines.items():
            if line.unacked and now - line.moved_ns > after_ns:
                self._resend_to(child, line)

    def _resend_to(self, child: str, line: _Line) -> None:
        line.moved_ns = now_ns()
        size = 0
        for number, data in islice(line.unacked, MAX_RESENT):
            self.publish(child, data)
            line.resent = number
            size += len(data)
            if size >= MAX_RESENT_BYTES:
                break


def _numbered(number: int, *commands: bytes) -> bytes:
    """Return ``[number, command, …]`` for packed commands."""
    return b"".join((_pack_header(1 + len(commands)), pack(number), *commands))
