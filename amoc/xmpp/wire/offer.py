"""Pure. A server's stream features, and the choice of a login (RFC 6120, sections 4.3.2, 6.3)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple
from xml.etree.ElementTree import Element

from amoc.xmpp.wire import namespaces as ns
from amoc.xmpp.wire import sasl
from amoc.xmpp.wire.channel_binding import NO_BINDING, NOT_OFFERED, Binding, Channel
from amoc.xmpp.wire.scram import PLUS
from amoc.xmpp.wire.stream_management import FEATURE

_TLS: Final = f"{{{ns.TLS}}}starttls"
_TLS_REQUIRED: Final = f"{{{ns.TLS}}}required"
_MECHANISMS: Final = f"{{{ns.SASL}}}mechanisms"
_MECHANISM: Final = f"{{{ns.SASL}}}mechanism"
_CHANNEL_BINDINGS: Final = f"{{{ns.CHANNEL_BINDING}}}sasl-channel-binding"
_CHANNEL_BINDING: Final = f"{{{ns.CHANNEL_BINDING}}}channel-binding"
_BIND: Final = f"{{{ns.BIND}}}bind"
_SESSION: Final = f"{{{ns.SESSION}}}session"
_SESSION_OPTIONAL: Final = f"{{{ns.SESSION}}}optional"
_REGISTER: Final = f"{{{ns.REGISTER_FEATURE}}}register"


class Features(NamedTuple):
    """Stream features of a server (RFC 6120 section 4.3.2)."""

    mechanisms: tuple[str, ...]
    channel_bindings: tuple[str, ...]
    """Types of channel binding that it lists (XEP-0440)."""
    tls: bool
    """Whether it offers STARTTLS."""
    tls_required: bool
    bind: bool
    session: bool
    """Whether it requires the session of RFC 3921, which newer servers do not."""
    register: bool
    management: bool

    @classmethod
    def of(cls, element: Element) -> Features:
        """Return the features listed in a <stream:features/>."""
        # Not by ElementTree's paths of several steps: each costs more than all of this.
        by_tag = {child.tag: child for child in reversed(element)}  # of several, the first
        tls, session = by_tag.get(_TLS), by_tag.get(_SESSION)
        mechanisms, bindings = by_tag.get(_MECHANISMS, ()), by_tag.get(_CHANNEL_BINDINGS, ())
        return cls(
            mechanisms=tuple(
                [one.text.strip() for one in mechanisms if one.tag == _MECHANISM and one.text]
            ),
            channel_bindings=tuple(
                [one.get("type", "") for one in bindings if one.tag == _CHANNEL_BINDING]
            ),
            tls=tls is not None,
            tls_required=tls is not None and tls.find(_TLS_REQUIRED) is not None,
            bind=_BIND in by_tag,
            session=session is not None and session.find(_SESSION_OPTIONAL) is None,
            register=_REGISTER in by_tag,
            management=FEATURE in by_tag,
        )


def choose(wanted: Sequence[str], offered: Sequence[str]) -> str:
    """Return the first wanted mechanism that the server offers.

    Raises:
        Refused: There is none.
    """
    for name in wanted:
        if name in offered:
            return name
    raise sasl.Refused(
        "invalid-mechanism",
        f"the server must offer one of {', '.join(wanted)} (xmpp_mechanisms), got"
        f" {', '.join(offered[:20]) or 'none'}",
    )


def choose_login(
    wanted: Sequence[str], features: Features, channel: Channel | None
) -> tuple[str, Binding]:
    """Return the mechanism to log in with, and its channel binding.

    Args:
        wanted: The allowed mechanisms in order of preference.
        features: The server's features.
        channel: The TLS connection; None without TLS.

    Raises:
        Refused: The server offers no usable mechanism.
    """
    offered: Sequence[str] = features.mechanisms
    usable = wanted
    bound, can_bind = None, False
    if any(name.endswith(PLUS) for name in wanted):
        if channel is not None:
            bound = channel.binding(features.channel_bindings)
            can_bind = channel.can_bind
        if bound is None:
            usable = [name for name in wanted if not name.endswith(PLUS)] or wanted
            offered = [name for name in offered if not name.endswith(PLUS)]
    name = choose(usable, offered)
    if name.endswith(PLUS):
        assert bound is not None
        return name, bound
    # A client that could bind says so. If the server could, too, its offer has been tampered with.
    hidden = can_bind and not any(one.endswith(PLUS) for one in features.mechanisms)
    return name, NOT_OFFERED if hidden else NO_BINDING
