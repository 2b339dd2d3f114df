"""The accounts: names whose password follows a pattern, and registered accounts.

A load test needs any number of users without creating them first. So a name such as ``user_7``
needs no account: its password is ``password_7``. An account registered in-band (XEP-0077) has the
password it was given and lives in memory until the server ends. Registering ``user_7`` overrides
the pattern for that name, and a second registration of any name is a conflict.

SCRAM keys are expensive on purpose: 4,096 rounds of PBKDF2 cost 1.3 ms, on the client's side too,
which is more than everything else in a login. Passwords that follow from the name protect nothing,
so fewer rounds are announced for those names (`PATTERN_ITERATIONS`). Registered accounts get the
usual number. Each process has a single salt, so salted passwords can be cached
(`scram_keys.salted_password`).
"""

from __future__ import annotations

import hmac
import re
import secrets
from typing import Final

from amoc.xmpp.wire import scram_keys
from amoc.xmpp.wire.scram_keys import Keys
from amoc.xmppd.answers import refuse_if
from amoc.xmppd.jids import JidError, prepare_local

PATTERN_ITERATIONS: Final = 128
"""PBKDF2 rounds for names whose password follows from the name; a real secret needs far more."""

REGISTERED_ITERATIONS: Final = 4096
"""PBKDF2 rounds for registered accounts: the minimum recommended by RFC 7677 section 4."""

_PATTERN = re.compile(r"user_([1-9][0-9]{0,18})", re.ASCII)


class Accounts:
    """Names that can log in, and their passwords.

    Passwords appear in no `repr`, log or error.

    Attributes:
        limit: Maximum number of registered accounts; they are kept in memory.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._registered: dict[str, str] = {}
        self._salt = secrets.token_bytes(16)

    def __repr__(self) -> str:
        return f"<Accounts: user_N, and {len(self._registered)} registered>"

    def __len__(self) -> int:
        return len(self._registered)

    def __contains__(self, local: str) -> bool:
        return self._password(local) is not None

    def register(self, local: str, password: str) -> None:
        """Register an account (XEP-0077 section 3.1); `local` is a normalised user name.

        Raises:
            StanzaFailure: The name is taken, the password is empty, or there are too many accounts.
        """
        refuse_if(local in self._registered, "conflict")
        refuse_if(not password, "not-acceptable")
        refuse_if(len(self._registered) >= self.limit, "resource-constraint")
        self._registered[local] = password

    def change_password(self, local: str, password: str) -> None:
        """Change the account's password (XEP-0077 section 3.3).

        Raises:
            StanzaFailure: The password is empty, or there are too many accounts.
        """
        refuse_if(not password, "not-acceptable")
        is_full = len(self._registered) >= self.limit
        refuse_if(is_full and local not in self._registered, "resource-constraint")
        self._registered[local] = password

    def remove(self, local: str) -> None:
        """Remove a registered account (XEP-0077 section 3.2); the pattern applies to it again."""
        self._registered.pop(local, None)

    def prepare(self, name: str) -> str | None:
        """Return the normalised form of a user name; None if it is invalid."""
        try:
            return prepare_local(name)
        except JidError:
            return None

    def check(self, local: str, password: str) -> bool:
        """Return whether `password` is the account's; False if there is no such account."""
        known = self._password(local)
        return known is not None and hmac.compare_digest(known.encode(), password.encode())

    def scram_keys(self, local: str, hash_name: str) -> Keys | None:
        """Return the account's SCRAM keys for a hash (``sha1``, ``sha256``); None without one."""
        password = self._password(local)
        if password is None:
            return None
        registered = local in self._registered
        iterations = REGISTERED_ITERATIONS if registered else PATTERN_ITERATIONS
        salted = scram_keys.salted_password(hash_name, password, self._salt, iterations)
        return scram_keys.keys(hash_name, salted, self._salt, iterations)

    def _password(self, local: str) -> str | None:
        password = self._registered.get(local)
        if password is None and (match := _PATTERN.fullmatch(local)):
            return f"password_{match[1]}"
        return password
