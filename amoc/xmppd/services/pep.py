"""Personal events (XEP-0163): every account can publish, and its contacts are notified.

Users who see the publisher's presence, and whose clients announce that they want a node's events
(``node+notify``), get them without a subscription, and the last item when they become available.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from amoc.xmppd.services.pubsub_host import Host, send_item
from amoc.xmppd.services.pubsub_node import PERSONAL, Node

if TYPE_CHECKING:
    from amoc.xmppd.routing import Domain, User
    from amoc.xmppd.session import Session


class Account(Host):
    """A user as a host of nodes."""

    def __init__(self, domain: Domain, user: User, nodes: dict[str, Node]) -> None:
        super().__init__(domain, user.jid, nodes, PERSONAL, domain.limits.nodes, personal=True)
        self._user = user

    def sees_presence(self, bare: str) -> bool:
        """Return whether a user is subscribed to this user's presence."""
        contact = self._user.contacts.get(bare)
        return bare == self.jid or (contact is not None and contact.from_)

    def notify(self, node: Node, payload: str) -> None:
        """Send an event to subscribers, and to contacts that want such events."""
        super().notify(node, payload)
        for bare in (self.jid, *(it.jid for it in self._user.contacts.values() if it.from_)):
            viewer = self.domain.users.get(bare)
            if viewer is None or bare in node.subscribers or not _may_receive(node, bare):
                continue
            for session in viewer.available:
                if node.name in session.notified and session.jid not in node.subscribers:
                    self.notify_one(session.jid, payload)


def account(domain: Domain, user: User) -> Account:
    """Return a user as a host of nodes; changes are stored with the user."""
    return Account(domain, user, user.keep().nodes)


def send_last_items(session: Session, nodes: frozenset[str]) -> None:
    """Send a client the last item of each of `nodes`, of its user and the user's contacts."""
    domain = session.domain
    mine = session.user
    for bare in (mine.jid, *(contact.jid for contact in mine.contacts.values() if contact.to)):
        owner = domain.users.get(bare)
        if owner is None or owner.kept is None:
            continue
        for name in nodes & owner.kept.nodes.keys():
            node = owner.kept.nodes[name]
            wanted = node.config.send_last == "on_sub_and_presence"
            if wanted and node.last is not None and _may_receive(node, mine.jid):
                send_item(account(domain, owner), node, node.last, session.jid)


def _may_receive(node: Node, bare: str) -> bool:
    affiliation = node.affiliation(bare)
    if affiliation == "outcast":
        return False
    return affiliation != "none" or node.config.access_model != "whitelist"
