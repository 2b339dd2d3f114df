"""A handshake by presence: users write only to neighbours that are ready, so no message is lost.

Users of a run start one after another and stop at different times. A message to a user that has
not logged in yet, or has already left, is lost, and the server would be blamed for it. So users
first agree by exchanging directed presence (RFC 6121 section 4.6):

    available            "I am here."            sent to each neighbour at first
    available, chat      "You may write to me."  the answer to either of these, once
    unavailable          "I am leaving."         sent to all who may write; answered in kind

A user writes only to neighbours that allowed it. A user that leaves tells all that it had allowed,
keeps receiving, and is done once each of them has answered: XMPP keeps the order between two users
(RFC 6120 section 10.1), so no message from a user follows its "I am leaving". On behalf of a
neighbour whose connection is lost, the server sends the same presence (RFC 6121 section 4.6.3).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from amoc.xmpp.client import Client
from amoc.xmpp.connection.identity import address
from amoc.xmpp.errors import ReceiveTimeout
from amoc.xmpp.match import is_presence
from amoc.xmpp.stanza import Stanza, bare

_SHOW: Final = "{jabber:client}show"


class Neighbours:
    """One user's neighbours that are ready.

    Iterating yields the numbers of those that may be written to at the moment.
    """

    def __init__(self, client: Client, neighbours: Iterable[int]) -> None:
        """Announce `client` to its `neighbours` (user numbers); those that are ready answer.

        The client must have sent its initial presence.
        """
        self._client = client
        self._ids = {address(one): one for one in neighbours}
        self._willing: dict[int, None] = {}  # ordered, so that runs with the same seed are alike
        self._allowed: set[int] = set()
        self._parting = False
        self._off = client.on_received(is_presence, self._on_presence)
        for jid in self._ids:
            client.send_presence(jid)

    def __iter__(self) -> Iterator[int]:
        return iter(tuple(self._willing))

    def __len__(self) -> int:
        return len(self._willing)

    def __contains__(self, user_id: object) -> bool:
        return user_id in self._willing

    def __repr__(self) -> str:
        return f"<{len(self._willing)} of {len(self._ids)} neighbours may be written to>"

    def part(self, timeout: float = 30.0) -> None:
        """Take leave of the neighbours, and wait until none of their messages can arrive any more.

        Args:
            timeout: How long the neighbours have to answer, in seconds.

        Raises:
            ReceiveTimeout: A neighbour did not answer in time.
            XmppError: The stream has ended.
        """
        self._parting = True
        self._willing.clear()
        for user_id in tuple(self._allowed):
            self._client.send_presence(user_id, type="unavailable")
        try:
            if not self._client.wait_until(lambda: not self._allowed, timeout):
                raise ReceiveTimeout(
                    f"{self._client.jid}: {len(self._allowed)} neighbours did not answer"
                    f" within {timeout:g} s, including user {min(self._allowed)}"
                )
        finally:
            self._off()

    def _on_presence(self, presence: Stanza) -> None:
        user_id = self._ids.get(bare(presence.sender))
        if user_id is None:
            return
        kind = presence.xml.get("type")
        if kind is None:
            self._on_available(user_id, presence.xml.findtext(_SHOW) == "chat")
        elif kind == "unavailable":
            self._on_unavailable(user_id)

    def _on_available(self, user_id: int, allows: bool) -> None:
        if self._parting:
            return
        if user_id not in self._allowed or not allows:
            self._allowed.add(user_id)
            self._client.send_presence(user_id, show="chat")
        if allows:
            self._willing[user_id] = None
        else:
            self._willing.pop(user_id, None)  # it has restarted: its earlier permission is void

    def _on_unavailable(self, user_id: int) -> None:
        known = user_id in self._allowed or user_id in self._willing
        self._willing.pop(user_id, None)
        self._allowed.discard(user_id)
        if known and not self._parting:
            self._client.send_presence(user_id, type="unavailable")
