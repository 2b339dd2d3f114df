"""The daemon's process, from its start to its end."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable

import gevent
from gevent.event import Event

from amoc.base import process
from amoc.base.errors import ExitCode
from amoc.service import server
from amoc.service.app import create_app
from amoc.service.config import ServiceConfig
from amoc.service.service import Service


def run(config: ServiceConfig, say: Callable[[str], None]) -> ExitCode:
    """Serve until a signal asks to stop; runs are over when this returns.

    Args:
        config: What the operator says.
        say: Told where it listens.

    Raises:
        AmocError: It cannot be started.
    """
    # For runs and what they start in turn: their commands are for runs of this host.
    os.environ.pop("AMOC_SERVER", None)
    process.raise_fd_limit()
    service = Service.of(config)
    leave = Event()
    loop = gevent.get_hub().loop
    for signum in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(signum) is not signal.SIG_IGN:
            signal.signal(signum, lambda *_: loop.run_callback_threadsafe(leave.set))
    with_tls = "https" if config.cert is not None else "http"
    http = server.make(create_app(service), config)
    host, port = str(http.server_host), int(http.server_port)
    shown = f"[{host}]" if ":" in host else host
    process.set_title(f"daemon on port {port}")
    say(f"amoc serves {with_tls}://{shown}:{port}")
    try:
        leave.wait()
    finally:
        http.stop_accepting()
        service.runs.close()
        http.stop()
    return ExitCode.OK
