"""Keys of CURVE, which encrypts what goes from host to host and lets nobody else take part.

Each run has keys of its own, and so has each node in each of its lives; they are never written
anywhere, and no `repr` shows a secret one.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field

import zmq
from zmq.utils import z85

_SCRYPT = {"n": 1 << 14, "r": 8, "p": 1}
"""50 ms and 16 MiB a guess, for those who try secrets out on what they have recorded."""


@dataclass(frozen=True)
class Keys:
    """A pair of keys, each as 40 characters of Z85.

    Attributes:
        public: What others know it by.
        secret: What proves that it is the one.
    """

    public: bytes
    secret: bytes = field(repr=False)


def new_keys() -> Keys:
    """Keys that nobody has had before."""
    return Keys(*zmq.curve_keypair())


def shared_keys(secret: bytes, purpose: str) -> Keys:
    """The keys for `purpose` of all who know `secret`."""
    seed = hashlib.scrypt(secret, salt=f"amoc {purpose}".encode(), dklen=32, **_SCRYPT)
    key = z85.encode(seed)
    return Keys(zmq.curve_public(key), key)
