"""Data that a user stores on the server: vCards, an avatar, private XML."""

from __future__ import annotations

import base64
import binascii
import hashlib
from typing import Final
from xml.etree.ElementTree import Element

from amoc.xmpp import encode
from amoc.xmpp.encode import Sendable
from amoc.xmpp.features.pubsub import PubSub
from amoc.xmpp.wire import namespaces as ns
from amoc.xmpp.wire.xml_text import attributes, escape, serialise

CURRENT: Final = "current"


class Profile(PubSub):
    """Calls for vCards, avatars and private storage."""

    __slots__ = ()

    def vcard(self, whom: str | int | None = None, timeout: float | None = None) -> Element:
        """Return the vCard (XEP-0054) of `whom`, by default the user's own; empty if there is none.

        Raises:
            IqError, IqTimeout, XmppError, ClosedError: As `request`.
        """
        query = f"<vCard xmlns='{ns.VCARD}'/>"
        answer = self.request(query, timeout, to=whom, name="vcard_get")
        return Element(f"{{{ns.VCARD}}}vCard") if answer.payload is None else answer.payload

    def set_vcard(self, fields: Sendable | dict[str, str], timeout: float | None = None) -> None:
        """Store the user's vCard.

        Args:
            fields: A whole ``vCard`` element, or texts by field name, such as ``FN``.
            timeout: In seconds; None for xmpp_request_timeout.

        Raises:
            IqError, IqTimeout, XmppError, ClosedError, ScenarioError: As `request`.
        """
        if isinstance(fields, dict):
            inside = "".join(f"<{name}>{escape(text)}</{name}>" for name, text in fields.items())
            fields = f"<vCard xmlns='{ns.VCARD}'>{inside}</vCard>"
        self.request(fields, timeout, type="set", name="vcard_set")

    def vcard4(self, whom: str | int | None = None, timeout: float | None = None) -> Element | None:
        """Return the vCard 4 (XEP-0292) of `whom`, by default the user's own; None without one.

        Raises:
            IqError, IqTimeout, XmppError, ClosedError: As `request`.
        """
        items = self.items(ns.VCARD4_NODE, at=whom, last=1, timeout=timeout)
        return items[-1].payload if items else None

    def set_vcard4(self, fields: dict[str, str], timeout: float | None = None) -> None:
        """Publish the user's vCard 4: texts by field name, such as ``fn``.

        Raises:
            IqError, IqTimeout, XmppError, ClosedError, ScenarioError: As `publish`.
        """
        inside = "".join(
            f"<{name}><text>{escape(text)}</text></{name}>" for name, text in fields.items()
        )
        card = f"<vcard xmlns='{ns.VCARD4}'>{inside}</vcard>"
        self.publish(ns.VCARD4_NODE, card, id=CURRENT, timeout=timeout)

    def set_avatar(self, data: bytes, type: str = "image/png", timeout: float | None = None) -> str:
        """Publish the user's avatar (XEP-0084): first the picture, then its metadata.

        Returns:
            Its id, the SHA-1 of `data`.

        Raises:
            IqError, IqTimeout, XmppError, ClosedError: As `publish`.
        """
        digest = hashlib.sha1(data).hexdigest()  # noqa: S324 - XEP-0084 requires it
        text = base64.b64encode(data).decode()
        picture = f"<data xmlns='{ns.AVATAR_DATA}'>{text}</data>"
        self.publish(ns.AVATAR_DATA, picture, id=digest, timeout=timeout)
        info = attributes(id=digest, bytes=str(len(data)), type=type)
        metadata = f"<metadata xmlns='{ns.AVATAR_METADATA}'><info{info}/></metadata>"
        self.publish(ns.AVATAR_METADATA, metadata, id=digest, timeout=timeout)
        return digest

    def avatar(self, whom: str | int | None = None, timeout: float | None = None) -> bytes | None:
        """Return the latest avatar of `whom`, by default the user's own; None without one.

        Raises:
            IqError, IqTimeout, XmppError, ClosedError: As `request`.
        """
        items = self.items(ns.AVATAR_METADATA, at=whom, last=1, timeout=timeout)
        if not items or items[-1].payload is None or not len(items[-1].payload):
            return None
        digest = items[-1].payload[0].get("id", "")
        pictures = self.items(ns.AVATAR_DATA, at=whom, ids=(digest,), timeout=timeout)
        if not pictures or pictures[0].payload is None:
            return None
        try:
            return base64.b64decode(pictures[0].payload.text or "", validate=False)
        except binascii.Error:
            return None

    def store(self, xml: Sendable, timeout: float | None = None) -> None:
        """Store an element in the user's private storage (XEP-0049), under its name and namespace.

        Raises:
            IqError, IqTimeout, XmppError, ClosedError, ScenarioError: As `request`.
        """
        inside = serialise(encode.element_of(xml), ns.PRIVATE, inherit=False)
        query = f"<query xmlns='{ns.PRIVATE}'>{inside}</query>"
        self.request(query, timeout, type="set", name="private_set")

    def stored(self, namespace: str, name: str, timeout: float | None = None) -> Element | None:
        """Return the element `name` from the user's private storage; empty if none was stored.

        Raises:
            IqError, IqTimeout, XmppError, ClosedError: As `request`.
        """
        wanted = f"<{name} xmlns='{escape(namespace)}'/>"
        query = f"<query xmlns='{ns.PRIVATE}'>{wanted}</query>"
        payload = self.request(query, timeout, name="private_get").payload
        return None if payload is None else payload.find(f"{{{namespace}}}{name}")
