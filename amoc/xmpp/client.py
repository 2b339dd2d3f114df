"""A logged-in user's client: sending, requests, waiting for stanzas, and closing."""

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

    Use it in a ``with`` block. When the block ends normally, or because the user is asked to stop,
    the stream is closed and the client waits for the server to close its half; any other exception
    drops the connection.

    Attributes:
        user_id: The user's number; None for a client without a user.
    """

    __slots__ = ("__weakref__", "_resume")

    def __init__(self, session: Session, user_id: int | None, resume: Resume | None = None) -> None:
        """Wrap a session.

        Args:
            session: The session.
            user_id: The user's number.
            resume: Resumes a lost session; None if the session cannot be resumed.
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

        Once the server has closed its half, it has read everything that was sent, and everything
        it sent has been counted and shown to the handlers. If it does not close its half, that is
        counted (``closes_unfinished``), and it may not have read the last stanzas. Never fails;
        harmless when the stream is over or closed.
        """
        session = self._session
        session.mark_closed()
        stream = session.stream
        if stream.ended:
            session.end_for_good()
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
        """Drop the connection at once, without closing the stream. Harmless when it is closed."""
        self._session.shut()

    def cut(self, reset: bool = False) -> None:
        """Drop the connection as a crashed host or a dead network does. Harmless when it is closed.

        Args:
            reset: Whether the server gets a reset (RST). Otherwise it gets nothing at all, not even
                acknowledgements of what it sends, and has to detect the loss itself
                (`amoc.xmpp.transports.silence`).
        """
        self._session.lose(reset)

    def resume(self, timeout: float = 30.0) -> bool:
        """Resume a lost or cut session; for a client that was connected with ``resumable=True``.

        When the session is resumed, nothing is lost: both sides resend what the other has not
        acknowledged, and handlers and rooms continue. If the server no longer knows the session, a
        new one is bound in its place: stanzas that the server may not have handled are counted
        (``stanzas_unacknowledged``), and presence, room joins and the like must be repeated.

        Args:
            timeout: How long to try, in seconds, with pauses between attempts as in `connect`.

        Returns:
            True when the session was resumed, or had not been lost at all; False when a new one
            was bound in its place.

        Raises:
            ScenarioError: The client is not resumable.
            XmppError: As `connect`.
        """
        session = self._session
        if self._resume is None:
            raise ScenarioError("resume needs a client made by connect(resumable=True)")
        if not session.stream.ended:
            return True
        session.note_end_seen()
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
        # A user that ended without closing must not keep its connection and descriptor forever.
        session = getattr(self, "_session", None)
        if session is None:
            return
        if session.stream.ended:
            session.end_for_good()
        else:
            self.abort()
