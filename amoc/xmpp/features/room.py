"""A joined room (XEP-0045): talk, wait for members and messages, moderate, leave."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Final, NamedTuple, Self

from amoc.base.errors import ClosedError
from amoc.base.tracebacks import copy_of
from amoc.users.user import UserStopped
from amoc.xmpp import options
from amoc.xmpp.connection.identity import address
from amoc.xmpp.errors import ReceiveTimeout, RoomRefusedError
from amoc.xmpp.features.any_room import AnyRoom
from amoc.xmpp.features.room_state import CHANGE_REFUSALS, Occupant, RoomState
from amoc.xmpp.stanza import Stanza, bare, error_of
from amoc.xmpp.wire import forms
from amoc.xmpp.wire import namespaces as ns
from amoc.xmpp.wire.xml_text import attributes, escape

if TYPE_CHECKING:
    from amoc.xmpp.features.rooms import Rooms

CONFIG: Final = "http://jabber.org/protocol/muc#roomconfig"
PREFIX: Final = "muc#roomconfig_"
_changes = itertools.count(1)
"""Numbers the ids of requests for changes."""


class Affiliation(NamedTuple):
    """A user's permanent standing in a room."""

    jid: str
    affiliation: str
    nick: str
    """Empty when unknown."""


class Room(AnyRoom):
    """A joined room; use it in a ``with`` block, at whose end the user leaves the room."""

    __slots__ = ("_state",)

    def __init__(self, client: Rooms, state: RoomState) -> None:
        super().__init__(client, state.jid)
        self._state = state

    @property
    def nick(self) -> str:
        """The user's nickname."""
        return self._state.nick

    @property
    def members(self) -> Mapping[str, Occupant]:
        """The current members by nickname, the user included; kept up to date."""
        return self._state.members

    @property
    def subject(self) -> str:
        """The room's topic; empty when it has none, or has not sent it yet."""
        return self._state.subject

    @property
    def created(self) -> bool:
        """Whether this user's join created the room."""
        return self._state.created

    def __repr__(self) -> str:
        state = "left" if self._state.left else f"{len(self.members)} members"
        return f"<room {self.jid} as {self.nick}, {state}>"

    def check(self) -> None:
        """Raise if the user is no longer in the room.

        Raises:
            RoomLeftError: It was kicked or banned, or the room was destroyed.
            ClosedError: It has left, or the session was lost and not resumed.
        """
        if self._state.failure is not None:
            raise copy_of(self._state.failure)
        if self._state.left:
            raise ClosedError(f"{self._state.who}: the user has left, or its session ended")

    # Waiting

    def wait_members(self, n: int, timeout: float | None = None) -> None:
        """Wait until at least `n` members are in the room, the user included.

        Raises:
            ReceiveTimeout: There were not enough within `timeout` seconds.
            RoomLeftError: The user is no longer in the room.
            XmppError, ClosedError: The stream has ended.
        """
        state = self._state

        def enough() -> bool:
            self.check()
            return len(state.members) >= n

        if not self._client.wait_until(enough, timeout):
            raise ReceiveTimeout(
                f"{state.who}: {n} members must be in the room within {timeout:g} s, got"
                f" {len(state.members)}"
            )

    def wait_member(self, nick: str, timeout: float | None = None) -> Occupant:
        """Wait until the member `nick` is in the room.

        Raises:
            ReceiveTimeout, RoomLeftError, XmppError, ClosedError: As `wait_members`.
        """
        state = self._state

        def is_there() -> bool:
            self.check()
            return nick in state.members

        if not self._client.wait_until(is_there, timeout):
            raise ReceiveTimeout(f"{state.who}: {nick} was not in the room within {timeout:g} s")
        return state.members[nick]

    # Talking

    def say_to(self, nick: str, body: str) -> None:
        """Send a private message to one member (section 7.5); `say` sends to all.

        Raises:
            RoomLeftError, XmppError, ClosedError, ScenarioError: As `say`.
        """
        self.check()
        self._client.send_message(f"{self.jid}/{nick}", body, "chat", f"<x xmlns='{ns.MUC_USER}'/>")

    def change_subject(self, subject: str, timeout: float | None = None) -> None:
        """Change the room's topic, and wait until it has changed.

        Args:
            subject: The new topic.
            timeout: In seconds; None for xmpp_request_timeout.

        Raises:
            RoomRefusedError: The room did not allow it: usually only moderators may.
            ReceiveTimeout: The room did not confirm it in time.
            RoomLeftError, XmppError, ClosedError, ScenarioError: As `say`.
        """

        def ask(stanza_id: str) -> None:
            head = attributes(to=self.jid, type="groupchat", id=stanza_id)
            self._client.send(f"<message{head}><subject>{escape(subject)}</subject></message>")

        self._change(ask, lambda: self._state.subject == subject, timeout, "the new subject")

    def change_nick(self, nick: str, timeout: float | None = None) -> None:
        """Change the user's nickname, and wait until the room has confirmed it.

        Raises:
            RoomRefusedError: The room refused it; `condition` is ``conflict`` when another member
                has that nickname. The user stays in the room under its old one.
            ReceiveTimeout: The room did not answer in time.
            RoomLeftError, XmppError, ClosedError, ScenarioError: As `say`.
        """

        def ask(stanza_id: str) -> None:
            self._client.send_presence(f"{self.jid}/{nick}", id=stanza_id)

        self._change(ask, lambda: self._state.nick == nick, timeout, "the new nickname")

    def _change(
        self,
        ask: Callable[[str], object],
        changed: Callable[[], bool],
        timeout: float | None,
        what: str,
    ) -> None:
        """Request a change by calling `ask` with a stanza id, and wait until it has happened."""
        self.check()
        state = self._state
        seconds = options.xmpp_request_timeout.get() if timeout is None else timeout
        stanza_id = f"change{next(_changes)}"
        refusals: list[Stanza] = []

        def done() -> object:
            self.check()
            return refusals or changed()

        off = self._client.on_received(
            lambda one: one.id == stanza_id and one.type == "error", refusals.append
        )
        try:
            ask(stanza_id)
            if not self._client.wait_until(done, seconds):
                raise ReceiveTimeout(
                    f"{state.who}: the room did not confirm {what} within {seconds:g} s"
                )
        finally:
            off()
        if refusals:
            condition, _, text = error_of(refusals[0].xml)
            raise RoomRefusedError(state.who, condition, text or CHANGE_REFUSALS.get(condition, ""))

    def invite(self, whom: str | int, reason: str | None = None) -> None:
        """Have the room invite a user (section 7.8.2).

        Raises:
            RoomLeftError, XmppError, ClosedError, ScenarioError: As `say`.
        """
        self.check()
        why = "" if reason is None else f"<reason>{escape(reason)}</reason>"
        self._client.send(
            f"<message to='{escape(self.jid)}'><x xmlns='{ns.MUC_USER}'>"
            f"<invite to='{escape(address(whom))}'>{why}</invite></x></message>"
        )

    # Moderating

    def configuration(self, timeout: float | None = None) -> dict[str, list[str]]:
        """Return the room's configuration: values by field name (section 10.2).

        Raises:
            IqError, IqTimeout, XmppError, ClosedError: As `Client.request`.
        """
        answer = self._ask("get", f"<query xmlns='{ns.MUC_OWNER}'/>", "room_configuration", timeout)
        form = answer.xml.find(f"*/{{{ns.FORMS}}}x")
        return {} if form is None else forms.values(form)

    def configure(
        self, fields: Mapping[str, forms.Value] | None = None, timeout: float | None = None
    ) -> None:
        """Configure the room; without `fields`, accept the service's defaults (section 10.1.2).

        Args:
            fields: Values by field name; ``persistentroom`` is short for
                ``muc#roomconfig_persistentroom``. Other fields are left unchanged.
            timeout: In seconds; None for xmpp_request_timeout.

        Raises:
            IqError, IqTimeout, XmppError, ClosedError: As `Client.request`.
        """
        form = f"<x xmlns='{ns.FORMS}' type='submit'/>"
        if fields:
            form = forms.submit(CONFIG, fields, PREFIX)
        query = f"<query xmlns='{ns.MUC_OWNER}'>{form}</query>"
        self._ask("set", query, "room_configure", timeout)

    def affiliations(self, affiliation: str, timeout: float | None = None) -> list[Affiliation]:
        """Return all users who are ``owner``, ``admin``, ``member`` or ``outcast`` (section 9.5).

        Raises:
            IqError, IqTimeout, XmppError, ClosedError: As `Client.request`.
        """
        query = self._admin(affiliation=affiliation)
        answer = self._ask("get", query, "room_affiliations", timeout)
        items = answer.xml.iterfind(f"*/{{{ns.MUC_ADMIN}}}item")
        return [
            Affiliation(one.get("jid", ""), one.get("affiliation", ""), one.get("nick", ""))
            for one in items
        ]

    def set_affiliation(
        self,
        whom: str | int,
        affiliation: str,
        reason: str | None = None,
        timeout: float | None = None,
    ) -> None:
        """Make a user ``owner``, ``admin``, ``member``, ``outcast`` or ``none`` (section 9).

        Raises:
            IqError, IqTimeout, XmppError, ClosedError: As `Client.request`.
        """
        query = self._admin(reason, jid=bare(address(whom)), affiliation=affiliation)
        self._ask("set", query, "room_set_affiliation", timeout)

    def set_role(
        self, nick: str, role: str, reason: str | None = None, timeout: float | None = None
    ) -> None:
        """Make a member ``moderator``, ``participant``, ``visitor`` or ``none`` (section 8).

        Raises:
            IqError, IqTimeout, XmppError, ClosedError: As `Client.request`.
        """
        query = self._admin(reason, nick=nick, role=role)
        self._ask("set", query, "room_set_role", timeout)

    def kick(self, nick: str, reason: str | None = None, timeout: float | None = None) -> None:
        """Remove a member from the room; it may come back.

        Raises:
            IqError, IqTimeout, XmppError, ClosedError: As `Client.request`.
        """
        self.set_role(nick, "none", reason, timeout)

    def ban(self, whom: str | int, reason: str | None = None, timeout: float | None = None) -> None:
        """Ban a user from the room.

        Raises:
            IqError, IqTimeout, XmppError, ClosedError: As `Client.request`.
        """
        self.set_affiliation(whom, "outcast", reason, timeout)

    def destroy(self, reason: str | None = None, timeout: float | None = None) -> None:
        """Destroy the room (section 10.9). All members leave it, this user included.

        Raises:
            IqError, IqTimeout, XmppError, ClosedError: As `Client.request`.
        """
        why = "" if reason is None else f"<reason>{escape(reason)}</reason>"
        query = f"<query xmlns='{ns.MUC_OWNER}'><destroy>{why}</destroy></query>"
        self._state.leaving = True
        try:
            self._ask("set", query, "room_destroy", timeout)
        except BaseException:
            self._state.leaving = False
            raise
        self._forget()

    def _admin(self, reason: str | None = None, **attrs: str) -> str:
        why = "" if reason is None else f"<reason>{escape(reason)}</reason>"
        return f"<query xmlns='{ns.MUC_ADMIN}'><item{attributes(**attrs)}>{why}</item></query>"

    # Leaving

    def leave(self, timeout: float | None = None) -> None:
        """Leave the room, and wait for its confirmation; harmless when the user has left already.

        Args:
            timeout: In seconds; None for xmpp_request_timeout.

        Raises:
            ReceiveTimeout: The room did not confirm it.
            XmppError, ClosedError: The stream has ended.
        """
        state = self._state
        if state.left or not self._client.is_open:
            self._forget()
            return
        seconds = options.xmpp_request_timeout.get() if timeout is None else timeout
        state.leaving = True
        self._client.send_presence(f"{self.jid}/{self.nick}", type="unavailable")
        try:
            confirmed = self._client.wait_until(lambda: state.left, seconds)
        finally:
            self._forget()
        if not confirmed:
            raise ReceiveTimeout(
                f"{state.who}: the room did not confirm within {seconds:g} s that the user left"
            )

    def _forget(self) -> None:
        """Note that the user left voluntarily, so that nothing of it counts as a failure."""
        self._state.leaving = True
        self._state.on_end()
        self._state.failure = None
        self._client.forget_room(self._state)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: object, trace: object) -> None:
        if kind is None or issubclass(kind, UserStopped):
            self.leave()
            return
        state = self._state
        if not state.left and self._client.is_open:
            self._client.send_presence(f"{self.jid}/{self.nick}", type="unavailable")
        self._forget()
