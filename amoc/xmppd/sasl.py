"""The server's side of SASL (RFC 6120 section 6): PLAIN, SCRAM-SHA-1, SCRAM-SHA-256, ANONYMOUS.

An exchange is a small pure machine: `step()` takes what the client said and returns what to
answer. It knows accounts but no socket and no XML; base64 is done by the caller. Every refusal of
a name or password looks the same (``not-authorized``), whether the name exists or not.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import secrets
from dataclasses import dataclass
from typing import Final, Protocol

from amoc.base.errors import PeerError
from amoc.xmpp import scram
from amoc.xmppd.accounts import Accounts, ScramKeys
from amoc.xmppd.jids import JidError, prepare_local

MECHANISMS: Final = ("SCRAM-SHA-256", "SCRAM-SHA-1", "PLAIN", "ANONYMOUS")
"""What is offered, the strongest first."""

_HASHES: Final = {"SCRAM-SHA-1": "sha1", "SCRAM-SHA-256": "sha256"}


class SaslFailure(PeerError):
    """The exchange has failed (RFC 6120 section 6.5).

    Attributes:
        condition: The defined condition, such as ``not-authorized``.
    """

    def __init__(self, condition: str) -> None:
        super().__init__(condition)
        self.condition = condition


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


class Exchange(Protocol):
    """One log-in that is going on."""

    def step(self, data: bytes | None) -> Challenge | Success:
        """Takes the client's next response; None is an initial response that was left out.

        Raises:
            SaslFailure: The log-in has failed.
        """


def begin(mechanism: str, accounts: Accounts, domain: str) -> Exchange:
    """Starts an exchange.

    Raises:
        SaslFailure: There is no such mechanism.
    """
    if mechanism == "PLAIN":
        return _Plain(accounts, domain)
    if mechanism == "ANONYMOUS":
        return _Anonymous()
    if mechanism in _HASHES:
        return _Scram(_HASHES[mechanism], accounts, domain)
    raise SaslFailure("invalid-mechanism")


def decode(text: str | None) -> bytes | None:
    """The bytes in a SASL element: None when there are none; ``=`` is a value that is empty.

    Raises:
        SaslFailure: It is not base64 (RFC 6120 section 6.4.2 forbids blanks as well).
    """
    if not text:
        return None
    if text == "=":
        return b""
    try:
        return base64.b64decode(text.encode("ascii"), validate=True)
    except (UnicodeEncodeError, binascii.Error):
        raise SaslFailure("incorrect-encoding") from None


def _text(data: bytes) -> str:
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        raise SaslFailure("malformed-request") from None


def _name(text: str) -> str:
    try:
        return prepare_local(text)
    except JidError:
        raise SaslFailure("not-authorized") from None


def _check_authzid(authzid: str, local: str, domain: str) -> None:
    # To act as somebody else is not supported; to name oneself is what clients do (RFC 6120 6.3.8).
    if authzid and authzid.lower() not in (local, f"{local}@{domain}"):
        raise SaslFailure("invalid-authzid")


class _Plain:
    """RFC 4616: one message, `authzid NUL authcid NUL password`."""

    def __init__(self, accounts: Accounts, domain: str) -> None:
        self._accounts = accounts
        self._domain = domain

    def step(self, data: bytes | None) -> Challenge | Success:
        if data is None:
            return Challenge(b"")
        parts = _text(data).split("\0")
        if len(parts) != 3 or not parts[1]:
            raise SaslFailure("malformed-request")
        authzid, name, password = parts
        local = _name(name)
        if not self._accounts.check(local, password):
            raise SaslFailure("not-authorized")
        _check_authzid(authzid, local, self._domain)
        return Success(local, None)


class _Anonymous:
    """RFC 4505: whatever the client says is ignored; it gets a name of its own (XEP-0175)."""

    def step(self, data: bytes | None) -> Challenge | Success:
        del data
        return Success(f"anonymous-{secrets.token_hex(8)}", None)


class _Scram:
    """RFC 5802 and RFC 7677: two messages from each side; no channel binding is offered."""

    def __init__(self, hash_name: str, accounts: Accounts, domain: str) -> None:
        self._hash = hash_name
        self._accounts = accounts
        self._domain = domain
        self._keys: ScramKeys | None = None
        self._local = ""
        self._gs2 = ""
        self._nonce = ""
        self._first_messages = ""

    def step(self, data: bytes | None) -> Challenge | Success:
        if data is None:
            return Challenge(b"")
        return self._first(_text(data)) if self._keys is None else self._final(data, self._keys)

    def _first(self, message: str) -> Challenge:
        flag, comma, rest = message.partition(",")
        authzid, comma2, bare = rest.partition(",")
        # "p=" asks for channel binding, which is only valid for the -PLUS mechanisms.
        if not comma or not comma2 or flag not in ("n", "y"):
            raise SaslFailure("malformed-request")
        fields = bare.split(",")
        if len(fields) < 2 or not fields[0].startswith("n=") or not fields[1].startswith("r="):
            raise SaslFailure("malformed-request")
        client_nonce = fields[1][2:]
        if not client_nonce:
            raise SaslFailure("malformed-request")
        self._local = _name(_unquoted(fields[0][2:]))
        if authzid:
            if not authzid.startswith("a="):
                raise SaslFailure("malformed-request")
            _check_authzid(_unquoted(authzid[2:]), self._local, self._domain)
        keys = self._accounts.scram_keys(self._local, self._hash)
        if keys is None:
            raise SaslFailure("not-authorized")
        self._keys = keys
        self._gs2 = f"{flag},{authzid},"
        self._nonce = client_nonce + secrets.token_urlsafe(18)
        salt = base64.b64encode(keys.salt).decode()
        answer = f"r={self._nonce},s={salt},i={keys.iterations}"
        self._first_messages = f"{bare},{answer}"
        return Challenge(answer.encode())

    def _final(self, data: bytes, keys: ScramKeys) -> Success:
        message = _text(data)
        without_proof, comma, proof_text = message.rpartition(",p=")
        fields = without_proof.split(",")
        if not comma or len(fields) < 2:
            raise SaslFailure("malformed-request")
        binding = base64.b64encode(self._gs2.encode()).decode()
        if fields[0] != f"c={binding}" or fields[1] != f"r={self._nonce}":
            raise SaslFailure("not-authorized")
        proof = decode(proof_text)
        auth_message = f"{self._first_messages},{without_proof}".encode()
        signature = scram.signature(self._hash, keys.stored_key, auth_message)
        if proof is None or len(proof) != len(signature):
            raise SaslFailure("not-authorized")
        client_key = scram.xor(proof, signature)
        if not hmac.compare_digest(scram.stored_key(self._hash, client_key), keys.stored_key):
            raise SaslFailure("not-authorized")
        verifier = scram.signature(self._hash, keys.server_key, auth_message)
        return Success(self._local, b"v=" + base64.b64encode(verifier))


def _unquoted(text: str) -> str:
    # RFC 5802 section 5.1: "=2C" is a comma, "=3D" an equals sign, and no other "=" may occur.
    plain = text.replace("=2C", ",").replace("=3D", "\0")
    if "=" in plain or "\0" in text:
        raise SaslFailure("malformed-request")
    return plain.replace("\0", "=")
