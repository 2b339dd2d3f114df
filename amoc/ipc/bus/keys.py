"""Keys for CURVE, which encrypts and authenticates connections between hosts.

Each run has its own keys, and so has each life of a node. They are never stored, and secret keys
are not shown in any `repr`.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field

import zmq
from zmq.utils import z85

_SCRYPT = {"n": 1 << 14, "r": 8, "p": 1}
"""50 ms and 16 MiB per guess, against offline attacks on recorded traffic."""


@dataclass(frozen=True)
class Keys:
    """A pair of keys, each as 40 characters of Z85.

    Attributes:
        public: The public key.
        secret: The secret key.
    """

    public: bytes
    secret: bytes = field(repr=False)


def new_keys() -> Keys:
    """Return new random keys."""
    return Keys(*zmq.curve_keypair())


def shared_keys(secret: bytes, purpose: str) -> Keys:
    """Derive the keys for `purpose` from a shared `secret`."""
    seed = hashlib.scrypt(secret, salt=f"amoc {purpose}".encode(), dklen=32, **_SCRYPT)
    key = z85.encode(seed)
    return Keys(zmq.curve_public(key), key)
