"""Pure. The arithmetic of SCRAM (RFC 5802, RFC 7677): keys and signatures, no messages, no state.

    SaltedPassword  = PBKDF2(password, salt, iterations)      deliberately slow
    ClientKey       = HMAC(SaltedPassword, "Client Key")
    StoredKey       = H(ClientKey)                            all a server needs to keep
    ClientSignature = HMAC(StoredKey, AuthMessage)
    ClientProof     = ClientKey XOR ClientSignature
    ServerKey       = HMAC(SaltedPassword, "Server Key")
    ServerSignature = HMAC(ServerKey, AuthMessage)

The slow step takes over a millisecond, more than everything else in a login. It is done by OpenSSL,
outside the interpreter lock, and cached per (hash, password, salt, iterations), so a user that logs
in again, as after a reconnect, pays for it once. The cache is bounded and lives in this process's
memory only; nothing here logs a password or puts it in an error.
"""

from __future__ import annotations

import hashlib
import hmac
import stringprep
import unicodedata
from dataclasses import dataclass, field
from functools import lru_cache

CACHED_PASSWORDS = 32_768
"""Number of salted passwords cached; about 300 bytes each, so 10 MB when full."""


@dataclass(frozen=True, slots=True)
class Keys:
    """What a server stores for a password (RFC 5802 section 3), and sends to the client."""

    salt: bytes
    iterations: int
    stored_key: bytes = field(repr=False)
    server_key: bytes = field(repr=False)


_PROHIBITED = (
    stringprep.in_table_c12,
    stringprep.in_table_c21_c22,
    stringprep.in_table_c3,
    stringprep.in_table_c4,
    stringprep.in_table_c5,
    stringprep.in_table_c6,
    stringprep.in_table_c7,
    stringprep.in_table_c8,
    stringprep.in_table_c9,
)


def saslprep(text: str) -> str:
    """Return `text` prepared by SASLprep (RFC 4013), so that equal passwords give equal bytes.

    Printable ASCII is returned unchanged.

    Raises:
        ValueError: `text` contains a character that SASLprep prohibits; the message omits it.
    """
    if text.isascii() and text.isprintable():
        return text
    mapped = "".join(
        " " if stringprep.in_table_c12(char) else char
        for char in text
        if not stringprep.in_table_b1(char)
    )
    # RFC 3454 is based on Unicode 3.2, whose normalisation differs for a few characters.
    prepared = unicodedata.ucd_3_2_0.normalize("NFKC", mapped)
    if any(stringprep.in_table_a1(char) for char in prepared):
        raise ValueError("a name or password must hold only characters of Unicode 3.2 (RFC 4013)")
    if any(prohibited(char) for char in prepared for prohibited in _PROHIBITED):
        raise ValueError("a name or password must hold no control or private characters (RFC 4013)")
    # RFC 3454 section 6: right-to-left text may not be mixed with left-to-right text.
    if any(stringprep.in_table_d1(char) for char in prepared) and (
        any(stringprep.in_table_d2(char) for char in prepared)
        or not stringprep.in_table_d1(prepared[0])
        or not stringprep.in_table_d1(prepared[-1])
    ):
        raise ValueError("a name or password must not mix writing directions (RFC 3454 section 6)")
    return prepared


@lru_cache(maxsize=CACHED_PASSWORDS)
def salted_password(hash_name: str, password: str, salt: bytes, iterations: int) -> bytes:
    """Return SaltedPassword of RFC 5802 section 3; cached.

    Args:
        hash_name: ``sha1``, ``sha256``, or any other name that hashlib knows.
        password: As typed; SASLprep is applied here.
        salt: The raw bytes, not their base64.
        iterations: At least 1.

    Raises:
        ValueError: The password cannot be prepared, or `iterations` is below 1.
    """
    return hashlib.pbkdf2_hmac(hash_name, saslprep(password).encode(), salt, iterations)


def client_key(hash_name: str, salted: bytes) -> bytes:
    """Return ClientKey of a salted password."""
    return hmac.digest(salted, b"Client Key", hash_name)


def server_key(hash_name: str, salted: bytes) -> bytes:
    """Return ServerKey of a salted password."""
    return hmac.digest(salted, b"Server Key", hash_name)


def stored_key(hash_name: str, client_key: bytes) -> bytes:
    """Return StoredKey, with which a server verifies a proof without knowing the password."""
    return hashlib.new(hash_name, client_key).digest()


def signature(hash_name: str, key: bytes, auth_message: bytes) -> bytes:
    """Return ClientSignature (with StoredKey) or ServerSignature (with ServerKey)."""
    return hmac.digest(key, auth_message, hash_name)


def xor(a: bytes, b: bytes) -> bytes:
    """XOR two byte strings of equal length: from key and signature to proof, and back.

    Raises:
        ValueError: The lengths differ.
    """
    if len(a) != len(b):
        raise ValueError(f"both sides of xor must have equal length, got {len(a)} and {len(b)}")
    return (int.from_bytes(a, "big") ^ int.from_bytes(b, "big")).to_bytes(len(a), "big")


def keys(hash_name: str, salted: bytes, salt: bytes, iterations: int) -> Keys:
    """Return what a server stores, from the salted password."""
    stored = stored_key(hash_name, client_key(hash_name, salted))
    return Keys(salt, iterations, stored, server_key(hash_name, salted))


def proves(hash_name: str, known: Keys, auth_message: bytes, proof: bytes) -> bool:
    """Return whether a ClientProof was made with the password."""
    mask = signature(hash_name, known.stored_key, auth_message)
    if len(proof) != len(mask):
        return False
    return hmac.compare_digest(stored_key(hash_name, xor(proof, mask)), known.stored_key)
