"""Real servers, one of each for the whole session."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.servers.prosody import Prosody, available

ACCOUNTS = 2100


@pytest.fixture(scope="session")
def prosody(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prosody]:
    """prosody with accounts for users 1 to `ACCOUNTS`."""
    available()
    with Prosody(tmp_path_factory.mktemp("prosody"), ACCOUNTS) as server:
        yield server
