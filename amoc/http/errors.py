"""What may go wrong with a request, each with the cause that it is counted by.

status 503                the server answered with a status of 400 or above
check NAME                `Answer.check` found something else than was expected
timeout (PHASE)           dns, connect, tls, write, read (silence) or whole (it went on and on)
ConnectionRefusedError    and the like: Python's name of what the kernel said
unknown host              the name has no address
tls (certificate)         the server's certificate is not valid, or for another name
tls (handshake)           there is no TLS connection for another reason
closed early              the server closed the connection before the answer was complete
malformed answer          what it sent is not HTTP
answer too large          its head or its body is longer than is allowed
bad encoding (gzip)       its body cannot be decompressed
too many redirects        more than `redirects`, or to what is no address
proxy                     the proxy did not let the request through
"""

from __future__ import annotations

import errno
import os
import socket
import ssl
from collections.abc import Callable

from amoc.base.errors import AmocError


class RequestError(AmocError, ConnectionError):
    """A request that got no answer, or none that can be used.

    Attributes:
        cause: Why, in the words that it is counted by.
    """

    def __init__(self, message: str, cause: str) -> None:
        super().__init__(message)
        self.cause = cause


class ConnectError(RequestError):
    """There is no connection to the server."""


class CertificateError(ConnectError):
    """The server's certificate cannot be trusted."""


class RequestTimeout(RequestError, TimeoutError):
    """It took too long."""


class ClosedEarly(RequestError):
    """The connection ended before the answer was complete.

    Attributes:
        is_silent: Whether nothing of an answer had come.
    """

    def __init__(self, message: str, cause: str, is_silent: bool) -> None:
        super().__init__(message, cause)
        self.is_silent = is_silent


class MalformedAnswer(RequestError):
    """What the server sent is not HTTP."""


class AnswerTooLarge(RequestError):
    """The answer's head or body is longer than is allowed."""


class BadEncoding(RequestError):
    """The body cannot be decompressed."""


class RedirectError(RequestError):
    """The server redirects too often, or to what is no address of HTTP."""


class ProxyError(ConnectError):
    """The proxy refused to connect, or is none."""


Failure = Callable[[str], RequestError]
"""Makes an error, given who has asked for what."""


def closed(error: OSError | None, is_silent: bool) -> Failure:
    """The error of a connection that ended too early: by `error`, or in peace."""
    what = "before it answered" if is_silent else "before the answer was complete"
    cause = "closed early" if error is None else cause_of(error)
    why = "" if error is None else f" ({text_of(error)})"
    return lambda who: ClosedEarly(
        f"{who}: the server closed the connection {what}{why}", cause, is_silent
    )


def invalid(cause: str, why: str) -> Failure:
    """The error of an answer that breaks a rule."""
    kind = AnswerTooLarge if cause == "answer too large" else MalformedAnswer
    return lambda who: kind(f"{who}: the server's answer is invalid: {why}", cause)


def timed_out(who: object, phase: str, seconds: float) -> RequestTimeout:
    """The error of a request that took too long in this phase."""
    what = {
        "dns": "its server's name was not resolved",
        "connect": "there was no connection",
        "tls": "the TLS handshake was not done",
        "write": "the server did not take it",
        "read": "nothing came from the server",
        "whole": "the answer was not complete",
    }[phase]
    return RequestTimeout(f"{who}: {what} within {seconds:g} s", f"timeout ({phase})")


def cannot_connect(error: OSError, who: object, source: str | None) -> ConnectError:
    """The error of a connection that could not be made, from the local address `source`."""
    if isinstance(error, socket.gaierror):
        return ConnectError(
            f"{who}: the name cannot be resolved: {error.strerror or error}", "unknown host"
        )
    hint = ""
    if error.errno in (errno.EMFILE, errno.ENFILE):
        hint = "; raise the limit with 'ulimit -n' or use more workers"
    elif error.errno == errno.EADDRNOTAVAIL:
        hint = (
            f"; local ports{f' from {source}' if source else ''} may be used up, use more sources"
        )
    return ConnectError(f"{who}: cannot connect: {text_of(error)}{hint}", cause_of(error))


def tls_failed(error: OSError, who: object, server_name: str) -> ConnectError:
    """The error of a TLS handshake that failed."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return CertificateError(
            f"{who}: the certificate of {server_name} cannot be trusted: {error.verify_message};"
            " set http_tls_ca or ca= to its authority's, or http_tls_verify=false",
            "tls (certificate)",
        )
    return ConnectError(f"{who}: the TLS handshake failed: {text_of(error)}", "tls (handshake)")


def cause_of(error: OSError) -> str:
    """What the kernel said, by Python's name: ``ConnectionResetError``, ``OSError ENETDOWN``."""
    if type(error) is OSError and error.errno:
        return f"OSError {errno.errorcode.get(error.errno, error.errno)}"
    return type(error).__name__


def text_of(error: OSError) -> str:
    """What the error says."""
    if isinstance(error, ssl.SSLError):
        return (error.reason or str(error)).lower().replace("_", " ")
    if error.errno:
        return os.strerror(error.errno)
    return error.strerror or str(error)
