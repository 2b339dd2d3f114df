"""Request bodies with a time limit. If one is late, the request is refused and disconnected."""

from __future__ import annotations

from collections.abc import Callable
from http import HTTPStatus

import gevent
from gevent.pywsgi import Input

from amoc.base.clock import S_NS, now_ns
from amoc.service.problems import Problem

BODY_S = 300.0
"""Time limit for receiving and processing a body."""
LINGER_S = 5.0
LINGER_BYTES = 64 << 20
"""How long, and how much, to read of a body that is not used. Some clients read the response only
after they have sent everything, and would never see it if the connection were closed at once."""
_CHUNK = 1 << 16


class RequestBody(Input):
    """The body of one request.

    Attributes:
        has_ended: Whether it was read completely, so that another request may follow.
    """

    def __init__(self, given: Input, on_answered: Callable[[], None]) -> None:
        """Replace gevent's body object, before anything is read.

        Args:
            given: gevent's object.
            on_answered: Called after the response, before the rest of the body is read.
        """
        super().__init__(given.rfile, given.content_length, given.socket, given.chunked_input)
        self.has_ended = True
        self._on_answered = on_answered
        self._give_up_ns = now_ns() + int(BODY_S * S_NS)

    def read(self, length: int | None = None) -> bytes:
        """Return the next bytes; empty at the end.

        Raises:
            Problem: They are late, or invalid.
        """
        return self._in_time(super().read, length)

    def readline(self, size: int | None = None) -> bytes:
        """Return the next line; as for `read`."""
        return self._in_time(super().readline, size)

    def _in_time(self, read: Callable[[int | None], bytes], length: int | None) -> bytes:
        left_s = max(0.0, (self._give_up_ns - now_ns()) / S_NS)
        late = Problem(HTTPStatus.REQUEST_TIMEOUT, "the body of the request took too long")
        try:
            with gevent.Timeout(left_s, late):
                return read(length)
        except Problem:
            self.has_ended = False
            raise
        except TimeoutError:
            self.has_ended = False
            raise late from None
        except OSError as error:  # from the socket, or from gevent for invalid chunks
            self.has_ended = False
            detail = f"the body of the request is broken: {error}"
            raise Problem(HTTPStatus.BAD_REQUEST, detail) from None

    def _discard(self) -> None:
        """Read the rest of an unused body, so that the client reads the response."""
        self._on_answered()
        if not self.has_ended or not (self.chunked_input or self.position < self._length):
            return
        if self.socket is not None:  # the client may be waiting for 100 (Continue)
            self.has_ended = False
            return
        self._give_up_ns = min(self._give_up_ns, now_ns() + int(LINGER_S * S_NS))
        left = LINGER_BYTES
        try:
            while left > 0 and (data := self.read(_CHUNK)):
                left -= len(data)
        except Problem:
            return
        self.has_ended = left > 0

    @property
    def _length(self) -> int:
        return self.content_length or 0
