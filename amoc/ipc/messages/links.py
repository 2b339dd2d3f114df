"""The messages of each link, in either direction. Pure."""

from __future__ import annotations

from amoc.ipc.messages.codec import Codec
from amoc.ipc.messages.envelope import Envelope
from amoc.ipc.messages.lifecycle import (
    Bootstrap,
    Died,
    Failed,
    Forked,
    Go,
    Hello,
    Init,
    KillWorker,
    Loaded,
    Note,
    Output,
    Ready,
    Terminate,
    Terminated,
    WorkerLost,
    WorkerUp,
)
from amoc.ipc.messages.placement import Move
from amoc.ipc.messages.samples import Sample, Sampled
from amoc.ipc.messages.users import (
    Blocked,
    CrashSeen,
    FailureSeen,
    QueryUsers,
    Started,
    StartUsers,
    Stopped,
    StopUsers,
    TargetSeen,
    UsersGone,
    UsersNow,
)

# Controller and node.
ToNode = Init | StartUsers | StopUsers | Terminate | Sampled | QueryUsers | Move | Envelope
FromNode = (
    Hello
    | Loaded
    | Ready
    | Failed
    | WorkerUp
    | WorkerLost
    | Started
    | CrashSeen
    | FailureSeen
    | TargetSeen
    | Blocked
    | Sample
    | UsersNow
    | Note
    | Output
    | Stopped
    | Terminated
    | Envelope
)
BOOTSTRAP: Codec[Bootstrap] = Codec(Bootstrap)
TO_NODE: Codec[ToNode] = Codec(ToNode)
FROM_NODE: Codec[FromNode] = Codec(FromNode)

# Node and supervisor.
ToSupervisor = Init | StopUsers | KillWorker | Terminate
FromSupervisor = Loaded | Ready | Failed | Forked | Died | Terminated | Note
TO_SUPERVISOR: Codec[ToSupervisor] = Codec(ToSupervisor)
FROM_SUPERVISOR: Codec[FromSupervisor] = Codec(FromSupervisor)

# Node and worker.
ToWorker = StartUsers | StopUsers | Go | Move | Envelope
FromWorker = (
    Hello | Started | CrashSeen | FailureSeen | TargetSeen | Blocked | UsersGone | Note | Envelope
)
TO_WORKER: Codec[ToWorker] = Codec(ToWorker)
FROM_WORKER: Codec[FromWorker] = Codec(FromWorker)
