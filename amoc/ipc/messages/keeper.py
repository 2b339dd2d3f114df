"""How a node on another host is started, watched and ended, by a keeper on that host. Pure.

A keeper says what it is (`Join`) and learns where to connect (`Joined`), or why it cannot
(`Rejected`). All else goes over a bus between the controller and its keepers.
"""

from collections.abc import Sequence
from typing import NamedTuple

from amoc.ipc.messages.codec import Codec
from amoc.ipc.messages.lifecycle import Hello, Note


class Join(NamedTuple):
    """Up, again and again until there is an answer: a host offers itself."""

    version: str
    """amoc's."""
    python: str
    """Python's, with all its numbers."""
    host: str
    """What the host calls itself."""
    pid: int
    keeper_key: bytes
    """The public key of the keeper."""
    node_key: bytes
    """That of the node that it will start."""


class Joined(NamedTuple):
    """Down: the host is taken."""

    number: int
    """Its keeper's, which none has had before it."""
    ports: Sequence[int]
    """Where the keeper hears commands and sends reports, at the address that it knows already."""
    parent_key: bytes
    clock: str
    """Which clock the controller has, see `amoc.base.run_clock.host_clock`."""


class Rejected(NamedTuple):
    """Down: the host is turned away."""

    why: str


class Begin(NamedTuple):
    """Down: start the node."""

    bootstrap: bytes
    """What the node is told; the keeper adds the directory, and the node's keys."""
    ports: Sequence[int]
    """Where the node hears commands and sends reports."""
    digest: str
    """Of the bundle; empty if there is none."""
    size: int
    """Its bytes."""


class Chunk(NamedTuple):
    """Down: a part of the bundle."""

    offset: int
    data: bytes


class Fetch(NamedTuple):
    """Up: the keeper does not have the bundle, and asks for the part from here."""

    offset: int


class Beat(NamedTuple):
    """Up, twice a second: the keeper is there."""

    asked_ns: int
    """When, by its own clock."""
    bound_ns: int = 0
    """How far the node's clock can be from the controller's; 0 if it is the same clock."""


class Echo(NamedTuple):
    """Down, for each `Beat`: it was heard. The times say how far apart the clocks are."""

    asked_ns: int
    received_ns: int
    """When the beat came, by the controller's clock."""
    answered_ns: int
    """When this left."""


class Printed(NamedTuple):
    """Up: lines that the node has printed."""

    lines: Sequence[str]


class Logged(NamedTuple):
    """Up: what was appended to a log file of the node's processes."""

    name: str
    """The file's."""
    data: bytes


class Ended(NamedTuple):
    """Up: nothing of the node is running any more."""

    how: str
    """As ``exited with 3``."""
    is_clean: bool = False
    """Whether its exit status was 0."""


class Kill(NamedTuple):
    """Down: end the node and all below it at once."""


class Leave(NamedTuple):
    """Down: the keeper ends, and its node, if that is still there."""

    why: str = ""
    """Why the run goes on without it, or has not begun; empty if the run is over."""


FromHost = Join
ToHost = Joined | Rejected
FROM_HOST: Codec[FromHost] = Codec(FromHost)
TO_HOST: Codec[ToHost] = Codec(ToHost)

ToKeeper = Begin | Chunk | Echo | Kill | Leave
FromKeeper = Hello | Note | Fetch | Beat | Printed | Logged | Ended
TO_KEEPER: Codec[ToKeeper] = Codec(ToKeeper)
FROM_KEEPER: Codec[FromKeeper] = Codec(FromKeeper)
