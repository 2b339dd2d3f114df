"""What signals mean to a run: stop, stop at once, and the way out when all else hangs."""

from __future__ import annotations

import os
import signal

import gevent

from amoc.base.errors import ExitCode
from amoc.runtime.controller.controller import Controller


def handle_signals(controller: Controller) -> None:
    """Let Ctrl-C, SIGTERM and SIGHUP interrupt `controller`.

    The third one ends this process wherever it is, writing to a terminal that stands still say; its
    children notice, and leave by themselves.
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
        if signal.getsignal(signum) is not signal.SIG_IGN:  # nohup means it
            signal.signal(signum, interrupt)
