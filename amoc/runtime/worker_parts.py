"""The parts of a worker that span the whole run: throttles, coordinators, feeds, mail, calls.

A worker of a run and ``amoc check --run`` create the same parts, in one context. What scenarios
call is loaded here, too: later there may be no descriptor left to load it with.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

from amoc.base.context import WorkerContext
from amoc.base.open_gate import OpenGate
from amoc.base.operator_log import OperatorLog
from amoc.base.targets import Targets
from amoc.coordinator import api as _coordinator  # noqa: F401
from amoc.coordinator.worker import Actions
from amoc.feed import registry
from amoc.feed.worker import WorkerFeeds
from amoc.ipc.messages.envelope import Part
from amoc.ipc.outbox import Outbox, WorkerEnd
from amoc.ipc.peer_link import PeerLink
from amoc.ipc.rpc import Handler, RpcClient
from amoc.ipc.worker_id import WorkerId
from amoc.steps import api as _steps  # noqa: F401
from amoc.steps import checks as _checks  # noqa: F401
from amoc.steps.recorder import FailureSamples
from amoc.throttle import api as _throttle  # noqa: F401
from amoc.throttle.worker import Gate
from amoc.users.mail import MailRouter
from amoc.users.placement import Placement
from amoc.users.user import User


class WorkerParts(NamedTuple):
    """The worker's side of each part; each handles its own envelopes."""

    gate: Gate
    actions: Actions
    router: MailRouter
    calls: RpcClient
    link: PeerLink
    feeds: WorkerFeeds

    @classmethod
    def make(
        cls,
        worker: WorkerId,
        placement: Placement,
        outbox: Outbox,
        find_user: Callable[[int], User | None],
        on_crash: Callable[[BaseException], object],
        *,
        room: OpenGate | None = None,
        is_crowded: Callable[[], bool] | None = None,
        operator: OperatorLog | None = None,
        any_function: bool = False,
        run_id: str = "",
    ) -> WorkerParts:
        """Create the parts of `worker`.

        Args:
            worker: The worker.
            placement: The worker of each user.
            outbox: The queue to the controller and to other workers.
            find_user: Returns this worker's user with an id.
            on_crash: Called with exceptions of code that throttles and coordinators have called.
            room: Open while adds can leave the worker; None means always.
            is_crowded: Whether mail cannot leave it.
            operator: Warned when mail is refused.
            any_function: Whether users may start coordinators with any function as an action,
                because the whole run is in this process.
            run_id: The run's id.
        """
        return cls(
            Gate(worker, outbox, on_crash),
            Actions(worker, outbox, on_crash, alone=any_function, room=room),
            MailRouter(worker, placement, outbox, find_user, operator, is_crowded),
            RpcClient(worker, outbox),
            PeerLink(run_id, worker, placement, outbox, is_crowded or (lambda: False)),
            WorkerFeeds(worker, outbox, registry.declared()),
        )

    def context(
        self, samples: FailureSamples | None = None, targets: Targets | None = None
    ) -> WorkerContext:
        """Return the context in which a scenario's calls find these parts.

        Args:
            samples: Called with failures of steps; may be None.
            targets: Called with the servers that users connect to; may be None.
        """
        context = WorkerContext()
        context.set(FailureSamples, samples)
        context.set(Targets, targets)
        context.set(Gate, self.gate)
        context.set(Actions, self.actions)
        context.set(MailRouter, self.router)
        context.set(Handler, self.calls)
        context.set(PeerLink, self.link)
        return context

    def handlers(self) -> Mapping[Part, WorkerEnd]:
        """Return the end of each part."""
        return {
            Part.THROTTLE: self.gate.handle,
            Part.COORDINATOR: self.actions.handle,
            Part.MAIL: self.router.handle,
            Part.CALLS: self.calls.handle,
            Part.LIBRARY: self.link.handle,
            Part.FEED: self.feeds.handle,
        }
