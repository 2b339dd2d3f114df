"""From a connection to a session: stream, SASL, stream, resource (RFC 6120, sections 4 to 7).

The two sides take turns, so the code reads like a dialogue: `Negotiation.expect` waits for the
server's next element, with one deadline for the whole login. Before the login, an account can be
registered on the same stream (XEP-0077).
"""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic_ns
from typing import Final
from xml.etree.ElementTree import Element

import gevent

from amoc.base.clock import S_NS
from amoc.base.errors import ClosedError
from amoc.base.tls_context import TlsTerms
from amoc.base.tracebacks import copy_of
from amoc.base.waiting import Waiter, wait_despite_pause
from amoc.xmpp import errors, options
from amoc.xmpp.connection.identity import Identity
from amoc.xmpp.connection.plan import Plan
from amoc.xmpp.connection.securing import secured
from amoc.xmpp.stanza import Stanza, error_of
from amoc.xmpp.stream import Owner, Stream
from amoc.xmpp.transports.connection import Connection
from amoc.xmpp.wire import mechanisms, sasl
from amoc.xmpp.wire import namespaces as ns
from amoc.xmpp.wire.elements import conditions_of
from amoc.xmpp.wire.namespaces import FEATURES, IQ, MESSAGE, PRESENCE
from amoc.xmpp.wire.offer import Features, choose_login
from amoc.xmpp.wire.xml_text import escape

_BIND: Final = f"{{{ns.BIND}}}bind"
_JID: Final = f"{{{ns.BIND}}}jid"
MAX_JID: Final = 3071
MAX_EARLY: Final = 1000
"""Maximum number of elements that may arrive before they are expected."""
MAX_CHALLENGES: Final = 4
"""More than any mechanism needs; a server that sends more is in a loop."""


def _is_unasked(stanza: Stanza) -> bool:
    """Return whether `stanza` is a stanza other than an answer."""
    return stanza.tag in (MESSAGE, PRESENCE) or (stanza.tag == IQ and stanza.type in ("get", "set"))


class Negotiation(Owner):
    """The client's side of a login; owns the stream while the login lasts.

    Attributes:
        stream: The stream.
        early: Elements that arrived before they were expected; after the login, the session's first
            stanzas.
    """

    __slots__ = ("_deadline_ns", "_waiter", "early", "stream")

    handles = False

    def __init__(
        self, connection: Connection, who: str, deadline_ns: int, kind: type[Stream] = Stream
    ) -> None:
        """Take over a connection.

        Args:
            connection: The connection.
            who: User and server, for messages.
            deadline_ns: When to give up, on the monotonic clock.
            kind: Class of the stream.
        """
        self.early: list[Stanza] = []
        self._deadline_ns = deadline_ns
        self._waiter: Waiter[bool] | None = None
        self.stream = kind(connection, self, who)

    def on_stanza(self, stanza: Stanza) -> None:
        """Keep the stanza until it is expected."""
        if len(self.early) >= MAX_EARLY:
            raise errors.BadStreamError(
                self.stream.who, "policy-violation", "too many elements before the end of the login"
            )
        self.early.append(stanza)

    def on_turn(self) -> None:
        """Something has arrived, perhaps just a stream header."""
        if self._waiter is not None:
            self._waiter.give(True)

    def on_end(self, error: BaseException | None) -> None:
        """End the wait in `expect`: with an element that arrived, or with the error."""
        waiter = self._waiter
        if waiter is not None:
            if self.early:
                waiter.set(True)
            waiter.fail(error or ClosedError(f"{self.stream.who}: the stream was closed"))
            waiter.wake()

    def expect(self, what: str, past_stanzas: bool = False) -> Element:
        """Return the server's next element.

        Args:
            what: The expected element, for error messages.
            past_stanzas: Whether messages, presence and requests may precede it: once a resource is
                bound, others can send to it. They are left for the session.

        Raises:
            ConnectTimeout: It did not arrive in time.
            XmppError: The stream ended.
        """
        place = 0
        while True:
            while place < len(self.early):
                if not (past_stanzas and _is_unasked(self.early[place])):
                    return self.early.pop(place).xml
                place += 1
            self.wait_turn(what)

    def check_open(self) -> None:
        """Raise the error that ended the stream, if it has ended, even after the expected element.

        Raises:
            XmppError: The stream ended.
        """
        if self.stream.failure is not None:
            raise copy_of(self.stream.failure)
        if self.stream.ended:
            raise errors.Disconnected(f"{self.stream.who}: the stream was closed")

    def wait_turn(self, what: str) -> None:
        """Wait until something arrives, perhaps just a header; for `what` see `expect`."""
        self.check_open()
        waiter = self._waiter = Waiter()
        try:
            left = self.left
            if left <= 0 or not wait_despite_pause(waiter, left):
                raise errors.ConnectTimeout(
                    f"{self.stream.who}: the server did not send {what} in time"
                    " (xmpp_connect_timeout)"
                )
        finally:
            self._waiter = None

    @property
    def left(self) -> float:
        """Seconds until the deadline."""
        return (self._deadline_ns - monotonic_ns()) / S_NS

    def open(self, domain: str) -> Features:
        """Open a stream and return the features that the server offers.

        Raises:
            XmppError: The stream cannot be used.
        """
        stream = self.stream
        if self.early:
            raise self.broken("bad-format", "the server sent data before the new stream")
        stream.open(domain)
        element = self.expect("its stream features")
        if element.tag != FEATURES:
            raise self.broken("invalid-xml", f"stream features must come first, got {element.tag}")
        if stream.version.partition(".")[0] in ("", "0"):
            raise self.broken("unsupported-version", "the server's stream must have version 1.0")
        return Features.of(element)

    def secure(self, features: Features, mode: str, terms: Callable[[], TlsTerms]) -> bool:
        """Switch to TLS if it is wanted and offered (RFC 6120 section 5).

        Args:
            features: What the server offers.
            mode: One of `options.TLS_MODES`.
            terms: Returns the TLS terms of the connection.

        Returns:
            Whether the stream now runs over TLS; it then has to be opened again.

        Raises:
            TlsRequiredError: One side requires TLS and the other does not offer it.
            TlsError, CertificateError: The handshake failed.
            XmppError: The stream ended.
        """
        who = self.stream.who
        if mode == options.OFF and features.tls_required:
            raise errors.TlsRequiredError(
                f"{who}: the server requires STARTTLS, but xmpp_tls is off"
            )
        if mode == options.STARTTLS and not features.tls:
            raise errors.TlsRequiredError(
                f"{who}: xmpp_tls is starttls, but the server does not offer it; use"
                " xmpp_tls=direct if this is its port for direct TLS, or xmpp_tls=auto to connect"
                " without TLS"
            )
        if mode == options.OFF or not features.tls:
            return False
        self.stream.send(f"<starttls xmlns='{ns.TLS}'/>".encode())
        answer = self.expect("its answer to STARTTLS")
        if answer.tag == f"{{{ns.TLS}}}failure":
            raise errors.TlsError(f"{who}: the server offers STARTTLS, but refuses it")
        if answer.tag != f"{{{ns.TLS}}}proceed":
            raise self.broken(
                "invalid-xml",
                f"the answer to STARTTLS must be proceed or failure, got {answer.tag}",
            )
        if (
            self.early
        ):  # possibly injected in transit, to be mistaken for encrypted data (CVE-2011-0411)
            raise self.broken("bad-format", "the server sent data before the TLS handshake")
        self.stream.change_transport(lambda below: secured(below, terms(), who, self._deadline_ns))
        return True

    def authenticate(self, features: Features, plan: Plan) -> None:
        """Log in (RFC 6120 section 6).

        Raises:
            SaslError: The server refused, or could not prove its identity.
            XmppError: The stream ended.
        """
        try:
            name, binding = choose_login(plan.mechanisms, features, self.stream.channel)
            me, most = plan.me, plan.max_iterations
            mechanism = mechanisms.client(name, me.username, me.password, most, binding=binding)
            self.stream.send(sasl.auth(name, mechanism.first()))
            self._exchange(mechanism)
        except sasl.Refused as refused:
            raise errors.SaslError(
                self.stream.who, refused.condition, errors.quoted(refused.text)
            ) from None

    def _exchange(self, mechanism: sasl.Client) -> None:
        for _ in range(MAX_CHALLENGES + 1):
            element = self.expect("its answer to the login")
            if element.tag == sasl.SUCCESS:
                mechanism.check(sasl.decode(element.text))
                return
            if element.tag == sasl.FAILURE:
                condition, text = conditions_of(element, ns.SASL)
                raise errors.SaslError(self.stream.who, condition, text)
            if element.tag != sasl.CHALLENGE:
                raise self.broken(
                    "invalid-xml", f"the answer must be a SASL element, got {element.tag}"
                )
            # SCRAM may take milliseconds of CPU, and servers answer many users at once. Let the
            # loop run in between, or all other users of the worker would wait for all of these.
            gevent.sleep(0)
            response = mechanism.answer(sasl.decode(element.text) or b"")
            self.stream.send(sasl.element("response", response))
        raise sasl.Refused(
            "bad-challenge", f"the server sent more than {MAX_CHALLENGES} challenges"
        )

    def bind(self, features: Features, resource: str) -> str:
        """Bind a resource (RFC 6120 section 7); return the full JID that the server assigned.

        Raises:
            IqError: The server refused.
            XmppError: The stream ended, or the server offers no binding.
        """
        if not features.bind:
            raise self.broken(
                "invalid-xml", "the server must offer resource binding after the login"
            )
        wish = f"<resource>{escape(resource)}</resource>" if resource else ""
        answer = self.ask("bind", f"<bind xmlns='{ns.BIND}'>{wish}</bind>", "the bound resource")
        bound = answer.find(_BIND)
        jid = "" if bound is None else bound.findtext(_JID, "").strip()
        if not jid or len(jid.encode()) > MAX_JID:
            raise self.broken("invalid-xml", "the server must say which JID it bound")
        if features.session:
            self.ask("session", f"<session xmlns='{ns.SESSION}'/>", "the session")
        return jid

    def register(self, features: Features, me: Identity) -> bool:
        """Register the account (XEP-0077 section 3.1); return False if the name is taken.

        Raises:
            IqError: The server refused for another reason.
            ConnectError: It does not offer registration.
        """
        if not features.register:
            raise errors.ConnectError(
                f"{self.stream.who}: the server does not offer in-band registration (XEP-0077)"
            )
        query = (
            f"<query xmlns='{ns.REGISTER}'><username>{escape(me.username)}</username>"
            f"<password>{escape(me.password)}</password></query>"
        )
        try:
            self.ask("register", query, "its answer to the registration")
        except errors.IqError as error:
            if error.condition != "conflict":
                raise
            return False
        return True

    def ask(self, stanza_id: str, payload: str, what: str) -> Element:
        """Return the answer to an iq of type set.

        Raises:
            IqError: The answer is an error.
            XmppError: The stream ended.
        """
        self.stream.send(f"<iq type='set' id='{stanza_id}'>{payload}</iq>".encode())
        answer = self.expect(what, past_stanzas=True)
        if answer.tag != IQ or answer.get("id") != stanza_id:
            raise self.broken("invalid-xml", f"the iq's answer must come first, got {answer.tag}")
        if answer.get("type") == "error":
            raise errors.IqError(self.stream.who, *error_of(answer), answer=Stanza(answer))
        return answer

    def broken(self, condition: str, text: str) -> errors.BadStreamError:
        """Return the error to raise when the server violates the protocol."""
        return errors.BadStreamError(self.stream.who, condition, errors.quoted(text))
