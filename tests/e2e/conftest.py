"""The same XMPP servers as in tests/servers, for whole runs of amoc."""

from tests.servers.conftest import (
    certificates,
    ejabberd,
    prosody,
    prosody_services,
    tls_server,
    xmpp_server,
)

__all__ = ["certificates", "ejabberd", "prosody", "prosody_services", "tls_server", "xmpp_server"]
