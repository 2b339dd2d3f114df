"""Joining both kinds of rooms: multi-user chats (XEP-0045) and MongooseIM's light rooms."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from time import monotonic_ns
from typing import Final

from amoc.base.clock import S_NS, limit_ns
from amoc.base.errors import ScenarioError
from amoc.base.tracebacks import copy_of
from amoc.xmpp import options, request_counts
from amoc.xmpp.errors import ReceiveTimeout
from amoc.xmpp.features.archive import Archives
from amoc.xmpp.features.light_room import LightRoom
from amoc.xmpp.features.room import Room
from amoc.xmpp.features.room_state import RoomState
from amoc.xmpp.wire import forms
from amoc.xmpp.wire import namespaces as ns
from amoc.xmpp.wire.xml_text import escape

LOCKED: Final = "item-not-found"
"""Condition with which a new room that is not configured yet refuses others (section 10.1.1)."""
LOCKED_PAUSE_S: Final = 0.05
JOIN: Final = "room_join"
"""Name of the step in which a user joins a room."""
MAX_LOCKED_PAUSE_S: Final = 1.0


class Rooms(Archives):
    """Calls that join and create rooms."""

    __slots__ = ()

    def join(
        self,
        room: str,
        nick: str | None = None,
        *,
        history: int | None = 0,
        password: str | None = None,
        configure: Mapping[str, forms.Value] | None = None,
        timeout: float | None = None,
    ) -> Room:
        """Join a room, and wait until it has let the user in; create it if it does not exist.

        If another user has just created the room and not configured it yet, the join is retried.

        Args:
            room: Its name, at the service of xmpp_muc_service, or its full JID.
            nick: The nickname; None for the local part of the user's JID.
            history: How many earlier messages to request; None for the room's default.
            password: The room's password, if it has one.
            configure: Configuration of a new room; see `Room.configure`. A new room is always
                configured, as it opens to others only then.
            timeout: In seconds; None for xmpp_request_timeout.

        Returns:
            The room; use it in a ``with`` block, at whose end the user leaves.

        Raises:
            RoomError: The room did not let the user in; `condition` is ``conflict`` for a nickname
                that is taken.
            ReceiveTimeout: The room did not answer in time.
            IqError, IqTimeout: A new room could not be configured.
            ScenarioError: The user is in the room already.
            XmppError, ClosedError: The stream has ended.
        """
        jid = _expanded(room, options.xmpp_muc_service.get(), self.domain)
        nick = self.bare_jid.partition("@")[0] if nick is None else nick
        session = self._session
        state = RoomState(jid, nick, f"{session.stream.who}: {jid} as {nick}")
        if session.rooms is None:
            session.rooms = {}
        before = session.rooms.get(jid)
        if before is not None and not before.left:
            raise ScenarioError(f"a user can join a room only once, got {jid} again")
        session.rooms[jid] = state
        seconds = options.xmpp_request_timeout.get() if timeout is None else timeout
        try:
            self._enter(state, history, password, seconds)
            joined = Room(self, state)
            if state.created:
                joined.configure(configure, timeout)
        except BaseException:
            state.on_end()
            self.forget_room(state)
            raise
        return joined

    def _enter(
        self, state: RoomState, history: int | None, password: str | None, seconds: float
    ) -> None:
        asked = "" if history is None else f"<history maxstanzas='{history:d}'/>"
        secret = "" if password is None else f"<password>{escape(password)}</password>"
        presence = (
            f"<presence to='{escape(state.jid)}/{escape(state.nick)}'>"
            f"<x xmlns='{ns.MUC}'>{asked}{secret}</x></presence>"
        )
        give_up_ns = monotonic_ns() + limit_ns(seconds)
        pause_s = LOCKED_PAUSE_S
        while True:
            begin_ns = monotonic_ns()
            left_s = (give_up_ns - begin_ns) / S_NS
            self.send(presence)
            if not self._wait_for(lambda: state.joined_ns or state.failure, left_s, JOIN):
                raise ReceiveTimeout(f"{state.who}: the room did not answer within {seconds:g} s")
            failure = state.failure
            if failure is None or failure.condition != LOCKED or left_s <= pause_s:
                break
            state.failure = None
            self.wait(pause_s)
            pause_s = min(2 * pause_s, MAX_LOCKED_PAUSE_S)
        condition = failure.condition if failure else None
        request_counts.answered(JOIN, state.joined_ns - begin_ns, condition)
        if failure is not None:
            raise copy_of(failure)

    def forget_room(self, state: RoomState) -> None:
        """Drop the state of a room that the user has left; called by rooms."""
        rooms = self._session.rooms
        if rooms is not None and rooms.get(state.jid) is state:
            del rooms[state.jid]

    def create_light_room(
        self,
        name: str,
        members: Iterable[str | int] = (),
        configuration: Mapping[str, str] | None = None,
        timeout: float | None = None,
    ) -> LightRoom:
        """Create one of MongooseIM's light rooms, with the user as its owner.

        Args:
            name: The room's name, at the service of xmpp_muc_light_service, or its full JID.
            members: Its first members, as JIDs or user numbers.
            configuration: Values by field name; ``roomname`` defaults to `name`.
            timeout: In seconds; None for xmpp_request_timeout.

        Raises:
            IqError: For example ``conflict`` when the room exists already.
            IqTimeout, XmppError, ClosedError, ScenarioError: As `request`.
        """
        room = self.light_room(name)
        room.create({"roomname": name, **(configuration or {})}, members, timeout)
        return room

    def light_room(self, name: str) -> LightRoom:
        """Return an existing light room; nothing is sent.

        For message accounting, a member since an earlier connection calls `joined` as well.
        """
        service = options.xmpp_muc_light_service.get()
        return LightRoom(self, _expanded(name, service, self.domain))


def _expanded(name: str, service: str, domain: str) -> str:
    return name if "@" in name else f"{name}@{service.replace('{domain}', domain)}".lower()
