"""All parts of a run in one process, for ``amoc check --run``: both sides, joined by envelopes.

There is one worker with one user, and no node. Messages between the two sides of throttles,
coordinators, feeds and calls go directly from one outbox to the other side.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager

import gevent

from amoc.base.loop_guard import Killed
from amoc.coordinator.controller import Groups
from amoc.feed import registry
from amoc.feed.controller import Feeds
from amoc.ipc.messages.coordinator import COORDINATOR_TO_WORKER
from amoc.ipc.messages.envelope import Envelope, Part
from amoc.ipc.messages.feed import FEED_TO_WORKER
from amoc.ipc.messages.rpc import ANSWERS
from amoc.ipc.messages.throttle import THROTTLE_TO_WORKER
from amoc.ipc.outbox import ControllerEnd, Outbox, WorkerEnd
from amoc.ipc.rpc import RpcServer
from amoc.ipc.worker_id import WorkerId
from amoc.runtime.worker_parts import WorkerParts
from amoc.throttle.controller import Pacer
from amoc.users.placement import Placement, one_node
from amoc.users.user import User

HERE = WorkerId("here", 0, 1)


@contextmanager
def joined(
    seed: int,
    noted: Sequence[tuple[str, Sequence[object]]],
    find_user: Callable[[int], User | None],
    crashed: Callable[[BaseException], object],
    operations: Mapping[str, Callable[..., object]] | None = None,
) -> Iterator[None]:
    """Let a scenario's calls work in this process, within the context.

    Args:
        seed: Seed of random group sizes.
        noted: The calls that init() has made.
        find_user: Returns the user with an id.
        crashed: Called with exceptions of code that throttles and coordinators have called.
        operations: Further calls of the controller.

    Raises:
        AmocError: A call of init() is refused.
    """
    above: dict[Part, ControllerEnd] = {}
    here: dict[Part, WorkerEnd] = {}

    def down(_: WorkerId, envelope: Envelope) -> None:
        here[envelope.header()[0]](envelope.body)

    def up(worker: WorkerId, envelope: Envelope) -> None:
        above[envelope.header()[0]](worker, envelope.body)

    downwards, outbox = Outbox(down, gather_s=0), Outbox(up)
    calls = RpcServer(downwards.sender(Part.CALLS, ANSWERS))
    pacer = Pacer(downwards.sender(Part.THROTTLE, THROTTLE_TO_WORKER))
    groups = Groups(downwards.sender(Part.COORDINATOR, COORDINATOR_TO_WORKER), seed)
    calls.operations.update(operations or {})
    feeds = Feeds(downwards.sender(Part.FEED, FEED_TO_WORKER))
    for part in (pacer, groups, feeds):
        calls.operations.update(part.operations)
    above.update({Part.THROTTLE: pacer.handle, Part.COORDINATOR: groups.handle})
    above.update({Part.FEED: feeds.handle, Part.CALLS: calls.handle})
    parts = WorkerParts.make(
        HERE, Placement(one_node(1)), outbox, find_user, crashed, any_function=True
    )
    here.update(parts.handlers())
    for part in (pacer, groups):
        part.worker_up(HERE)
    for operation, arguments in (*registry.calls(), *noted):
        calls.do(None, operation, *arguments)
    downwards.flush()
    clocks: list[gevent.Greenlet[..., None]] = [gevent.spawn(one.run) for one in (pacer, groups)]
    try:
        with parts.context().activated():
            yield
    finally:
        gevent.killall(clocks, exception=Killed)
        parts.gate.close()
