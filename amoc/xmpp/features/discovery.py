"""Service discovery and the announcement of the client's own features (XEP-0030, XEP-0115)."""

from __future__ import annotations

from xml.etree.ElementTree import Element

from amoc.xmpp.receiving import Listener
from amoc.xmpp.wire import namespaces as ns
from amoc.xmpp.wire.disco import DEFAULT, Info, Item, info, items
from amoc.xmpp.wire.xml_text import attributes


class Discovery(Listener):
    """Calls for service discovery."""

    __slots__ = ()

    def disco(
        self, whom: str | int | None = None, node: str | None = None, timeout: float | None = None
    ) -> Info:
        """Return the identity and features of `whom`; None for the server.

        Raises:
            IqError, IqTimeout, XmppError, ClosedError: As `request`.
        """
        query = f"<query xmlns='{ns.DISCO_INFO}'{attributes(node=node)}/>"
        return info(self._discover(query, whom, "disco_info", timeout))

    def disco_items(
        self, whom: str | int | None = None, node: str | None = None, timeout: float | None = None
    ) -> list[Item]:
        """Return what belongs to `whom`: a server's services, or a service's rooms or nodes.

        Raises:
            IqError, IqTimeout, XmppError, ClosedError: As `request`.
        """
        query = f"<query xmlns='{ns.DISCO_ITEMS}'{attributes(node=node)}/>"
        return items(self._discover(query, whom, "disco_items", timeout))

    def _discover(
        self, query: str, whom: str | int | None, name: str, timeout: float | None
    ) -> Element:
        to = self.domain if whom is None else whom
        payload = self.request(query, timeout, to=to, name=name).payload
        return Element("query") if payload is None else payload

    def announce(self, *features: str) -> None:
        """Announce `features` of the client, in presence and in answers to service discovery.

        For example, ``client.announce("urn:x:mood+notify")`` makes servers send what contacts
        publish to their node ``urn:x:mood`` (XEP-0163 section 4.3.2). Later presence repeats it.

        Raises:
            XmppError, ClosedError: As `send_presence`.
        """
        self._session.features = tuple(sorted({*DEFAULT, *features}))
        self.send_presence()
