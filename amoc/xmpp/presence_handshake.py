"""A handshake by presence: users write only to neighbours that are ready, so no message is lost.

Users of a run start one after another and leave when they are told to. A message to one that has
not logged in yet, or is gone already, is lost, and would be taken for the server's fault. So they
agree beforehand, by presence sent to one another (RFC 6121 section 4.6):

    available            "I am here."            sent to each neighbour at first
    available, chat      "You may write to me."  the answer to either of these, once
    unavailable          "I am leaving."         sent to all who may write; answered in kind

A user writes only to those who allowed it. A user that leaves tells all that it had allowed, goes
on receiving, and is done when each of them has answered: XMPP keeps the order between two users
(RFC 6120 section 10.1), so no message of a user follows its "I am leaving". For a neighbour whose
connection is lost, the server sends the same presence (RFC 6121 section 4.6.3).
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
    """One user's neighbours, as far as they are there.

    Iterating yields the numbers of those that may be written to at the moment.
    """

    def __init__(self, client: Client, neighbours: Iterable[int]) -> None:
        """Announce `client` to its `neighbours`, users' numbers; those that are there will answer.

        The client must have sent its initial presence.
        """
        self._client = client
        self._ids = {address(one): one for one in neighbours}
        self._willing: dict[int, None] = {}  # ordered, so that runs with one seed are alike
        self._allowed: set[int] = set()
        self._parting = False
        self._off = client.on_received(is_presence, self._hear)
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
        """Tell the neighbours, and wait until no message can come any more.

        Args:
            timeout: How long the neighbours have to answer, in seconds.

        Raises:
            ReceiveTimeout: A neighbour has not answered in time.
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
                    f" within {timeout:g} s, user {min(self._allowed)} among them"
                )
        finally:
            self._off()

    def _hear(self, presence: Stanza) -> None:
        user_id = self._ids.get(bare(presence.sender))
        if user_id is None:
            return
        kind = presence.xml.get("type")
        if kind is None:
            self._hear_available(user_id, presence.xml.findtext(_SHOW) == "chat")
        elif kind == "unavailable":
            self._hear_unavailable(user_id)

    def _hear_available(self, user_id: int, allows: bool) -> None:
        if self._parting:
            return
        if user_id not in self._allowed or not allows:
            self._allowed.add(user_id)
            self._client.send_presence(user_id, show="chat")
        if allows:
            self._willing[user_id] = None
        else:
            self._willing.pop(user_id, None)  # it begins anew: what it allowed before is void

    def _hear_unavailable(self, user_id: int) -> None:
        known = user_id in self._allowed or user_id in self._willing
        self._willing.pop(user_id, None)
        self._allowed.discard(user_id)
        if known and not self._parting:
            self._client.send_presence(user_id, type="unavailable")
