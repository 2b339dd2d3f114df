"""A user's name, password and JID on the server."""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

from amoc.base.errors import ClosedError, ScenarioError
from amoc.base.text import names_in
from amoc.users import user
from amoc.xmpp import options


class Identity(NamedTuple):
    """Credentials of a user."""

    user_id: int | None
    """The user's number; None for a client without one, such as an anonymous client."""
    username: str
    domain: str
    password: str
    """Never shown: `repr` omits it."""

    @property
    def bare_jid(self) -> str:
        """``username@domain``."""
        return f"{self.username}@{self.domain}" if self.username else self.domain

    def __repr__(self) -> str:
        return f"<identity {self.bare_jid}>"


def identity(
    user_id: int | None, username: str | None, password: str | None, domain: str | None
) -> Identity:
    """Return the identity of user `user_id`, from the settings except where a value is given.

    Raises:
        ScenarioError: There is neither a number nor a name, and no user is calling.
    """
    if user_id is None:
        try:
            user_id = user.current().id
        except ClosedError:
            if username is None:
                raise ScenarioError(
                    "xmpp.connect needs a user_id or a username when it is not called by a user"
                ) from None
    if domain is None:
        domain = _domain(user_id, options.xmpp_domain.get())
    if username is None:
        username = filled(options.xmpp_username.get(), user_id)
    if password is None:
        password = filled(options.xmpp_password.get(), user_id)
    return Identity(user_id, username, domain, password)


def filled(pattern: str, user_id: int | None) -> str:
    """Return a setting's value for one user: ``{id}`` becomes its number."""
    return pattern.replace("{id}", "" if user_id is None else str(user_id))


def _domain(user_id: int | None, setting: str) -> str:
    """Return the domain of a user: users are spread over those in xmpp_domain by number."""
    domains = names_in(setting)
    return filled(domains[(user_id or 0) % len(domains)], user_id)


def address(whom: str | int) -> str:
    """Return the JID of `whom`: the bare JID of a user's number; text is a JID already."""
    if isinstance(whom, int):
        return _address(whom, options.xmpp_username.get(), options.xmpp_domain.get())
    return str(whom)


@lru_cache(maxsize=65_536)
def _address(number: int, username: str, domain: str) -> str:
    return f"{filled(username, number)}@{_domain(number, domain)}"


def number_of(jid: str) -> int | None:
    """Return the number of the user whose bare JID is `jid`, by the settings; None for no user."""
    pattern = options.xmpp_username.get() + "@" + options.xmpp_domain.get()
    before, mark, after = pattern.partition("{id}")
    if not mark or not jid.startswith(before) or not jid.endswith(after):
        return None
    digits = jid[len(before) : len(jid) - len(after)]
    return int(digits) if digits.isascii() and digits.isdigit() and len(digits) < 16 else None
