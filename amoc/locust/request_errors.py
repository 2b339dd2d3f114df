"""Exceptions of failed requests, for locustfiles to catch: those of `requests`.

If `requests` is installed they are its own classes, so that ``except requests.HTTPError`` works.
Otherwise the classes here replace them (`amoc.locust.stand_in`).
"""

from __future__ import annotations

import importlib
import json
from typing import TYPE_CHECKING

from amoc.http import RedirectError, RequestError, RequestTimeout
from amoc.http import errors as http_errors


class RequestException(OSError):
    """A request has failed.

    Attributes:
        response: The response, if there is one.
        request: The request.
    """

    def __init__(self, *what: object, request: object = None, response: object = None) -> None:
        super().__init__(*what)
        self.response = response
        self.request = request if request is not None else getattr(response, "request", None)


class HTTPError(RequestException):
    """The status is 400 or above."""


class ConnectionError(RequestException):
    """The connection could not be made, or was lost."""


class ProxyError(ConnectionError):
    """The proxy did not let the request through."""


class SSLError(ConnectionError):
    """The TLS connection could not be made."""


class Timeout(RequestException):
    """The request took too long."""


class ConnectTimeout(ConnectionError, Timeout):
    """Connecting took too long."""


class ReadTimeout(Timeout):
    """The response took too long."""


class TooManyRedirects(RequestException):
    """There were too many redirects."""


class ChunkedEncodingError(RequestException):
    """The connection was closed before the response was complete."""


class ContentDecodingError(RequestException):
    """The response cannot be decompressed."""


class InvalidURL(RequestException, ValueError):
    """The URL is invalid."""


class MissingSchema(RequestException, ValueError):
    """The URL has no scheme."""


class InvalidSchema(RequestException, ValueError):
    """The URL is not an HTTP one."""


class JSONDecodeError(RequestException, json.JSONDecodeError):
    """The response is not JSON."""

    def __init__(self, msg: str, doc: str, pos: int, **more: object) -> None:
        json.JSONDecodeError.__init__(self, msg, doc, pos)
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
    """Return the exception of `requests` that corresponds to amoc's."""
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
