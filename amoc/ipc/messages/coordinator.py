"""Messages between the two ends of coordinators and barriers, in envelopes. Pure."""

from collections.abc import Sequence
from typing import NamedTuple

from amoc.ipc.messages.codec import Codec


class CoordinatorAdds(NamedTuple):
    """Up, in an envelope: users were added to a coordinator."""

    name: str
    incarnation: int
    """The number of starts under this name, from 1."""
    ids: Sequence[int]
    at_ns: Sequence[int]
    """When each was added, on the host's monotonic clock."""
    data: Sequence[bytes]
    """The packed data added with each; opaque to the controller."""


class GroupPart(NamedTuple):
    """One group of one item of a plan, in `CoordinatorGroups`."""

    item: int
    kind: str
    """``coordinate``, ``timeout``, ``reset`` or ``stop``."""
    size: int
    """The number of users in it."""
    at_ns: int
    """When the add that completed it was made, or the event happened."""
    ids: Sequence[int]
    """Empty, like `data`, if no action uses the users."""
    data: Sequence[bytes]


PartFields = tuple[int, str, int, int, Sequence[int], Sequence[bytes]]
"""A `GroupPart` as it arrives."""


class CoordinatorGroups(NamedTuple):
    """Down, in an envelope: run the actions for these groups."""

    groups: Sequence[tuple[int, str, int, Sequence[PartFields]]]
    """For each group a number assigned by the controller, the coordinator's name and incarnation,
    and the parts (`GroupPart`) to run in order."""


class CoordinatorActed(NamedTuple):
    """Up, in an envelope: the actions for these groups have run."""

    numbers: Sequence[int]


class CoordinatorPlan(NamedTuple):
    """Down, in an envelope: a user started a coordinator."""

    name: str
    incarnation: int
    functions: Sequence[Sequence[str]]
    """The actions of each item, as ``module:name``."""


class CoordinatorStopped(NamedTuple):
    """Down, in an envelope: a coordinator accepts no more adds."""

    name: str
    incarnation: int
    forget: bool
    """Whether no more groups of it will follow."""


class CoordinatorState(NamedTuple):
    """The state of a coordinator, in an answer."""

    name: str
    scope: str
    pending: Sequence[int]
    """The number of users in the incomplete group of each item of the plan, over all nodes."""
    acting: int
    """Groups whose actions have not finished."""
    adds: int
    groups: int
    timeouts: int
    refused: int
    """Adds refused because too many were pending."""
    lost: int
    """Adds that were pending when their worker was lost."""
    given_up: int
    """Groups abandoned because several workers in a row died while running them."""


class BarrierArrivals(NamedTuple):
    """Up, in an envelope: users have arrived at a barrier."""

    name: str
    n: int
    """The number of users that the barrier waits for, as given by the users."""
    tickets: Sequence[int]
    """Numbers assigned to them by the worker."""


class BarrierWithdrawals(NamedTuple):
    """Up, in an envelope: these users no longer wait. Down: they have been removed."""

    name: str
    tickets: Sequence[int]


class BarrierRelease(NamedTuple):
    """Down, in an envelope: these users may pass at this time."""

    name: str
    at_ns: int
    ranges: Sequence[tuple[int, int]]
    """Ranges of tickets: the first ticket and the number of tickets of each."""


class BarrierRefusal(NamedTuple):
    """Down, in an envelope: these users cannot wait at this barrier."""

    name: str
    tickets: Sequence[int]
    reason: str


CoordinatorToWorker = (
    CoordinatorPlan
    | CoordinatorGroups
    | CoordinatorStopped
    | BarrierRelease
    | BarrierWithdrawals
    | BarrierRefusal
)
CoordinatorToController = CoordinatorAdds | CoordinatorActed | BarrierArrivals | BarrierWithdrawals
COORDINATOR_TO_WORKER: Codec[CoordinatorToWorker] = Codec(CoordinatorToWorker)
COORDINATOR_TO_CONTROLLER: Codec[CoordinatorToController] = Codec(CoordinatorToController)
