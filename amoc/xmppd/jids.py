"""Pure. Parsing, checking and normalisation of addresses (RFC 7622): equal ones compare equal.

The local and domain parts are NFC-normalised and lower-cased, the resource only NFC-normalised.
Routing tables are keyed by the normalised form. Addresses already in that form, as nearly all are,
are found by a plain dictionary look-up; only others need `parse()`, which caches its results.
"""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache
from typing import NamedTuple

_MAX_PART_BYTES = 1023
_FORBIDDEN_LOCAL = re.compile("[\"&'/:<>@]")
_PLAIN_LOCAL = re.compile(r"[a-z0-9_.\-]{1,255}", re.ASCII)
_DOMAIN = re.compile(r"[\w.\-]+|\[[0-9a-f:.]+\]")


class Jid(NamedTuple):
    """An address in normalised form."""

    local: str
    """The user's name, or empty for the address of a server."""
    domain: str
    resource: str
    """Identifies one connection of the user; empty for a bare address."""

    @property
    def bare(self) -> str:
        """The address without its resource."""
        return f"{self.local}@{self.domain}" if self.local else self.domain

    @property
    def full(self) -> str:
        """The whole address; the same as `bare` when there is no resource."""
        return f"{self.bare}/{self.resource}" if self.resource else self.bare


class JidError(ValueError):
    """The text is not an address; the message names the rule that it violates."""


def _checked(part: str, name: str) -> str:
    if not part:
        raise JidError(f"{name} of a JID must not be empty")
    if len(part.encode("utf-8", "surrogatepass")) > _MAX_PART_BYTES:
        raise JidError(f"{name} of a JID must have at most {_MAX_PART_BYTES} bytes")
    # C*: control, format, surrogate, private, unassigned; Zl and Zp: separators (RFC 8264 section
    # 9).
    if any(unicodedata.category(char) in _NEVER for char in part):
        raise JidError(f"{name} of a JID must not hold control characters")
    return part


_NEVER = frozenset({"Cc", "Cf", "Cs", "Cn", "Zl", "Zp"})


def prepare_local(text: str) -> str:
    """Return the normalised form of a user name (RFC 7622 section 3.3).

    Raises:
        JidError: It is empty, too long, or contains a character not allowed in a user name.
    """
    if _PLAIN_LOCAL.fullmatch(text):
        return text
    local = _checked(unicodedata.normalize("NFC", text).lower(), "local part")
    if _FORBIDDEN_LOCAL.search(local) or any(char.isspace() for char in local):
        raise JidError("local part of a JID must not hold blanks or any of \"&'/:<>@")
    return local


def prepare_domain(text: str) -> str:
    """Return the normalised form of a domain (RFC 7622 section 3.2).

    Raises:
        JidError: It is not a domain name or address.
    """
    domain = unicodedata.normalize("NFC", text).lower().removesuffix(".")
    if not _DOMAIN.fullmatch(_checked(domain, "domain part")):
        raise JidError("domain part of a JID must be a host name or address")
    return domain


def prepare_resource(text: str) -> str:
    """Return the normalised form of a resource (RFC 7622 section 3.4).

    Raises:
        JidError: It is empty, too long, or contains a control character.
    """
    return _checked(unicodedata.normalize("NFC", text), "resource")


@lru_cache(maxsize=8192)
def parse(text: str) -> Jid:
    """Parse an address.

    Raises:
        JidError: It is not an address.
    """
    bare, slash, resource = text.partition("/")
    local, at, domain = bare.rpartition("@")
    return Jid(
        prepare_local(local) if at else "",
        prepare_domain(domain),
        prepare_resource(resource) if slash else "",
    )
