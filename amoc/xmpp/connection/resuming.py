"""Enabling stream management and resuming streams, as a client (XEP-0198 sections 3 and 5)."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from amoc.xmpp import errors
from amoc.xmpp.managed_stream import ManagedStream
from amoc.xmpp.wire import namespaces as ns
from amoc.xmpp.wire.elements import conditions_of
from amoc.xmpp.wire.parser import Violation
from amoc.xmpp.wire.stream_management import ENABLED, FAILED, RESUMED, Management, h_of

if TYPE_CHECKING:
    from amoc.xmpp.connection.login import Negotiation
    from amoc.xmpp.wire.offer import Features


def stream_of(talk: Negotiation) -> ManagedStream:
    """Return the stream of a login with stream management."""
    return cast("ManagedStream", talk.stream)


def begin(talk: Negotiation, features: Features, resumable: bool) -> None:
    """Enable stream management; done after a resource was bound.

    Args:
        talk: The login.
        features: Features that the server offers.
        resumable: Whether the stream must be resumable.

    Raises:
        ConnectError: The server does not offer stream management, or resumption if needed.
        XmppError: The stream ended.
    """
    who = talk.stream.who
    if not features.management:
        raise errors.ConnectError(
            f"{who}: the server does not offer stream management (XEP-0198)", "unsupported-feature"
        )
    stream = stream_of(talk)
    stream.enable(resumable)
    answer = talk.expect("its answer to stream management", past_stanzas=True)
    if answer.tag == FAILED:
        condition, _ = conditions_of(answer, ns.STANZA_ERRORS)
        raise errors.ConnectError(
            f"{who}: the server refused stream management: {errors.quoted(condition)}", condition
        )
    if answer.tag != ENABLED:
        raise talk.broken("invalid-xml", f"the answer must be enabled or failed, got {answer.tag}")
    management = stream.management
    assert management is not None
    if answer.get("resume") in ("true", "1"):
        management.id = answer.get("id", "")
        management.location = answer.get("location", "")
    if resumable and not management.id:
        raise errors.ConnectError(
            f"{who}: the server does not allow resuming streams (XEP-0198)", "unsupported-feature"
        )


def resume(talk: Negotiation, features: Features, management: Management) -> bool:
    """Resume a stream; done after the login, instead of binding a resource.

    Returns:
        Whether it was resumed. If not, the server may still have reported what it had handled.

    Raises:
        BadStreamError: The server resumes a different stream, or claims to have handled more than
            was sent.
        XmppError: The stream ended.
    """
    if not features.management or not management.id:
        return False
    try:
        return _resume(talk, management)
    except Violation as violation:
        raise talk.broken(violation.condition, violation.text) from None


def _resume(talk: Negotiation, management: Management) -> bool:
    stream = stream_of(talk)
    stream.resume(management)
    answer = talk.expect("its answer to the resumption")
    if answer.tag == FAILED:
        stream.management = None
        if answer.get("h") is not None:
            management.sent.acknowledge(h_of(answer.get("h")))
        return False
    if answer.tag != RESUMED:
        raise talk.broken("invalid-xml", f"the answer must be resumed or failed, got {answer.tag}")
    if answer.get("previd") != management.id:
        raise talk.broken("invalid-xml", "the server resumed a different stream than requested")
    management.sent.acknowledge(h_of(answer.get("h")))
    if not stream.replay(talk.left):
        raise errors.ConnectTimeout(
            f"{stream.who}: the server did not accept the resent stanzas in time"
            " (xmpp_connect_timeout)"
        )
    return True
