"""What the server has done so far: counted where it happens, read as a copy."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field


@dataclass(slots=True)
class Statistics:
    """The server's statistics; counts are since its start. Written by the server's one thread."""

    uptime_s: float = 0.0
    connections: int = 0
    """Connections open now."""
    connections_peak: int = 0
    connections_accepted: int = 0
    connections_refused: int = 0
    """Closed at once, because all connections were in use."""
    bound: int = 0
    """Clients that are logged in, with a resource, now."""
    resumed: int = 0
    """Sessions that were resumed on another connection (XEP-0198)."""
    logins: int = 0
    login_failures: int = 0
    registrations: int = 0
    accounts: int = 0
    """Accounts that were registered in-band and live now."""
    messages_in: int = 0
    """Messages that clients sent."""
    messages_routed: int = 0
    """Copies that were handed to a client's connection."""
    messages_bounced: int = 0
    """Answered with an error, because there was no recipient."""
    messages_kept: int = 0
    """Kept for a user who was away."""
    messages_dropped: int = 0
    """Discarded, as RFC 6121 section 8.5 demands for errors and headlines without a recipient."""
    presences_in: int = 0
    iqs_in: int = 0
    slow_readers: int = 0
    """Clients cut off because they did not read what was sent to them."""
    tls_handshakes: int = 0
    tls_resumed: int = 0
    """Handshakes that resumed an earlier session."""
    bytes_in: int = 0
    bytes_out: int = 0
    stream_errors: dict[str, int] = field(default_factory=dict)
    """How many streams were ended with which condition."""
    internal_errors: int = 0
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
