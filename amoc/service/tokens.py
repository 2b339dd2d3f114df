"""Tokens, their roles, and the limit of wrong tokens per client. Pure."""

from __future__ import annotations

import hmac
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from ipaddress import IPv4Address, IPv6Network, ip_address

from amoc.base.errors import UsageError

MIN_LENGTH = 16
MAX_TOKENS = 100
MAX_WRONG = 10
"""Number of wrong tokens after which a client has to wait."""
WRONG_PERIOD_S = 60.0
MAX_CLIENTS = 10_000
IPV6_PREFIX = 64
"""Prefix length that identifies an IPv6 client, as one host may own a whole network."""


class Role(IntEnum):
    """What a client may do. Each role includes the ones before it."""

    READ = 1
    """Read runs, scenarios and reports."""
    RUN = 2
    """Start runs and send them commands."""
    ADMIN = 3
    """Upload scenarios and delete runs."""


@dataclass(frozen=True)
class Tokens:
    """The valid tokens with their roles. Never shown."""

    known: Sequence[tuple[bytes, Role]] = field(repr=False)

    @classmethod
    def parse(cls, text: str, source: str) -> Tokens:
        """Parse a token file: ``role token`` on each line, or a token alone for `Role.ADMIN`.

        Empty lines and lines that start with ``#`` are ignored.

        Raises:
            UsageError: A line has another form. Messages never show tokens.
        """
        known: list[tuple[bytes, Role]] = []
        for number, line in enumerate(text.splitlines(), 1):
            words = line.split()
            if not words or words[0].startswith("#"):
                continue
            where = f"{source}, line {number}"
            role = words[0].upper() if len(words) == 2 else Role.ADMIN.name
            if len(words) > 2 or role not in Role.__members__:
                names = ", ".join(one.name.lower() for one in Role)
                raise UsageError(f"{where}: must be a token, or a role ({names}) and a token")
            if len(words[-1]) < MIN_LENGTH or not words[-1].isascii():
                raise UsageError(
                    f"{where}: a token must have at least {MIN_LENGTH} ASCII characters"
                )
            known.append((words[-1].encode(), Role[role]))
        if not 1 <= len(known) <= MAX_TOKENS:
            raise UsageError(f"{source} must hold from 1 to {MAX_TOKENS} tokens, got {len(known)}")
        return cls(tuple(known))

    def role_of(self, token: str) -> Role | None:
        """Return the role of `token`; None if it is invalid. Takes constant time for all tokens."""
        given = token.encode("utf-8", "replace")
        found: Role | None = None
        for known, role in self.known:
            if hmac.compare_digest(known, given):
                found = max(found or role, role)
        return found


def client_of(address: str) -> str:
    """Return the client that an address belongs to, for limits: itself, or its IPv6 network."""
    try:
        found = ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(found, IPv4Address):
        return str(found)
    if found.ipv4_mapped is not None:
        return str(found.ipv4_mapped)
    return str(IPv6Network((found, IPV6_PREFIX), strict=False))


class WrongTokens:
    """Counts wrong tokens per client, to prevent guessing.

    Beyond `MAX_CLIENTS` clients, the one whose last wrong token is oldest is forgotten. So even an
    attacker with that many addresses gets few attempts: `MAX_WRONG` per address, or one per round.
    """

    def __init__(self) -> None:
        self._clients: OrderedDict[str, tuple[int, float]] = OrderedDict()

    def wait_s(self, client: str, now_s: float) -> float:
        """Return how long `client` has to wait before its next attempt; 0 for not at all."""
        count, since_s = self._clients.get(client, (0, now_s))
        left_s = since_s + WRONG_PERIOD_S - now_s
        return left_s if count >= MAX_WRONG and left_s > 0 else 0.0

    def note(self, client: str, now_s: float) -> None:
        """Record a wrong token of `client`."""
        count, since_s = self._clients.pop(client, (0, now_s))
        if now_s - since_s >= WRONG_PERIOD_S:
            count, since_s = 0, now_s
        self._clients[client] = count + 1, since_s
        while len(self._clients) > MAX_CLIENTS:
            self._clients.popitem(last=False)
