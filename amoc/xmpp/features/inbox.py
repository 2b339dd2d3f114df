"""MongooseIM's inbox: a user's conversations, each with its last message and unread count."""

from __future__ import annotations

from typing import Final, NamedTuple
from xml.etree.ElementTree import Element

from amoc.xmpp.connection.identity import address
from amoc.xmpp.receiving import Listener
from amoc.xmpp.stanza import Stanza, bare
from amoc.xmpp.wire import forms
from amoc.xmpp.wire import namespaces as ns
from amoc.xmpp.wire.namespaces import MESSAGE
from amoc.xmpp.wire.xml_text import attributes

RESULT: Final = f"{{{ns.INBOX}}}result"


class Conversation(NamedTuple):
    """One conversation of an inbox."""

    message: Stanza
    """Its last message."""
    unread: int
    with_: str
    """The bare JID of the other side: a user or a room."""


class Inbox(Listener):
    """Calls for the inbox."""

    __slots__ = ()

    def inbox(
        self,
        *,
        start: str | None = None,
        end: str | None = None,
        order: str = "desc",
        unread_only: bool = False,
        timeout: float | None = None,
    ) -> list[Conversation]:
        """Return the user's conversations, the latest first unless `order` is ``asc``.

        Their messages do not count as received messages. Timed as ``inbox``.

        Args:
            start: Only those with a message since then, in the format of XEP-0082.
            end: Only those whose last message is from before then.
            order: ``desc`` or ``asc``, by time.
            unread_only: Only those with unread messages.
            timeout: In seconds; None for xmpp_request_timeout.

        Raises:
            IqError, IqTimeout, XmppError, ClosedError: As `request`.
        """
        fields: dict[str, forms.Value] = {"order": order}
        fields |= {name: one for name, one in (("start", start), ("end", end)) if one is not None}
        if unread_only:
            fields["hidden_read"] = "true"
        form = forms.submit(ns.INBOX, fields)
        _, results = self.collect(
            lambda query_id: f"<inbox xmlns='{ns.INBOX}' queryid='{query_id}'>{form}</inbox>",
            RESULT,
            "inbox",
            timeout=timeout,
        )
        found = (_conversation(one, self.bare_jid) for one in results)
        return [one for one in found if one is not None]

    def mark_read(self, whom: str | int, timeout: float | None = None) -> None:
        """Reset the unread count of the conversation with `whom`, a user or a room.

        Raises:
            IqError, IqTimeout, XmppError, ClosedError: As `request`.
        """
        query = f"<reset xmlns='{ns.INBOX}'{attributes(jid=address(whom))}/>"
        self.request(query, timeout, type="set", name="inbox_mark_read")


def _conversation(result: Stanza, own: str) -> Conversation | None:
    payload: Element | None = result.payload
    message = None if payload is None else payload.find(f"{{{ns.FORWARD}}}forwarded/{MESSAGE}")
    if payload is None or message is None:
        return None
    unread = payload.get("unread", "0")
    sender, to = bare(message.get("from", "")), bare(message.get("to", ""))
    return Conversation(
        message=Stanza(message, result.received_ns),
        unread=int(unread) if unread.isdecimal() else 0,
        with_=to if sender == own else sender,
    )
