"""The secret that a controller shares with the hosts that may join its run.

It is read from a file that only its owner can read, or from standard input. It is never an
argument, and never shown.
"""

from __future__ import annotations

import secrets

from amoc.base import secret_file
from amoc.base.errors import UsageError

MIN_LENGTH = 16
MAX_LENGTH = 4096
STDIN = "-"


def fresh() -> bytes:
    """Return a new random secret."""
    return secrets.token_hex(32).encode()


def in_file(file: str) -> bytes:
    """Return the secret in `file`, without surrounding whitespace.

    Raises:
        UsageError: It cannot be read, others can read it, or it is too short.
    """
    source = f"--secret-file {file}"
    return checked(secret_file.read(file, source), source)


def checked(text: bytes, source: str) -> bytes:
    """Return the secret in `text`.

    Raises:
        UsageError: It is too short, or too long.
    """
    secret = text.strip()
    if not MIN_LENGTH <= len(secret) <= MAX_LENGTH:
        raise UsageError(
            f"{source} must hold a secret of {MIN_LENGTH} to {MAX_LENGTH:,} characters, got"
            f" {len(secret):,}; make one with: openssl rand -hex 32"
        )
    return secret
