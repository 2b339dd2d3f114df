"""Starting and stopping the server in the background."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

from amoc.base.errors import PeerError, ResourceError, UsageError, os_error_as
from amoc.base.start_command import start_command
from amoc.service import pid_file
from amoc.service.cli_output import refusal
from amoc.service.pid_file import Serving
from amoc.service.server_log import open_new

START_S = 30.0
STOP_S = 120.0
"""Longer than the server allows its runs to stop."""
POLL_S = 0.05
SHOWN_LINES = 5


def start(runs: Path, options: Sequence[str]) -> Serving:
    """Start ``amoc serve`` with `options`. Returns when it accepts connections.

    Raises:
        UsageError: A server for these runs exists already, or the options are invalid.
        ResourceError: The log cannot be written.
        PeerError: The server did not listen in time.
    """
    if (found := pid_file.read(runs)) is not None:
        raise pid_file.already_running(runs, found)
    log = pid_file.log_in(runs)
    with os_error_as(ResourceError, f"{log} cannot be written"):
        runs.mkdir(parents=True, exist_ok=True)
        fd = open_new(log)
    with open(fd, "ab") as output:  # noqa: PTH123 - a descriptor
        begun = output.tell()
        child = subprocess.Popen(
            start_command("amoc", ["serve", *options]),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    give_up = time.monotonic() + START_S
    while time.monotonic() < give_up:
        status = child.poll()
        if (found := pid_file.read(runs)) is not None and found.pid == child.pid:
            return found
        if status is not None:
            said = log.read_bytes()[begun:].decode(errors="replace").splitlines()
            raise UsageError(str(refusal(said[-SHOWN_LINES:], status)))
        time.sleep(POLL_S)
    child.terminate()
    raise PeerError(f"amoc serve must listen within {START_S:g} s, but does not; see {log}")


def stop(runs: Path) -> int:
    """Stop the server of a directory of runs. Return its process id once it has ended.

    Raises:
        UsageError: There is no such server.
        PeerError: It did not end in time.
    """
    found = pid_file.read(runs)
    if found is None:
        raise UsageError(
            f"no server is running for {runs}; choose another directory with --runs-dir"
        )
    try:
        pidfd = os.pidfd_open(found.pid)
    except ProcessLookupError:
        return found.pid
    try:
        signal.pidfd_send_signal(pidfd, signal.SIGTERM)
        if not select.select([pidfd], [], [], STOP_S)[0]:
            raise PeerError(f"process {found.pid} has not ended after {STOP_S:g} s")
    except PermissionError:
        raise UsageError(f"process {found.pid} belongs to another user") from None
    finally:
        os.close(pidfd)
    return found.pid
