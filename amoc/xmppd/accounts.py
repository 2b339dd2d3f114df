"""The accounts: names with a password by rule, and registered ones.

A load test wants as many users as it can think of, without making them first. So a name such as
``user_7`` needs no account: its password is ``password_7``. An account registered in-band
(XEP-0077) has the password it was given and lives in memory until the server ends; registering
``user_7`` replaces the rule for that name, and a second registration of any name is a conflict.

SCRAM keys are expensive on purpose: 4,096 rounds of PBKDF2 cost 1.3 ms, on the client's side too,
which is more than all the rest of a login. Passwords that follow from the name have nothing to
protect, so for those names fewer rounds are announced (`PATTERN_ITERATIONS`).
Registered accounts get the usual number. Each process has one salt of its own, so salted passwords
can be remembered (`scram_keys.salted_password`).
"""

from __future__ import annotations

import hmac
import re
import secrets
from typing import Final

from amoc.xmpp.wire import scram_keys
from amoc.xmpp.wire.scram_keys import Keys
from amoc.xmppd.answers import StanzaFailure, refuse_if
from amoc.xmppd.jids import JidError, prepare_local

PATTERN_ITERATIONS: Final = 128
"""PBKDF2 rounds for names whose password follows from the name; a secret would need far more."""

REGISTERED_ITERATIONS: Final = 4096
"""PBKDF2 rounds for registered accounts: the least that RFC 7677 section 4 recommends."""

_PATTERN = re.compile(r"user_([1-9][0-9]{0,18})", re.ASCII)


class Accounts:
    """The names that can log in, and their passwords.

    Passwords appear in no `repr`, log or error.

    Attributes:
        limit: How many accounts can be registered; they live in memory.
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
        """Register an account (XEP-0077 section 3.1); `local` is a prepared user name.

        Raises:
            StanzaFailure: The name is taken, the password is empty, or there are too many accounts.
        """
        refuse_if(local in self._registered, "conflict")
        refuse_if(not password, "not-acceptable")
        refuse_if(len(self._registered) >= self.limit, "resource-constraint")
        self._registered[local] = password

    def change_password(self, local: str, password: str) -> None:
        """Give the account another password (XEP-0077 section 3.3).

        Raises:
            StanzaFailure: The password is empty, or the account would be one too many.
        """
        refuse_if(not password, "not-acceptable")
        if local not in self._registered and len(self._registered) >= self.limit:
            raise StanzaFailure("resource-constraint")
        self._registered[local] = password

    def remove(self, local: str) -> None:
        """Forget a registered account (XEP-0077 section 3.2); its name falls back to the rule."""
        self._registered.pop(local, None)

    def prepare(self, name: str) -> str | None:
        """The one spelling of a user name; None when no user can have it."""
        try:
            return prepare_local(name)
        except JidError:
            return None

    def check(self, local: str, password: str) -> bool:
        """Whether `password` is the account's; False as well when there is no such account."""
        known = self._password(local)
        return known is not None and hmac.compare_digest(known.encode(), password.encode())

    def scram_keys(self, local: str, hash_name: str) -> Keys | None:
        """The account's SCRAM keys for a hash (``sha1``, ``sha256``); None without an account."""
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
