"""The embedded XMPP server as a service of a run.

It starts when the first user connects while `xmpp_servers` is empty, which is reported in one line.
A run whose users connect to no XMPP server, or name one, does not start it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

import gevent

from amoc.base import process
from amoc.base.errors import AmocError, PeerError, ResourceError
from amoc.base.polling import poll
from amoc.ipc.rpc import XMPPD_ADDRESS, XMPPD_S, Later
from amoc.runtime.child import ChildProcess, start_module

DOMAIN = "xmpp_domain"
TLS = "xmpp_tls"
TLS_VERIFY = "xmpp_tls_verify"
POLL_S = 0.02
FDS_OF_ITS_OWN = 200
"""File descriptors that a process of the server needs in addition to those of connections."""
MAX_PROCESSES = 64
_CERTIFICATE = re.compile(r"-----BEGIN CERTIFICATE-----\n.*?-----END CERTIFICATE-----\n", re.DOTALL)
_LISTENING = re.compile(r"xmppd listening on (\S+:\d+)\b")


class EmbeddedXmpp:
    """``amoc xmppd`` as a child process, started on demand.

    Attributes:
        address: Where it listens, ``host:port``; empty until then.
        operations: The calls of workers: its address.
    """

    def __init__(
        self,
        values: Mapping[str, str],
        connections: int,
        on_line: Callable[[str], None],
        on_start: Callable[[str, str], object],
    ) -> None:
        """Create it without starting the server.

        Args:
            values: The settings' values as text.
            connections: Most connections at the same time.
            on_line: Receives what the server prints.
            on_start: Called with its address, and a line that tells where it listens.
        """
        self.address = ""
        self.operations: Mapping[str, Callable[..., object]] = {XMPPD_ADDRESS: self._asked}
        self._domain = values.get(DOMAIN, "localhost")
        self._tls = values.get(TLS) in ("starttls", "direct")
        self._certificate = ""
        self._connections = max(1, connections)
        self._on_line = on_line
        self._on_start = on_start
        self._printed: list[str] = []
        self._waiting: list[Later] = []
        self._process: ChildProcess | None = None
        self._starting: gevent.Greenlet[[], None] | None = None
        self._failure: AmocError | None = None

    def check(self) -> None:
        """Check that the server is running, if it was started.

        Raises:
            ResourceError: It could not be started; the message includes its output.
            PeerError: It has ended.
        """
        if self._failure is not None:
            raise self._failure
        if self.address and self._process is not None:
            status = self._process.exit_status()
            if status is not None:
                raise PeerError(f"the embedded XMPP server {process.describe_exit(status)}")

    def end(self) -> None:
        """Stop it."""
        if self._starting is not None:
            self._starting.kill()
        if self._process is not None:
            self._process.close_lifeline()
            self._process.end(5.0)

    def _asked(self, _origin: object) -> str | Later:
        if self.address:
            return self._answer_text()
        if self._failure is not None:
            raise self._failure
        if self._starting is None:  # in a greenlet, as the caller may be a callback
            self._starting = gevent.spawn(self._start)
        later = Later()
        self._waiting.append(later)
        return later

    def _start(self) -> None:
        try:
            self._await_start()
        except (AmocError, OSError) as error:
            failure = error if isinstance(error, AmocError) else ResourceError(str(error))
            self._failure = failure
            self._answer(None, str(failure))

    def _await_start(self) -> None:
        arguments = ["--port=0", f"--domain={self._domain}", f"--connections={self._connections}"]
        each = max(1, process.raise_fd_limit() - FDS_OF_ITS_OWN)
        arguments.append(f"--processes={min(-(-self._connections // each), MAX_PROCESSES)}")
        if self._tls:  # printed, because a file would remain if this process were killed
            arguments.append("--tls-ca-file=/dev/stdout")
        child = ChildProcess(
            start_module("amoc", ["xmppd", *arguments, "--lifeline"]), self._read_line
        )
        self._process = child
        poll(lambda: self.address or child.exit_status() is not None, XMPPD_S, POLL_S, gevent.sleep)
        if not self.address:
            child.end(0)
            printed = " / ".join(self._printed) or "nothing"
            raise ResourceError(
                f"the embedded XMPP server must listen within {XMPPD_S:g} s, but printed: {printed}"
            )

    def _read_line(self, line: str) -> None:
        if self.address:
            self._on_line(line)
            return
        self._printed.append(line)
        if found := _LISTENING.search(line):
            certificate = _CERTIFICATE.search("\n".join(self._printed))
            self._certificate = certificate[0] if certificate is not None else ""
            self.address = found[1]
            self._on_start(
                self.address,
                f"no XMPP server configured: using the embedded one on {self.address}"
                " (for testing only; set xmpp_servers to use another one)",
            )
            self._answer(self._answer_text(), "")

    def _answer_text(self) -> str:
        """Return the address, followed by the certificate that clients must trust."""
        return f"{self.address}\n{self._certificate}"

    def _answer(self, address: str | None, error: str) -> None:
        waiting, self._waiting = self._waiting, []
        for later in waiting:
            later.done(address, error)
