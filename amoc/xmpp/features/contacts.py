"""A user's roster, its subscriptions (RFC 6121) and the users that it blocks (XEP-0191)."""

from __future__ import annotations

from collections.abc import Iterable
from time import monotonic_ns
from typing import Final

from amoc.xmpp import options, request_counts
from amoc.xmpp.connection.identity import address
from amoc.xmpp.errors import ReceiveTimeout
from amoc.xmpp.features import roster
from amoc.xmpp.match import from_jid, has_child, is_request, is_subscription
from amoc.xmpp.receiving import Listener
from amoc.xmpp.stanza import Stanza, bare
from amoc.xmpp.wire import namespaces as ns
from amoc.xmpp.wire.xml_text import escape

_is_push: Final = is_request & has_child(ns.ROSTER, "query")


class Contacts(Listener):
    """Calls for the roster, subscriptions and blocking."""

    __slots__ = ()

    def roster(self, timeout: float | None = None) -> dict[str, roster.Contact]:
        """Return the user's contacts by bare JID (RFC 6121 section 2.1.3).

        Raises:
            IqError, IqTimeout, XmppError, ClosedError: As `request`.
        """
        return roster.contacts(self.request(roster.GET, timeout, name="roster_get").xml)

    def add_to_roster(
        self,
        whom: str | int,
        name: str | None = None,
        groups: Iterable[str] = (),
        timeout: float | None = None,
    ) -> None:
        """Add a contact, or change one (RFC 6121 section 2.3). Subscribe by `send_presence`.

        Raises:
            IqError, IqTimeout, XmppError, ClosedError: As `request`.
        """
        self.request(
            roster.put(address(whom), name, groups), timeout, type="set", name="roster_add"
        )

    def remove_from_roster(self, whom: str | int, timeout: float | None = None) -> None:
        """Remove a contact together with its subscriptions (RFC 6121 section 2.5).

        Raises:
            IqError, IqTimeout, XmppError, ClosedError: As `request`.
        """
        self.request(roster.remove(address(whom)), timeout, type="set", name="roster_remove")

    def befriend(self, whom: str | int, timeout: float | None = None) -> None:
        """Subscribe to a user's presence and accept its subscription; wait until both are active.

        The other user has to do the same, before, after or at the same time. Both must have sent
        their initial presence. Timed as ``befriend``, from the call until both are active.

        Args:
            whom: A JID, or a user's number.
            timeout: In seconds; None for xmpp_request_timeout.

        Raises:
            ReceiveTimeout: The other user did not agree in time.
            IqError, IqTimeout, XmppError, ClosedError: As `request`.
        """
        jid = bare(address(whom))
        seconds = options.xmpp_request_timeout.get() if timeout is None else timeout
        begin_ns = monotonic_ns()
        both: list[int] = []

        def on_push(push: Stanza) -> None:
            # Servers push the roster only to clients that have requested it.
            contact = roster.contacts(push.xml).get(jid)
            if contact is not None and contact.subscription == "both" and not both:
                both.append(push.received_ns or monotonic_ns())

        def on_subscription(presence: Stanza) -> None:
            if presence.type == "subscribe":
                self.send_presence(jid, type="subscribed")

        off_push = self.on_received(_is_push, on_push)
        off_subscription = self.on_received(is_subscription & from_jid(jid), on_subscription)
        try:
            known = self.roster(timeout).get(jid)
            if known is not None and known.subscription == "both":
                both.append(monotonic_ns())
            else:
                self.send_presence(jid, type="subscribe")
                # Accepts a request that arrived before these handlers existed; else has no effect.
                self.send_presence(jid, type="subscribed")
            if not both and not self._wait_for(lambda: both, seconds, "befriend"):
                raise ReceiveTimeout(
                    f"{self._session.stream.who}: {jid} did not agree to mutual subscriptions"
                    f" within {seconds:g} s"
                )
        finally:
            off_push()
            off_subscription()
        request_counts.answered("befriend", both[0] - begin_ns, None)

    def block(self, *whom: str | int, timeout: float | None = None) -> None:
        """Block users: the server drops their stanzas and hides the user from them (XEP-0191).

        Raises:
            IqError, IqTimeout, XmppError, ClosedError: As `request`.
        """
        self._block("block", whom, timeout)

    def unblock(self, *whom: str | int, timeout: float | None = None) -> None:
        """Unblock users; without arguments, unblock all.

        Raises:
            IqError, IqTimeout, XmppError, ClosedError: As `request`.
        """
        self._block("unblock", whom, timeout)

    def _block(self, what: str, whom: Iterable[str | int], timeout: float | None) -> None:
        items = "".join(f"<item jid='{escape(address(one))}'/>" for one in whom)
        payload = f"<{what} xmlns='{ns.BLOCKING}'>{items}</{what}>"
        self.request(payload, timeout, type="set", name=f"blocking_{what}")

    def blocked(self, timeout: float | None = None) -> list[str]:
        """Return the JIDs that the user blocks.

        Raises:
            IqError, IqTimeout, XmppError, ClosedError: As `request`.
        """
        answer = self.request(f"<blocklist xmlns='{ns.BLOCKING}'/>", timeout, name="blocking_list")
        return [one.get("jid", "") for one in answer.xml.iter(f"{{{ns.BLOCKING}}}item")]

    def unregister(self, timeout: float | None = None) -> None:
        """Delete the user's account (XEP-0077 section 3.2); the server may then end the stream.

        Raises:
            IqError, IqTimeout, XmppError, ClosedError: As `request`.
        """
        query = f"<query xmlns='{ns.REGISTER}'><remove/></query>"
        self.request(query, timeout, type="set", name="account_removal")
