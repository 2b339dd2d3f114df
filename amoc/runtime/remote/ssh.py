"""Keepers by OpenSSH: ``ssh HOST amoc node …`` for each host; all end with their connection.

The run's secret is sent over standard input, which then stays open as the keeper's lifeline. How to
reach a host is up to ssh: its configuration, keys and agent are used, and nobody is asked for a
password.
"""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field

import gevent
from gevent import socket as gsocket

from amoc.base.errors import ResourceError, os_error_as
from amoc.base.polling import poll
from amoc.base.text import LineSplitter, printable

MAX_LINES = 20
LEAVE_S = 6.0
"""How long keepers may take to exit once the run is over; longer than they give their nodes."""
LOOK_S = 0.02
_HOST = re.compile(r"(?:([^@]+)@)?(\[.+\]|[^:]+)(?::(\d+))?")
_OPTIONS = (
    *("-o", "BatchMode=yes"),
    *("-o", "ServerAliveInterval=5", "-o", "ServerAliveCountMax=3"),
    *("-o", "ConnectTimeout=15"),
    "-T",
)


def command(host: str, amoc: str, address: str) -> list[str]:
    """Return the command that starts a keeper on `host`.

    Args:
        host: See `amoc.scenario.cluster.Cluster`.
        amoc: The command that runs amoc there.
        address: The controller's address.
    """
    user, name, port = _parts(host)
    target = f"{user}@{name}" if user else name
    chosen = ["-p", port] if port else []
    # exec: sshd starts a shell, which would otherwise remain in between.
    remote = f"exec {amoc} node --controller '{address}' --secret-file - --name {name}"
    return ["ssh", *_OPTIONS, *chosen, "--", target, remote]


def _parts(host: str) -> tuple[str | None, str, str | None]:
    """Return the user, the name and the port in a host as given by the operator."""
    match = _HOST.fullmatch(host)
    assert match is not None
    user, name, port = match.groups()
    return user, name.strip("[]"), port


@dataclass
class _Line:
    """The connection to a host."""

    host: str
    process: subprocess.Popen[bytes]
    said: list[str] = field(default_factory=list)


class SshStarter:
    """Starts a keeper on each of a number of hosts."""

    def __init__(self, hosts: Sequence[str], amoc: str, advertise: str) -> None:
        """Create it; nothing is started yet.

        Args:
            hosts: See `amoc.scenario.cluster.Cluster`.
            amoc: The command that runs amoc there.
            advertise: The controller's host as the others see it; empty for the ssh client's
                address.
        """
        self._hosts = hosts
        self._amoc = amoc
        self._advertise = advertise
        self._lines: list[_Line] = []
        self._readers: list[gevent.Greenlet[..., None]] = []

    def start(self, port: int, secret: bytes) -> None:
        """Start all keepers, which join at `port`.

        Raises:
            ResourceError: ssh is not installed.
        """
        address = f"tcp://{self._advertise}:{port}"
        for host in self._hosts:
            with os_error_as(ResourceError, "ssh cannot be started"):
                process = subprocess.Popen(
                    command(host, self._amoc, address),
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.STDOUT,
                    process_group=0,  # Ctrl-C is for this process alone
                )
            assert process.stdin is not None
            with suppress(BrokenPipeError):
                process.stdin.write(secret + b"\n")
                process.stdin.flush()
            line = _Line(host, process)
            self._lines.append(line)
            self._readers.append(gevent.spawn(self._read, line))
            gevent.sleep(0)  # answer hosts that have already connected

    def _read(self, line: _Line) -> None:
        """Record the output of ssh and the keeper."""
        assert line.process.stdout is not None
        fd = line.process.stdout.fileno()
        splitter = LineSplitter()
        data = b"?"
        while data:
            gsocket.wait_read(fd)
            data = os.read(fd, 4096)
            line.said = [*line.said, *splitter.feed(data)][-MAX_LINES:]

    def trouble(self) -> str:
        """Return which host cannot join, and why; empty if none is known."""
        for line in self._lines:
            code = line.process.poll()
            if code is not None:
                gevent.sleep(LOOK_S)  # its last output may still be in the pipe
                said = f": {printable(line.said[-1].strip())}" if line.said else ""
                return f"ssh {line.host} exited with {code}{said}"
        return ""

    def found(self) -> str:
        """Return nothing: the state of hosts on their way is unknown."""
        return ""

    def engine_id(self, host: str) -> str:
        """Return the host as given by the operator; empty if that is ambiguous."""
        given = [one for one in self._hosts if _parts(one)[1] == host]
        return given[0] if len(given) == 1 else ""

    def came(self) -> None:
        """Do nothing: the end of a connection is noticed by its node."""

    def close(self) -> None:
        """End all connections, and with them the keepers."""
        for line in self._lines:
            assert line.process.stdin is not None
            with suppress(BrokenPipeError):
                line.process.stdin.close()
        processes = [line.process for line in self._lines]
        poll(lambda: None not in [one.poll() for one in processes], LEAVE_S, LOOK_S, gevent.sleep)
        for line in self._lines:
            if line.process.poll() is None:
                line.process.kill()
                line.process.wait()
        gevent.killall(self._readers)
        for line in self._lines:
            assert line.process.stdout is not None
            line.process.stdout.close()
