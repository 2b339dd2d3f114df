"""Errors between a user and an XMPP server, one class for each case that a caller may handle.

    XmppError                    base class of all below
      ConnectError               no connection: refused, unreachable, unknown host name
        TlsError                 ... because TLS could not be established
          CertificateError       ... because the server's certificate is not valid
        TlsRequiredError         ... because the server or the user requires TLS, the other not
        OutOfFilesError          ... because this process ran out of file descriptors
        ConnectTimeout           ... because no session was established in time
      StreamError                the server ended the stream, with a reason (RFC 6120 section 4.9)
        SeeOtherHost             ... because another host should be used
        BadStreamError           the server violated XMPP, so the client ended the stream
      SaslError                  the login was refused, or the server failed to prove its identity
      IqError                    an iq was answered with an error (section 8.3)
      RoomError                  a room did not let a user in (XEP-0045 section 7.2)
        RoomRefusedError         ... or did not let a member change its nickname or the subject
      RoomLeftError              the user was removed: kicked, banned, the room destroyed
      UploadError                a file could not be uploaded
      Disconnected               the connection was lost without a stream error
      IqTimeout, ReceiveTimeout, SendTimeout    nothing arrived, or nothing could be sent, in time
      CallTimeout                a call into slixmpp's client took too long

The timeouts are TimeoutErrors too. Texts name the user and the server, never a password.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from amoc.base.errors import PeerError, ResourceError
from amoc.xmpp.connection import causes

if TYPE_CHECKING:
    from amoc.xmpp.stanza import Stanza

MAX_TEXT = 300
"""Maximum length of a peer's text that an error repeats, in characters."""


def quoted(text: str) -> str:
    """Return a peer's text in a form that fits one log line: printable and of limited length."""
    flat = "".join(char if char.isprintable() else " " for char in text[: 2 * MAX_TEXT])
    flat = " ".join(flat.split())
    return flat if len(flat) <= MAX_TEXT else flat[:MAX_TEXT] + "…"


class XmppError(PeerError):
    """Base class: an XMPP server, or the connection to it, failed a user.

    Attributes:
        cause: The cause under which it is counted, one of `amoc.xmpp.connection.causes.CAUSES`.
    """

    cause: str = causes.OTHER


class _CausedError(XmppError):
    def __init__(self, message: str, cause: str | None = None) -> None:
        super().__init__(message)
        if cause is not None:
            self.cause = cause


class ConnectError(_CausedError):
    """No connection could be made."""


class TlsRequiredError(ConnectError):
    """The server requires TLS and xmpp_tls is off, or xmpp_tls requires it and it has none."""

    cause = causes.TLS


class TlsError(ConnectError):
    """TLS could not be established: no common version or cipher, or the peer has no TLS."""

    cause = causes.TLS


class CertificateError(TlsError):
    """The server's certificate is not valid: expired, for another name, or an unknown issuer."""


class UpgradeError(ConnectError):
    """The server refuses or does not support WebSocket or BOSH.

    Attributes:
        status: HTTP status of its answer; None when the answer was not HTTP.
    """

    cause = causes.UPGRADE

    def __init__(self, text: str, status: int | None = None) -> None:
        super().__init__(text)
        self.status = status


class OutOfFilesError(ConnectError, ResourceError):
    """No connection could be made: this process has run out of file descriptors."""

    exit_code = ResourceError.exit_code
    cause = causes.OUT_OF_FILES


class ConnectTimeout(ConnectError, TimeoutError):
    """No session was established in time: not connected, not logged in, or no resource bound."""

    cause = causes.TIMEOUT_LOGIN


class _ConditionError(XmppError):
    """A peer gave its reason as one of the conditions that XMPP defines.

    Attributes:
        condition: The defined condition, such as ``host-unknown``.
        text: An explanation; empty when there is none.
    """

    happened: ClassVar[str]

    def __init__(self, who: str, condition: str, text: str = "") -> None:
        reason = f"{quoted(condition)} ({quoted(text)})" if text else quoted(condition)
        super().__init__(f"{who}: {self.happened}: {reason}")
        self.condition = condition
        self.text = text
        self.cause = causes.of_condition(condition)


class StreamError(_ConditionError):
    """The server closed the stream with an error.

    Attributes:
        condition: The condition that the server named, such as ``conflict``.
        text: The server's explanation; empty when it gave none.
    """

    happened = "the server ended the stream"


class SeeOtherHost(StreamError):
    """The server redirected the user to another host (RFC 6120 section 4.9.3.19).

    Attributes:
        target: The other host as the server wrote it: ``host`` or ``host:port``.
        insecure: Whether TLS was required and the target cannot be reached with it.
    """

    def __init__(self, who: str, target: str, insecure: bool = False) -> None:
        text = f"{target} has no TLS, which is required" if insecure else target
        super().__init__(who, "see-other-host", text)
        self.target = target
        self.insecure = insecure


class BadStreamError(StreamError):
    """The server sent something that XMPP does not allow, so the stream was closed.

    Attributes:
        condition: The condition that was sent to the server, such as ``not-well-formed``.
        text: What was wrong.
    """

    happened = "the server violated the protocol"

    def __init__(self, who: str, condition: str, text: str = "") -> None:
        super().__init__(who, condition, text)
        self.cause = causes.PROTOCOL_VIOLATION


class SaslError(_ConditionError):
    """The login failed.

    Attributes:
        condition: The defined condition, such as ``not-authorized``; ``invalid-mechanism`` also
            when the server offers no usable mechanism, ``bad-challenge`` when its challenge is
            malformed, and ``bad-server-signature`` when it fails to prove that it knows the
            password.
        text: An explanation; empty when there is none.
    """

    happened = "login failed"


class IqError(_ConditionError):
    """A request was answered with an error.

    Attributes:
        condition: The defined condition, such as ``item-not-found``.
        text: The answering party's explanation; empty when it gave none.
        kind: How to react to it: ``auth``, ``cancel``, ``continue``, ``modify`` or ``wait``.
        answer: The whole answer.
    """

    happened = "the request was refused"

    def __init__(
        self, who: str, condition: str, kind: str = "", text: str = "", answer: Stanza | None = None
    ) -> None:
        super().__init__(who, condition, text)
        self.kind = kind
        self.answer = answer


class RoomError(_ConditionError):
    """A room did not let a user in.

    Attributes:
        condition: The defined condition, such as ``conflict`` for a nickname that is taken.
        text: The room's explanation, or what the condition means here.
    """

    happened = "could not join the room"


class RoomRefusedError(RoomError):
    """A room did not let a member change something; the member is still in the room.

    Attributes:
        condition: The defined condition, such as ``conflict`` for a nickname that is taken.
        text: The room's explanation, or what the condition means here.
    """

    happened = "the room refused the change"


class RoomLeftError(_ConditionError):
    """A user is no longer in the room, without having left it.

    Attributes:
        condition: ``kicked``, ``banned``, ``destroyed``, ``affiliation-changed``, ``members-only``,
            ``shutdown``, or ``removed`` when the room does not say.
        text: The reason; empty when none was given.
    """

    happened = "the user is no longer in the room"


class Disconnected(_CausedError):
    """The connection was lost without a stream error: reset, closed or cut off."""

    cause = causes.CLOSED


class IqTimeout(XmppError, TimeoutError):
    """No answer to a request arrived in time."""


class ReceiveTimeout(XmppError, TimeoutError):
    """No matching stanza arrived in time."""


class SendTimeout(XmppError, TimeoutError):
    """The server accepted no more bytes within the time limit."""

    cause = causes.NOT_READING


class UploadError(XmppError):
    """A file could not be uploaded: the HTTP server refused it, failed, or took too long."""


class CallTimeout(XmppError, TimeoutError):
    """A call into slixmpp's client exceeded its time limit."""
