"""What the server has done so far: counted where it happens, read as one frozen record."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass, field


@dataclass(frozen=True, slots=True)
class Statistics:
    """The server's figures; counts are since its start."""

    uptime_s: float
    connections: int
    """Connections open now."""
    connections_peak: int
    connections_accepted: int
    connections_refused: int
    """Closed at once, because all connections were in use."""
    bound: int
    """Clients that are logged in, with a resource, now."""
    logins: int
    login_failures: int
    registrations: int
    accounts: int
    """Accounts that were registered in-band and live now."""
    messages_in: int
    """Messages that clients sent."""
    messages_routed: int
    """Copies that were handed to a client's connection."""
    messages_bounced: int
    """Answered with an error, because nobody could take them."""
    messages_dropped: int
    """Thrown away, as RFC 6121 section 8.5 demands for errors and headlines to nobody."""
    presences_in: int
    iqs_in: int
    slow_readers: int
    """Clients cut off because they did not read what was sent to them."""
    bytes_in: int
    bytes_out: int
    stream_errors: dict[str, int]
    """How many streams were ended with which condition."""
    internal_errors: int
    """Defects of this server; each ended one connection."""

    def as_line(self) -> str:
        """All of it in one line of `name=value` pairs."""
        pairs = []
        for name, value in asdict(self).items():
            if isinstance(value, dict):
                text = ",".join(f"{key}:{count}" for key, count in sorted(value.items())) or "none"
            else:
                text = f"{value:.1f}" if isinstance(value, float) else str(value)
            pairs.append(f"{name}={text}")
        return "xmppd " + " ".join(pairs)


@dataclass(slots=True)
class Counts:
    """The running counts behind `Statistics`; written by the server's one thread only."""

    connections_peak: int = 0
    accepted: int = 0
    refused: int = 0
    bound: int = 0
    logins: int = 0
    login_failures: int = 0
    registrations: int = 0
    messages_in: int = 0
    routed: int = 0
    bounced: int = 0
    dropped: int = 0
    presences_in: int = 0
    iqs_in: int = 0
    slow_readers: int = 0
    internal_errors: int = 0
    stream_errors: Counter[str] = field(default_factory=Counter)
