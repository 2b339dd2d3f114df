"""Common parts of all kinds of rooms: a JID, messages, an archive."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from amoc.xmpp.features.archive import Page
from amoc.xmpp.match import Match, Predicate, plain
from amoc.xmpp.stanza import Stanza, bare
from amoc.xmpp.wire.namespaces import MESSAGE

if TYPE_CHECKING:
    from amoc.xmpp.features.rooms import Rooms


def has_text(stanza: Stanza) -> bool:
    """Return whether a message has a text: rooms announce changes with an empty body."""
    return bool(stanza.body)


class AnyRoom:
    """A room of either kind.

    Attributes:
        jid: The room's JID.
    """

    __slots__ = ("_client", "jid")

    def __init__(self, client: Rooms, jid: str) -> None:
        self._client = client
        self.jid = jid

    def say(self, body: str) -> None:
        """Send a message to everyone in the room, the user itself included.

        Raises:
            RoomLeftError: The user is no longer in the room.
            XmppError, ClosedError, ScenarioError: As `Client.send_chat`.
        """
        self.check()
        self._client.send_message(self.jid, body, "groupchat")

    def receive(self, match: Predicate | None = None, timeout: float | None = None) -> Stanza:
        """Return the next message from the room; the user's own messages count, too.

        Args:
            match: Which messages to accept; None accepts any that has a text.
            timeout: In seconds; None waits as long as the user is in the room.

        Raises:
            ReceiveTimeout: None arrived in time.
            RoomLeftError: The user is no longer in the room, and the inbox holds no such message.
            XmppError, ClosedError: As `Client.receive`.
        """
        wanted = has_text if match is None else plain(match)
        room = self.jid

        def is_ours(stanza: Stanza) -> object:
            return (
                stanza.tag == MESSAGE
                and stanza.type == "groupchat"
                and bare(stanza.sender) == room
                and wanted(stanza)
            )

        def is_ours_or_raises(stanza: Stanza) -> object:
            if is_ours(stanza):
                return True
            self.check()
            return False

        kept = self._client.receive_nowait(is_ours)
        if kept is not None:
            return kept
        self.check()
        name = f"message from the room {room}"
        return self._client.receive(Match(is_ours_or_raises, name), timeout)

    def check(self) -> None:
        """Raise if the user is no longer in the room."""

    def archive(self, **query: object) -> Iterator[Page]:
        """Yield the pages of the room's archive; see `Client.archive` for the arguments."""
        return self._client.archive(of=self.jid, **query)  # type: ignore[arg-type]  # it checks them

    def _ask(self, kind: str, query: str, name: str, timeout: float | None) -> Stanza:
        return self._client.request(query, timeout, to=self.jid, type=kind, name=name)
