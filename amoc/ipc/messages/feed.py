"""What the two ends of feeds say to each other, in envelopes. Pure."""

from collections.abc import Sequence
from typing import NamedTuple

from amoc.ipc.messages.codec import Codec


class FeedWant(NamedTuple):
    """Up, in an envelope: a worker needs rows of a feed."""

    feed: str
    waiting: int
    """Users that wait for a row."""
    ahead: int
    """How many more it would like to have in hand."""
    in_hand: int
    """How many it has."""
    received: int
    """How many it was given so far, all blocks together."""


class FeedReturned(NamedTuple):
    """Up, in an envelope: a worker gives back all rows that it has in hand."""

    feed: str
    ranges: Sequence[tuple[int, int]]
    """Each the first of some rows and how many follow each other from it."""
    received: int
    """As in `FeedWant`."""


class FeedRows(NamedTuple):
    """Down, in an envelope: these rows are the worker's."""

    feed: str
    ranges: Sequence[tuple[int, int]]
    """As in `FeedReturned`; of a feed that begins anew at its end, numbers go on."""


class FeedAskBack(NamedTuple):
    """Down, in an envelope: give back what is in hand, users of other workers wait for it."""

    feed: str


class FeedEnded(NamedTuple):
    """Down, in an envelope: no row is left, in no worker, and there will be none."""

    feed: str


class FeedState(NamedTuple):
    """How a feed is, in the answer to the command ``status``."""

    name: str
    order: str
    share: str
    rows: int
    dealt: int | None
    """Rows that workers were given; what they gave back is not counted. None where rows are not
    dealt, as each user reads by itself."""
    ended: bool
    """Whether it has no row left."""


FeedToWorker = FeedRows | FeedAskBack | FeedEnded
FeedToController = FeedWant | FeedReturned
FEED_TO_WORKER: Codec[FeedToWorker] = Codec(FeedToWorker)
FEED_TO_CONTROLLER: Codec[FeedToController] = Codec(FeedToController)
