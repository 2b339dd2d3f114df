"""Addresses of controllers, as operators write them: ``tcp://10.0.0.1:4100``. Pure."""

from __future__ import annotations

import re
from typing import NamedTuple

from amoc.base.errors import UsageError

DEFAULT_PORT = 4100
PORTS = 5
"""Number of consecutive ports that a controller uses."""
_FORM = re.compile(r"(?:tcp://)?(?:(\[[0-9a-fA-F:.%\w]+\]|\*|[\w.-]*))(?::(\d{1,5}))?")


class Address(NamedTuple):
    """A host or one of its interfaces, and the first port."""

    host: str
    """IPv6 in brackets, as in URLs; ``*`` means any interface, empty means not given."""
    port: int
    """0 means any free port."""

    def __str__(self) -> str:
        return f"tcp://{self.host}:{self.port}"

    def ports(self, first: int) -> tuple[int, int]:
        """Return the port `first` after this one, and the next; 0, 0 if any will do."""
        return (self.port + first, self.port + first + 1) if self.port else (0, 0)


def parse(text: str, source: str, port: int = DEFAULT_PORT) -> Address:
    """Return the address in `text`, by default with `port`.

    Raises:
        UsageError: It is not an address.
    """
    match = _FORM.fullmatch(text)
    found = int(match[2]) if match and match[2] else port
    if not match or found > 65536 - PORTS:
        raise UsageError(
            f"{source} must be an address such as tcp://10.0.0.1:4100 or tcp://[fd00::1]:4100, with"
            f" a port below {65536 - PORTS + 1}, got {text!r}"
        )
    return Address(match[1], found)
