"""Communication between a library's parts in the workers of a run, and the end of the run.

A worker creates one link, without knowing who uses it. A library that needs it, such as `amoc.xmpp`
for its message accounting, becomes its `end` on first use. Messages for a library not used in this
worker are ignored, since they cannot concern it.

    users_gone    all users of this worker have left: the last chance to send to other workers,
                  which receive it before they exit
    leave         the worker is about to exit; everything sent by others has arrived
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from amoc.ipc.messages.envelope import Part
from amoc.ipc.outbox import Outbox
from amoc.ipc.worker_id import WorkerId


class LibraryEnd(Protocol):
    """A library's part in a worker."""

    def handle(self, body: memoryview, /) -> None:
        """Handle a message from the part in another worker."""

    def users_gone(self) -> None:
        """Send last messages, since all users of this worker have left; may yield to the loop."""

    def leave(self) -> None:
        """Clean up before the worker exits."""


class Places(Protocol):
    """The placement of users, as in `amoc.users.placement.Placement`."""

    workers: int

    def worker_of(self, user_id: int, /) -> int:
        """Return the worker of a user."""

    def ids_of(self, first: int, last: int, worker: int, /) -> Sequence[range]:
        """Return which ids from `first` to `last` are on `worker`."""


class PeerLink:
    """A worker's link to the others.

    Attributes:
        run: The run's id.
        worker: This worker.
        places: Maps users to workers.
        end: The receiver of messages.
        farewells: Called when all users of this worker have left, before `end.users_gone`.
    """

    def __init__(
        self,
        run: str,
        worker: WorkerId,
        places: Places,
        outbox: Outbox,
        crowded: Callable[[], bool] = lambda: False,
    ) -> None:
        """Link `worker` of `run` to the others.

        Args:
            run: The run's id.
            worker: This worker.
            places: Maps users to workers.
            outbox: The path to the other workers.
            crowded: Returns whether the outbound path is full.
        """
        self.run = run
        self.worker = worker
        self.places = places
        self.end: LibraryEnd | None = None
        self.farewells: list[Callable[[], object]] = []
        self.crowded = crowded
        self._outbox = outbox
        # Mail goes to whichever incarnation is running, so only the index matters.
        self._to = [WorkerId(worker.node, index, 0) for index in range(places.workers)]

    def send(self, index: int, item: bytes) -> None:
        """Send a packed `item` to the library's end in another worker."""
        self._outbox.put(Part.LIBRARY, self._to[index], item)

    def handle(self, body: memoryview) -> None:
        """Pass a message from another worker to the library."""
        if self.end is not None:
            self.end.handle(body)

    def users_gone(self) -> None:
        """Notify the library that all users of this worker have left."""
        for farewell in self.farewells:
            farewell()
        if self.end is not None:
            self.end.users_gone()
            self._outbox.flush()

    def leave(self) -> None:
        """Notify the library that the worker is about to exit."""
        if self.end is not None:
            self.end.leave()
