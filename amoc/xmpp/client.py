"""What a user holds while it is logged in: ways to send, to ask, to wait, and to leave."""

from __future__ import annotations

from typing import Self

from gevent import get_hub, getcurrent

from amoc.base.waiting import Waiter
from amoc.users.user import UserStopped
from amoc.xmpp import meters, options
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
        shown to the handlers. If it does not close its half, that is counted
        (``closes_unfinished``): it may not have read what was sent last. Never fails; harmless when
        the stream is over or closed.
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
                if not stream.goodbye:
                    meters.closes_unfinished.inc()
                self.abort()

    def abort(self) -> None:
        """Drop the connection at once, without closing the stream. Harmless when it is gone."""
        self._session.shut()

    def cut(self, reset: bool = False) -> None:
        """Drop the connection as a crashed host or a dead network does. Harmless when it is gone.

        Args:
            reset: Whether the server gets a reset (RST). Otherwise it gets nothing at all, not even
                acknowledgements of what it sends, and has to find out by itself
                (`amoc.xmpp.transports.silence`).
        """
        self._session.shut(lambda stream: stream.cut(reset))

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
