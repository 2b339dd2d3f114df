"""Messages between the two ends of a throttle, in envelopes. Pure."""

from typing import NamedTuple

from amoc.ipc.messages.codec import Codec


class ThrottleMode(NamedTuple):
    """Down: the mode of a throttle from a given time on."""

    name: str
    epoch: int
    """Incremented by each change; slots of older epochs due at `from_ns` or later are void."""
    from_ns: int
    mode: str
    """A `amoc.throttle.slot_schedule.Mode`."""
    permits: bool
    """Whether it limits concurrency rather than a rate."""
    load_ns: int = 0
    """When the load of an arrival rate began, later by the pauses since; 0 before, and for other
    throttles."""


class Tokens(NamedTuple):
    """Down: slots of a throttle for one worker; the fields of `throttle.blocks.Block`."""

    name: str
    number: int
    epoch: int
    first: int
    stride: int
    size: int
    due_ns: int
    spacing_ns: float


class Permits(NamedTuple):
    """Down: permits of a throttle for one worker."""

    name: str
    number: int
    epoch: int
    size: int


class AskBack(NamedTuple):
    """Down: the worker must return slots that are due later, since others have none."""

    name: str


class Want(NamedTuple):
    """Up: the demand of a worker's users for a throttle.

    All numbers are absolute, so that a repeated or lost message does no harm.
    """

    name: str
    epoch: int
    """The newest epoch known to the worker."""
    seen: int
    """The number of the last block, or grant of permits, it has received."""
    outstanding: int
    """The number of slots or permits it needs beyond those received."""
    waiting: int
    """The number of waiting users."""
    since_ns: int
    """When the first user without a slot or permit began to wait."""
    back: int
    """The total number of permits returned."""
    missed: int
    """The total number of slots that arrived too late."""
    in_force: int
    """The newest epoch in force at the worker; no user passes by an older one any more."""
    given_back_ns: int = 0
    """The time from which it will not use its received slots; 0 if it uses all. If this message is
    lost, so are these slots."""


ThrottleToWorker = ThrottleMode | Tokens | Permits | AskBack
THROTTLE_TO_WORKER: Codec[ThrottleToWorker] = Codec(ThrottleToWorker)
THROTTLE_TO_CONTROLLER: Codec[Want] = Codec(Want)
