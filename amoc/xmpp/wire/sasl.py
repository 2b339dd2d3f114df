"""Pure. SASL (RFC 6120 section 6): what logins by all mechanisms have in common, at both ends.

A mechanism's object is made for one login: it takes what came and returns what to send. A client's
end has `first`, `answer` and `check`; the server's has `step`. Nothing here reads or sends, and no
text of an error holds a password or what is derived from it. Every refusal of a name or password
looks the same (``not-authorized``), whether the name exists or not.
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
    """The exchange cannot go on, for a reason of RFC 6120 section 6.5."""


class Client:
    """A client's end of one login, by a mechanism that knows no challenges."""

    name: str

    def first(self) -> bytes | None:
        """The initial response; None when the mechanism has none."""
        return None

    def answer(self, challenge: bytes) -> bytes:
        """The response to `challenge`; some servers ask with an empty one for what is optional.

        Raises:
            Refused: The challenge makes no sense.
        """
        if challenge or self.first() is not None:
            raise Refused("bad-challenge", f"the server sent a challenge, but {self.name} has none")
        return b""

    def check(self, data: bytes | None) -> None:
        """Accept the server's success, which came with `data` if with any (section 6.4.6).

        Raises:
            Refused: The server has not proved that it knows the password, though it must.
        """


@dataclass(frozen=True, slots=True)
class Challenge:
    """The client must answer this."""

    data: bytes


@dataclass(frozen=True, slots=True)
class Success:
    """The client has logged in."""

    local: str
    """Its user name, prepared."""
    data: bytes | None
    """What goes with the success, if anything."""


class Accounts(Protocol):
    """The accounts of a server."""

    def prepare(self, name: str) -> str | None:
        """The one spelling of a user name; None when there can be none such."""

    def check(self, local: str, password: str) -> bool:
        """Whether there is such an account, with this password."""

    def scram_keys(self, local: str, hash_name: str) -> Keys | None:
        """The account's keys; None without an account."""


class Server(Protocol):
    """A server's end of one login."""

    def step(self, data: bytes | None) -> Challenge | Success:
        """Take the client's next response; None is an initial response that was left out.

        Raises:
            Refused: The login has failed.
        """


def check_authzid(authzid: str, local: str, domain: str) -> None:
    """Refuse a client that wants to act as another user.

    To name itself is what clients do (RFC 6120 section 6.3.8).
    """
    if authzid and authzid.lower() not in (local, f"{local}@{domain}"):
        raise Refused("invalid-authzid")


def element(name: str, data: bytes | None, attributes: str = "") -> bytes:
    """A SASL element, such as ``challenge``, with `data` in it."""
    text = base64.b64encode(data).decode() if data else ""
    return f"<{name} xmlns='{ns.SASL}'{attributes}>{text}</{name}>".encode()


def auth(mechanism: str, first: bytes | None) -> bytes:
    """An <auth/>; an initial response that is empty is not one that is missing (section 6.4.2)."""
    if first == b"":
        return f"<auth xmlns='{ns.SASL}' mechanism='{mechanism}'>=</auth>".encode()
    return element("auth", first, f" mechanism='{mechanism}'")


def failure(condition: str) -> bytes:
    """A <failure/> (section 6.4.5)."""
    return f"<failure xmlns='{ns.SASL}'><{condition}/></failure>".encode()


def decode(text: str | None) -> bytes | None:
    """The bytes in a SASL element; None when there are none, while ``=`` is a value that is empty.

    Raises:
        Refused: It is not base64.
    """
    text = (text or "").strip()
    if not text:
        return None
    return b"" if text == "=" else unbase64(text, "incorrect-encoding")


def unbase64(text: str, condition: str) -> bytes:
    """The bytes that `text` is the base64 of.

    Raises:
        Refused: It is not base64; with `condition`.
    """
    try:
        return base64.b64decode(text.encode("ascii"), validate=True)
    except (UnicodeEncodeError, binascii.Error):
        raise Refused(condition, "data must be base64") from None


def as_text(data: bytes, condition: str) -> str:
    """A message as text.

    Raises:
        Refused: It is not UTF-8; with `condition`.
    """
    try:
        return data.decode()
    except UnicodeDecodeError:
        raise Refused(condition, "a message must be UTF-8") from None


def prepared(text: str) -> str:
    """A name or password as it is sent (RFC 4013).

    Raises:
        Refused: It holds a character that must not be.
    """
    try:
        return saslprep(text)
    except ValueError as error:
        raise Refused("malformed-request", str(error)) from None
