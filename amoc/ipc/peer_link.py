"""How a library's parts in the workers of a run speak to each other, and learn of its end.

A worker makes one link, and knows nothing of who uses it. A library that needs it, `amoc.xmpp` for
its account of messages, becomes its `end` when it is first used. What comes for a library that was
never used in this worker concerns nothing that is here, and is passed over.

    users_gone    this worker's users have all left: the last chance to speak to other workers. What
                  is sent then reaches each of them before it leaves
    leave         the worker is about to leave: all that others have sent is there
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
        """Another worker's part has sent this."""

    def users_gone(self) -> None:
        """The users of this worker have left; may let the loop turn."""

    def leave(self) -> None:
        """The worker leaves now."""


class Places(Protocol):
    """Who runs where: `amoc.users.placement.Placement`."""

    workers: int

    def worker_of(self, user_id: int, /) -> int:
        """The worker of a user."""

    def ids_of(self, first: int, last: int, worker: int, /) -> Sequence[range]:
        """Those of the ids `first` to `last` that are on `worker`."""


class PeerLink:
    """A worker's link to the others.

    Attributes:
        run: The run's id.
        worker: This worker.
        places: Who runs where.
        end: Who hears what comes.
        farewells: Called when this worker's users have left, before `end` is told.
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
            places: Who runs where.
            outbox: What leads to them.
            crowded: Whether the way out is full.
        """
        self.run = run
        self.worker = worker
        self.places = places
        self.end: LibraryEnd | None = None
        self.farewells: list[Callable[[], object]] = []
        self.crowded = crowded
        self._outbox = outbox
        # Whichever incarnation is up: only the index counts.
        self._to = [WorkerId(worker.node, index, 0) for index in range(places.workers)]

    def send(self, index: int, item: bytes) -> None:
        """Send a packed `item` to the library's end in another worker."""
        self._outbox.put(Part.LIBRARY, self._to[index], item)

    def handle(self, body: memoryview) -> None:
        """Something has come from another worker."""
        if self.end is not None:
            self.end.handle(body)

    def users_gone(self) -> None:
        """The users of this worker have left."""
        for farewell in self.farewells:
            farewell()
        if self.end is not None:
            self.end.users_gone()
            self._outbox.flush()

    def leave(self) -> None:
        """The worker leaves."""
        if self.end is not None:
            self.end.leave()
