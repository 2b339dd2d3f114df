"""Why a request failed, as exceptions that a locustfile catches: those of `requests`.

Where `requests` is installed they are its own, so that ``except requests.HTTPError`` works; where
it is not, the classes here take their place (`amoc.locust.stand_in`).
"""

from __future__ import annotations

import importlib
import json
from typing import TYPE_CHECKING, Any

from amoc.http import RedirectError, RequestError, RequestTimeout
from amoc.http import errors as http_errors


class RequestException(OSError):
    """A request that has failed.

    Attributes:
        response: What came, if anything did.
        request: What was asked for.
    """

    def __init__(self, *what: Any, request: Any = None, response: Any = None) -> None:
        super().__init__(*what)
        self.response = response
        self.request = request if request is not None else getattr(response, "request", None)


class HTTPError(RequestException):
    """A status of 400 or above."""


class ConnectionError(RequestException):
    """There is no connection, or it broke."""


class ProxyError(ConnectionError):
    """The proxy did not let it through."""


class SSLError(ConnectionError):
    """There is no TLS connection."""


class Timeout(RequestException):
    """It took too long."""


class ConnectTimeout(ConnectionError, Timeout):
    """Connecting took too long."""


class ReadTimeout(Timeout):
    """The answer took too long."""


class TooManyRedirects(RequestException):
    """It was sent from one place to another for too long."""


class ChunkedEncodingError(RequestException):
    """The connection ended before the answer did."""


class ContentDecodingError(RequestException):
    """The answer cannot be decompressed."""


class InvalidURL(RequestException, ValueError):
    """The URL is none."""


class MissingSchema(RequestException, ValueError):
    """The URL does not say how to speak to the server."""


class InvalidSchema(RequestException, ValueError):
    """The URL is none of HTTP."""


class JSONDecodeError(RequestException, json.JSONDecodeError):
    """The answer is no JSON."""

    def __init__(self, *what: Any, **more: Any) -> None:
        json.JSONDecodeError.__init__(self, *what)
        RequestException.__init__(self, *self.args, **more)

    __reduce__ = json.JSONDecodeError.__reduce__


NAMES = tuple(
    name
    for name, one in list(globals().items())
    if isinstance(one, type) and issubclass(one, RequestException)
)
if not TYPE_CHECKING:
    try:
        _theirs = importlib.import_module("requests.exceptions")
    except ImportError:
        pass
    else:
        globals().update({name: getattr(_theirs, name) for name in NAMES})


def of(error: RequestError) -> RequestException:
    """The exception that `requests` would raise in place of amoc's."""
    made = _class_of(error)(str(error))
    made.__cause__ = error
    return made


def _class_of(error: RequestError) -> type[RequestException]:
    if isinstance(error, RequestTimeout):
        is_early = error.cause in ("timeout (dns)", "timeout (connect)", "timeout (tls)")
        return ConnectTimeout if is_early else ReadTimeout
    if isinstance(error, RedirectError):
        return TooManyRedirects
    if isinstance(error, http_errors.ProxyError):
        return ProxyError
    if isinstance(error, http_errors.BadEncoding):
        return ContentDecodingError
    return SSLError if error.cause.startswith("tls") else ConnectionError
