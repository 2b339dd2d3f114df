"""All of a run's parts in one process, for ``amoc check --run``: both ends, joined by parcels.

There is one worker and one user, and no node. What the ends of throttles, coordinators and calls
say to each other goes straight from one outbox to the other end.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import gevent

from amoc import coordinator
from amoc.coordinator.controller import Groups
from amoc.coordinator.worker import Actions
from amoc.ipc import rpc
from amoc.ipc.messages import Envelope
from amoc.ipc.outbox import Outbox
from amoc.ipc.rpc_server import RpcServer
from amoc.ipc.worker_id import WorkerId
from amoc.ipc.worker_outboxes import WorkerOutboxes
from amoc.throttle import worker as gates
from amoc.throttle.controller import Pacer
from amoc.throttle.worker import Gate
from amoc.users import mail
from amoc.users.mail import MailRouter
from amoc.users.user import User

HERE = WorkerId("here", 0, 1)


@contextmanager
def joined(
    seed: int,
    noted: list[tuple[Any, ...]],
    find_user: Callable[[int], User | None],
    crashed: Callable[[BaseException], None],
) -> Iterator[None]:
    """Let a scenario's calls work in this process, within the block.

    Args:
        seed: Of the random sizes of groups.
        noted: The calls that init() has made.
        find_user: The user with a number.
        crashed: Told what actions of coordinators raise.

    Raises:
        AmocError: A call of init() is refused.
    """
    above: dict[str, Any] = {}
    here: dict[str, Any] = {}

    def down(_node: str, parcel: Envelope) -> None:
        here[parcel.part].hear(parcel.body)

    def up(parcel: Envelope) -> None:
        if parcel.part in above:
            above[parcel.part].hear(HERE, parcel.body)
        else:
            here[parcel.part].hear(parcel.body)

    parcels, outbox = WorkerOutboxes(down), Outbox(HERE.incarnation, up)
    desk, pacer, groups = RpcServer(parcels.post), Pacer(parcels.post), Groups(parcels.post, seed)
    for part in (pacer, groups):
        desk.operations.update(part.operations)
    above.update(throttle=pacer, coordinator=groups, calls=desk)
    gate, ways = Gate(HERE.worker, outbox), rpc.RpcClient(HERE.worker, outbox)
    actions = Actions(HERE.worker, outbox, lambda _, error: crashed(error), alone=True)
    here.update(throttle=gate, coordinator=actions, calls=ways)
    for part in (pacer, groups):
        part.worker_up(HERE)
    for operation, *arguments in noted:
        desk.do(None, operation, *arguments)
    parcels.flush()
    clocks: list[Any] = [gevent.spawn(pacer.run), gevent.spawn(groups.run)]
    rpc.install(ways)
    gates.attach(gate)
    coordinator.attach(actions)
    mail.attach(MailRouter(HERE.worker, HERE.incarnation, 1, None, find_user))
    try:
        yield
    finally:
        gevent.killall(clocks)
        gate.close()
        rpc.install(None)
        gates.attach(None)
        coordinator.attach(None)
        mail.attach(None)
