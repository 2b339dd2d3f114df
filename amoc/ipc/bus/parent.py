"""The end of the bus that commands: it knows its children by name, and repeats what they missed."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from typing import Generic, NamedTuple, TypeVar

import zmq

from amoc.base.clock import MS_NS, S_NS, now_ns
from amoc.base.errors import PeerError, ResourceError
from amoc.ipc.bus.end import MAX_BATCHES, MAX_UNACKED, WELCOME, End
from amoc.ipc.bus.place import Listen, endpoints
from amoc.ipc.messages.codec import Codec, pack, packer, unpack
from amoc.ipc.messages.lifecycle import Hello, Note

RESEND_NS = S_NS // 2
RESEND_EACH_NS = 3 * MS_NS
"""After so long without an acknowledgement what was sent is sent again; and how much longer for
each child, for many that are told much at once are slow, and the same once more makes that worse.
"""
MAX_RESENT = 1_000
MAX_RESENT_BYTES = 4 << 20
"""What is published again at once: a child that does not read must not be buried."""
REST_EACH_S = 20e-6
MIN_REST_S, MAX_REST_S = 0.002, 0.005
"""How long reports may wait for others for each child that there is, where that is worth it. A turn
of the loop and waking up for it cost as much as several reports do."""

_pack_header: Callable[[int], bytes] = packer().pack_array_header

_C = TypeVar("_C")
_R = TypeVar("_R")


class Received(NamedTuple, Generic[_R]):
    """A report and who sent it."""

    child: str
    """Empty when that cannot be read."""
    record: _R


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
    hello: Hello | None = None
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


class Parent(End, Generic[_C, _R]):
    """Commands its children by name, and takes what they report.

    Attributes:
        endpoints: Where it publishes and where it collects, with the ports that it has got.
    """

    def __init__(
        self,
        context: zmq.Context[zmq.Socket[bytes]],
        place: str | Listen,
        commands: Codec[_C],
        reports: Codec[_R],
    ) -> None:
        """Bind both ends in `place`; what goes down is packed by `commands`.

        Args:
            context: Where its sockets are made.
            place: A directory that only we may enter, or where to listen for other hosts.
            commands: Packs what goes down.
            reports: Reads what comes up.

        Raises:
            ResourceError: The system does not let us.
        """
        self._listen = place if isinstance(place, Listen) else None
        receive = self._receive if self._listen is not None else None
        super().__init__(context, (zmq.PUB, MAX_UNACKED), (zmq.PULL, MAX_BATCHES), receive)
        self._sender = ""
        bound: list[str] = []
        for socket, endpoint in zip((self._speaks, self._hears), endpoints(place), strict=True):
            try:
                if self._listen is not None:
                    self._listen.guard(socket)
                socket.bind(endpoint)
            except zmq.ZMQError as error:
                self.close()
                raise ResourceError(f"{endpoint} cannot be bound: {error}") from None
            bound.append(socket.getsockopt_string(zmq.LAST_ENDPOINT))
        self.endpoints = bound[0], bound[1]
        self._commands = commands
        self._reports = reports
        self._lines: dict[str, _Line] = {}
        self._next_resend_ns = 0
        self._holding = False

    def close(self) -> None:
        """Hear no more, and let what was said leave."""
        if self._listen is not None:
            self._listen.gate.leave(self._speaks)
            self._listen.gate.leave(self._hears)
        super().close()

    def expect(self, child: str, public_key: bytes = b"") -> None:
        """Let `child` join; reports of children that are not expected are dropped.

        One on another host has to have the key that goes with `public_key`, and nobody can report
        in its name without.
        """
        self._lines[child] = _Line(moved_ns=now_ns())
        if self._listen is not None:
            self._listen.gate.allow(self._listen.domain, child, public_key)
        self._set_rest()

    def forget(self, child: str) -> None:
        """`child` is no more: nothing is sent to it again, and it cannot come back."""
        self._lines.pop(child, None)
        if self._listen is not None:
            self._listen.gate.forbid(self._listen.domain, child)
        self._set_rest()

    def _set_rest(self) -> None:
        rest_s = min(REST_EACH_S * len(self._lines), MAX_REST_S)
        self.reader.rest_s = rest_s if rest_s >= MIN_REST_S else 0.0

    def send(self, child: str, command: _C) -> None:
        """Send `command` to `child`; does nothing when it is forgotten.

        Raises:
            PeerError: It has not acknowledged the `MAX_UNACKED` commands before.
        """
        self.send_packed(child, self.pack(command))

    def pack(self, command: _C) -> bytes:
        """`command` for `send_packed`: what goes to many children is packed once."""
        return self._commands.pack(command)

    def send_packed(self, child: str, *commands: bytes) -> None:
        """As `send`, of what `pack` has packed; several go as one frame and count as one."""
        line = self._lines.get(child)
        if line is None:
            return
        if len(line.unacked) >= MAX_UNACKED:
            raise PeerError(
                f"{child} must acknowledge its commands, but {MAX_UNACKED} are outstanding"
            )
        self._send(child, line, *commands)

    def send_once(self, child: str, command: _C) -> None:
        """Send `command` to `child` where the next of its kind makes up for one that is lost.

        It is not numbered, so `child` need not acknowledge it, and may hear it before what was sent
        earlier.
        """
        if child in self._lines:
            self.publish(child, _numbered(0, self.pack(command)))

    def hold(self, holding: bool) -> None:
        """Shut the children's `Child.room`, or open it: what goes on from here has to wait."""
        self._holding = holding
        for child, line in self._lines.items():
            if line.sent and len(line.unacked) < MAX_UNACKED:
                self._send(child, line, pack(holding))

    def _send(self, child: str, line: _Line, *commands: bytes) -> None:
        if not line.unacked:
            line.moved_ns = now_ns()
        line.sent += 1
        packed = _numbered(line.sent, *commands)
        line.unacked.append((line.sent, packed))
        line.unacked_bytes += len(packed)
        self.publish(child, packed)

    def publish(self, child: str, data: bytes) -> None:
        """Publish a command with its number, packed, whether or not it was published before."""
        # One frame: a second would cost another 10 µs, and topics are matched as prefixes.
        self._speaks.send(f"{child}.".encode() + data)

    def backlog(self, child: str) -> int:
        """How many commands `child` has not acknowledged; none when it is forgotten."""
        line = self._lines.get(child)
        return len(line.unacked) if line is not None else 0

    def backlog_bytes(self, child: str) -> int:
        """What the commands take that `child` has not acknowledged."""
        line = self._lines.get(child)
        return line.unacked_bytes if line is not None else 0

    def has_unread_messages(self) -> bool:
        """Whether reports are there that `reports` has not given yet; if so, it looks now."""
        if self._hears.closed:
            return False
        unread = bool(int(self._hears.getsockopt(zmq.EVENTS)) & zmq.POLLIN)
        if unread:  # its watch has missed that: we have asked
            self.reader.on_readable()
        return unread

    def reports(self) -> Iterator[Received[_R | Hello | Note] | None]:
        """Reports as they come, without end; None at least every `TICK_S`.

        In place of one that cannot be read there is a `Note` that names what came.
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
                note = f"{missing} report(s) of {child} are lost"
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
                # Only now does it hear us: what was published before would have been lost.
                hello, line.hello = line.hello, None
                yield Received(child, hello)

    def _receive(self) -> bytes:
        """A message from another host; whose key it came with is `_sender`."""
        frame = self._hears.recv(zmq.NOBLOCK, copy=False)
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
            self._send(child, line, pack(WELCOME))
            if self._holding:
                self._send(child, line, pack(True))
        elif line.unacked and line.unacked[0][0] == 1:
            self.publish(child, line.unacked[0][1])  # it subscribed after we had said it

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
    """``[number, command, …]``, of commands that are packed."""
    return b"".join((_pack_header(1 + len(commands)), pack(number), *commands))
