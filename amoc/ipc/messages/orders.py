"""Orders (controller to workers) and the replies to them, in envelopes. Pure.

An order has a number assigned by the controller, which its reply repeats.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from amoc.ipc.messages.codec import Codec


class CountUsers(NamedTuple):
    """Down: count the users."""

    number: int


class RemoveUsers(NamedTuple):
    """Down: remove this many users, those with the highest ids."""

    number: int
    users: int
    force: bool
    """At once, rather than at the end of their iteration."""


class RemoveRange(NamedTuple):
    """Down: remove the users with these ids, as far as they exist."""

    number: int
    first: int
    last: int
    force: bool


class RemoveIds(NamedTuple):
    """Down: let these users finish their iteration and leave."""

    number: int
    ids: Sequence[int]


class Pause(NamedTuple):
    """Down: users stop at their next call to amoc."""

    number: int


class Resume(NamedTuple):
    """Down: users continue after a pause."""

    number: int


class VerifySettings(NamedTuple):
    """Down: check whether these settings may be changed, without changing them."""

    number: int
    values: Mapping[str, object]
    """Raw values, as from TOML or the command line."""


class ApplySettings(NamedTuple):
    """Down: change these settings."""

    number: int
    values: Mapping[str, object]


class RevertSettings(NamedTuple):
    """Down: undo a change."""

    number: int
    values: Mapping[str, object]
    """The previous values of settings that had been changed before."""
    initial: Sequence[str]
    """Settings to reset to their initial values."""


class Refused(NamedTuple):
    """Up: the order was not carried out."""

    number: int
    error: str


class Done(NamedTuple):
    """Up: the order was carried out."""

    number: int
    text: str
    """The effect in this worker, for people."""


class UserCounts(NamedTuple):
    """Up: the answer to `CountUsers`."""

    number: int
    alive: int
    queued: int
    """Users that have not started."""
    removable: int
    highest_id: int = 0
    """The highest id of users started by the worker itself, for an arrival rate."""


class UsersRemoved(NamedTuple):
    """Up: the answer to orders to remove users; see `amoc.users.removal.Removal`."""

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
