"""One connection to a server, with at most one request under way.

The event loop calls back when something has come; it is read and parsed there, and the user that
waits goes on when the answer is complete, or its next piece is there in a stream. A connection that
is idle is watched, too, so one that the server closes is not used again.
"""

from __future__ import annotations

from collections.abc import Iterable
from time import monotonic_ns
from typing import TYPE_CHECKING, Any, Final

from gevent import get_hub

from amoc.base.tcp import FEW_BYTES, READ, READ_BYTES, WRITE, Socket
from amoc.base.waiting import Waiter, wait
from amoc.http import errors
from amoc.http.call import Terms
from amoc.http.deadlines import Deadlines, Silence
from amoc.http.pools import Pool
from amoc.http.reader import Reader, Violation
from amoc.http.tls import TlsChannel

if TYPE_CHECKING:
    from gevent._types import _IoWatcher

MANY_BYTES: Final = 256 << 10
"""Read at once when `READ_BYTES` were there."""
MAX_AHEAD: Final = 1 << 20
"""Bytes of a stream that are read before somebody wants them."""
CONTINUE_S: Final = 1.0
"""How long a request waits for leave to send its body (RFC 9110 section 10.1.1)."""
BLOCKED: Final = (BlockingIOError, InterruptedError)
_PEEK: Final = 2  # MSG_PEEK

_NO_POOL: Final[Pool[Any]] = Pool(0)
"""Of a connection that is not kept."""


class Connection:
    """A connected socket that speaks HTTP/1.1. It has a time limit while a request is under way.

    Attributes:
        is_open: Whether another request can be made.
        reader: Has the answer to the request under way, or to the last one.
        failure: Why the request has failed; see `check`.
        pool: Where it is while it waits for a request; it leaves that by itself if it is closed.
        uses: How many requests were made.
        since_ns: Since when the time of the request under way counts, or `deadlines.TOLD`; 0 where
            there is none.
        begin_ns, first_ns, end_ns: When the request was sent, and when the answer's first and last
            bytes were read.
        sent: Bytes that were sent of the request.
    """

    __slots__ = (
        *("_awaits_leave", "_channel", "_is_last", "_limit"),
        *("_recv", "_send", "_sending", "_silence", "_size", "_sock", "_stalled"),
        *("_usual", "_waiter", "_watcher", "_writer"),
        *("begin_ns", "end_ns", "failure", "first_ns", "is_open", "pool", "reader", "sent"),
        *("since_ns", "uses"),
    )

    def __init__(self, sock: Socket, channel: TlsChannel | None = None) -> None:
        """Take over a connected, non-blocking socket, which this closes."""
        self._sock = sock
        self._recv, self._send = sock.recv, sock.send
        self._channel = channel
        self.reader = Reader()
        self._waiter: Waiter[None] | None = None
        self._usual: Waiter[None] = Waiter()  # for answers; an error in it ends the connection
        self._usual.error = self._usual.greenlet = None
        self._silence: Silence | None = None
        self._writer: _IoWatcher | None = None
        self.pool: Pool[Connection] = _NO_POOL
        self._limit: Deadlines | None = None
        self.failure: errors.Failure | None = None
        self._sending = self._stalled = self._awaits_leave = self._is_last = False
        self._size = FEW_BYTES
        self.is_open = True
        self.uses = self.sent = 0
        self.begin_ns = self.first_ns = self.end_ns = self.since_ns = 0
        self._watcher = get_hub().loop.io(sock.fileno(), READ)
        self._watcher.start(self._readable)

    def exchange(
        self, data: bytes, terms: Terms, begin_ns: int, body: Iterable[bytes] | None = None
    ) -> None:
        """Send a request and wait for the answer; in a stream, for its head. See `check`.

        Args:
            data: The request's head, and its body unless that follows.
            terms: How it is answered.
            begin_ns: Since when its time counts.
            body: What follows in pieces.

        Raises:
            UserStopped: The user was asked to stop while it waited; the connection is closed.
        """
        reader = self.reader
        reader.begin(terms)
        limit = terms.limit
        if limit is not self._limit:
            self._limit_by(limit)
        self.since_ns = begin_ns
        if begin_ns < limit.queued_ns:
            limit.join(self)
        self.uses += 1
        self.first_ns = 0
        self.begin_ns = monotonic_ns()
        try:
            if self._channel is not None:
                self.sent = 0
                self._transmit(data)
            else:
                try:  # as `_push`, for nearly all are sent at once
                    send = self._send
                    sent = self.sent = send(data)
                except OSError:
                    sent = self.sent = 0
                if sent < len(data):
                    self._push(memoryview(data)[sent:])
            if body is not None:
                self._transmit_body(body, terms.asks_leave)
            if terms.silence is not None and self.since_ns:  # else it has failed meanwhile
                self._silence = Silence(self.silent, terms.silence)
            waiter = self._usual
            while not (reader.complete or self.failure or (terms.streams and reader.in_body)):
                waiter.done = False
                self._waiter = waiter
                wait(waiter)
        except BaseException:
            self.close()
            raise
        is_usual = reader.keep_alive and self._silence is None and not self._is_last
        if is_usual and not (self.failure or terms.streams):
            self.since_ns = 0  # as `_over`
        elif self.failure or not terms.streams:
            self._over()

    def _limit_by(self, limit: Deadlines) -> None:
        if self._limit is not None:
            self._limit.unwatch(self)
        self._limit = limit
        limit.watch(self)

    def read(self) -> bytes:
        """The next piece of a stream; empty at its end, or where it breaks off: see `check`.

        Raises:
            UserStopped: As `exchange`.
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
            self._watcher.start(self._readable)
            if self._silence is not None:
                self._silence.heard(monotonic_ns())
        if not piece:
            self._over()
        return piece

    def finish(self) -> None:
        """Want no more of an answer: what is left of a stream is dropped, if need be with this."""
        if self.reader.complete:
            self.reader.take()
            self._over()
        else:
            beside = self._waiter
            self.close()
            if beside is not None:  # another greenlet, which still reads
                self.failure = errors.closed(None, False)
                get_hub().loop.run_callback(beside.give, None)

    def check(self, who: str) -> None:
        """Raise the error of the request that `who` has made, if it has failed."""
        if self.failure is not None:
            failure, self.failure = self.failure, None
            raise failure(who)

    def is_alive(self) -> bool:
        """Whether it is still there, as far as one sees, after it was idle for some time."""
        try:
            self._recv(1, _PEEK)
        except BlockingIOError:
            return True
        except OSError:
            pass
        self.close()
        return False

    def close(self) -> None:
        """Close it. Harmless the second time."""
        if not self.is_open:
            return
        self.is_open = False
        self._watcher.close()  # which stops it
        if self._writer is not None:
            self._writer.close()
            self._writer = None
        self._over()
        if self._limit is not None:
            self._limit.unwatch(self)
        self._sock.close()
        # No reference cycle: what is closed is freed at once, not when the collector comes.
        self.reader.close()
        if self in self.pool:
            self.pool.remove(self)

    def _over(self) -> None:
        """The request is over, well or not."""
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
            engine.encrypt(data[at : at + MANY_BYTES])  # what is encrypted is in memory twice
            self._push(engine.outgoing())

    def _push(self, view: bytes | memoryview) -> None:
        """Hand `view` to the kernel, waiting where it takes no more; an answer ends that."""
        while view:
            try:
                sent = self._send(view)
            except OSError as error:
                if isinstance(error, BLOCKED) and self._wait_writable():
                    continue
                self._is_last = True  # what the server has said, and why it is gone, is read yet
                return
            self.sent += sent
            view = memoryview(view)[sent:]

    def _wait_writable(self) -> bool:
        """Whether more can be sent; not when the request is over in whatever way."""
        if self.reader.in_body or self.failure:
            return False
        if self._writer is None:
            self._writer = get_hub().loop.io(self._sock.fileno(), WRITE)
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
                self._is_last = True  # the server does not want the rest, nor can it be told so
                break
            self._transmit(piece)

    # Reading, in the hub

    def _readable(self) -> None:
        try:
            recv = self._recv
            data = recv(self._size)
        except BLOCKED:
            return
        except OSError as error:
            self._lost(error.with_traceback(None))
            return
        if len(data) == self._size:
            self._size = READ_BYTES if self._size < READ_BYTES else MANY_BYTES
        if self._channel is not None:
            self._decrypt(self._channel, data)
        elif data:
            self._take(data)
        else:
            self._lost(None)

    def _decrypt(self, channel: TlsChannel, data: bytes) -> None:
        if not data:
            self._lost(None, is_truncated=True)
            return
        try:
            text = channel.received(data, self._send)
        except OSError as error:
            self._lost(error.with_traceback(None))
            return
        ended = channel.engine.ended
        if ended:
            self._is_last = True
        if text:
            self._take(text)
        if ended and self.is_open and not self.reader.complete:
            self._lost(None)

    def _take(self, data: bytes) -> None:
        """The next bytes of an answer."""
        if not self.since_ns:
            self.close()  # nobody has asked
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
            if waiter is not None:  # as `_wake`, which is `Waiter.give` written out
                self._waiter = None
                waiter.done = True
                parked = waiter.greenlet
                if parked is not None:
                    waiter.greenlet = None
                    parked.switch()
            return
        if self._silence is not None:
            self._silence.heard(now_ns)
        if reader.terms.streams and reader.in_body:
            if sum(map(len, reader.parts)) > MAX_AHEAD and not self._stalled:
                self._stalled = True
                self._watcher.stop()
            self._wake()
        elif (self._awaits_leave and reader.interim) or (self._sending and reader.in_body):
            self._wake()

    def _lost(self, error: OSError | None, is_truncated: bool = False) -> None:
        """The connection is gone."""
        if not self.since_ns or self.reader.complete:
            self.close()
        elif error is None and not is_truncated and self.reader.end():
            self.end_ns = monotonic_ns()
            self._wake()
        else:
            self._fail(errors.closed(error, not self.reader.received))

    def overdue(self) -> None:
        """In the hub: the request takes too long."""
        if self._limit is not None:  # it is watched
            phase = "write" if self._sending else "whole" if self.first_ns else "read"
            self._too_late(phase, self._limit.seconds)

    def silent(self, seconds: float) -> None:
        """In the hub: the server has said nothing for so many seconds."""
        if not self._stalled:  # else nobody has listened
            self._too_late("read", seconds)

    def _too_late(self, phase: str, seconds: float) -> None:
        if not self.reader.complete:  # else it only waits to be taken from a stream
            self._fail(lambda who: errors.timed_out(who, phase, seconds))

    def _fail(self, failure: errors.Failure) -> None:
        """The request under way has failed, and with it the connection."""
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
