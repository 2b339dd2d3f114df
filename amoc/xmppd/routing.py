"""Routing: the tables of clients, and the rules of RFC 6121 section 8 for messages.

A message to a full address goes to that connection. One to a bare address goes to one connection
of the user: the available one with the highest priority that is not negative, the latest among
equals. So a message is delivered at most once, except a headline, which goes to all that are
available.

What cannot be delivered is answered with ``service-unavailable``, whether the user exists or not
(there is no offline storage), or dropped where RFC 6121 section 8.5 says so; either is counted.
Other domains are ``remote-server-not-found``: this server speaks to clients only.
"""

from __future__ import annotations

import logging
import sys
import traceback
from collections import Counter
from typing import TYPE_CHECKING, Final

from amoc.xmpp.wire import mechanisms as sasl
from amoc.xmpp.wire.mechanisms import MECHANISMS
from amoc.xmpp.wire.namespaces import LANG
from amoc.xmpp.wire.parser import Cut
from amoc.xmpp.wire.parsers import CutParser, Parsers
from amoc.xmpp.wire.sasl import Refused
from amoc.xmpp.wire.sasl import Server as SaslServer
from amoc.xmppd.accounts import Accounts
from amoc.xmppd.answers import StanzaFailure, features_before_login
from amoc.xmppd.jids import Jid, JidError, parse
from amoc.xmppd.limits import Limits
from amoc.xmppd.rewrite import stamp as stamp_of
from amoc.xmppd.rewrite import stamped
from amoc.xmppd.roster import Contact
from amoc.xmppd.statistics import Statistics

if TYPE_CHECKING:
    from amoc.xmppd.session import Session

log = logging.getLogger("amoc.xmppd")

# What nearly every message begins with. All of the rest is stamped by rewrite.stamped().
_PLAIN_MESSAGE: Final = b"<message "
_PLAIN_LENGTH: Final = len(_PLAIN_MESSAGE) - 1
_TO_ONE: Final = frozenset({None, "normal", "chat"})
_MESSAGE_KINDS: Final = frozenset({"normal", "chat", "groupchat", "headline", "error"})


class User:
    """One bare address that is connected, or has a roster.

    Attributes:
        sessions: Its connections by resource.
        contacts: Its roster, and requests to be in it, by bare address.
        first: The connection that gets what is sent to the bare address.
        removed: Whether the account was removed while connected; its connections must go.
    """

    __slots__ = ("contacts", "first", "jid", "local", "removed", "sessions")

    def __init__(self, local: str, jid: str) -> None:
        self.local = local
        self.jid = jid
        self.sessions: dict[str, Session] = {}
        self.contacts: dict[str, Contact] = {}
        self.first: Session | None = None
        self.removed = False

    def __repr__(self) -> str:
        return f"<User {self.jid}: {len(self.sessions)} connections>"

    @property
    def available(self) -> list[Session]:
        """Its connections that have sent presence."""
        return [session for session in self.sessions.values() if session.presence is not None]

    def tell(self, data: bytes) -> None:
        """Send `data` to its connections that have sent presence."""
        for session in self.available:
            session.transport.write(data)

    def choose_first(self) -> None:
        """Find `first` anew, after a connection came, went, or changed its priority."""
        willing = [session for session in self.available if session.priority >= 0]
        self.first = max(willing, key=lambda it: (it.priority, it.since), default=None)


class Domain:
    """What all connections share: accounts, users, limits, counts, parsers.

    Attributes:
        sessions: Every bound connection by its full address.
        users: By bare address.
        features: What is offered before login, as markup.
    """

    def __init__(self, name: str, limits: Limits, mechanisms: tuple[str, ...] = MECHANISMS) -> None:
        self.name = name
        self.limits = limits
        self.features = features_before_login(mechanisms)
        self._mechanisms = mechanisms
        self.counts = Statistics()
        self.accounts = Accounts(limits.accounts)
        self.parsers: Parsers[Cut] = Parsers(CutParser, limits.depth)
        self.sessions: dict[str, Session] = {}
        self.users: dict[str, User] = {}
        self._serial = 0
        self._contacts = 0
        self._defects: Counter[str] = Counter()

    def __repr__(self) -> str:
        return f"<Domain {self.name}: {len(self.sessions)} clients>"

    def begin_login(self, mechanism: str) -> SaslServer:
        """Start a login.

        Raises:
            Refused: The mechanism is not offered.
        """
        if mechanism not in self._mechanisms:
            raise Refused("invalid-mechanism")
        return sasl.server(mechanism, self.accounts, self.name)

    def addresses(self, stream_id: str) -> str:
        """The attributes of a stream header that are this server's own."""
        return f" from='{self.name}' id='{stream_id}'"  # a domain needs no escaping

    def next_serial(self) -> int:
        """A number that was not given before: for ids, resources and the order of events."""
        self._serial += 1
        return self._serial

    def user(self, local: str) -> User:
        """The user of that prepared name, made if need be."""
        jid = f"{local}@{self.name}"
        user = self.users.get(jid)
        if user is None:
            user = self.users[jid] = User(local, jid)
        return user

    def forget_if_idle(self, user: User) -> None:
        """Drop a user without connections and contacts."""
        if not user.sessions and not user.contacts:
            self.users.pop(user.jid, None)

    def remember(self, user: User, contact: Contact) -> bool:
        """Keep `contact` in the user's contacts, or forget it when there is nothing to keep.

        Returns:
            False, and nothing is changed, when the roster or all rosters together are full.
        """
        contacts = user.contacts
        known = contact.jid in contacts
        if not contact.worth_keeping:
            if known:
                del contacts[contact.jid]
                self._contacts -= 1
            return True
        if not known:
            full = len(contacts) >= self.limits.contacts
            if full or self._contacts >= self.limits.all_contacts:
                return False
            self._contacts += 1
        contacts[contact.jid] = contact
        return True

    def report_defect(self) -> None:
        """Log the exception being handled: its traceback once, and how often it came since."""
        self.counts.internal_errors += 1
        kind, error, trace = sys.exc_info()
        last = traceback.extract_tb(trace)[-1] if trace is not None else None
        name = kind.__name__ if kind is not None else "unknown"
        cause = f"{name} at {last.name}:{last.lineno}" if last is not None else name
        self._defects[cause] += 1
        count = self._defects[cause]
        if count == 1:
            log.error("internal error of xmppd, client disconnected: %s", cause, exc_info=error)
        elif count & (count - 1) == 0:  # 2, 4, 8, ...: a flood of them must not flood the log
            log.error("internal error of xmppd, %d times by now: %s", count, cause)

    def exists(self, local: str) -> bool:
        """Whether there is such an account, or a client is logged in under that name."""
        return local in self.accounts or f"{local}@{self.name}" in self.users

    def address(self, text: str) -> Jid:
        """The address `text`, which must be of this domain.

        Raises:
            StanzaFailure: It is none, or of another domain.
        """
        try:
            jid = parse(text)
        except JidError:
            raise StanzaFailure("jid-malformed") from None
        if jid.domain != self.name:
            raise StanzaFailure("remote-server-not-found")
        return jid

    def message(self, sender: Session, attrs: dict[str, str], raw: bytes) -> None:
        """Route one message; this is the hot path, so the usual case is written out in it."""
        counts = self.counts
        counts.messages_in += 1
        to = attrs.get("to")
        target = self.sessions.get(to) if to is not None else None
        if target is None:
            user = self.users.get(to) if to is not None else None
            target = user.first if user is not None and attrs.get("type") in _TO_ONE else None
            if target is None:
                self._message_elsewhere(sender, attrs, raw, to)
                return
        if "from" not in attrs and sender.framer.root is None and raw.startswith(_PLAIN_MESSAGE):
            stamp = sender.stamp if LANG in attrs else sender.lang_stamp
            data = raw[:_PLAIN_LENGTH] + stamp + raw[_PLAIN_LENGTH:]
        else:
            data = self.stamped("message", sender, attrs, raw)
        target.transport.write(data)
        counts.messages_routed += 1

    def stamped(
        self, kind: str, sender: Session, attrs: dict[str, str], raw: bytes, to: str | None = None
    ) -> bytes:
        """The stanza with the sender's full address and, if given, another `to`."""
        changes = {"from": sender.jid}
        stamp = sender.stamp
        if sender.lang is not None and LANG not in attrs:
            changes[LANG] = sender.lang
            stamp = sender.lang_stamp
        if to is not None:
            changes["to"] = to
            stamp += stamp_of({"to": to})
        return stamped(kind, attrs, raw, root=sender.framer.root, stamp=stamp, changes=changes)

    def _message_elsewhere(
        self, sender: Session, attrs: dict[str, str], raw: bytes, to: str | None
    ) -> None:
        kind = attrs.get("type", "normal")
        if kind not in _MESSAGE_KINDS:  # RFC 6121 section 5.2.2: unknown means normal
            kind = "normal"
        try:
            targets = self._targets(sender, kind, to)
        except StanzaFailure as failure:
            if kind == "error":
                self.counts.messages_dropped += 1
                return
            self.counts.messages_bounced += 1
            sender.refuse("message", failure.condition, attrs)
            return
        if not targets:
            self.counts.messages_dropped += 1
            return
        data = self.stamped("message", sender, attrs, raw, None if to else sender.user.jid)
        for target in targets:
            target.transport.write(data)
        self.counts.messages_routed += len(targets)

    def _targets(self, sender: Session, kind: str, to: str | None) -> list[Session]:
        """The recipients of a message; without any it is dropped silently (RFC 6121 section 8.5).

        Raises:
            StanzaFailure: It must be answered with an error, unless it is one itself.
        """
        jid = parse(sender.user.jid) if to is None else self.address(to)
        if jid.resource and (session := self.sessions.get(jid.full)):
            return [session]
        user = self.users.get(jid.bare) if jid.local else None
        if kind == "headline":
            if jid.resource or user is None:
                return []
            return [session for session in user.available if session.priority >= 0]
        # Of those to a full address that is not there, only chats may go to another connection.
        chosen = user.first if user is not None else None
        if chosen is None or kind in ("groupchat", "error") or (jid.resource and kind != "chat"):
            raise StanzaFailure("service-unavailable")
        return [chosen]
