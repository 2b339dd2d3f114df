"""Pure. Both ends of SCRAM (RFC 5802, RFC 7677), with channel binding on the client's end.

client-first   n,,n=user,r=C                signed: client-first without its header,
server-first   r=CS,s=salt,i=iterations     server-first, and client-final without its proof
client-final   c=biws,r=CS,p=ClientProof
server-final   v=ServerSignature
"""

from __future__ import annotations

import base64
import hmac
import secrets
from typing import Final

from amoc.xmpp.wire import sasl, scram_keys
from amoc.xmpp.wire.channel_binding import NO_BINDING, Binding

HASHES: Final = {"SCRAM-SHA-256": "sha256", "SCRAM-SHA-1": "sha1"}
PLUS: Final = "-PLUS"
"""Suffix of the names of mechanisms with channel binding."""
_MAX_NONCE: Final = 1024


def new_nonce() -> str:
    """Return random printable ASCII without commas."""
    return secrets.token_urlsafe(18)


def _values(message: str, names: list[str], condition: str) -> list[str]:
    """Return the values of a message's first attributes, whose names must be `names`: ``r=``."""
    parts = message.split(",")[: len(names)]
    if [part[:2] for part in parts] != names:
        raise sasl.Refused(condition, f"a SCRAM message must begin with {' and '.join(names)}")
    return [part[2:] for part in parts]


def _quoted(name: str) -> str:
    return name.replace("=", "=3D").replace(",", "=2C")


def _unquoted(text: str) -> str:
    # No other "=" is allowed.
    plain = text.replace("=2C", ",").replace("=3D", "\0")
    if "=" in plain or "\0" in text:
        raise sasl.Refused("malformed-request")
    return plain.replace("\0", "=")


def _binding(gs2_header: str, data: bytes = b"") -> str:
    """Return the attribute that repeats the header of the first message, with the binding data."""
    return "c=" + base64.b64encode(gs2_header.encode() + data).decode()


class ScramClient(sasl.Client):
    """SCRAM (RFC 5802, RFC 7677), with or without channel binding."""

    def __init__(
        self,
        name: str,
        username: str,
        password: str,
        nonce: str,
        max_iterations: int,
        binding: Binding = NO_BINDING,
    ) -> None:
        self.name = name
        self._hash = HASHES[name.removesuffix(PLUS)]
        self._binding = binding
        self._password = sasl.prepared(password)
        self._nonce = nonce
        self._max_iterations = max_iterations
        self._first_bare = f"n={_quoted(sasl.prepared(username))},r={nonce}"
        self._signature: bytes | None = None  # expected from the server as a proof
        self._proved = False

    def first(self) -> bytes:
        """Return the client-first-message."""
        return f"{self._binding.header}{self._first_bare}".encode()

    def answer(self, challenge: bytes) -> bytes:
        """Return the client-final-message, or b"" for a server-final-message in a challenge."""
        if self._signature is not None:
            self._prove(challenge, self._signature)
            return b""
        message = sasl.as_text(challenge, "bad-challenge")
        nonce, salt, iterations = self._read(message)
        salted = scram_keys.salted_password(self._hash, self._password, salt, iterations)
        key = scram_keys.client_key(self._hash, salted)
        final = f"{_binding(*self._binding)},r={nonce}"
        signed = f"{self._first_bare},{message},{final}".encode()
        stored = scram_keys.stored_key(self._hash, key)
        mask = scram_keys.signature(self._hash, stored, signed)
        server = scram_keys.server_key(self._hash, salted)
        self._signature = scram_keys.signature(self._hash, server, signed)
        return f"{final},p={base64.b64encode(scram_keys.xor(key, mask)).decode()}".encode()

    def check(self, data: bytes | None) -> None:
        """Check that the server has proved that it knows the password."""
        if data and not self._proved and self._signature is not None:
            self._prove(data, self._signature)
        if not self._proved:
            raise sasl.Refused(
                "bad-server-signature",
                "the server reported success without proving that it knows the password",
            )

    def _read(self, message: str) -> tuple[str, bytes, int]:
        """Return nonce, salt and iterations of a server-first-message (RFC 5802 section 7)."""
        nonce, salt, iterations = _values(message, ["r=", "s=", "i="], "bad-challenge")
        if not nonce.startswith(self._nonce) or not len(self._nonce) < len(nonce) <= _MAX_NONCE:
            raise sasl.Refused(
                "bad-challenge", "the server's nonce must begin with ours, and be longer"
            )
        if not (iterations.isascii() and iterations.isdigit() and len(iterations) <= 10):
            raise sasl.Refused("bad-challenge", "the iteration count must be a number")
        count = int(iterations)
        if not 1 <= count <= self._max_iterations:
            raise sasl.Refused(
                "bad-challenge",
                f"the iteration count must be from 1 to {self._max_iterations}"
                f" (xmpp_scram_max_iterations), got {count}",
            )
        raw = sasl.unbase64(salt, "bad-challenge")
        if not raw:
            raise sasl.Refused("bad-challenge", "the salt must not be empty")
        return nonce, raw, count

    def _prove(self, data: bytes, signature: bytes) -> None:
        message = sasl.as_text(data, "bad-challenge")
        if message.startswith("e="):
            raise sasl.Refused("not-authorized", f"the server says {message[2:].partition(',')[0]}")
        given = sasl.unbase64(_values(message, ["v="], "bad-challenge")[0], "bad-challenge")
        if not hmac.compare_digest(given, signature):
            raise sasl.Refused(
                "bad-server-signature",
                "the server's signature is wrong: it does not know the password",
            )
        self._proved = True


class ScramServer:
    """SCRAM (RFC 5802, RFC 7677): two messages from each side; channel binding is not offered."""

    def __init__(self, name: str, accounts: sasl.Accounts, domain: str) -> None:
        self._hash = HASHES[name]
        self._accounts = accounts
        self._domain = domain
        self._keys: scram_keys.Keys | None = None
        self._local = ""
        self._final = ""  # required beginning of the client's last message
        self._signed = ""  # the messages so far

    def step(self, data: bytes | None) -> sasl.Challenge | sasl.Success:
        """Answer the first message with a salt, and verify the proof in the final one."""
        if data is None:
            return sasl.Challenge(b"")
        message = sasl.as_text(data, "malformed-request")
        return self._begin(message) if self._keys is None else self._finish(message, self._keys)

    def _begin(self, message: str) -> sasl.Challenge:
        flag, comma, rest = message.partition(",")
        authzid, comma2, bare = rest.partition(",")
        # "p=" requests channel binding, which is valid for the -PLUS mechanisms only.
        if not comma or not comma2 or flag not in ("n", "y"):
            raise sasl.Refused("malformed-request")
        name, client_nonce = _values(bare, ["n=", "r="], "malformed-request")
        if not client_nonce or (authzid and not authzid.startswith("a=")):
            raise sasl.Refused("malformed-request")
        local = self._accounts.prepare(_unquoted(name))
        if local is None:
            raise sasl.Refused("not-authorized")
        sasl.check_authzid(_unquoted(authzid[2:]), local, self._domain)
        keys = self._accounts.scram_keys(local, self._hash)
        if keys is None:
            raise sasl.Refused("not-authorized")
        self._local = local
        self._keys = keys
        nonce = client_nonce + new_nonce()
        salt = base64.b64encode(keys.salt).decode()
        answer = f"r={nonce},s={salt},i={keys.iterations}"
        self._final = f"{_binding(f'{flag},{authzid},')},r={nonce}"
        self._signed = f"{bare},{answer}"
        return sasl.Challenge(answer.encode())

    def _finish(self, message: str, keys: scram_keys.Keys) -> sasl.Success:
        final, _, proof = message.rpartition(",p=")
        _values(final, ["c=", "r="], "malformed-request")
        if final != self._final and not final.startswith(self._final + ","):
            raise sasl.Refused("not-authorized")
        signed = f"{self._signed},{final}".encode()
        if not scram_keys.proves(
            self._hash, keys, signed, sasl.unbase64(proof, "incorrect-encoding")
        ):
            raise sasl.Refused("not-authorized")
        verifier = scram_keys.signature(self._hash, keys.server_key, signed)
        return sasl.Success(self._local, b"v=" + base64.b64encode(verifier))
