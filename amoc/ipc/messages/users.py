"""Users: which start where, how they end, what went wrong with them. Pure."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple


class StartUsers(NamedTuple):
    """Down to a worker: start these users at their times."""

    worker: int
    ids: Sequence[int]
    due_ns: int
    """When the first may start, on the host's monotonic clock."""
    offsets_ns: Sequence[int]
    """How much later than `due_ns` each may start; empty means all at once."""
    again: bool
    """They ran before, and lost their worker."""


class Started(NamedTuple):
    """Up, worker: that many users of one `StartUsers` have been started."""

    worker: int
    number: int


class StopUsers(NamedTuple):
    """Down: let all users finish, kill what is left after the time-out; replace no worker."""

    timeout_s: float


class UsersGone(NamedTuple):
    """Up, worker: it was told to stop, and has no user any more."""

    worker: int
    killed: int
    """Users that left only when they were killed."""
    stuck: Sequence[int]
    """Users that did not even leave then; the first of them."""


class Stopped(NamedTuple):
    """Up: all users of the node have left, or cannot be made to."""

    killed: int
    """Users that left only when they were killed."""
    stuck: Sequence[int]
    """Users that did not even leave then; the first of them."""
    lost: int
    """Users whose worker had died or had to be killed, and that were not started again."""


class QueryUsers(NamedTuple):
    """Down: say at once where users stand, and not only with the next sample."""

    number: int
    keep: int = -1
    """Which users are beyond that many? -1: none is asked for."""
    first: int = 1
    last: int = 1 << 62
    """Of which users `keep` are to stay: those with these ids."""


class UsersNow(NamedTuple):
    """Up: where users stand now, the answer to `QueryUsers`."""

    number: int
    at_ns: int
    users: Mapping[int, int]
    """How many are in each `UserState`."""
    alive: Sequence[int]
    """How many each worker has."""
    beyond: Sequence[int] = ()
    """The users beyond `QueryUsers.keep`, the highest ids first."""
    present: int = 0
    """How many there are of those that it asks for; 0 if it asks for none."""


class CrashSeen(NamedTuple):
    """Up, worker: the first crash with this cause."""

    worker: int
    cause: str
    traceback: str
    user_id: int
    headline: str = ""
    """The cause with this crash's own numbers; in one line, also where the message has several."""


class FailureSeen(NamedTuple):
    """Up, worker: the first failure of a step with this cause."""

    worker: int
    step: str
    cause: str
    message: str
    """What else it said; may be empty."""
    user_id: int
    """0 where it was no user's."""


class Blocked(NamedTuple):
    """Up: a user kept a worker's loop from turning."""

    worker: int
    place: str
    """The scenario's line, as ``chat.py:42 in start``; or where else it was."""
    times: int
    """How often since that was told last."""
    total_ns: int
    """For how long together."""
    longest_ns: int
    trace: str
    """The stack, as it was found once; empty when it was told before."""
