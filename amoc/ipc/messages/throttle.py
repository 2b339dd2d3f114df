"""What a throttle's two ends say to each other, in envelopes. Pure."""

from typing import NamedTuple

from amoc.ipc.messages.codec import Codec


class ThrottleMode(NamedTuple):
    """Down: what a throttle does from a time on."""

    name: str
    epoch: int
    """One more with each change; older epochs' slots due at `from_ns` or later are void."""
    from_ns: int
    mode: str
    """A `amoc.throttle.slot_schedule.Mode`."""
    permits: bool
    """Whether it limits how many pass at the same time, and not how many an interval."""


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
    """Down: the worker is to give back slots that are due later, for others have none."""

    name: str


class Want(NamedTuple):
    """Up: what a worker's users want of a throttle.

    Absolute numbers, so that one that is repeated or lost does no harm.
    """

    name: str
    epoch: int
    """The newest that the worker knows."""
    seen: int
    """Number of the last block, or grant of permits, that it has seen."""
    outstanding: int
    """What it wants beyond all that it has seen."""
    waiting: int
    """How many users wait."""
    since_ns: int
    """When the first of those that are not provided for began to wait."""
    back: int
    """Permits given back, ever."""
    missed: int
    """Slots that came too late here, ever."""
    in_force: int
    """The newest epoch that is in force there: nobody passes by an older one any more."""
    given_back_ns: int = 0
    """From when on it will not use the slots that it has seen; 0 if it uses all. One that is lost
    costs these slots."""


ThrottleToWorker = ThrottleMode | Tokens | Permits | AskBack
THROTTLE_TO_WORKER: Codec[ThrottleToWorker] = Codec(ThrottleToWorker)
THROTTLE_TO_CONTROLLER: Codec[Want] = Codec(Want)
