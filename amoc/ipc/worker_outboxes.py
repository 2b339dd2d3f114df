"""The controller's outbox: what its parts say to workers, gathered into few parcels.

All that is said to one worker within a turn of the loop leaves as one parcel for each part.
"""

from __future__ import annotations

from collections.abc import Callable

from gevent import get_hub

from amoc.ipc import messages
from amoc.ipc.messages import Envelope, Record
from amoc.ipc.worker_id import WorkerId


class WorkerOutboxes:
    """Gathers records for workers and sends them through their nodes."""

    def __init__(self, send: Callable[[str, Envelope], None]) -> None:
        """`send` takes a node's name and a parcel for one of its workers, and never waits."""
        self._send = send
        self._items: dict[tuple[WorkerId, str], list[bytes]] = {}

    def post(self, origin: WorkerId, part: str, record: Record) -> None:
        """Send `record` to `part` of the worker `origin` at the end of this turn of the loop."""
        if not self._items:
            get_hub().loop.run_callback(self.flush)
        self._items.setdefault((origin, part), []).append(messages.pack_item(record))

    def flush(self) -> None:
        """Send all that is held, now: it must arrive before something else."""
        held, self._items = self._items, {}
        for (origin, part), items in held.items():
            self._send(
                origin.node, Envelope(part, origin.worker, origin.incarnation, b"".join(items))
            )
