"""The user's account on the server: its roster (RFC 6121 section 2), its end (XEP-0077)."""

from __future__ import annotations

from collections.abc import Iterable

from amoc.xmpp import roster
from amoc.xmpp.identity import address
from amoc.xmpp.receiving import Listener
from amoc.xmpp.wire.namespaces import NS_REGISTER


class Contacts(Listener):
    """The roster's calls."""

    __slots__ = ()

    def roster(self, timeout: float | None = None) -> dict[str, roster.Contact]:
        """The user's contacts by their bare JIDs (RFC 6121 section 2.1.3).

        Raises:
            IqError, IqTimeout, XmppError, ClosedError: As `request`.
        """
        return roster.contacts(self.request(roster.GET, timeout).xml)

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
        self.request(roster.put(address(whom), name, groups), timeout, type="set")

    def remove_from_roster(self, whom: str | int, timeout: float | None = None) -> None:
        """Remove a contact, and the subscriptions with it (RFC 6121 section 2.5).

        Raises:
            IqError, IqTimeout, XmppError, ClosedError: As `request`.
        """
        self.request(roster.remove(address(whom)), timeout, type="set")

    def unregister(self, timeout: float | None = None) -> None:
        """Delete the user's account (XEP-0077 section 3.2); the server may end the stream over it.

        Raises:
            IqError, IqTimeout, XmppError, ClosedError: As `request`.
        """
        self.request(f"<query xmlns='{NS_REGISTER}'><remove/></query>", timeout, type="set")
