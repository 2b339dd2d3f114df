"""Every limit of the server in one record, so that nothing a client does can grow without end."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    """What one client may use, in bytes, counts and seconds; each says what happens beyond it."""

    stanza_bytes: int = 262_144
    """A longer stanza ends its stream with policy-violation, as prosody does."""
    login_stanza_bytes: int = 10_000
    """The same before login, when no client has a reason to send much."""
    depth: int = 64
    """Elements open at once inside a stanza, itself included; deeper is a policy-violation."""
    queue_bytes: int = 1_048_576
    """What may wait for a client that reads slowly; more ends its stream with policy-violation."""
    login_s: float = 30.0
    """From the connection to a bound resource; longer is a connection-timeout."""
    stanza_s: float = 30.0
    """From the first byte of a stanza to its last; longer is a connection-timeout."""
    stall_s: float = 30.0
    """How long a client with something waiting for it may read nothing at all."""
    linger_s: float = 2.0
    """How long a stream that was closed may take to read the last words sent to it."""
    login_attempts: int = 3
    """Failed logins on one connection; the last ends the stream with policy-violation."""
    accounts: int = 1_000_000
    """Accounts registered in-band; more are refused with resource-constraint."""
    contacts: int = 10_000
    """Contacts in one user's roster, asked-for ones included; more are refused or ignored."""
    all_contacts: int = 2_000_000
    """The same over all rosters together."""
    resources: int = 100
    """Connections of one user; more are refused with resource-constraint."""
    resume_s: float = 300.0
    """How long a session whose connection was lost waits to be resumed (XEP-0198)."""
    hibernating: int = 10_000
    """Sessions that may wait at once; further ones end when their connection is lost."""
    unacknowledged: int = 5_000
    """Stanzas that a client may leave unacknowledged; one that leaves more, or more than
    `queue_bytes`, cannot resume its session, and one that is away loses it."""
    directed: int = 1_000
    """Addresses that one connection sent presence to and that get unavailable when it ends."""
    rooms: int = 10_000
    """Rooms, light rooms and the service's nodes each; one more is a resource-constraint."""
    occupants: int = 10_000
    """The most that a room may be configured for, and members of a light room."""
    affiliations: int = 10_000
    """Users that one room knows as owner, admin, member or outcast."""
    page: int = 100
    """Results on one page of an archive, of rooms, or of items."""
    archived: int = 200
    """Messages in one archive, a user's or a room's; the oldest go. 0: nothing is archived."""
    all_archived: int = 200_000
    """The same over all archives; when they are full, the one that was begun first is emptied."""
    archived_bytes: int = 268_435_456
    """The same for the bytes of all archived messages."""
    offline: int = 100
    """Messages that wait for one user; more are answered with service-unavailable."""
    kept_bytes: int = 268_435_456
    """All that is kept for users and nodes beside archives; more is a resource-constraint."""
    blocked: int = 1_000
    """Addresses that one user has blocked."""
    private: int = 100
    """Pieces of private data that one user has stored."""
    nodes: int = 100
    """Nodes of one user."""
    items: int = 1_000
    """The most items that a node may be configured to keep."""
    subscribers: int = 100_000
    """Subscriptions to one node."""
