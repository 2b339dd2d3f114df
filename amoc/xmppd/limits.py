"""All limits of the server in one record, so that a client cannot make anything grow unbounded."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits per client, in bytes, counts and seconds; each field says what happens beyond it."""

    stanza_bytes: int = 262_144
    """A longer stanza ends its stream with policy-violation, as prosody does."""
    login_stanza_bytes: int = 10_000
    """The same before login, when no client needs to send much."""
    depth: int = 64
    """Maximum nesting of elements in a stanza, itself included; beyond, a policy-violation."""
    queue_bytes: int = 1_048_576
    """Bytes queued for a client that reads slowly; more ends its stream with policy-violation."""
    login_s: float = 30.0
    """From the connection to a bound resource; longer is a connection-timeout."""
    stanza_s: float = 30.0
    """From the first byte of a stanza to its last; longer is a connection-timeout."""
    stall_s: float = 30.0
    """How long a client may read nothing while data is queued for it."""
    linger_s: float = 2.0
    """How long a closed stream may take to read the last data sent to it."""
    login_attempts: int = 3
    """Failed logins on one connection; the last ends the stream with policy-violation."""
    accounts: int = 1_000_000
    """Accounts registered in-band; more are refused with resource-constraint."""
    contacts: int = 10_000
    """Contacts in one user's roster, pending requests included; more are refused or ignored."""
    all_contacts: int = 2_000_000
    """The same over all rosters."""
    resources: int = 100
    """Connections of one user; more are refused with resource-constraint."""
    resume_s: float = 300.0
    """How long a session whose connection was lost can be resumed (XEP-0198)."""
    hibernating: int = 10_000
    """Sessions without a connection that can be resumed; further ones end at once."""
    unacknowledged: int = 5_000
    """Unacknowledged stanzas of a client. Beyond that, or beyond `queue_bytes`, its session cannot
    be resumed any more, or ends if it has no connection."""
    directed: int = 1_000
    """Recipients of one connection's directed presence that get unavailable when it ends."""
    rooms: int = 10_000
    """Rooms, light rooms and nodes of the service, each; one more is a resource-constraint."""
    occupants: int = 10_000
    """Maximum that a room may be configured for, and maximum members of a light room."""
    affiliations: int = 10_000
    """Users that are owner, admin, member or outcast of one room."""
    page: int = 100
    """Results on one page of an archive, of rooms or of items."""
    archived: int = 200
    """Messages in one archive, a user's or a room's; the oldest are dropped. 0: no archiving."""
    all_archived: int = 200_000
    """The same over all archives; when they are full, the oldest archive is emptied."""
    archived_bytes: int = 268_435_456
    """The same in bytes of all archived messages."""
    offline: int = 100
    """Messages stored for one offline user; more are answered with service-unavailable."""
    kept_bytes: int = 268_435_456
    """Everything else stored for users and nodes; more is a resource-constraint."""
    blocked: int = 1_000
    """Addresses blocked by one user."""
    private: int = 100
    """Pieces of private data stored by one user."""
    nodes: int = 100
    """Nodes of one user."""
    items: int = 1_000
    """Maximum number of items that a node may be configured to keep."""
    subscribers: int = 100_000
    """Subscriptions to one node."""
