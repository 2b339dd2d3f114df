"""What a run tested: addresses in its settings, and servers that users connected to. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from urllib.parse import urlsplit

from amoc.base.json_plain import Json, text_in

_ADDRESS = re.compile(r"(https?|wss?|xmpps?)://.+")
_PORTS = {"http": 80, "ws": 80, "https": 443, "wss": 443}


def targets(settings: Iterable[Mapping[str, Json]], seen: Iterable[str]) -> list[str]:
    """Return the targets of a run.

    Args:
        settings: Its settings: XMPP servers, and addresses the scenario declares, are targets.
        seen: Further ones: the servers that users connected to.
    """
    known = [[text_in(one, key) for key in ("name", "module", "value")] for one in settings]
    found = [
        value
        for name, module, value in known
        if (name == "xmpp_servers" and value)
        or (not module.startswith("amoc.") and _ADDRESS.fullmatch(value))
    ]
    servers = {_server(one) for one in found}
    return found + sorted(one for one in set(seen) if _server(one) not in servers)


def _server(address: str) -> object:
    """Return the scheme, host and port of a URL; any other address as it is."""
    try:
        url = urlsplit(address)
        return (url.scheme, url.hostname, url.port or _PORTS[url.scheme])
    except (KeyError, ValueError):
        return address
