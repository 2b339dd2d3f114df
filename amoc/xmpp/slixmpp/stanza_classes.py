"""slixmpp's stanza classes around received trees, on demand.

slixmpp takes 0.1 s of CPU to import, so it is imported only when needed. The supervisor calls
`preload` before it forks, so that all workers share it.

One of its dependencies, a DNS resolver, creates a queue on import. With gevent's patches, that
queue creates a hub, and a hub must not be forked. amoc resolves names itself, so slixmpp is
imported as if the resolver were not installed.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING
from xml.etree.ElementTree import Element

from amoc.base.errors import ScenarioError
from amoc.xmpp.wire.namespaces import IQ, MESSAGE, PRESENCE

if TYPE_CHECKING:
    from types import ModuleType

    from slixmpp.xmlstream import StanzaBase

_RESOLVER = "aiodns"


def preload() -> ModuleType:
    """Import slixmpp without creating a gevent hub; does nothing the second time."""
    already = sys.modules.get("slixmpp")
    if already is not None:
        return already
    hidden = _RESOLVER not in sys.modules
    if hidden:
        sys.modules[_RESOLVER] = None  # type: ignore[assignment]  # makes its import fail
    try:
        import slixmpp
    finally:
        if hidden:
            del sys.modules[_RESOLVER]
    return slixmpp


def to_slixmpp(xml: Element) -> StanzaBase:
    """Return slixmpp's stanza around the tree `xml`.

    Raises:
        ScenarioError: It is not a message, presence or iq.
    """
    slixmpp = preload()
    classes = {MESSAGE: slixmpp.Message, PRESENCE: slixmpp.Presence, IQ: slixmpp.Iq}
    found = classes.get(xml.tag)
    if found is None:
        raise ScenarioError(f"slixmpp has classes for message, presence and iq only, got {xml.tag}")
    return found(xml=xml, recv=True)  # type: ignore[no-any-return]
