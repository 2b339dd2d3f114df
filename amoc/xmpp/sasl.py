"""Logging in (RFC 6120 section 6) as pure exchanges: what to say first, and what to each answer.

A mechanism is made for one log-in. `first` is what goes with <auth/>, `answer` turns a challenge
into a response, and `check` looks at what came with <success/>: a server that cannot prove that it
knows the password, where the mechanism asks for that, is not believed.

Nothing here does input or output, and no text of an error holds a password or what is derived from
it.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import os
from collections.abc import Callable, Iterable, Sequence
from typing import Final, Protocol

from amoc.xmpp import scram

__all__ = ["MAX_CHALLENGES", "Mechanism", "Refused", "choose", "decode", "encode", "make"]

MAX_CHALLENGES: Final = 4
"""More than any mechanism here needs; a server that sends more is leading us round in circles."""
MAX_SCRAM_ITERATIONS: Final = 100_000
_MAX_NONCE: Final = 1024


class Refused(Exception):
    """The exchange cannot go on.

    Attributes:
        condition: A word for why, in the manner of RFC 6120 section 6.5.
        text: The explanation.
    """

    def __init__(self, condition: str, text: str) -> None:
        super().__init__(f"{condition} ({text})")
        self.condition = condition
        self.text = text


class Mechanism(Protocol):
    """One log-in."""

    name: str

    def first(self) -> bytes | None:
        """The initial response; None when the mechanism has none."""

    def answer(self, challenge: bytes) -> bytes:
        """The response to `challenge`.

        Raises:
            Refused: The challenge makes no sense.
        """

    def check(self, data: bytes | None) -> None:
        """Accept the server's success, which came with `data` if with any (section 6.4.6).

        Raises:
            Refused: The server has not proved itself.
        """


class Plain:
    """PLAIN (RFC 4616): name and password as they are."""

    name = "PLAIN"

    def __init__(self, username: str, password: str) -> None:
        self._first = b"\0" + _prepared(username).encode() + b"\0" + _prepared(password).encode()

    def first(self) -> bytes:
        """Name and password."""
        return self._first

    def answer(self, challenge: bytes) -> bytes:  # noqa: ARG002 - the protocol's signature
        """There is none."""
        raise Refused("bad-challenge", "the server sent a challenge, but PLAIN has none")

    def check(self, data: bytes | None) -> None:
        """A server has nothing to prove."""


class Anonymous:
    """ANONYMOUS (RFC 4505): the server invents a name."""

    name = "ANONYMOUS"

    def first(self) -> bytes | None:
        """No trace information is sent."""
        return None

    def answer(self, challenge: bytes) -> bytes:
        """Some servers ask for the trace information; an empty one will do."""
        if challenge:
            raise Refused("bad-challenge", "the server sent a challenge, but ANONYMOUS has none")
        return b""

    def check(self, data: bytes | None) -> None:
        """A server has nothing to prove."""


class Scram:
    """SCRAM (RFC 5802, RFC 7677) without channel binding."""

    def __init__(
        self,
        hash_name: str,
        username: str,
        password: str,
        nonce: str,
        max_iterations: int = MAX_SCRAM_ITERATIONS,
    ) -> None:
        """Begin an exchange.

        Args:
            hash_name: ``sha1`` or ``sha256``.
            username: The local part of the JID.
            password: As typed.
            nonce: Printable ASCII without commas, different for each exchange.
            max_iterations: Refuse a server that asks for more: it would stop the whole worker.
        """
        self.name = "SCRAM-SHA-1" if hash_name == "sha1" else "SCRAM-SHA-256"
        self._hash_name = hash_name
        self._password = _prepared(password)
        self._nonce = nonce
        self._max_iterations = max_iterations
        escaped = _prepared(username).replace("=", "=3D").replace(",", "=2C")
        self._first_bare = f"n={escaped},r={nonce}"
        self._server_signature: bytes | None = None
        self._proved = False

    def first(self) -> bytes:
        """The client-first-message; ``n``: no channel binding."""
        return f"n,,{self._first_bare}".encode()

    def answer(self, challenge: bytes) -> bytes:
        """The client-final-message; nothing to a server-final-message that comes as a challenge."""
        if self._server_signature is not None:
            self._prove(challenge)
            return b""
        nonce, salt, iterations = self._read(challenge)
        salted = scram.salted_password(self._hash_name, self._password, salt, iterations)
        without_proof = f"c=biws,r={nonce}"
        message = b",".join((self._first_bare.encode(), challenge, without_proof.encode()))
        key = scram.client_key(self._hash_name, salted)
        stored = scram.stored_key(self._hash_name, key)
        proof = scram.xor(key, scram.signature(self._hash_name, stored, message))
        server_key = scram.server_key(self._hash_name, salted)
        self._server_signature = scram.signature(self._hash_name, server_key, message)
        return f"{without_proof},p={encode(proof)}".encode()

    def check(self, data: bytes | None) -> None:
        """The server must have proved that it knows the password."""
        if data and not self._proved and self._server_signature is not None:
            self._prove(data)
        if not self._proved:
            raise Refused(
                "bad-server-signature",
                "the server said success without proving that it knows the password",
            )

    def _read(self, challenge: bytes) -> tuple[str, bytes, int]:
        """Nonce, salt and iterations of a server-first-message (RFC 5802 section 7)."""
        fields = _fields(challenge, "the server's first message")
        if [name for name, _ in fields[:3]] != ["r", "s", "i"]:
            raise Refused(
                "bad-challenge", "the server's first message must begin with r=, s= and i="
            )
        nonce, salt, iterations = (value for _, value in fields[:3])
        if not nonce.startswith(self._nonce) or not len(self._nonce) < len(nonce) <= _MAX_NONCE:
            raise Refused("bad-challenge", "the server's nonce must begin with ours, and go on")
        if not (iterations.isascii() and iterations.isdigit() and len(iterations) <= 10):
            raise Refused("bad-challenge", "the iteration count must be a number")
        count = int(iterations)
        if not 1 <= count <= self._max_iterations:
            raise Refused(
                "bad-challenge",
                f"the iteration count must be from 1 to {self._max_iterations}"
                f" (xmpp_scram_max_iterations), but is {count}",
            )
        raw = _unbase64(salt)
        if not raw:
            raise Refused("bad-challenge", "the salt must be base64 and not empty")
        return nonce, raw, count

    def _prove(self, message: bytes) -> None:
        fields = _fields(message, "the server's final message")
        name, value = fields[0]
        if name == "e":
            raise Refused("not-authorized", f"the server says {value}")
        given = _unbase64(value) if name == "v" else None
        assert self._server_signature is not None
        if given is None or not hmac.compare_digest(given, self._server_signature):
            raise Refused(
                "bad-server-signature",
                "the server's signature is wrong: it does not know the password",
            )
        self._proved = True


def _prepared(text: str) -> str:
    try:
        return scram.saslprep(text)
    except ValueError as error:
        raise Refused("malformed-request", str(error)) from None


def _fields(message: bytes, what: str) -> list[tuple[str, str]]:
    try:
        text = message.decode()
    except UnicodeDecodeError:
        raise Refused("bad-challenge", f"{what} must be UTF-8") from None
    fields = []
    for part in text.split(","):
        name, equals, value = part.partition("=")
        if not equals or len(name) != 1:
            raise Refused("bad-challenge", f"{what} must consist of x=… parts")
        fields.append((name, value))
    return fields


def _unbase64(text: str) -> bytes | None:
    try:
        return base64.b64decode(text.encode(), validate=True)
    except (binascii.Error, ValueError):
        return None


def encode(data: bytes | None) -> str:
    """`data` as the text of <auth/> (section 6.4.2): ``=`` is empty, nothing is None."""
    if data is None:
        return ""
    return base64.b64encode(data).decode() if data else "="


def decode(text: str | None) -> bytes | None:
    """The data in a <challenge/> or <success/>; None when there is none.

    Raises:
        Refused: It is not base64.
    """
    text = (text or "").strip()
    if not text:
        return None
    if text == "=":
        return b""
    data = _unbase64(text)
    if data is None:
        raise Refused("incorrect-encoding", "the server's data must be base64")
    return data


def choose(wanted: Iterable[str], offered: Sequence[str]) -> str:
    """The first mechanism that we want and the server offers.

    Raises:
        Refused: There is none.
    """
    for name in wanted:
        if name in offered:
            return name
    raise Refused(
        "invalid-mechanism",
        f"the server must offer one of {', '.join(wanted)} (xmpp_mechanisms), but offers"
        f" {', '.join(offered[:20]) or 'none'}",
    )


def _nonce() -> str:
    return base64.b64encode(os.urandom(18)).decode()


def make(
    name: str,
    username: str,
    password: str,
    max_iterations: int = MAX_SCRAM_ITERATIONS,
    nonce: Callable[[], str] = _nonce,
) -> Mechanism:
    """The mechanism called `name`, for one log-in.

    Raises:
        Refused: The name or password cannot be sent, or there is no such mechanism.
    """
    if name == "PLAIN":
        return Plain(username, password)
    if name == "ANONYMOUS":
        return Anonymous()
    hashes = {"SCRAM-SHA-1": "sha1", "SCRAM-SHA-256": "sha256"}
    if name not in hashes:
        raise Refused(
            "invalid-mechanism", f"{name} is none of {', '.join(hashes)}, PLAIN, ANONYMOUS"
        )
    return Scram(hashes[name], username, password, nonce(), max_iterations)
