"""The same XMPP servers as in tests/servers, for whole runs of amoc."""

from tests.servers.conftest import ejabberd, prosody, prosody_services, xmpp_server

__all__ = ["ejabberd", "prosody", "prosody_services", "xmpp_server"]
