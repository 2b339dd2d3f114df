"""Routing: the tables of clients, and the usual path of a message (RFC 6121 section 8).

A message to a full address goes to that connection. A message to a bare address goes to one
connection of the user: the available one with the highest non-negative priority, the latest among
equals. So a message is delivered at most once, except for headlines, which go to all available
connections, and for copies that a client has requested.

All other messages go to `delivery`. Domains other than this one and its services are answered with
``remote-server-not-found``: this server talks to clients only.
"""

from __future__ import annotations

import logging
import ssl
import sys
import time
import traceback
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from amoc.xmpp.wire import mechanisms as sasl
from amoc.xmpp.wire.framing import tree
from amoc.xmpp.wire.mechanisms import SERVER_MECHANISMS
from amoc.xmpp.wire.namespaces import LANG
from amoc.xmpp.wire.parser import Cut
from amoc.xmpp.wire.parsers import CutParser, Parsers
from amoc.xmpp.wire.sasl import Refused
from amoc.xmpp.wire.sasl import Server as SaslServer
from amoc.xmpp.wire.xml_text import serialise
from amoc.xmppd import delivery
from amoc.xmppd.accounts import Accounts
from amoc.xmppd.answers import STARTTLS_ONLY, StanzaFailure, features_before_login
from amoc.xmppd.deadlines import Deadlines
from amoc.xmppd.jids import Jid, JidError, parse
from amoc.xmppd.kept import Budget, Kept
from amoc.xmppd.limits import Limits
from amoc.xmppd.rewrite import stamp as stamp_of
from amoc.xmppd.rewrite import stamped, with_child
from amoc.xmppd.roster import Contact
from amoc.xmppd.services.archive import Archives, Entry, stanza_id, worth_archiving
from amoc.xmppd.services.caps import Caps
from amoc.xmppd.services.muc import Conference
from amoc.xmppd.services.muc_light import LightRooms
from amoc.xmppd.services.pubsub import PubSub
from amoc.xmppd.services.service import Incoming, Service
from amoc.xmppd.statistics import Statistics

if TYPE_CHECKING:
    from amoc.xmppd.session import Session

log = logging.getLogger("amoc.xmppd")

# Start of nearly every message. All others are stamped by rewrite.stamped().
_PLAIN_MESSAGE: Final = b"<message "
_PLAIN_LENGTH: Final = len(_PLAIN_MESSAGE) - 1
_TO_ONE: Final = frozenset({None, "normal", "chat"})
_CLOSE: Final = b"</message>"
_CLOSE_LENGTH: Final = len(_CLOSE)


@dataclass(slots=True, eq=False, repr=False)
class User:
    """A bare address that is connected, or for which something is stored.

    Attributes:
        sessions: Its connections by resource.
        contacts: Its roster, including pending requests, by bare address.
        first: The connection that gets messages to the bare address.
        kept: Data stored for it; None if there is none.
        removed: Whether the account was removed while connected; its connections must end.
        special: Whether its messages cannot take the usual path.
    """

    local: str
    jid: str
    sessions: dict[str, Session] = field(default_factory=dict)
    contacts: dict[str, Contact] = field(default_factory=dict)
    first: Session | None = None
    kept: Kept | None = None
    removed: bool = False
    special: bool = False

    def __repr__(self) -> str:
        return f"<User {self.jid}: {len(self.sessions)} connections>"

    @property
    def available(self) -> list[Session]:
        """Its connections that have sent presence."""
        return [session for session in self.sessions.values() if session.presence is not None]

    def send_to_available(self, data: bytes) -> int:
        """Send `data` to its connections that have sent presence; return their number."""
        available = self.available
        for session in available:
            session.transport.write(data)
        return len(available)

    def keep(self) -> Kept:
        """Return the data stored for it, created on demand."""
        if self.kept is None:
            self.kept = Kept()
        return self.kept

    def blocks(self, bare: str) -> bool:
        """Return whether it has blocked a bare address (XEP-0191)."""
        return self.kept is not None and bare in self.kept.blocked

    def update_special(self) -> None:
        """Update `special`, after something that it depends on has changed."""
        kept = self.kept
        self.special = any(session.carbons for session in self.sessions.values()) or (
            kept is not None and (bool(kept.blocked) or kept.preferences is not None)
        )

    def choose_first(self) -> None:
        """Update `first`, after a connection came, went, or changed its priority."""
        willing = [session for session in self.available if session.priority >= 0]
        self.first = max(willing, key=lambda it: (it.priority, it.since), default=None)


class Domain:
    """State shared by all connections: accounts, users, limits, counts, parsers.

    Attributes:
        resumable: Sessions that can be resumed, by stream id.
        hibernating: Those whose connection was lost.
        overflowed: Those of the latter for which too much has arrived.
        sessions: All bound connections by full address.
        users: Users by bare address.
        services: Services by their addresses.
        archives: The archives of users and rooms.
        budget: Limit on stored data.
        caps: Capabilities of clients.
        tls: The TLS context, if the server supports TLS.
        tls_required: Whether clients must use TLS to log in.
        features: Stream features before login, as markup.
    """

    def __init__(
        self, name: str, limits: Limits, mechanisms: tuple[str, ...] = SERVER_MECHANISMS
    ) -> None:
        self.name = name
        self.limits = limits
        self.features = features_before_login(mechanisms)
        self.tls: ssl.SSLContext | None = None
        self.tls_required = False
        self._mechanisms = mechanisms
        self.counts = Statistics()
        self.accounts = Accounts(limits.accounts)
        self.parsers: Parsers[Cut] = Parsers(CutParser, limits.depth)
        self.sessions: dict[str, Session] = {}
        self.users: dict[str, User] = {}
        self.archives = Archives(limits.archived, limits.all_archived, limits.archived_bytes)
        self.budget = Budget(limits.kept_bytes)
        self.caps = Caps(self)
        self.services: dict[str, Service] = {
            service.name: service for service in (Conference(self), LightRooms(self), PubSub(self))
        }
        self.resumable: dict[str, Session] = {}
        self.hibernating: Deadlines[Session] = Deadlines(limits.resume_s)
        self.overflowed: set[Session] = set()
        self._serial = 0
        self._contacts = 0
        self._defects: Counter[str] = Counter()

    def __repr__(self) -> str:
        return f"<Domain {self.name}: {len(self.sessions)} clients>"

    def offer(self, can_start_tls: bool) -> bytes:
        """Return the features before login, depending on whether the client can start TLS."""
        if not can_start_tls:
            return self.features
        return STARTTLS_ONLY if self.tls_required else features_before_login(self._mechanisms, True)

    def begin_login(self, mechanism: str) -> SaslServer:
        """Start a login.

        Raises:
            Refused: The mechanism is not offered.
        """
        if mechanism not in self._mechanisms:
            raise Refused("invalid-mechanism")
        return sasl.server(mechanism, self.accounts, self.name)

    def addresses(self, stream_id: str) -> str:
        """Return the server's attributes for a stream header."""
        return f" from='{self.name}' id='{stream_id}'"  # a domain needs no escaping

    def next_serial(self) -> int:
        """Return a number not used before: for ids, resources and the order of events."""
        self._serial += 1
        return self._serial

    def user(self, local: str) -> User:
        """Return the user with this normalised name, created on demand."""
        jid = f"{local}@{self.name}"
        user = self.users.get(jid)
        if user is None:
            user = self.users[jid] = User(local, jid)
        return user

    def forget_if_idle(self, user: User) -> None:
        """Drop a user without connections, contacts and stored data."""
        if user.kept is not None and user.kept.empty:
            user.kept = None
        if not user.sessions and not user.contacts and user.kept is None:
            self.users.pop(user.jid, None)

    def remember(self, user: User, contact: Contact) -> bool:
        """Store `contact` in the user's contacts, or drop it if it holds no information.

        Returns:
            False, without any change, when the roster or all rosters together are full.
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
        """Log the exception being handled: its traceback once, and then how often it occurs."""
        self.counts.internal_errors += 1
        kind, error, trace = sys.exc_info()
        last = traceback.extract_tb(trace)[-1] if trace is not None else None
        name = kind.__name__ if kind is not None else "unknown"
        cause = f"{name} at {last.name}:{last.lineno}" if last is not None else name
        self._defects[cause] += 1
        count = self._defects[cause]
        if count == 1:
            log.error("internal error of xmppd, client disconnected: %s", cause, exc_info=error)
        elif count & (count - 1) == 0:  # 2, 4, 8, ...: many of them must not flood the log
            log.error("internal error of xmppd, %d times so far: %s", count, cause)

    def exists(self, local: str) -> bool:
        """Return whether the account exists, or a client is logged in under that name."""
        return local in self.accounts or f"{local}@{self.name}" in self.users

    def address(self, text: str) -> Jid:
        """Parse an address, which must belong to this domain or one of its services.

        Raises:
            StanzaFailure: It is invalid, or belongs to another domain.
        """
        try:
            jid = parse(text)
        except JidError:
            raise StanzaFailure("jid-malformed") from None
        if jid.domain != self.name and jid.domain not in self.services:
            raise StanzaFailure("remote-server-not-found")
        return jid

    def message(self, sender: Session, attrs: dict[str, str], raw: bytes) -> None:
        """Route one message. This is the hot path, so the usual case is inlined."""
        counts = self.counts
        counts.messages_in += 1
        to = attrs.get("to")
        target = self.sessions.get(to) if to is not None else None
        if target is None:
            user = self.users.get(to) if to is not None else None
            target = user.first if user is not None and attrs.get("type") in _TO_ONE else None
        if target is None or target.user.special or sender.user.special:
            delivery.deliver(self, sender, attrs, raw)
            return
        if "from" not in attrs and sender.framer.root is None and raw.startswith(_PLAIN_MESSAGE):
            stamp = sender.stamp if LANG in attrs else sender.lang_stamp
            data = raw[:_PLAIN_LENGTH] + stamp + raw[_PLAIN_LENGTH:]
        else:
            data = self.stamped("message", sender, attrs, raw)
        if self.archives.on and attrs.get("type") in _TO_ONE and worth_archiving(raw):
            data = self._archived(sender, target, attrs["to"], data)
        target.transport.write(data)
        counts.messages_routed += 1

    def _archived(self, sender: Session, target: Session, to: str, data: bytes) -> bytes:
        archives = self.archives
        moment = archives.moment(self.now_us())
        entry = Entry(moment, sender.jid, to, data)
        mine, theirs = sender.user.jid, target.user.jid
        archives.add(mine, entry)
        if theirs != mine:
            archives.add(theirs, entry)
        mark = stanza_id(moment, theirs.encode())  # a user's address needs no escaping
        if data.endswith(_CLOSE):
            return data[:-_CLOSE_LENGTH] + mark + _CLOSE
        return with_child(data, mark)

    def stamped(
        self, kind: str, sender: Session, attrs: dict[str, str], raw: bytes, to: str | None = None
    ) -> bytes:
        """Return the stanza with the sender's full address and, if given, another `to`."""
        changes = {"from": sender.jid}
        stamp = sender.stamp
        if sender.lang is not None and LANG not in attrs:
            changes[LANG] = sender.lang
            stamp = sender.lang_stamp
        if to is not None:
            changes["to"] = to
            stamp += stamp_of({"to": to})
        return stamped(kind, attrs, raw, root=sender.framer.root, stamp=stamp, changes=changes)

    def tick(self, now_ns: int) -> None:
        """End sessions that were not resumed in time, or overflowed."""
        overflowed, self.overflowed = self.overflowed, set()
        for session in (*self.hibernating.tick(now_ns), *overflowed):
            session.end()

    def now_us(self) -> int:
        """Return the time, in microseconds since 1970."""
        return time.time_ns() // 1000

    def send(self, jid: str, data: bytes) -> bool:
        """Send a stanza to the client with that full address; return whether it exists."""
        session = self.sessions.get(jid)
        if session is None:
            return False
        session.transport.write(data)
        return True

    def incoming(
        self, kind: str, sender: Session, to: Jid, attrs: dict[str, str], raw: bytes
    ) -> Incoming:
        """Return a client's stanza, ready for a service."""
        if sender.framer.root is not None:
            raw = serialise(tree(sender.framer.root, raw), inherit=False).encode()
        if sender.lang is not None and LANG not in attrs:
            attrs = {**attrs, LANG: sender.lang}
        return Incoming(kind, sender.jid, to, attrs, raw)
