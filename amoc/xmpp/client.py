"""What a user holds while it is logged in: ways to send, to ask, to wait, and to leave."""

from __future__ import annotations

from collections.abc import Callable
from typing import Self

from gevent import get_hub, getcurrent

from amoc.base.errors import ScenarioError
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
from amoc.xmpp.session import Session

Resume = Callable[[Session, float], bool]


class Client(Contacts, Rooms, Profile, Messaging, Discovery, Uploads, Inbox):
    """One user's session with an XMPP server.

    Use it in a ``with`` block: at its end, also that of a user that is asked to stop, the stream is
    closed and waits for the server to close its half; any other exception drops the connection.

    Attributes:
        user_id: The user's number; None for a client without a user.
    """

    __slots__ = ("__weakref__", "_resume")

    def __init__(self, session: Session, user_id: int | None, resume: Resume | None = None) -> None:
        """Hold a session.

        Args:
            session: The session.
            user_id: The user's number.
            resume: Lets a session that was lost go on; None if that is not possible.
        """
        super().__init__(session, user_id)
        self._resume = resume

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
        if stream.ended:
            session.let_go()
        else:
            stream.close_our_half()
            waiter: Waiter[bool] = Waiter()
            session.on_closed = waiter
            try:
                if getcurrent() is not get_hub() and not stream.ended:
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
        self._session.lose(lambda stream: stream.cut(reset))

    def resume(self, timeout: float = 30.0) -> bool:
        """Go on after the connection was lost or cut; of a client that was connected ``resumable``.

        Resumed, nothing is lost: both sides send again what the other does not have, and handlers
        and rooms go on. If the server does not know the session any more, a new one is bound in its
        place: what the server may not have handled is counted (``stanzas_unacknowledged``), and
        presence, rooms and the like must be sent, joined and so on again.

        Args:
            timeout: How long to try, in seconds, with pauses between attempts as in `connect`.

        Returns:
            True when the session was resumed, or has not been lost at all; False when another one
            was bound in its place.

        Raises:
            ScenarioError: The client is not resumable.
            XmppError: As `connect`.
        """
        session = self._session
        if self._resume is None:
            raise ScenarioError("resume needs a client that was made by connect(resumable=True)")
        if not session.stream.ended:
            return True
        session.tell()
        return self._resume(session, timeout)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: object, trace: object
    ) -> bool | None:
        if kind is None or issubclass(kind, UserStopped):
            self.close()
        else:
            self.abort()
        return None

    def __del__(self) -> None:
        # A user that ended without closing must not hold its connection, and its descriptor, for
        # ever.
        session = getattr(self, "_session", None)
        if session is None:
            return
        if session.stream.ended:
            session.let_go()
        else:
            self.abort()
