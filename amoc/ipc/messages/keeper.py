"""Messages with keepers, which start, watch and end a node on another host. Pure.

A keeper introduces itself (`Join`) and learns where to connect (`Joined`), or why it may not
(`Rejected`). All other messages use a bus between the controller and its keepers.
"""

from collections.abc import Sequence
from typing import NamedTuple

from amoc.ipc.messages.codec import Codec
from amoc.ipc.messages.lifecycle import Hello, Note


class Join(NamedTuple):
    """Up, repeated until there is an answer: a host offers to join."""

    version: str
    """The version of amoc."""
    python: str
    """The full version of Python."""
    host: str
    """The host's own name."""
    pid: int
    keeper_key: bytes
    """The public key of the keeper."""
    node_key: bytes
    """The public key of the node that it will start."""


class Joined(NamedTuple):
    """Down: the host is accepted."""

    number: int
    """The keeper's number, which is never reused."""
    ports: Sequence[int]
    """The ports for commands and reports, at the address already known to the keeper."""
    parent_key: bytes
    clock: str
    """The id of the controller's clock, see `amoc.base.run_clock.host_clock`."""


class Rejected(NamedTuple):
    """Down: the host is rejected."""

    why: str


class Begin(NamedTuple):
    """Down: start the node."""

    bootstrap: bytes
    """The node's `Bootstrap`, to which the keeper adds the directory and the node's keys."""
    ports: Sequence[int]
    """The node's ports for commands and reports."""
    digest: str
    """The digest of the bundle; empty if there is none."""
    size: int
    """The size of the bundle in bytes."""


class Chunk(NamedTuple):
    """Down: a part of the bundle."""

    offset: int
    data: bytes


class Fetch(NamedTuple):
    """Up: the keeper does not have the bundle, and requests the part at this offset."""

    offset: int


class Beat(NamedTuple):
    """Up, twice a second: the keeper's heartbeat."""

    asked_ns: int
    """When it was sent, by the keeper's clock."""
    bound_ns: int = 0
    """The maximum error of the node's clock against the controller's; 0 if they share a clock."""


class Echo(NamedTuple):
    """Down, for each `Beat`: its acknowledgement, with times to compute the clock offset."""

    asked_ns: int
    received_ns: int
    """When the beat arrived, by the controller's clock."""
    answered_ns: int
    """When this was sent, by the controller's clock."""


class Printed(NamedTuple):
    """Up: lines printed by the node."""

    lines: Sequence[str]


class Logged(NamedTuple):
    """Up: data appended to a log file of the node's processes."""

    name: str
    """The file's name."""
    data: bytes


class Ended(NamedTuple):
    """Up: no process of the node is running any more."""

    how: str
    """Such as ``exited with 3``."""
    is_clean: bool = False
    """Whether its exit status was 0."""


class Kill(NamedTuple):
    """Down: kill the node and all its descendants at once."""


class Leave(NamedTuple):
    """Down: the keeper must end, together with its node if that still runs."""

    why: str = ""
    """Why the run continues without it, or never began; empty if the run is over."""


FromHost = Join
ToHost = Joined | Rejected
FROM_HOST: Codec[FromHost] = Codec(FromHost)
TO_HOST: Codec[ToHost] = Codec(ToHost)

ToKeeper = Begin | Chunk | Echo | Kill | Leave
FromKeeper = Hello | Note | Fetch | Beat | Printed | Logged | Ended
TO_KEEPER: Codec[ToKeeper] = Codec(ToKeeper)
FROM_KEEPER: Codec[FromKeeper] = Codec(FromKeeper)
