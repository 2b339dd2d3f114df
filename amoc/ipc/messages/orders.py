"""Orders (controller to workers) and the replies to them, in envelopes. Pure.

An order has a number of the controller's own, and so has its reply.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from amoc.ipc.messages.codec import Codec


class CountUsers(NamedTuple):
    """Down: how many users are there?"""

    number: int


class RemoveUsers(NamedTuple):
    """Down: remove that many users, those with the highest ids."""

    number: int
    users: int
    force: bool
    """At once, and not at the end of their iteration."""


class RemoveRange(NamedTuple):
    """Down: remove the users with these ids, as far as they are there."""

    number: int
    first: int
    last: int
    force: bool


class RemoveIds(NamedTuple):
    """Down: let these users finish their iteration and leave."""

    number: int
    ids: Sequence[int]


class Pause(NamedTuple):
    """Down: users stop at their next call of amoc."""

    number: int


class Resume(NamedTuple):
    """Down: users go on."""

    number: int


class VerifySettings(NamedTuple):
    """Down: may these settings be changed so? Change nothing."""

    number: int
    values: Mapping[str, object]
    """Raw values, as TOML or the command line has them."""


class ApplySettings(NamedTuple):
    """Down: change these settings."""

    number: int
    values: Mapping[str, object]


class RevertSettings(NamedTuple):
    """Down: take a change back."""

    number: int
    values: Mapping[str, object]
    """The settings that were changed before, too, and what they were then."""
    initial: Sequence[str]
    """Those that get their first value back."""


class Refused(NamedTuple):
    """Up: the order was not carried out."""

    number: int
    error: str


class Done(NamedTuple):
    """Up: the order was carried out."""

    number: int
    text: str
    """What that means here, for people."""


class UserCounts(NamedTuple):
    """Up: the answer to `CountUsers`."""

    number: int
    alive: int
    queued: int
    """Those that have not started."""
    removable: int
    highest_id: int = 0
    """Of the users that the worker has started by itself, for an arrival rate."""


class UsersRemoved(NamedTuple):
    """Up: the answer to `RemoveUsers` and its like; see `amoc.users.removal.Removal`."""

    number: int
    asked: int
    killed: int
    withdrawn: int
    not_again: int
    stuck: Sequence[int]


Order = (
    CountUsers
    | RemoveUsers
    | RemoveRange
    | RemoveIds
    | Pause
    | Resume
    | VerifySettings
    | ApplySettings
    | RevertSettings
)
OrderReply = Refused | Done | UserCounts | UsersRemoved
ORDERS: Codec[Order] = Codec(Order)
ORDER_REPLIES: Codec[OrderReply] = Codec(OrderReply)
