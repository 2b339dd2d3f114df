"""Predicates over received stanzas, for `receive` and handlers.

Any function of a stanza will do; those defined here combine with ``&``, ``|`` and ``~``:

    client.receive(xmpp.is_chat & xmpp.from_jid(7), timeout=10)
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from amoc.xmpp.connection import identity
from amoc.xmpp.stanza import Stanza, bare
from amoc.xmpp.wire import namespaces as ns
from amoc.xmpp.wire.namespaces import IQ, MESSAGE, PRESENCE

Predicate = Callable[[Stanza], object]
"""Matches a stanza if its return value is true."""


class Match:
    """A named predicate that can be combined with others.

    Attributes:
        test: The plain function; calling it directly saves a call.
        name: Its name in messages.
    """

    __slots__ = ("name", "test")

    def __init__(self, test: Predicate, name: str) -> None:
        self.test = test
        self.name = name

    def __call__(self, stanza: Stanza) -> bool:
        """Return whether `stanza` matches."""
        return bool(self.test(stanza))

    def __and__(self, other: Predicate) -> Match:
        mine, others = self.test, plain(other)
        return Match(
            lambda stanza: mine(stanza) and others(stanza), f"({self.name} & {name_of(other)})"
        )

    def __or__(self, other: Predicate) -> Match:
        mine, others = self.test, plain(other)
        return Match(
            lambda stanza: mine(stanza) or others(stanza), f"({self.name} | {name_of(other)})"
        )

    def __invert__(self) -> Match:
        mine = self.test
        return Match(lambda stanza: not mine(stanza), f"~{self.name}")

    def __repr__(self) -> str:
        return self.name


def plain(predicate: Predicate) -> Predicate:
    """Return `predicate` as a plain function."""
    return predicate.test if type(predicate) is Match else predicate


def name_of(predicate: Predicate | None) -> str:
    """Return the name of `predicate` for messages."""
    if predicate is None:
        return "stanza"
    if isinstance(predicate, Match):
        return predicate.name
    return getattr(predicate, "__name__", repr(predicate))


def _kind(name: str, tag: str, *types: str | None) -> Match:
    return Match(lambda s: s.tag == tag and s.xml.get("type") in types, name)


def _text(name: str, kind: str) -> Match:
    return Match(lambda s: s.tag == MESSAGE and s.type == kind and s.body is not None, name)


def _message_with(name: str, path: str) -> Match:
    return Match(lambda s: s.tag == MESSAGE and s.xml.find(path) is not None, name)


is_any: Final = Match(lambda _: True, "is_any")
is_message: Final = Match(lambda s: s.tag == MESSAGE, "is_message")
is_presence: Final = Match(lambda s: s.tag == PRESENCE, "is_presence")
is_iq: Final = Match(lambda s: s.tag == IQ, "is_iq")
is_chat: Final = _text("is_chat", "chat")
is_groupchat: Final = _text("is_groupchat", "groupchat")
is_headline: Final = _kind("is_headline", MESSAGE, "headline")
is_error: Final = Match(lambda s: s.type == "error", "is_error")
is_available: Final = _kind("is_available", PRESENCE, None)
is_unavailable: Final = _kind("is_unavailable", PRESENCE, "unavailable")
is_subscription: Final = _kind(
    "is_subscription", PRESENCE, "subscribe", "subscribed", "unsubscribe", "unsubscribed"
)
is_request: Final = _kind("is_request", IQ, "get", "set")
is_answer: Final = _kind("is_answer", IQ, "result", "error")


def has_type(kind: str) -> Match:
    """Match stanzas of type `kind`; ``normal`` and ``available`` include those without a type."""
    return Match(lambda s: s.type == kind, f"has_type({kind!r})")


def has_id(stanza_id: str) -> Match:
    """Match stanzas with the id `stanza_id`."""
    return Match(lambda s: s.id == stanza_id, f"has_id({stanza_id!r})")


def has_body(text: str | None = None) -> Match:
    """Match messages whose body is `text`; None matches any body."""
    if text is None:
        return Match(lambda s: s.body is not None, "has_body()")
    return Match(lambda s: s.body == text, f"has_body({text!r})")


def has_child(namespace: str, name: str | None = None) -> Match:
    """Match stanzas with a direct child `name` in `namespace`; None matches any name."""
    if name is None:
        start = f"{{{namespace}}}"
        return Match(
            lambda s: any(child.tag.startswith(start) for child in s.xml),
            f"has_child({namespace!r})",
        )
    tag = f"{{{namespace}}}{name}"
    return Match(lambda s: s.xml.find(tag) is not None, f"has_child({namespace!r}, {name!r})")


def from_jid(whom: str | int) -> Match:
    """Match stanzas from `whom`: a user's number, a full JID, or a bare JID (any resource)."""

    def test(stanza: Stanza) -> bool:
        jid = identity.address(whom)
        sender = stanza.sender
        return sender == jid or (
            sender.startswith(jid) and bare(sender) == jid  # true only if `jid` has no resource
        )

    return Match(test, f"from_jid({whom!r})")


def from_nick(nick: str) -> Match:
    """Match stanzas from the room member whose nickname is `nick`."""
    return Match(lambda s: s.sender.partition("/")[2] == nick, f"from_nick({nick!r})")


_SUBJECT: Final = f"{{{ns.CLIENT}}}subject"
_EVENT: Final = f"{{{ns.PUBSUB_EVENT}}}event"
_CARBONS: Final = f"{{{ns.CARBONS}}}"
_RECEIVED: Final = f"{{{ns.RECEIPTS}}}received"
_STATES: Final = f"{{{ns.CHAT_STATES}}}"
_MARKERS: Final = f"{{{ns.MARKERS}}}"

has_delay: Final = Match(lambda s: s.xml.find(f"{{{ns.DELAY}}}delay") is not None, "has_delay")
is_delayed: Final = _message_with("is_delayed", f"{{{ns.DELAY}}}delay")
is_subject: Final = Match(
    lambda s: s.tag == MESSAGE and s.body is None and s.xml.find(_SUBJECT) is not None, "is_subject"
)
is_invitation: Final = _message_with("is_invitation", f"{{{ns.MUC_USER}}}x/{{{ns.MUC_USER}}}invite")
is_carbon: Final = Match(
    lambda s: s.tag == MESSAGE and len(s.xml) > 0 and s.xml[0].tag.startswith(_CARBONS), "is_carbon"
)
asks_for_receipt: Final = _message_with("asks_for_receipt", f"{{{ns.RECEIPTS}}}request")


def is_event(node: str | None = None) -> Match:
    """Match publish-subscribe or PEP notifications about `node`, or about any node."""

    def test(stanza: Stanza) -> bool:
        event = stanza.xml.find(_EVENT) if stanza.tag == MESSAGE else None
        if event is None or not len(event):
            return False
        return node is None or event[0].get("node") == node

    return Match(test, f"is_event({'' if node is None else repr(node)})")


def is_receipt(stanza_id: str | None = None) -> Match:
    """Match receipts (XEP-0184) for the message with the id `stanza_id`, or for any message."""

    def test(stanza: Stanza) -> bool:
        found = stanza.xml.find(_RECEIVED) if stanza.tag == MESSAGE else None
        return found is not None and (stanza_id is None or found.get("id") == stanza_id)

    return Match(test, f"is_receipt({'' if stanza_id is None else repr(stanza_id)})")


def is_marker(kind: str | None = None) -> Match:
    """Match markers (XEP-0333) of a kind, such as ``displayed``, or of any kind."""
    return _has_named("is_marker", _MARKERS, kind, ("received", "displayed", "acknowledged"))


def is_chat_state(state: str | None = None) -> Match:
    """Match chat states (XEP-0085): one, such as ``composing``, or any."""
    states = ("active", "composing", "paused", "inactive", "gone")
    return _has_named("is_chat_state", _STATES, state, states)


def _has_named(name: str, space: str, one: str | None, any_of: tuple[str, ...]) -> Match:
    tags = {space + child for child in (any_of if one is None else (one,))}
    return Match(
        lambda s: s.tag == MESSAGE and any(child.tag in tags for child in s.xml),
        f"{name}({'' if one is None else repr(one)})",
    )
