"""The embedded XMPP server as a service of a run: started when nothing else was configured."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

import gevent
from gevent.event import AsyncResult

from amoc import limits
from amoc.engine import process
from amoc.errors import ResourceError
from amoc.launch.child import ChildProcess
from amoc.messages import Loaded

SERVERS = "xmpp_servers"
DOMAIN = "xmpp_domain"
READY_S = 15.0
_LISTENING = re.compile(r"xmppd listening on (\S+:\d+)\b")


class EmbeddedXmpp:
    """``amoc xmppd`` as a child process.

    Attributes:
        address: Where it listens, ``host:port``.
    """

    def __init__(self, domain: str, users: int, on_line: Callable[[str], None]) -> None:
        """Start it for `users` connections and wait until it listens.

        Raises:
            ResourceError: It does not; with what it said.
        """
        self._on_line = on_line
        self._said: list[str] = []
        self._listening: AsyncResult[str] = AsyncResult()
        self._process = ChildProcess(
            "amoc",
            ["xmppd", "--port=0", f"--domain={domain}", f"--connections={users}", "--lifeline"],
            self._heard,
        )
        try:
            with gevent.Timeout(READY_S):
                while not self._listening.ready():
                    if self._process.exit_status() is not None:
                        break
                    self._listening.wait(0.02)
        except gevent.Timeout:
            pass
        if not self._listening.ready():
            self._process.kill()
            self._process.end(1.0)
            raise ResourceError(
                "the embedded XMPP server must listen within"
                f" {READY_S:g} s, but said: {' / '.join(self._said) or 'nothing'}"
            )
        self.address = self._listening.get()

    def _heard(self, line: str) -> None:
        if self._listening.ready():
            self._on_line(line)
            return
        self._said.append(line)
        if found := _LISTENING.search(line):
            self._listening.set(found[1])

    def exit_status(self) -> int | None:
        """Its exit status; None while it runs."""
        return self._process.exit_status()

    def end(self) -> None:
        """Stop it."""
        self._process.close_lifeline()
        self._process.end(5.0)


def wanted(loaded: Loaded) -> str | None:
    """The domain that an embedded server must serve for this scenario; None when none is needed."""
    values: Mapping[str, str] = {name: value for name, value, *_ in loaded.settings}
    if values.get(SERVERS) != "":
        return None
    return values.get(DOMAIN, "localhost")


def start(loaded: Loaded, users: int, on_line: Callable[[str], None]) -> EmbeddedXmpp | None:
    """The embedded server, if `loaded` wants one for `users` users.

    Raises:
        ResourceError: One process cannot hold that many connections, or it does not come up.
    """
    domain = wanted(loaded)
    if domain is None:
        return None
    limits.check_fds(
        users, 1, loaded.fds_per_user, process.raise_fd_limit(), "embedded XMPP server"
    )
    return EmbeddedXmpp(domain, users, on_line)
