"""One connection to a server, with at most one request in flight.

The event loop calls back when data arrives. The data is read and parsed there, and the waiting user
resumes when the response is complete or, for a stream, when the next piece is available. Idle
connections are watched too, so a connection that the server has closed is not used again.
"""

from __future__ import annotations

from collections.abc import Iterable
from math import inf
from time import monotonic_ns
from typing import TYPE_CHECKING, Final

from gevent import get_hub

from amoc.base.tcp import FEW_BYTES, READ, READ_BYTES, WRITE, Socket
from amoc.base.waiting import Waiter, WaiterBase, wait
from amoc.http import errors
from amoc.http.call import Terms
from amoc.http.deadlines import Deadlines, Silence
from amoc.http.pools import Pool
from amoc.http.reader import Reader, Violation
from amoc.http.tls import TlsChannel

if TYPE_CHECKING:
    from gevent._types import _IoWatcher

MANY_BYTES: Final = 256 << 10
"""Bytes to read at a time once a read of `READ_BYTES` was filled."""
MAX_AHEAD: Final = 1 << 20
"""Bytes of a stream to buffer before reading from the socket stops."""
CONTINUE_S: Final = 1.0
"""How long to wait for 100 (Continue) before sending a body (RFC 9110 section 10.1.1)."""
BLOCKED: Final = (BlockingIOError, InterruptedError)
_PEEK: Final = 2  # MSG_PEEK

_NO_POOL: Final[Pool[Connection]] = Pool(0)
"""Pool of a connection that is not kept."""


class Connection(WaiterBase[None]):
    """A connected socket that speaks HTTP/1.1, with a time limit while a request is in flight.

    It is itself what its user usually waits on, so that there is no other object to touch. An error
    in that wait ends the connection.

    Attributes:
        is_open: Whether another request can be made.
        reader: Holds the response to the current request, or to the last one.
        failure: Why the request failed; see `check`.
        pool: The pool that holds it while idle; it removes itself from there when closed.
        is_reused: Whether the current request is not its first.
        since_ns: Start of the current request's time limit, or `deadlines.TOLD`; 0 if no request is
            in flight.
        begin_ns, first_ns, end_ns: When the request was sent, and when the first and the last byte
            of the response were read.
        sent: Bytes sent of the request.
    """

    __slots__ = (
        *("_awaits_leave", "_channel", "_is_last", "_limit"),
        *("_hub", "_sending", "_silence", "_size", "_sock", "_stalled"),
        *("_waiter", "_watcher", "_writer"),
        *("begin_ns", "done", "end_ns", "error", "failure", "first_ns", "greenlet", "is_open"),
        *("is_reused", "pool", "raised", "reader", "sent", "since_ns", "value"),
    )

    def __init__(self, sock: Socket, channel: TlsChannel | None = None) -> None:
        """Take ownership of a connected, non-blocking socket."""
        self._sock = sock
        self._channel = channel
        self.reader = Reader()
        self._waiter: WaiterBase[None] | None = None
        self.done = self.raised = False
        self.error = self.greenlet = self.value = None
        self._silence: Silence | None = None
        self._writer: _IoWatcher | None = None
        self.pool: Pool[Connection] = _NO_POOL
        self._limit: Deadlines | None = None
        self.failure: errors.Failure | None = None
        self._sending = self._stalled = self._awaits_leave = self._is_last = False
        self._size = FEW_BYTES
        self.is_open = True
        self.is_reused = False
        self.sent = 0
        self.begin_ns = self.first_ns = self.end_ns = self.since_ns = 0
        self._hub = get_hub()
        self._watcher = self._hub.loop.io(sock.fileno(), READ)
        self._watcher.start(_readable, self)

    def exchange(
        self, data: bytes, terms: Terms, begin_ns: int, body: Iterable[bytes] | None = None
    ) -> None:
        """Send a request and wait for the response; for a stream, wait for its head. See `check`.

        Args:
            data: The head of the request, and its body unless that follows.
            terms: Limits, and how the response is read.
            begin_ns: Start of the request's time limit.
            body: Pieces of the body to send after `data`.

        Raises:
            UserStopped: The user was asked to stop while waiting. The connection is closed.
        """
        reader = self.reader
        reader.begin(terms)
        limit = terms.limit
        if limit is not self._limit:
            self._limit_by(limit)
        self.since_ns = begin_ns
        if begin_ns < limit.queued_ns:
            limit.join(self)
        self.first_ns = 0
        self.begin_ns = monotonic_ns()
        try:
            if self._channel is not None:
                self.sent = 0
                self._transmit(data)
            else:
                try:  # `_push` inlined: nearly all requests are sent by one call
                    sent = self.sent = self._sock.send(data)
                except OSError:
                    sent = self.sent = 0
                if sent < len(data):
                    self._push(memoryview(data)[sent:])
            if body is not None:
                self._transmit_body(body, terms.asks_leave)
            if terms.silence is not None and self.since_ns:  # else it has failed already
                self._silence = Silence(self.silent, terms.silence)
            while not (reader.complete or self.failure or (terms.streams and reader.in_body)):
                self.done = False
                self._waiter = self
                wait(self, inf, self._hub)
        except BaseException:
            self.close()
            raise
        if reader.known is not None and self.is_open and not (self._silence or self._is_last):
            self.since_ns = 0  # `_over` inlined
        elif self.failure or not terms.streams:
            self._over()

    def _limit_by(self, limit: Deadlines) -> None:
        if self._limit is not None:
            self._limit.unwatch(self)
        self._limit = limit
        limit.watch(self)

    def read(self) -> bytes:
        """Return the next piece of a stream; empty at its end, or if it breaks off (see `check`).

        Raises:
            UserStopped: As for `exchange`.
        """
        reader = self.reader
        try:
            while not (reader.parts or reader.complete or self.failure):
                waiter = self._waiter = Waiter()
                wait(waiter)
        except BaseException:
            self.close()
            raise
        piece = reader.take()
        if self._stalled and self.is_open:
            self._stalled = False
            self._watcher.start(_readable, self)
            if self._silence is not None:
                self._silence.heard(monotonic_ns())
        if not piece:
            self._over()
        return piece

    def finish(self) -> None:
        """Discard the rest of a response. Closes the connection if a stream is incomplete."""
        if self.reader.complete:
            self.reader.take()
            self._over()
        else:
            beside = self._waiter
            self.close()
            if beside is not None:  # another greenlet is still reading
                self.failure = errors.closed(None, False)
                self._hub.loop.run_callback(beside.give, None)

    def check(self, who: str) -> None:
        """Raise the error of the request described by `who`, if it has failed."""
        if self.failure is not None:
            failure, self.failure = self.failure, None
            raise failure(who)

    def is_alive(self) -> bool:
        """Return whether an idle connection still seems to be open. Closes it if not."""
        try:
            self._sock.recv(1, _PEEK)
        except BlockingIOError:
            return True
        except OSError:
            pass
        self.close()
        return False

    def close(self) -> None:
        """Close the connection. Closing it again does nothing."""
        if not self.is_open:
            return
        self.is_open = False
        self._watcher.close()  # which also stops it
        if self._writer is not None:
            self._writer.close()
            self._writer = None
        self._over()
        if self._limit is not None:
            self._limit.unwatch(self)
        self._sock.close()
        # Break reference cycles, so that memory is freed now and not by the garbage collector.
        self.reader.close()
        self.pool.discard(self)

    def _over(self) -> None:
        """End the current request, whether it succeeded or failed."""
        if not self.since_ns:
            return
        self.since_ns = 0
        self._waiter = None
        if self._silence is not None:
            self._silence.stop()
            self._silence = None
        if self._is_last or self.failure or not self.reader.keep_alive:
            self.close()

    # Sending

    def _transmit(self, data: bytes) -> None:
        if self._channel is None:
            self._push(data)
            return
        engine = self._channel.engine
        for at in range(0, len(data), MANY_BYTES):
            engine.encrypt(data[at : at + MANY_BYTES])  # encrypted data is in memory twice
            self._push(engine.outgoing())

    def _push(self, view: bytes | memoryview) -> None:
        """Send `view`, waiting while the kernel's buffer is full. Stops if the server responds."""
        while view:
            try:
                sent = self._sock.send(view)
            except OSError as error:
                if isinstance(error, BLOCKED) and self._wait_writable():
                    continue
                self._is_last = True  # the response and the cause of the close can still be read
                return
            self.sent += sent
            view = memoryview(view)[sent:]

    def _wait_writable(self) -> bool:
        """Wait until more can be sent. Return False if the request is over or being answered."""
        if self.reader.in_body or self.failure:
            return False
        if self._writer is None:
            self._writer = self._hub.loop.io(self._sock.fileno(), WRITE)
        self._sending = True
        waiter = self._waiter = Waiter()
        self._writer.start(self._wake)
        try:
            wait(waiter)
        finally:
            self._sending = False
            if self._writer is not None:
                self._writer.stop()
        return not (self.reader.in_body or self.failure)

    def _transmit_body(self, body: Iterable[bytes], asks_leave: bool) -> None:
        if asks_leave:
            self._awaits_leave = True
            waiter = self._waiter = Waiter()
            wait(waiter, CONTINUE_S)
            self._awaits_leave = False
        for piece in body:
            if self._is_last or self.reader.in_body or self.failure:
                self._is_last = True  # the server wants no more, and HTTP/1.1 cannot cancel a body
                break
            self._transmit(piece)

    # Reading, in the hub

    def _readable(self, data: bytes = b"") -> None:
        """Process the next bytes of a response: `data`, or else what the socket has."""
        if not data:
            try:
                data = self._sock.recv(self._size)
            except BLOCKED:
                return
            except OSError as error:
                self._lost(error.with_traceback(None))
                return
            if len(data) == self._size:
                self._size = READ_BYTES if self._size < READ_BYTES else MANY_BYTES
            if self._channel is not None or not data:
                self._decrypt(data)
                return
        if not self.since_ns:
            self.close()  # no request is in flight
            return
        now_ns = monotonic_ns()
        if not self.first_ns:
            self.first_ns = now_ns
        reader = self.reader
        try:
            reader.feed(data)
        except Violation as violation:
            self._fail(errors.invalid(violation.cause, str(violation)))
            return
        if reader.complete:
            self.end_ns = now_ns
            waiter = self._waiter
            if waiter is not None:  # `_wake` and `Waiter.give` inlined
                self._waiter = None
                waiter.done = True
                parked = waiter.greenlet
                if parked is not None:
                    waiter.greenlet = None
                    parked.switch()
        else:
            self._go_on(reader, now_ns)

    def _go_on(self, reader: Reader, now_ns: int) -> None:
        """Process a response of which more is to come."""
        if self._silence is not None:
            self._silence.heard(now_ns)
        if reader.terms.streams and reader.in_body:
            if sum(map(len, reader.parts)) > MAX_AHEAD and not self._stalled:
                self._stalled = True
                self._watcher.stop()
            self._wake()
        elif (self._awaits_leave and reader.interim) or (self._sending and reader.in_body):
            self._wake()

    def _decrypt(self, data: bytes) -> None:
        channel = self._channel
        if channel is None or not data:
            self._lost(None, is_truncated=channel is not None)
            return
        try:
            text = channel.received(data, self._sock.send)
        except OSError as error:
            self._lost(error.with_traceback(None))
            return
        ended = channel.engine.ended
        if ended:
            self._is_last = True
        if text:
            self._readable(text)
        if ended and self.is_open and not self.reader.complete:
            self._lost(None)

    def _lost(self, error: OSError | None, is_truncated: bool = False) -> None:
        """Handle the end of the connection."""
        if not self.since_ns or self.reader.complete:
            self.close()
        elif error is None and not is_truncated and self.reader.end():
            self.end_ns = monotonic_ns()
            self._wake()
        else:
            self._fail(errors.closed(error, not self.reader.received))

    def overdue(self) -> None:
        """Fail the request because its time limit has expired. Called in the hub."""
        if self._limit is not None:  # it is watched
            phase = "write" if self._sending else "whole" if self.first_ns else "read"
            self._too_late(phase, self._limit.seconds)

    def silent(self, seconds: float) -> None:
        """Fail the request because the server sent nothing for `seconds`. Called in the hub."""
        if not self._stalled:  # else we have stopped reading ourselves
            self._too_late("read", seconds)

    def _too_late(self, phase: str, seconds: float) -> None:
        if not self.reader.complete:  # else only the reader of the stream is behind
            self._fail(lambda who: errors.timed_out(who, phase, seconds))

    def _fail(self, failure: errors.Failure) -> None:
        """Fail the current request and close the connection."""
        self.failure = self.failure or failure
        waiter = self._waiter
        self.close()
        self._waiter = waiter
        self._wake()

    def _wake(self) -> None:
        waiter = self._waiter
        if waiter is not None:
            self._waiter = None
            waiter.give(None)


_readable: Final = Connection._readable
"""Passed to watchers with the connection: a bound method would be one more object for each."""
