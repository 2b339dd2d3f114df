"""Errors of requests, and the causes of failure under which they are counted.

status 503                the status of the response is 400 or above
check NAME                an expectation of `Answer.check` was not met
timeout (PHASE)           dns, connect, tls, write, read (silence) or whole (the time limit)
ConnectionRefusedError    and other errors of the operating system, by their Python names
unknown host              the host name has no address
tls (certificate)         the server's certificate is invalid, or for another name
tls (handshake)           the TLS handshake failed for another reason
closed early              the server closed the connection before the response was complete
malformed answer          the response is not HTTP
answer too large          its head or its body is longer than allowed
bad encoding (gzip)       its body cannot be decompressed
too many redirects        more than `redirects`, or to an invalid address
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
    """A request without a usable response.

    Attributes:
        cause: The cause of failure that it is counted under.
    """

    def __init__(self, message: str, cause: str) -> None:
        super().__init__(message)
        self.cause = cause


class ConnectError(RequestError):
    """The connection to the server could not be made."""


class CertificateError(ConnectError):
    """The server's certificate cannot be trusted."""


class RequestTimeout(RequestError, TimeoutError):
    """The request took too long."""


class ClosedEarly(RequestError):
    """The connection was closed before the response was complete.

    Attributes:
        is_silent: Whether no part of a response had arrived.
    """

    def __init__(self, message: str, cause: str, is_silent: bool) -> None:
        super().__init__(message, cause)
        self.is_silent = is_silent


class MalformedAnswer(RequestError):
    """The response is not HTTP."""


class AnswerTooLarge(RequestError):
    """The head or the body of the response is longer than allowed."""


class BadEncoding(RequestError):
    """The body of the response cannot be decompressed."""


class RedirectError(RequestError):
    """There were too many redirects, or one to an invalid address."""


class ProxyError(ConnectError):
    """The proxy refused to connect, or is not a proxy."""


Failure = Callable[[str], RequestError]
"""Makes an error, given a description of the request."""


def closed(error: OSError | None, is_silent: bool) -> Failure:
    """Return the error for a connection closed too early; `error` is None for an orderly close."""
    what = "before it answered" if is_silent else "before the answer was complete"
    cause = "closed early" if error is None else cause_of(error)
    why = "" if error is None else f" ({text_of(error)})"
    return lambda who: ClosedEarly(
        f"{who}: the server closed the connection {what}{why}", cause, is_silent
    )


def invalid(cause: str, why: str) -> Failure:
    """Return the error for a response that violates HTTP or a limit."""
    kind = AnswerTooLarge if cause == "answer too large" else MalformedAnswer
    return lambda who: kind(f"{who}: the server's answer is invalid: {why}", cause)


def timed_out(who: object, phase: str, seconds: float) -> RequestTimeout:
    """Return the error for a request that timed out in the given phase."""
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
    """Return the error for a failed connect from the local address `source`."""
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
    """Return the error for a failed TLS handshake."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return CertificateError(
            f"{who}: the certificate of {server_name} cannot be trusted: {error.verify_message};"
            " set http_tls_ca or ca= to its authority's, or http_tls_verify=false",
            "tls (certificate)",
        )
    return ConnectError(f"{who}: the TLS handshake failed: {text_of(error)}", "tls (handshake)")


def cause_of(error: OSError) -> str:
    """Return an OS error's name in Python: ``ConnectionResetError``, ``OSError ENETDOWN``."""
    if type(error) is OSError and error.errno:
        return f"OSError {errno.errorcode.get(error.errno, error.errno)}"
    return type(error).__name__


def text_of(error: OSError) -> str:
    """Return the text of the error, without its number."""
    if isinstance(error, ssl.SSLError):
        return (error.reason or str(error)).lower().replace("_", " ")
    if error.errno:
        return os.strerror(error.errno)
    return error.strerror or str(error)
