"""Prometheus: the run's metrics at ``/metrics``, for any scraper.

It is served on the controller's own event loop. A response is made family by family, with turns of
the loop in between. A connection that stays idle is closed after a while.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from typing import TYPE_CHECKING

import gevent
from gevent import socket as gsocket
from gevent.pool import Pool
from gevent.pywsgi import WSGIHandler, WSGIServer
from prometheus_client import CollectorRegistry, make_wsgi_app

from amoc.base.errors import ResourceError
from amoc.base.periodic_yield import PeriodicYield
from amoc.base.polling import poll
from amoc.results.exporters.base import Exporter, RunInfo, Warn, place, reason
from amoc.results.exporters.prometheus_metrics import Families
from amoc.results.series import Point, Tally

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIEnvironment

PATH = "/metrics"
MAX_CONNECTIONS = 32
LOOK_S = 0.01
SILENT_S = 60.0
"""How long a connection may be idle, or not read; Prometheus keeps its own between scrapes."""


class Prometheus(Exporter):
    """Answers scrapes; Prometheus has no annotations."""

    def __init__(self, host: str, port: int, run: RunInfo, warn: Warn) -> None:
        """Start to serve.

        Args:
            host: The address to listen on.
            port: The port.
            run: The run's identity.
            warn: Called if other hosts can read the metrics.

        Raises:
            ResourceError: The port cannot be listened on.
        """
        self._families = Families(run, pause=PeriodicYield())
        registry = CollectorRegistry()
        registry.register(self._families)
        try:
            listener = _listening(host, port)
        except OSError as error:
            raise ResourceError(
                f"prometheus_port must be free to listen on, got {place(host, port)}:"
                f" {reason(error)}"
            ) from None
        # Compression would cost more time on the event loop than it saves on the network.
        self._app = make_wsgi_app(registry, disable_compression=True)
        self._scrapes = 0
        self._server = WSGIServer(
            listener,
            self._answer,
            log=None,
            error_log=None,
            spawn=Pool(MAX_CONNECTIONS),
            handler_class=_Handler,
        )
        self._server.start()
        if not _is_loopback(host):
            warn(
                f"anyone who can reach {place(host, port)} can read the metrics of this run"
                f" (prometheus_host is {host})"
            )

    def take(self, point: Point, tally: Tally, /) -> None:
        """Include the point in the next scrape."""
        self._families.take(point, tally)

    def close(self, deadline_s: float) -> None:
        """Accept no more scrapes; those in progress have `deadline_s`."""
        self._server.close()
        poll(lambda: not self._scrapes, deadline_s, LOOK_S, gevent.sleep)
        # Connections that are left are idle: Prometheus keeps its own between scrapes.
        self._server.stop(0)

    def _answer(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterator[bytes]:
        """Yield the metrics while the client reads; any other path is not found."""
        self._scrapes += 1
        try:
            if environ["PATH_INFO"] == PATH:
                yield from self._app(environ, start_response)
            else:
                start_response("404 Not Found", [("Content-Type", "text/plain")])
                yield f"metrics are at {PATH}\n".encode()
        finally:
            self._scrapes -= 1


class _Handler(WSGIHandler):
    """A connection with a timeout."""

    def __init__(self, connection: gsocket.socket, address: str, server: WSGIServer) -> None:
        connection.settimeout(SILENT_S)
        connection.setsockopt(gsocket.IPPROTO_TCP, gsocket.TCP_NODELAY, 1)
        super().__init__(connection, address, server)


def _listening(host: str, port: int) -> gsocket.socket:
    listener = gsocket.socket(gsocket.AF_INET6 if ":" in host else gsocket.AF_INET)
    try:
        listener.setsockopt(gsocket.SOL_SOCKET, gsocket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(MAX_CONNECTIONS)
    except BaseException:
        listener.close()
        raise
    return listener


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
