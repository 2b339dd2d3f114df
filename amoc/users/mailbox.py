"""A user's mailbox, bounded in messages and bytes.

Sizes are those on the wire. Unpacked, a message takes about as much memory if it is text or bytes,
and several times as much if it consists of many small objects.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from math import inf

from gevent import get_hub

from amoc.base import pause
from amoc.base.clock import S_NS
from amoc.base.errors import MailTimeout
from amoc.base.text import counted
from amoc.base.waiting import Waiter, wait

MAX_MESSAGES = 1_000
MAX_BOX_BYTES = 16 << 20
"""Limits of a mailbox."""

Match = Callable[[object], object]
"""Returns whether a message is the one wanted."""


class Mailbox:
    """A user's messages, oldest first; only the owner takes them out.

    Attributes:
        size: Their total size on the wire, in bytes.
        waiter: The waiting owner, if it waits.
    """

    __slots__ = ("_messages", "_sizes", "size", "waiter")

    def __init__(self) -> None:
        self.size = 0
        self._messages: deque[object] = deque()
        self._sizes: deque[int] = deque()
        self.waiter: Waiter[None] | None = None

    def __len__(self) -> int:
        return len(self._messages)

    def put(self, message: object, size: int) -> bool:
        """Add `message` and wake the owner if it waits; return False if the mailbox is full."""
        if len(self._messages) >= MAX_MESSAGES or self.size + size > MAX_BOX_BYTES:
            return False
        self._messages.append(message)
        self._sizes.append(size)
        self.size += size
        waiter = self.waiter
        if waiter is not None and not waiter.done:
            waiter.set(None)
            get_hub().loop.run_callback(waiter.wake)  # later: the caller may be the hub
        return True

    def take(self, match: Match | None, timeout: float) -> object:
        """Take the oldest matching message; wait for it for at most `timeout` s of run time.

        Raises:
            MailTimeout: None arrived.
            BaseException: An interrupt (`amoc.base.waiting`).
        """
        messages, looked_at, left_s = self._messages, 0, timeout
        begun_ns = pause.clock.run_ns() if match is not None and timeout < inf else 0
        while True:
            if match is None:
                if messages:
                    self.size -= self._sizes.popleft()
                    return messages.popleft()
            else:
                # By index, since more messages may arrive while a `match` that blocks waits.
                while looked_at < len(messages):
                    if match(message := messages[looked_at]):
                        del messages[looked_at]
                        self.size -= self._sizes[looked_at]
                        del self._sizes[looked_at]
                        return message
                    looked_at += 1
                if begun_ns:
                    left_s = timeout - (pause.clock.run_ns() - begun_ns) / S_NS
            waiter = self.waiter = Waiter()
            try:
                if left_s < 0 or not wait(waiter, left_s):
                    raise MailTimeout(_missed(timeout, match, len(messages)))
            finally:
                self.waiter = None


def _missed(timeout: float, match: Match | None, others: int) -> str:
    wanted = "a message" if match is None else "a message that matches"
    rest = f", only {counted(others, 'other')}" if others else ""
    return f"{wanted} did not arrive within {timeout:g} s{rest}"
