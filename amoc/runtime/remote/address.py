"""Addresses of controllers, as operators write them: ``tcp://10.0.0.1:4100``. Pure."""

from __future__ import annotations

import re
from typing import NamedTuple

from amoc.base.errors import UsageError

DEFAULT_PORT = 4100
PORTS = 5
"""How many ports in a row a controller uses."""
_FORM = re.compile(r"(?:tcp://)?(?:(\[[0-9a-fA-F:.%\w]+\]|\*|[\w.-]*))(?::(\d{1,5}))?")


class Address(NamedTuple):
    """A host or one of its interfaces, and the first port."""

    host: str
    """IPv6 in brackets, as in URLs; ``*`` is any interface, and empty means it is not told."""
    port: int
    """0 is any that is free."""

    def __str__(self) -> str:
        return f"tcp://{self.host}:{self.port}"

    def ports(self, first: int) -> tuple[int, int]:
        """Two ports, the one that is `first` behind this one and the next; 0 if any will do."""
        return (self.port + first, self.port + first + 1) if self.port else (0, 0)


def parse(text: str, source: str, port: int = DEFAULT_PORT) -> Address:
    """The address in `text`; without a port of its own it has `port`.

    Raises:
        UsageError: It is none.
    """
    match = _FORM.fullmatch(text)
    found = int(match[2]) if match and match[2] else port
    if not match or found > 65536 - PORTS:
        raise UsageError(
            f"{source} must be an address such as tcp://10.0.0.1:4100 or tcp://[fd00::1]:4100, with"
            f" a port below {65536 - PORTS + 1}, got {text!r}"
        )
    return Address(match[1], found)
