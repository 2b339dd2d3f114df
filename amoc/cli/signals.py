"""Signals: the first stops the run gracefully, the second at once, the third kills amoc."""

from __future__ import annotations

import os
import signal

import gevent

from amoc.base.errors import ExitCode
from amoc.runtime.controller.controller import Controller


def handle_signals(controller: Controller) -> None:
    """Let Ctrl-C, SIGTERM and SIGHUP interrupt `controller`.

    The third signal exits even if this process is blocked, for example on a stopped terminal. Its
    children notice, and exit too.
    """
    loop = gevent.get_hub().loop
    seen = 0

    def interrupt(*_: object) -> None:
        nonlocal seen
        seen += 1
        if seen > 2:
            os._exit(int(ExitCode.INTERRUPTED))
        loop.run_callback_threadsafe(controller.interrupt)

    for signum in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(signum) is not signal.SIG_IGN:  # keep ignoring it under nohup
            signal.signal(signum, interrupt)
