"""The way that adds take out of a worker, when it is full.

The controller may stand still, be stopped by Ctrl-Z for instance. What is added then fills the
node's memory, which has its workers hold back; or it fills a worker's own. So an add waits until
there is room, in its user. Only an add from the event loop itself, which must not wait, is refused.
"""

from __future__ import annotations

from functools import partial

from gevent import get_hub, getcurrent
from greenlet import greenlet

from amoc.base import pause
from amoc.base.clock import S_NS, now_ns
from amoc.base.errors import PeerError
from amoc.base.latch import OpenGate
from amoc.base.waiting import Waiter
from amoc.ipc.worker_id import WorkerId
from amoc.metrics import optional
from amoc.users.user import Leaving, User

ROOM_S = 60.0
"""How long an add may wait for room."""


class LeaveWaiter:
    """Lets adds pass while there is room."""

    __slots__ = ("_room", "_worker")

    def __init__(self, worker: WorkerId, room: OpenGate) -> None:
        """Guard the way out of worker `worker`; `room` is open while there is some."""
        self._worker = worker
        self._room = room

    @property
    def is_open(self) -> bool:
        """Whether nobody need wait."""
        return self._room.is_open

    def wait(self, name: str) -> None:
        """Wait for room for an add to the coordinator `name`.

        Raises:
            Leaving: The caller is a user that was asked to leave.
            PeerError: There is none within `ROOM_S`, or the caller must not wait; it is counted.
        """
        caller = getcurrent()
        if caller is get_hub():
            raise self._refusal(name, "at once, for a handler must not wait")
        if not pause.wait(partial(self._wait, caller), ROOM_S):
            raise self._refusal(name, f"within {ROOM_S:g} s")

    def _wait(self, caller: greenlet, seconds: float) -> bool:
        """Wait `seconds` at the most; whether there is room."""
        until_ns = now_ns() + int(seconds * S_NS)
        user = caller if isinstance(caller, User) else None
        # Others may have been quicker, and have filled it again.
        while not self._room.is_open:
            left_s = (until_ns - now_ns()) / S_NS
            if left_s <= 0:
                return False
            if user is None:
                self._room.wait(left_s)
            else:
                self._wait_as(user, left_s)
        return True

    def _wait_as(self, user: User, seconds: float) -> None:
        if user.leave:
            raise Leaving
        waiter: Waiter[None] = Waiter()
        user.on_leave = waiter.wake
        try:
            self._room.wait(seconds, waiter)
        finally:
            user.on_leave = None

    def _refusal(self, name: str, when: str) -> PeerError:
        optional.counter(f"coordinator.{name}.adds_refused").inc()
        return PeerError(
            f"an add to coordinator {name} must be able to leave worker {self._worker.worker}"
            f" {when}, but the controller takes nothing, and too much is waiting"
        )
