"""The server's statistics: counted where events happen, read as a copy."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field


@dataclass(slots=True)
class Statistics:
    """Counts since the server's start; written by its only thread."""

    uptime_s: float = 0.0
    connections: int = 0
    """Currently open connections."""
    connections_peak: int = 0
    connections_accepted: int = 0
    connections_refused: int = 0
    """Closed at once because all connections were in use."""
    bound: int = 0
    """Clients that are currently logged in with a resource."""
    resumed: int = 0
    """Sessions resumed on another connection (XEP-0198)."""
    logins: int = 0
    login_failures: int = 0
    registrations: int = 0
    accounts: int = 0
    """Existing accounts that were registered in-band."""
    messages_in: int = 0
    """Messages sent by clients."""
    messages_routed: int = 0
    """Copies passed to a client's connection."""
    messages_bounced: int = 0
    """Messages answered with an error because there was no recipient."""
    messages_kept: int = 0
    """Messages stored for a user who was offline."""
    messages_dropped: int = 0
    """Messages discarded: errors and headlines without a recipient (RFC 6121 section 8.5)."""
    presences_in: int = 0
    iqs_in: int = 0
    slow_readers: int = 0
    """Clients disconnected because they did not read what was sent to them."""
    tls_handshakes: int = 0
    tls_resumed: int = 0
    """TLS handshakes that resumed an earlier session."""
    bytes_in: int = 0
    bytes_out: int = 0
    stream_errors: dict[str, int] = field(default_factory=dict)
    """Number of streams ended with each condition."""
    internal_errors: int = 0
    """Bugs of this server; each ended one connection."""

    def as_line(self) -> str:
        """Return all statistics in one line of `name=value` pairs."""
        pairs = []
        for name, value in asdict(self).items():
            if isinstance(value, dict):
                text = ",".join(f"{key}:{count}" for key, count in sorted(value.items())) or "none"
            else:
                text = f"{value:.1f}" if isinstance(value, float) else str(value)
            pairs.append(f"{name}={text}")
        return "xmppd " + " ".join(pairs)
