"""Pure. SASL (RFC 6120 section 6): the common parts of all mechanisms, at both ends.

A mechanism's object serves one login: it takes received data and returns what to send. A client's
end has `first`, `answer` and `check`; a server's has `step`. Nothing here does I/O, and no error
text contains a password or data derived from it. Every refusal of a name or password looks the same
(``not-authorized``), whether the name exists or not.
"""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass
from typing import Final, Protocol

from amoc.xmpp.wire import namespaces as ns
from amoc.xmpp.wire.condition import Condition
from amoc.xmpp.wire.scram_keys import Keys, saslprep

AUTH: Final = f"{{{ns.SASL}}}auth"
CHALLENGE: Final = f"{{{ns.SASL}}}challenge"
RESPONSE: Final = f"{{{ns.SASL}}}response"
SUCCESS: Final = f"{{{ns.SASL}}}success"
FAILURE: Final = f"{{{ns.SASL}}}failure"
ABORT: Final = f"{{{ns.SASL}}}abort"


class Refused(Condition):
    """The exchange failed, for a reason of RFC 6120 section 6.5."""


class Client:
    """A client's end of one login; this base is for mechanisms without challenges."""

    name: str

    def first(self) -> bytes | None:
        """Return the initial response; None if the mechanism has none."""
        return None

    def answer(self, challenge: bytes) -> bytes:
        """Return the response to `challenge`; an empty one may request an optional response.

        Raises:
            Refused: The challenge is invalid.
        """
        if challenge or self.first() is not None:
            raise Refused("bad-challenge", f"the server sent a challenge, but {self.name} has none")
        return b""

    def check(self, data: bytes | None) -> None:
        """Accept the server's success, with its additional `data` if any (section 6.4.6).

        Raises:
            Refused: The server has not proved that it knows the password, as it must.
        """


@dataclass(frozen=True, slots=True)
class Challenge:
    """A challenge for the client to answer."""

    data: bytes


@dataclass(frozen=True, slots=True)
class Success:
    """A successful login."""

    local: str
    """The user name, normalised."""
    data: bytes | None
    """Additional data for the client, if any."""


class Accounts(Protocol):
    """The accounts of a server."""

    def prepare(self, name: str) -> str | None:
        """Return the normalised form of a user name; None if it is invalid."""

    def check(self, local: str, password: str) -> bool:
        """Return whether there is such an account, with this password."""

    def scram_keys(self, local: str, hash_name: str) -> Keys | None:
        """Return the account's keys; None if there is no such account."""


class Server(Protocol):
    """A server's end of one login."""

    def step(self, data: bytes | None) -> Challenge | Success:
        """Process the client's next response; None if the initial response was omitted.

        Raises:
            Refused: The login has failed.
        """


def check_authzid(authzid: str, local: str, domain: str) -> None:
    """Reject a client that wants to act as another user.

    Clients may name themselves (RFC 6120 section 6.3.8).
    """
    if authzid and authzid.lower() not in (local, f"{local}@{domain}"):
        raise Refused("invalid-authzid")


def element(name: str, data: bytes | None, attributes: str = "") -> bytes:
    """Return a SASL element, such as ``challenge``, that contains `data`."""
    text = base64.b64encode(data).decode() if data else ""
    return f"<{name} xmlns='{ns.SASL}'{attributes}>{text}</{name}>".encode()


def auth(mechanism: str, first: bytes | None) -> bytes:
    """Return an <auth/>; an empty initial response differs from a missing one (section 6.4.2)."""
    if first == b"":
        return f"<auth xmlns='{ns.SASL}' mechanism='{mechanism}'>=</auth>".encode()
    return element("auth", first, f" mechanism='{mechanism}'")


def failure(condition: str) -> bytes:
    """Return a <failure/> (section 6.4.5)."""
    return f"<failure xmlns='{ns.SASL}'><{condition}/></failure>".encode()


def decode(text: str | None) -> bytes | None:
    """Return the bytes in a SASL element; None if there are none (``=`` is an empty value).

    Raises:
        Refused: It is not base64.
    """
    text = (text or "").strip()
    if not text:
        return None
    return b"" if text == "=" else unbase64(text, "incorrect-encoding")


def unbase64(text: str, condition: str) -> bytes:
    """Decode base64.

    Raises:
        Refused: It is not base64; has the given `condition`.
    """
    try:
        return base64.b64decode(text.encode("ascii"), validate=True)
    except (UnicodeEncodeError, binascii.Error):
        raise Refused(condition, "data must be base64") from None


def as_text(data: bytes, condition: str) -> str:
    """Return a message as text.

    Raises:
        Refused: It is not UTF-8; has the given `condition`.
    """
    try:
        return data.decode()
    except UnicodeDecodeError:
        raise Refused(condition, "a message must be UTF-8") from None


def prepared(text: str) -> str:
    """Return a name or password prepared for sending (RFC 4013).

    Raises:
        Refused: It contains a prohibited character.
    """
    try:
        return saslprep(text)
    except ValueError as error:
        raise Refused("malformed-request", str(error)) from None
