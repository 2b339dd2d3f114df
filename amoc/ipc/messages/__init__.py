"""Messages: everything that crosses a process boundary, by subject, and how it becomes bytes.

A message is an immutable named tuple with a sentence for each field. Commands go down (controller,
node, supervisor, worker), reports go up; `links` says which of them go where. What the two ends of
a feature say to each other travels in envelopes.
"""

# A table of contents needs no line for each name.
# fmt: off
# ruff: noqa: I001
from amoc.ipc.messages.codec import Codec
from amoc.ipc.messages.coordinator import (
    COORDINATOR_TO_CONTROLLER, COORDINATOR_TO_WORKER, BarrierArrivals, BarrierRefusal,
    BarrierRelease, BarrierWithdrawals, CoordinatorActed, CoordinatorAdds, CoordinatorGroups,
    CoordinatorPlan, CoordinatorState, CoordinatorStopped, CoordinatorToController,
    CoordinatorToWorker, GroupPart, PartFields,
)
from amoc.ipc.messages.envelope import Envelope, Part
from amoc.ipc.messages.lifecycle import (
    Bootstrap, Died, Failed, Forked, Go, Hello, Init, KillWorker, Loaded, Note, Output, Ready,
    SettingInfo, Terminate, Terminated, WorkerLost, WorkerUp,
)
from amoc.ipc.messages.links import (
    BOOTSTRAP, FROM_NODE, FROM_SUPERVISOR, FROM_WORKER, TO_NODE, TO_SUPERVISOR, TO_WORKER,
    FromNode, FromSupervisor, FromWorker, ToNode, ToSupervisor, ToWorker,
)
from amoc.ipc.messages.orders import (
    ORDER_REPLIES, ORDERS, ApplySettings, CountUsers, Done, Order, OrderReply, Pause, Refused,
    RemoveIds, RemoveUsers, Resume, RevertSettings, UserCounts, UsersRemoved, VerifySettings,
)
from amoc.ipc.messages.rpc import ANSWERS, CALLS, Answer, Call
from amoc.ipc.messages.samples import Sample, Sampled, WorkerFigures
from amoc.ipc.messages.throttle import (
    THROTTLE_TO_CONTROLLER, THROTTLE_TO_WORKER, Permits, ThrottleMode, ThrottleToWorker, Tokens,
    Want,
)
from amoc.ipc.messages.users import (
    Blocked, CrashSeen, Started, StartUsers, Stopped, StopUsers, UsersGone,
)

__all__ = [
    "ANSWERS", "BOOTSTRAP", "CALLS", "COORDINATOR_TO_CONTROLLER", "COORDINATOR_TO_WORKER",
    "FROM_NODE", "FROM_SUPERVISOR", "FROM_WORKER", "ORDERS", "ORDER_REPLIES",
    "THROTTLE_TO_CONTROLLER", "THROTTLE_TO_WORKER", "TO_NODE", "TO_SUPERVISOR", "TO_WORKER",
    "Answer", "ApplySettings", "BarrierArrivals", "BarrierRefusal", "BarrierRelease",
    "BarrierWithdrawals", "Blocked", "Bootstrap", "Call", "Codec", "CoordinatorActed",
    "CoordinatorAdds", "CoordinatorGroups", "CoordinatorPlan", "CoordinatorState",
    "CoordinatorStopped", "CoordinatorToController", "CoordinatorToWorker", "CountUsers",
    "CrashSeen", "Died", "Done", "Envelope", "Failed", "Forked", "FromNode", "FromSupervisor",
    "FromWorker", "Go", "GroupPart", "Hello", "Init", "KillWorker", "Loaded", "Note", "Order",
    "OrderReply", "Output", "Part", "PartFields", "Pause", "Permits", "Ready", "Refused",
    "RemoveIds", "RemoveUsers", "Resume", "RevertSettings", "Sample", "Sampled", "SettingInfo",
    "StartUsers", "Started", "StopUsers", "Stopped", "Terminate", "Terminated", "ThrottleMode",
    "ThrottleToWorker", "ToNode", "ToSupervisor", "ToWorker", "Tokens", "UserCounts",
    "UsersGone", "UsersRemoved", "VerifySettings", "Want", "WorkerFigures", "WorkerLost",
    "WorkerUp",
]
