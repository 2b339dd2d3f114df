"""File uploads: a slot from the server (XEP-0363), then the upload itself over HTTP."""

from __future__ import annotations

import http.client
import ssl
from functools import cache
from time import monotonic_ns
from typing import Final, NamedTuple
from urllib.parse import SplitResult, urlsplit

import gevent
from gevent import socket
from gevent.ssl import SSLContext

from amoc.base import tls_context
from amoc.base.tls_context import TlsOptions
from amoc.steps import recorder
from amoc.xmpp import options, request_counts
from amoc.xmpp.connection import securing
from amoc.xmpp.errors import UploadError
from amoc.xmpp.receiving import Listener
from amoc.xmpp.wire import namespaces as ns
from amoc.xmpp.wire.xml_text import attributes

STEP: Final = "upload"
"""Name of the step in which a file is uploaded."""
SLOT: Final = f"{{{ns.UPLOAD}}}slot"
MAX_ANSWER_BYTES: Final = 64 << 10
# XEP-0363 section 5: a server may request these headers and no others.
HEADERS: Final = ("authorization", "cookie", "expires")


class Slot(NamedTuple):
    """URLs under which to upload and to download a file."""

    put: str
    get: str
    headers: dict[str, str]
    """To be sent with the upload. They may contain secrets, so `repr` omits them."""

    def __repr__(self) -> str:
        return f"<slot for {self.get}>"


class Uploads(Listener):
    """Calls for file uploads."""

    __slots__ = ()

    def upload_slot(
        self,
        size: int,
        name: str = "amoc.bin",
        type: str = "application/octet-stream",
        timeout: float | None = None,
    ) -> Slot:
        """Request a slot for a file from xmpp_upload_service; timed as ``upload_slot``.

        Args:
            size: Size of the file, in bytes.
            name: Its name.
            type: Its media type.
            timeout: In seconds; None for xmpp_request_timeout.

        Raises:
            IqError, IqTimeout, XmppError, ClosedError: As `request`.
        """
        to = options.xmpp_upload_service.get().replace("{domain}", self.domain)
        attrs = attributes(filename=name, size=str(size), **{"content-type": type})
        query = f"<request xmlns='{ns.UPLOAD}'{attrs}/>"
        answer = self.request(query, timeout, to=to, name="upload_slot")
        put = answer.xml.find(f"{SLOT}/{{{ns.UPLOAD}}}put")
        get = answer.xml.find(f"{SLOT}/{{{ns.UPLOAD}}}get")
        if put is None or get is None:
            raise UploadError(f"{self._session.stream.who}: {to} must answer with a slot")
        headers = {
            one.get("name", ""): "".join((one.text or "").splitlines())
            for one in put.iterfind(f"{{{ns.UPLOAD}}}header")
            if one.get("name", "").lower() in HEADERS
        }
        return Slot(put.get("url", ""), get.get("url", ""), headers)

    def upload(
        self,
        data: bytes,
        name: str = "amoc.bin",
        type: str = "application/octet-stream",
        timeout: float | None = None,
    ) -> str:
        """Upload a file; timed as ``upload_slot`` and ``upload`` (from connecting to the answer).

        Args:
            data: The content.
            name: Its name.
            type: Its media type.
            timeout: For each of the two steps, in seconds; None for xmpp_request_timeout.

        Returns:
            The URL under which it can be downloaded.

        Raises:
            UploadError: The upload failed, or took too long.
            IqError, IqTimeout, XmppError, ClosedError: As `request`.
        """
        slot = self.upload_slot(len(data), name, type, timeout)
        seconds = options.xmpp_request_timeout.get() if timeout is None else timeout
        begin_ns = monotonic_ns()
        try:
            status = _put(slot, data, type, seconds)
        except TimeoutError:
            late = f"not done within {seconds:g} s"
            recorder.record(STEP, 0, cause=request_counts.TIMEOUT, message=late)
            raise UploadError(
                f"{self._session.stream.who}: the upload was not done within {seconds:g} s"
            ) from None
        except (OSError, http.client.HTTPException, ValueError) as error:
            recorder.record(STEP, 0, cause=error.__class__.__name__, message=str(error))
            raise UploadError(f"{self._session.stream.who}: the upload failed: {error}") from None
        good = 200 <= status < 300
        recorder.record(STEP, monotonic_ns() - begin_ns, cause=None if good else f"status {status}")
        if not good:
            raise UploadError(
                f"{self._session.stream.who}: the upload was refused with status {status}"
            )
        return slot.get


@cache
def _context(wanted: TlsOptions) -> SSLContext:
    """Return a shared TLS context; certificates are checked like those of XMPP servers."""
    context = SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # gevent's, even where Python is not patched
    tls_context.configure(context, wanted)
    return context


def _put(slot: Slot, data: bytes, type: str, seconds: float) -> int:
    """Send `data`; return the status of the answer."""
    url = urlsplit(slot.put)
    with gevent.Timeout(seconds, TimeoutError()):
        connection = _connection(url, seconds)
        try:
            target = (url.path or "/") + (f"?{url.query}" if url.query else "")
            connection.request("PUT", target, data, {"Content-Type": type, **slot.headers})
            answer = connection.getresponse()
            answer.read(MAX_ANSWER_BYTES)
            return answer.status
        finally:
            connection.close()


def _connection(url: SplitResult, seconds: float) -> http.client.HTTPConnection:
    """Connect with a cooperative socket, whether Python is monkey-patched or not."""
    if url.scheme not in ("http", "https") or not url.hostname:
        raise ValueError(f"the server must name an address for HTTP, got {url.geturl()!r}")
    secure = url.scheme == "https"
    connection = http.client.HTTPConnection(url.netloc.rpartition("@")[2], timeout=seconds)
    port = url.port or (443 if secure else 80)
    sock = socket.create_connection((url.hostname, port), timeout=seconds)
    try:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if secure:
            sock = _context(securing.anonymous()).wrap_socket(sock, server_hostname=url.hostname)
        connection.sock = sock
    except BaseException:
        sock.close()
        raise
    return connection
