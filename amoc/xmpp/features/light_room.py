"""MongooseIM's light rooms: permanent members instead of visitors, and no presence."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple
from xml.etree.ElementTree import Element

from amoc.xmpp.connection.identity import address
from amoc.xmpp.features.any_room import AnyRoom
from amoc.xmpp.wire import namespaces as ns
from amoc.xmpp.wire.xml_text import escape

NONE: Final = "none"


class LightInfo(NamedTuple):
    """Version, configuration and members of a light room."""

    version: str
    configuration: dict[str, str]
    members: dict[str, str]
    """Affiliations, ``owner`` or ``member``, by JID."""


class LightRoom(AnyRoom):
    """A light room. Each message reaches every member that is online."""

    __slots__ = ()

    def __repr__(self) -> str:
        return f"<light room {self.jid}>"

    def create(
        self,
        configuration: Mapping[str, str],
        members: Iterable[str | int] = (),
        timeout: float | None = None,
    ) -> None:
        """Create the room; see `Client.create_light_room`."""
        users = "".join(_user(one, "member") for one in members)
        fields = _fields(configuration)
        self._ask(
            "set",
            f"<query xmlns='{ns.MUC_LIGHT_CREATE}'><configuration>{fields}</configuration>"
            f"<occupants>{users}</occupants></query>",
            "light_room_create",
            timeout,
        )
        self._client.joined(self.jid)

    def members(self, timeout: float | None = None) -> dict[str, str]:
        """Return the members' affiliations, ``owner`` or ``member``, by JID.

        Raises:
            IqError, IqTimeout, XmppError, ClosedError: As `Client.request`.
        """
        query = f"<query xmlns='{ns.MUC_LIGHT_AFFILIATIONS}'><version/></query>"
        answer = self._ask("get", query, "light_room_members", timeout)
        return {} if answer.payload is None else _members(answer.payload)

    def change_members(
        self, affiliations: Mapping[str | int, str], timeout: float | None = None
    ) -> None:
        """Add members, make them owners, or remove them.

        Args:
            affiliations: ``member``, ``owner`` or ``none``, by JID or user number.
            timeout: In seconds; None for xmpp_request_timeout.

        Raises:
            IqError, IqTimeout, XmppError, ClosedError: As `Client.request`.
        """
        users = "".join(_user(whom, kind) for whom, kind in affiliations.items())
        query = f"<query xmlns='{ns.MUC_LIGHT_AFFILIATIONS}'>{users}</query>"
        self._ask("set", query, "light_room_change_members", timeout)

    def add(self, *whom: str | int) -> None:
        """Add members; see `change_members`."""
        self.change_members(dict.fromkeys(whom, "member"))

    def remove(self, *whom: str | int) -> None:
        """Remove members; see `change_members`."""
        self.change_members(dict.fromkeys(whom, NONE))

    def leave(self, timeout: float | None = None) -> None:
        """Give up membership of the room.

        Raises:
            IqError, IqTimeout, XmppError, ClosedError: As `Client.request`.
        """
        self.change_members({self._client.bare_jid: NONE}, timeout)
        self._client.left(self.jid)

    def configuration(self, timeout: float | None = None) -> dict[str, str]:
        """Return the room's configuration: values by field name.

        Raises:
            IqError, IqTimeout, XmppError, ClosedError: As `Client.request`.
        """
        query = f"<query xmlns='{ns.MUC_LIGHT_CONFIGURATION}'><version/></query>"
        answer = self._ask("get", query, "light_room_configuration", timeout)
        return {} if answer.payload is None else _texts(answer.payload)

    def configure(self, fields: Mapping[str, str], timeout: float | None = None) -> None:
        """Change fields of the configuration, such as ``roomname`` and ``subject``.

        Raises:
            IqError, IqTimeout, XmppError, ClosedError: As `Client.request`.
        """
        query = f"<query xmlns='{ns.MUC_LIGHT_CONFIGURATION}'>{_fields(fields)}</query>"
        self._ask("set", query, "light_room_configure", timeout)

    def info(self, timeout: float | None = None) -> LightInfo:
        """Return version, configuration and members, in one request.

        Raises:
            IqError, IqTimeout, XmppError, ClosedError: As `Client.request`.
        """
        space = f"{{{ns.MUC_LIGHT_INFO}}}"
        query = f"<query xmlns='{ns.MUC_LIGHT_INFO}'><version/></query>"
        payload = self._ask("get", query, "light_room_info", timeout).payload
        if payload is None:
            payload = Element(space + "query")
        fields, users = payload.find(space + "configuration"), payload.find(space + "occupants")
        return LightInfo(
            version=payload.findtext(space + "version", ""),
            configuration={} if fields is None else _texts(fields),
            members={} if users is None else _members(users),
        )

    def destroy(self, timeout: float | None = None) -> None:
        """Destroy the room.

        Raises:
            IqError, IqTimeout, XmppError, ClosedError: As `Client.request`.
        """
        self._ask("set", f"<query xmlns='{ns.MUC_LIGHT_DESTROY}'/>", "light_room_destroy", timeout)
        self._client.left(self.jid)


def _user(whom: str | int, affiliation: str) -> str:
    return f"<user affiliation='{escape(affiliation)}'>{escape(address(whom))}</user>"


def _fields(fields: Mapping[str, str]) -> str:
    named = ((escape(name), escape(value)) for name, value in fields.items())
    return "".join(f"<{name}>{value}</{name}>" for name, value in named)


def _texts(parent: Element) -> dict[str, str]:
    """Return the fields of a configuration."""
    named = {one.tag.rpartition("}")[2]: one.text or "" for one in parent}
    named.pop("version", None)
    return named


def _members(parent: Element) -> dict[str, str]:
    return {
        one.text or "": one.get("affiliation", "")
        for one in parent
        if one.tag.rpartition("}")[2] == "user"
    }
