"""The server's process, from start to end."""

from __future__ import annotations

import logging
import os
import signal
from collections.abc import Callable

import gevent
from gevent.event import Event

from amoc.base import process
from amoc.base.errors import ExitCode
from amoc.service import server, server_log
from amoc.service.app import create_app
from amoc.service.config import ServiceConfig
from amoc.service.pid_file import PidFile, log_in
from amoc.service.service import Service

_FORMAT = "%(asctime)s %(levelname)s %(message)s"


def run(config: ServiceConfig, say: Callable[[str], None]) -> ExitCode:
    """Serve until a signal asks to stop. All runs have ended when this returns.

    Args:
        config: The configuration.
        say: Called with messages for the operator.

    Raises:
        AmocError: The server cannot be started.
    """
    # Commands inside runs, and in processes that runs start, act on runs of this host.
    os.environ.pop("AMOC_SERVER", None)
    handler = server_log.Handler(log_in(config.runs))
    logging.basicConfig(format=_FORMAT, level=logging.INFO, handlers=[handler])
    process.raise_fd_limit()
    lock = PidFile(config.runs)
    try:
        _serve(config, lock, say)
    finally:
        lock.close()
    return ExitCode.OK


def _serve(config: ServiceConfig, lock: PidFile, say: Callable[[str], None]) -> None:
    leave = _asked_to_leave()
    service = Service.of(config)
    http = server.make(create_app(service), config)
    host, port, *_ = http.socket.getsockname()
    scheme = "https" if config.cert is not None else "http"
    url = f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"
    process.set_title(f"server on port {port}")
    lock.write(url)
    service.runs.begin()
    say(f"amoc serves {url}")
    if not config.is_local:
        say("other hosts can connect with a token, whose role may allow running code here")
    try:
        leave.wait()
    finally:
        http.stop_accepting()
        service.runs.close()
        http.stop()


def _asked_to_leave() -> Event:
    """Return an event that stop signals set. A second signal exits, which ends the runs, too."""
    leave = Event()
    loop = gevent.get_hub().loop

    def ask(*_: object) -> None:
        if leave.is_set():
            os._exit(int(ExitCode.INTERRUPTED))
        loop.run_callback_threadsafe(leave.set)

    for signum in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(signum) is not signal.SIG_IGN:
            signal.signal(signum, ask)
    return leave
