"""The embedded XMPP server as a service of a run: started when nothing else was configured."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from amoc.base import process
from amoc.base.errors import ResourceError
from amoc.runtime.child import ChildProcess
from amoc.scenario import fd_budget

SERVERS = "xmpp_servers"
DOMAIN = "xmpp_domain"
READY_S = 15.0
_LISTENING = re.compile(r"xmppd listening on (\S+:\d+)\b")


class EmbeddedXmpp:
    """``amoc xmppd`` as a child process.

    Attributes:
        address: Where it listens, ``host:port``; empty until it does.
    """

    def __init__(self, domain: str, users: int, on_line: Callable[[str], None]) -> None:
        """Start it for `users` connections."""
        self.address = ""
        self._on_line = on_line
        self._said: list[str] = []
        self._process = ChildProcess(
            "amoc",
            ["xmppd", "--port=0", f"--domain={domain}", f"--connections={users}", "--lifeline"],
            self._heard,
        )

    def ready(self) -> bool:
        """Whether it listens.

        Raises:
            ResourceError: It has ended instead; with what it said.
        """
        if not self.address and self.exit_status() is not None:
            self._process.end(0)
            said = " / ".join(self._said) or "nothing"
            raise ResourceError(f"the embedded XMPP server must listen, but said: {said}")
        return bool(self.address)

    def _heard(self, line: str) -> None:
        if self.address:
            self._on_line(line)
            return
        self._said.append(line)
        if found := _LISTENING.search(line):
            self.address = found[1]

    def exit_status(self) -> int | None:
        """Its exit status; None while it runs."""
        return self._process.exit_status()

    def end(self) -> None:
        """Stop it."""
        self._process.close_lifeline()
        self._process.end(5.0)


def start(
    values: Mapping[str, str], users: int, fds_per_user: int, on_line: Callable[[str], None]
) -> EmbeddedXmpp | None:
    """An embedded server for `users` users, if a scenario with these settings needs one.

    Args:
        values: The settings' values as text; a scenario without XMPP has none for `SERVERS`.
        users: How many users there will be.
        fds_per_user: Connections that each holds.
        on_line: Gets what the server prints.

    Raises:
        ResourceError: One process cannot hold that many connections.
    """
    if values.get(SERVERS) != "":
        return None
    limit = process.raise_fd_limit()
    fd_budget.check_fds(users, 1, fds_per_user, limit, "embedded XMPP server")
    return EmbeddedXmpp(values.get(DOMAIN, "localhost"), max(1, users * fds_per_user), on_line)
