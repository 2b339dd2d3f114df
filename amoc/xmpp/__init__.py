"""XMPP for virtual users: connect, send, receive, measure. `amoc.xmppd` is the embedded server.

with xmpp.connect(user_id) as client:
    client.send_presence()
    client.send_chat(user_id + 1, "hello")
    print(client.receive(xmpp.is_chat, timeout=10).body)
"""

from amoc.scenario.fd_budget import needs_fds
from amoc.xmpp.account.ledger import Tally, stamp, tally
from amoc.xmpp.client import Client
from amoc.xmpp.component import Component, component
from amoc.xmpp.connection.connecting import connect, register
from amoc.xmpp.connection.identity import address
from amoc.xmpp.connection.reaching import FDS_PER_USER, fds_per_user
from amoc.xmpp.connection.staying_connected import ReturningClient, staying_connected
from amoc.xmpp.errors import (
    BadStreamError,
    CallTimeout,
    CertificateError,
    ConnectError,
    ConnectTimeout,
    Disconnected,
    IqError,
    IqTimeout,
    OutOfFilesError,
    ReceiveTimeout,
    RoomError,
    RoomLeftError,
    RoomRefusedError,
    SaslError,
    SeeOtherHost,
    SendTimeout,
    StreamError,
    TlsError,
    TlsRequiredError,
    UpgradeError,
    UploadError,
    XmppError,
)
from amoc.xmpp.features.light_room import LightRoom
from amoc.xmpp.features.messaging import WANTS_MARKERS, WANTS_RECEIPT
from amoc.xmpp.features.pubsub import Event, event_of
from amoc.xmpp.features.room import Room
from amoc.xmpp.features.roster import Contact
from amoc.xmpp.match import (
    Match,
    asks_for_receipt,
    from_jid,
    from_nick,
    has_body,
    has_child,
    has_delay,
    has_id,
    has_type,
    is_answer,
    is_any,
    is_available,
    is_carbon,
    is_chat,
    is_chat_state,
    is_delayed,
    is_error,
    is_event,
    is_groupchat,
    is_headline,
    is_invitation,
    is_iq,
    is_marker,
    is_message,
    is_presence,
    is_receipt,
    is_request,
    is_subject,
    is_subscription,
    is_unavailable,
)
from amoc.xmpp.presence_handshake import Neighbours
from amoc.xmpp.slixmpp.slixmpp_bridge import slixmpp_client
from amoc.xmpp.slixmpp.stanza_classes import preload
from amoc.xmpp.stanza import Stanza
from amoc.xmpp.tracing import trace
from amoc.xmpp.wire.xml_text import escape

needs_fds(__name__, fds_per_user)

__all__ = [  # noqa: RUF022 - grouped by purpose
    # connections
    "Client",
    "Component",
    "Neighbours",
    "component",
    "connect",
    "ReturningClient",
    "register",
    "staying_connected",
    "slixmpp_client",
    # received data
    "Contact",
    "Event",
    "Stanza",
    "event_of",
    # rooms
    "LightRoom",
    "Room",
    # predicates over stanzas
    "Match",
    "asks_for_receipt",
    "from_jid",
    "from_nick",
    "has_body",
    "has_child",
    "has_delay",
    "has_id",
    "has_type",
    "is_answer",
    "is_any",
    "is_available",
    "is_carbon",
    "is_chat",
    "is_chat_state",
    "is_delayed",
    "is_error",
    "is_event",
    "is_groupchat",
    "is_headline",
    "is_invitation",
    "is_iq",
    "is_marker",
    "is_message",
    "is_presence",
    "is_receipt",
    "is_request",
    "is_subject",
    "is_subscription",
    "is_unavailable",
    # for building raw stanzas
    "WANTS_MARKERS",
    "WANTS_RECEIPT",
    "address",
    "escape",
    "stamp",
    # message accounting
    "Tally",
    "tally",
    # errors
    "BadStreamError",
    "CallTimeout",
    "CertificateError",
    "ConnectError",
    "ConnectTimeout",
    "Disconnected",
    "IqError",
    "IqTimeout",
    "OutOfFilesError",
    "ReceiveTimeout",
    "RoomError",
    "RoomRefusedError",
    "RoomLeftError",
    "SaslError",
    "SeeOtherHost",
    "SendTimeout",
    "StreamError",
    "TlsError",
    "TlsRequiredError",
    "UpgradeError",
    "UploadError",
    "XmppError",
    # used by amoc itself
    "FDS_PER_USER",
    "preload",
    "trace",
]
