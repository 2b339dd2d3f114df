"""The same prosody as in tests/servers, for whole runs of amoc."""

from tests.servers.conftest import prosody

__all__ = ["prosody"]
