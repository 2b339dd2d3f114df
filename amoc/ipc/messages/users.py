"""Messages about users: their start, their end, their failures. Pure."""

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
    """Whether they ran before, on a worker that was lost."""


class Started(NamedTuple):
    """Up, worker: this many users of a `StartUsers` have been started."""

    worker: int
    number: int


class StopUsers(NamedTuple):
    """Down: let all users finish, kill the rest after the timeout, and replace no worker."""

    timeout_s: float


class UsersGone(NamedTuple):
    """Up, worker: all its users have left after a `StopUsers`."""

    worker: int
    killed: int
    """Users that left only when they were killed."""
    stuck: Sequence[int]
    """The first ids of users that did not leave even when killed."""


class Stopped(NamedTuple):
    """Up: all users of the node have left, or cannot be made to."""

    killed: int
    """Users that left only when they were killed."""
    stuck: Sequence[int]
    """The first ids of users that did not leave even when killed."""
    lost: int
    """Users that were not restarted after their worker had died or been killed."""


class QueryUsers(NamedTuple):
    """Down: report the state of users at once, before the next sample."""

    number: int
    keep: int = -1
    """Also list the users in excess of this many; -1 lists none."""
    first: int = 1
    last: int = 1 << 62
    """The range of ids to which `keep` applies."""


class UsersNow(NamedTuple):
    """Up: the current state of users, the answer to `QueryUsers`."""

    number: int
    at_ns: int
    users: Mapping[int, int]
    """The number of users in each `UserState`."""
    alive: Sequence[int]
    """The number of users of each worker."""
    beyond: Sequence[int] = ()
    """The users in excess of `QueryUsers.keep`, highest ids first."""
    present: int = 0
    """The number of users in the queried range; 0 without `keep`."""


class CrashSeen(NamedTuple):
    """Up, worker: the first crash with this cause."""

    worker: int
    cause: str
    traceback: str
    user_id: int
    headline: str = ""
    """The cause with the numbers of this crash, always in one line."""


class FailureSeen(NamedTuple):
    """Up, worker: the first failure of a step with this cause."""

    worker: int
    step: str
    cause: str
    message: str
    """Details; may be empty."""
    user_id: int
    """0 if it was not in a user."""


class TargetSeen(NamedTuple):
    """Up, worker: its users connect to this server."""

    worker: int
    address: str


class Blocked(NamedTuple):
    """Up: a user blocked a worker's event loop."""

    worker: int
    place: str
    """The scenario's line, such as ``chat.py:42 in start``, or another place in the code."""
    times: int
    """How often, since the last report."""
    total_ns: int
    """For how long in total."""
    longest_ns: int
    trace: str
    """A stack trace of one occurrence; empty if already reported."""
