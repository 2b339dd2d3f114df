"""One client's stream: header, login, resource, and then stanzas (RFC 6120 sections 4 to 8).

    CONNECTED --SASL success--> LOGGED_IN --resource bound--> BOUND --any end--> ENDED

In each phase only certain elements are allowed; any other ends the stream with the error that RFC
6120 names for it. A stream ends exactly once: by `fail()`, by the client's closing tag
(`on_close()`), or by the loss of the connection (`lost()`). All three go through `end()`.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING, Any, Final

from amoc.xmpp.wire import namespaces as ns
from amoc.xmpp.wire import sasl
from amoc.xmpp.wire.elements import STREAM_LANG, iq_result, stanza_error, stream_error
from amoc.xmpp.wire.framing import Framer, tree
from amoc.xmpp.wire.message_framing import MessageFramer
from amoc.xmpp.wire.namespaces import IQ, LANG, MESSAGE, PRESENCE
from amoc.xmpp.wire.parser import Cut, Violation
from amoc.xmpp.wire.stream_management import RESUME
from amoc.xmpp.wire.xml_text import attributes, escape
from amoc.xmppd import iq, presence, registration, stream_management
from amoc.xmppd.answers import FEATURES_AFTER_LOGIN, PROCEED, StanzaFailure, refuse_if
from amoc.xmppd.jids import JidError, parse, prepare_domain, prepare_resource
from amoc.xmppd.rewrite import stamp

if TYPE_CHECKING:
    from amoc.xmppd.routing import Domain, User
    from amoc.xmppd.stream_management import ManagedEnd
    from amoc.xmppd.transport import Transport
    from amoc.xmppd.websocket import WebSocketEnd


class Phase(Enum):
    """Phases of a session."""

    CONNECTED = "connected"
    LOGGED_IN = "logged in"
    BOUND = "bound"
    ENDED = "ended"


# XEP-0352; accepted without effect: nothing is held back from an inactive client.
_CLIENT_STATES: Final = frozenset({f"{{{ns.CSI}}}active", f"{{{ns.CSI}}}inactive"})

_BOUND: Final = Phase.BOUND  # an Enum look-up is slow enough to matter in the hot path


@dataclass(slots=True, eq=False, repr=False)
class Session:
    """One client's stream.

    Attributes:
        domain: The domain that it belongs to.
        transport: Carries bytes to its client.
        framer: Splits its client's bytes or messages into elements.
        phase: The current phase.
        user: The user that logged in.
        jid: Its full address once it is bound, else empty.
        stamp: Its address as an attribute, ready to be inserted into its stanzas.
        lang: The language that its client declared, unless it is the server's default.
        lang_stamp: Like `stamp`, with the language.
        presence: Its client's last announcement; None while it is not available.
        priority: Its priority, from -128 to 127.
        since: A number that is greater the later it became available.
        interested: Whether it gets roster changes.
        carbons: Whether it gets copies of its user's chats (XEP-0280).
        notified: Nodes whose events it wants (XEP-0163).
        directed: Bare and full addresses to which it sent directed presence.
        managed: Its stream management (XEP-0198); None until its client enables it.
    """

    domain: Domain
    transport: Transport | WebSocketEnd | ManagedEnd
    framer: Framer[Cut] | MessageFramer[Cut]
    phase: Phase = Phase.CONNECTED
    user: User = field(init=False)
    jid: str = ""
    stamp: bytes = b""
    lang: str | None = None
    lang_stamp: bytes = b""
    presence: bytes | None = None
    priority: int = 0
    since: int = 0
    interested: bool = False
    carbons: bool = False
    notified: frozenset[str] = frozenset()
    directed: set[str] = field(default_factory=set)
    managed: ManagedEnd | None = None
    _exchange: sasl.Server | None = None
    _failed_logins: int = 0

    def __repr__(self) -> str:
        return f"<Session {self.phase.value} {self.jid or '(not logged in)'}>"

    @property
    def closed(self) -> bool:
        """Whether it has ended."""
        return self.phase is Phase.ENDED

    def received(self, chunk: Any) -> None:  # Any: of the kind that the framer accepts
        """Process the next bytes or messages from the client."""
        try:
            self.framer.feed(chunk, self if self.managed is None else self.managed)
        except Violation as violation:
            self.fail(violation.condition, violation.text)
        except Exception:
            self.domain.report_defect()
            self.fail("internal-server-error")

    def fail(self, condition: str, text: str = "") -> None:
        """End the stream with a stream error (RFC 6120 section 4.9)."""
        if self.closed:
            return
        errors = self.domain.counts.stream_errors
        errors[condition] = errors.get(condition, 0) + 1
        if self.framer.opening:  # an error may be sent only inside a stream
            self._greet()
        self._finish(stream_error(condition, text), self.framer.ending())

    def refuse(self, kind: str, condition: str, attrs: dict[str, str]) -> None:
        """Answer a stanza of its client with an error (RFC 6120 section 8.3)."""
        to, id_ = attrs.get("to"), attrs.get("id")
        self.transport.write(stanza_error(kind, condition, to=self.jid, from_=to, id_=id_))

    def push(self, payload: str) -> None:
        """Send its client a request that informs it of a change (RFC 6121 section 2.1.6)."""
        id_ = f"push{self.domain.next_serial()}"
        head = attributes(type="set", id=id_, to=self.jid)
        self.transport.write(f"<iq{head}>{payload}</iq>".encode())

    def on_close(self) -> None:
        """Handle the end of the client's stream (RFC 6120 section 4.4)."""
        if not self.closed:
            self._finish(self.framer.ending())

    def lost(self) -> None:
        """Handle the loss of the connection; the client may resume the session on another one."""
        if self.managed is None or self.closed or not self.managed.lose():
            self.end()

    def replaced_by(self, managed: ManagedEnd) -> None:
        """Let another session of the user continue in its place, with its remaining input."""
        self.phase = Phase.ENDED
        self.managed = managed

    def on_header(self, attrs: dict[str, str]) -> None:
        """Handle a stream header, the first one or the one after SASL."""
        self._greet()
        to = attrs.get("to")
        if to is None:
            raise Violation("improper-addressing", "the stream header must have a 'to'")
        try:
            known = prepare_domain(to) == self.domain.name
        except JidError:
            known = False
        if not known:
            raise Violation("host-unknown", f"this server only serves {self.domain.name}")
        major = attrs.get("version", "0.9").partition(".")[0]
        if not major.isdecimal() or int(major[:9]) < 1:
            raise Violation("unsupported-version", "the version must be 1.0 or later")
        lang = attrs.get(LANG)
        self.lang = None if lang == STREAM_LANG or not lang else lang
        before = self.phase is Phase.CONNECTED
        if before:
            self.transport.write(self.domain.offer(self.transport.can_start_tls))
        else:
            self.transport.write(FEATURES_AFTER_LOGIN)

    def on_element(self, element: Cut) -> None:
        """Handle a whole child of the stream."""
        name, attrs, raw = element
        if self.phase is _BOUND:
            if name == MESSAGE:
                if "from" in attrs:
                    self._check_sender(attrs)
                self.domain.message(self, attrs, raw)
            elif name == PRESENCE:
                self._check_sender(attrs)
                self.domain.counts.presences_in += 1
                presence.handle(self, attrs, raw)
            elif name == IQ:
                self._check_sender(attrs)
                self.domain.counts.iqs_in += 1
                iq.handle(self, attrs, raw)
            elif name in stream_management.TAGS:
                stream_management.handle(self, name, attrs)
            elif name not in _CLIENT_STATES:
                raise Violation(
                    "unsupported-stanza-type", "only message, presence and iq are stanzas"
                )
        elif self.phase is Phase.CONNECTED:
            self._before_login(name, attrs, raw)
        elif self.phase is Phase.LOGGED_IN:
            if name == RESUME:
                stream_management.resume(self, attrs)
            else:
                self._before_binding(name, attrs, raw)
        elif self.managed is not None:
            self.managed.on_element(element)

    def _check_sender(self, attrs: dict[str, str]) -> None:
        # RFC 6120 section 8.1.2.1; a client may name only itself.
        from_ = attrs.get("from")
        if from_ is None or from_ == self.jid:
            return
        try:
            named = parse(from_).full
        except JidError:
            named = ""
        if named not in (self.jid, self.user.jid):
            raise Violation("invalid-from", "a client may only send from its own address")

    def _greet(self) -> None:
        self.transport.write(self.framer.header(self.domain.addresses(secrets.token_hex(8))))

    def _before_login(self, name: str, attrs: dict[str, str], raw: bytes) -> None:
        if name == f"{{{ns.TLS}}}starttls" and self.transport.can_start_tls:
            self.transport.write(PROCEED)
            self.transport.start_tls()
            self.framer.restart()
        elif self.domain.tls_required and self.transport.can_start_tls:
            raise Violation("policy-violation", "TLS is required; use STARTTLS")
        elif name in (sasl.AUTH, sasl.RESPONSE, sasl.ABORT):
            self._log_in(name, attrs, raw)
        elif name == IQ and registration.is_registration(asked := tree(self.framer.root, raw)):
            self.transport.write(registration.before_login(self.domain, asked))
        else:
            raise Violation("not-authorized", "log in first")

    def _log_in(self, name: str, attrs: dict[str, str], raw: bytes) -> None:
        try:
            if name == sasl.ABORT:
                raise sasl.Refused("aborted")
            if name == sasl.AUTH:
                self._exchange = self.domain.begin_login(attrs.get("mechanism", ""))
            if self._exchange is None:
                raise sasl.Refused("malformed-request")
            data = sasl.decode(tree(self.framer.root, raw).text)
            # A response without content is an empty response; only <auth/> can omit it.
            answer = self._exchange.step(b"" if data is None and name == sasl.RESPONSE else data)
        except sasl.Refused as failure:
            self._refuse_login(failure)
            return
        if isinstance(answer, sasl.Challenge):
            self.transport.write(sasl.element("challenge", answer.data))
            return
        self.transport.write(sasl.element("success", answer.data))
        self._exchange = None
        self.phase = Phase.LOGGED_IN
        self.user = self.domain.user(answer.local)
        self.domain.counts.logins += 1
        # The client begins a new stream on the same connection (RFC 6120 section 6.4.6).
        self.framer.restart()

    def _refuse_login(self, failure: sasl.Refused) -> None:
        self._exchange = None
        self._failed_logins += 1
        self.domain.counts.login_failures += 1
        self.transport.write(sasl.failure(failure.condition))
        if self._failed_logins >= self.domain.limits.login_attempts:
            raise Violation("policy-violation", "too many failed logins")

    def _before_binding(self, name: str, attrs: dict[str, str], raw: bytes) -> None:
        children = list(tree(self.framer.root, raw)) if name == IQ else []
        child = children[0] if len(children) == 1 else None
        id_ = attrs.get("id")
        if child is None or child.tag != f"{{{ns.BIND}}}bind" or attrs.get("type") != "set":
            raise Violation("not-authorized", "bind a resource first")
        try:
            if id_ is None:
                raise StanzaFailure("bad-request")
            self._bind(child.findtext(f"{{{ns.BIND}}}resource"))
        except StanzaFailure as failure:
            self.transport.write(
                stanza_error("iq", failure.condition, to=None, from_=None, id_=id_)
            )
            return
        jid = f"<bind xmlns='{ns.BIND}'><jid>{escape(self.jid)}</jid></bind>"
        self.transport.write(iq_result(to=None, from_=None, id_=id_, payload=jid))

    def _bind(self, wanted: str | None) -> None:
        """Bind a resource (RFC 6120 section 7); a connection that has it ends with conflict."""
        try:
            resource = prepare_resource(wanted) if wanted else f"r{self.domain.next_serial()}"
        except JidError:
            raise StanzaFailure("bad-request") from None
        user = self.user
        previous = user.sessions.get(resource)
        if previous is not None:
            previous.fail("conflict", "the resource was taken by a newer connection")
        refuse_if(len(user.sessions) >= self.domain.limits.resources, "resource-constraint")
        # If that was the user's last connection, the user object has just been dropped.
        self.user = user = self.domain.user(user.local)
        user.sessions[resource] = self
        self.jid = f"{user.jid}/{resource}"
        self.domain.sessions[self.jid] = self
        self.stamp = self.lang_stamp = stamp({"from": self.jid})
        if self.lang is not None:
            self.lang_stamp = stamp({"from": self.jid, LANG: self.lang})
        self.framer.limit(self.domain.limits.stanza_bytes)
        self.phase = Phase.BOUND
        self.domain.counts.bound += 1
        self.transport.logged_in()

    def _finish(self, *last_words: bytes) -> None:
        self.transport.finish(*last_words)
        self.end()

    def end(self) -> None:
        """End the session, and withdraw its client's presence."""
        if self.closed:
            return
        phase, self.phase = self.phase, Phase.ENDED
        self.framer.close()
        if phase is Phase.BOUND:
            self.domain.counts.bound -= 1
            del self.domain.sessions[self.jid]
            del self.user.sessions[self.jid.partition("/")[2]]
            presence.left(self)
            if self.carbons:
                self.user.update_special()
        managed, self.managed = self.managed, None
        if managed is not None:
            managed.end()
        if phase in (Phase.BOUND, Phase.LOGGED_IN):
            self.domain.forget_if_idle(self.user)
