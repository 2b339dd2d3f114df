"""What the two ends of coordinators and barriers say to each other, in envelopes. Pure."""

from collections.abc import Sequence
from typing import NamedTuple

from amoc.ipc.messages.codec import Codec


class CoordinatorAdds(NamedTuple):
    """Up, in an envelope: users were added to a coordinator."""

    name: str
    incarnation: int
    """How many times the name has been started, from 1."""
    ids: Sequence[int]
    at_ns: Sequence[int]
    """When each was added, on the host's monotonic clock."""
    data: Sequence[bytes]
    """What was added with each, packed; the controller does not look into it."""


class GroupPart(NamedTuple):
    """One group of one item of a plan, in `CoordinatorGroups`."""

    item: int
    kind: str
    """``coordinate``, ``timeout``, ``reset`` or ``stop``."""
    size: int
    """How many users are in it."""
    at_ns: int
    """When the add that completed it was made, or the event happened."""
    ids: Sequence[int]
    """Empty when no action looks at the users; so is `data`."""
    data: Sequence[bytes]


PartFields = tuple[int, str, int, int, Sequence[int], Sequence[bytes]]
"""A `GroupPart` as it arrives."""


class CoordinatorGroups(NamedTuple):
    """Down, in an envelope: run the actions for these groups."""

    groups: Sequence[tuple[int, str, int, Sequence[PartFields]]]
    """Each a number of the controller's own, the coordinator's name and incarnation, and its parts,
    to be run in order; a part is a `GroupPart`."""


class CoordinatorActed(NamedTuple):
    """Up, in an envelope: the actions for these groups have run."""

    numbers: Sequence[int]


class CoordinatorPlan(NamedTuple):
    """Down, in an envelope: a user has started a coordinator."""

    name: str
    incarnation: int
    functions: Sequence[Sequence[str]]
    """The actions of each item, as ``module:name``."""


class CoordinatorStopped(NamedTuple):
    """Down, in an envelope: a coordinator takes no more adds."""

    name: str
    incarnation: int
    forget: bool
    """Whether no group of it will come any more."""


class CoordinatorState(NamedTuple):
    """How a coordinator is, in an answer."""

    name: str
    scope: str
    pending: Sequence[int]
    """How many users are in the unfinished group of each item of the plan, over all nodes."""
    acting: int
    """Groups whose actions have not been run to the end yet."""
    adds: int
    groups: int
    timeouts: int
    refused: int
    """Adds that were not taken, because too much was pending."""
    lost: int
    """Adds that were pending when their worker was lost."""
    given_up: int
    """Groups that will not be run, because one worker after the other died over them."""


class BarrierArrivals(NamedTuple):
    """Up, in an envelope: users have come to a barrier."""

    name: str
    n: int
    """How many it is waiting for, as they said."""
    tickets: Sequence[int]
    """The worker's own numbers for them."""


class BarrierWithdrawals(NamedTuple):
    """Up, in an envelope: these do not wait any more. Down: they have been removed."""

    name: str
    tickets: Sequence[int]


class BarrierRelease(NamedTuple):
    """Down, in an envelope: these may go, at this moment."""

    name: str
    at_ns: int
    ranges: Sequence[tuple[int, int]]
    """Tickets: each a first one and how many follow each other from it."""


class BarrierRefusal(NamedTuple):
    """Down, in an envelope: these cannot wait at this barrier."""

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
