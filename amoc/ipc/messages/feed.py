"""Messages between the two ends of feeds, in envelopes. Pure."""

from collections.abc import Sequence
from typing import NamedTuple

from amoc.ipc.messages.codec import Codec


class FeedWant(NamedTuple):
    """Up, in an envelope: a worker needs rows of a feed."""

    feed: str
    waiting: int
    """The number of users that wait for a row."""
    ahead: int
    """The number of rows it wants in addition."""
    held: int
    """The number of unused rows it holds."""
    received: int
    """The total number of rows it has received."""


class FeedReturned(NamedTuple):
    """Up, in an envelope: a worker returns all its unused rows."""

    feed: str
    ranges: Sequence[tuple[int, int]]
    """The first row and the number of rows of each range."""
    received: int
    """As in `FeedWant`."""


class FeedRows(NamedTuple):
    """Down, in an envelope: rows for the worker."""

    feed: str
    ranges: Sequence[tuple[int, int]]
    """As in `FeedReturned`; the numbers of a circular feed continue beyond its end."""


class FeedRecall(NamedTuple):
    """Down, in an envelope: return unused rows, since users of other workers wait for them."""

    feed: str


class FeedEnded(NamedTuple):
    """Down, in an envelope: no worker has rows left, and there will be no more."""

    feed: str


class FeedState(NamedTuple):
    """The state of a feed, in the answer to the command ``status``."""

    name: str
    order: str
    share: str
    rows: int
    dealt: int | None
    """Rows dealt to workers and not returned; None if each user reads the feed on its own."""
    ended: bool
    """Whether it has no rows left."""


FeedToWorker = FeedRows | FeedRecall | FeedEnded
FeedToController = FeedWant | FeedReturned
FEED_TO_WORKER: Codec[FeedToWorker] = Codec(FeedToWorker)
FEED_TO_CONTROLLER: Codec[FeedToController] = Codec(FeedToController)
