"""Pure. The namespaces of XMPP, and the tags that either end looks for.

A tag or the name of an attribute is spelt as ElementTree spells it, ``{namespace}name``.
"""

from __future__ import annotations

from typing import Final

NS_BIND: Final = "urn:ietf:params:xml:ns:xmpp-bind"
NS_CLIENT: Final = "jabber:client"
NS_DISCO_INFO: Final = "http://jabber.org/protocol/disco#info"
NS_DISCO_ITEMS: Final = "http://jabber.org/protocol/disco#items"
NS_PING: Final = "urn:xmpp:ping"
NS_REGISTER: Final = "jabber:iq:register"
NS_REGISTER_FEATURE: Final = "http://jabber.org/features/iq-register"
NS_ROSTER: Final = "jabber:iq:roster"
NS_SASL: Final = "urn:ietf:params:xml:ns:xmpp-sasl"
NS_SESSION: Final = "urn:ietf:params:xml:ns:xmpp-session"
NS_STANZA_ERRORS: Final = "urn:ietf:params:xml:ns:xmpp-stanzas"
NS_STREAM_ERRORS: Final = "urn:ietf:params:xml:ns:xmpp-streams"
NS_STREAMS: Final = "http://etherx.jabber.org/streams"
NS_TLS: Final = "urn:ietf:params:xml:ns:xmpp-tls"
NS_VERSION: Final = "jabber:iq:version"
NS_XML: Final = "http://www.w3.org/XML/1998/namespace"

MESSAGE: Final = f"{{{NS_CLIENT}}}message"
PRESENCE: Final = f"{{{NS_CLIENT}}}presence"
IQ: Final = f"{{{NS_CLIENT}}}iq"
FEATURES: Final = f"{{{NS_STREAMS}}}features"
STREAM_ERROR: Final = f"{{{NS_STREAMS}}}error"
LANG: Final = f"{{{NS_XML}}}lang"
