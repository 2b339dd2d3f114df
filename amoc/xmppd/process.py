"""The server as a separate process, as run by `python -m amoc xmppd`.

It prints its address in one line when it is ready, and then serves until SIGTERM or SIGINT. As the
child of another process it also stops when its standard input ends because the parent is gone.
"""

from __future__ import annotations

import gc
import os
import signal
import ssl
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final, TextIO

from gevent.event import Event

from amoc.base import collector, process
from amoc.base.errors import ResourceError, os_error_as
from amoc.xmppd import certificate
from amoc.xmppd.limits import Limits
from amoc.xmppd.listener import Server
from amoc.xmppd.relay import READ

if TYPE_CHECKING:
    from gevent._types import _Watcher

_LIFELINE_BYTES: Final = 4096


def serve(
    *,
    host: str = "127.0.0.1",
    port: int = 5222,
    domain: str = "localhost",
    connections: int = 2000,
    processes: int = 1,
    anonymous: bool = True,
    lifeline: bool = False,
    stats: bool = False,
    limits: Limits | None = None,
    tls: bool = False,
    tls_required: bool = False,
    tls_certificate: str = "",
    tls_key: str = "",
    tls_ca_file: str = "",
) -> None:
    """Serve until asked to stop; then end every stream and return.

    Writes to standard output ``xmppd listening on HOST:PORT, domain DOMAIN (for tests and
    benchmarks only)`` when it is ready, and to standard error one line of statistics at each
    SIGUSR1.

    Args:
        host: The address to listen on; beyond loopback anyone can log in as any user.
        port: 0 for any free port.
        domain: The only domain that is served.
        connections: How many connections must be possible at once.
        processes: How many processes hold the connections. With more than one, they are separate
            from this process, which does everything else.
        anonymous: Whether to offer ANONYMOUS, which some clients choose without being asked to.
        lifeline: Whether to stop when standard input ends, and when the parent process dies.
        stats: Whether to write the statistics at the end as well.
        limits: Limits other than the defaults.
        tls: Whether clients can use TLS: STARTTLS, or direct TLS on the same port.
        tls_required: Whether they must.
        tls_certificate: A PEM file; empty: create a certificate for the domain and the host.
        tls_key: The PEM file of its key; empty: it is in the certificate's file.
        tls_ca_file: Where to write the certificate that clients have to trust, if one is created.

    Raises:
        UsageError: The port, the domain, the number of connections or the certificate is invalid.
        ResourceError: A file cannot be written, the address cannot be listened on, or there are too
            few file descriptors.
    """
    server = Server(
        host=host,
        port=port,
        domain=domain,
        connections=connections,
        anonymous=anonymous,
        limits=limits,
        tls=_tls(host, domain, tls_certificate, tls_key, tls_ca_file) if tls else None,
        tls_required=tls_required,
    )
    if processes > 1:
        server.fork_fronts(processes)
    server.start()
    stopping = Event()
    watchers = _watch_signals(server, stopping)
    if lifeline:
        watchers.append(_watch_parent(server, stopping))
    process.set_title("xmppd")
    # Objects that exist now stay: keep the collector from traversing them in each generation.
    gc.collect()
    gc.freeze()
    collector.collect_rarely()
    _print_line(
        sys.stdout,
        f"xmppd listening on {server.address}, domain {server.domain.name}"
        " (for tests and benchmarks only)",
    )
    try:
        stopping.wait()
        server.stop()
    finally:
        for watcher in watchers:
            watcher.close()
    if stats:
        _print_line(sys.stderr, server.statistics().as_line())


def _tls(host: str, domain: str, file: str, key: str, ca_file: str) -> ssl.SSLContext:
    if file:
        return certificate.context(file, key)
    context, pem = certificate.created_for((domain, "localhost", "127.0.0.1", "::1", host))
    if ca_file:
        with os_error_as(ResourceError, f"{ca_file} cannot be written"):
            Path(ca_file).write_text(pem)
    return context


def _watch_signals(server: Server, stopping: Event) -> list[_Watcher]:
    watchers = []
    for number in (signal.SIGTERM, signal.SIGINT):
        watcher = server.loop.signal(number)
        watcher.start(stopping.set)
        watchers.append(watcher)
    report = server.loop.signal(signal.SIGUSR1)
    report.start(lambda: _print_line(sys.stderr, server.statistics().as_line()))
    return [*watchers, report]


def _watch_parent(server: Server, stopping: Event) -> _Watcher:
    # Two mechanisms, since each misses something: a signal from the kernel when the parent's
    # thread ends, and the end of standard input, which also happens if the parent was gone before
    # this call.
    process.die_with(os.getppid(), signal.SIGTERM)
    watcher = server.loop.io(0, READ)

    def readable() -> None:
        try:
            data = os.read(0, _LIFELINE_BYTES)
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            data = b""
        if not data:
            watcher.stop()
            stopping.set()

    watcher.start(readable)
    return watcher


def _print_line(stream: TextIO, line: str) -> None:
    try:
        stream.write(line + "\n")
        stream.flush()
    except (OSError, ValueError):
        pass  # nobody reads any more, which is no reason to stop serving
