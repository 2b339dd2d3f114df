"""What a user holds while it is logged in: ways to send, to ask, to wait, and to leave."""

from __future__ import annotations

from typing import Self

from gevent import get_hub, getcurrent

from amoc.base.waiting import Waiter
from amoc.users.user import UserStopped
from amoc.xmpp import options
from amoc.xmpp.features.contacts import Contacts
from amoc.xmpp.features.discovery import Discovery
from amoc.xmpp.features.inbox import Inbox
from amoc.xmpp.features.messaging import Messaging
from amoc.xmpp.features.profile import Profile
from amoc.xmpp.features.rooms import Rooms
from amoc.xmpp.features.upload import Uploads


class Client(Contacts, Rooms, Profile, Messaging, Discovery, Uploads, Inbox):
    """One user's session with an XMPP server.

    Use it in a ``with`` block: at its end, also that of a user that is asked to stop, the stream is
    closed and waits for the server to close its half; any other exception drops the connection.

    Attributes:
        user_id: The user's number; None for a client without a user.
    """

    __slots__ = ("__weakref__",)

    def __repr__(self) -> str:
        state = "open" if self.is_open else "closed"
        inbox = self._session.inbox
        return (
            f"<xmpp client {self.jid}, {state}, {len(inbox) if inbox else 0} stanzas in the inbox>"
        )

    def close(self) -> None:
        """Close the stream and wait up to xmpp_close_timeout for the server to close its half.

        By then the server has read all that was sent, and what it sent before has been counted and
        shown to the handlers. Never fails; harmless when the stream is over or closed.
        """
        session = self._session
        session.forget()
        stream = session.stream
        if not stream.ended:
            stream.close_our_half()
            waiter: Waiter[bool] = Waiter()
            session.on_closed = waiter
            try:
                if getcurrent() is not get_hub():
                    waiter.wait(options.xmpp_close_timeout.get())
            finally:
                self.abort()

    def abort(self) -> None:
        """Drop the connection without waiting. Harmless when it is gone."""
        self._session.shut()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: object, trace: object) -> None:
        if kind is None or issubclass(kind, UserStopped):
            self.close()
        else:
            self.abort()

    def __del__(self) -> None:
        # A user that ended without closing must not hold its connection, and its descriptor, for
        # ever.
        session = getattr(self, "_session", None)
        if session is not None and not session.stream.ended:
            self.abort()
