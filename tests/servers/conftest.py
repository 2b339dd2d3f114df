"""Real servers, one of each for the whole session."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.servers.daemon import XmppServer
from tests.servers.ejabberd import Ejabberd
from tests.servers.prosody import Prosody

ACCOUNTS = 2100


@pytest.fixture(scope="session")
def prosody(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prosody]:
    """prosody with accounts for users 1 to `ACCOUNTS`."""
    Prosody.available()
    with Prosody(tmp_path_factory.mktemp("prosody"), ACCOUNTS) as server:
        yield server


@pytest.fixture(scope="session")
def ejabberd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ejabberd]:
    """ejabberd with accounts for users 1 to 200."""
    Ejabberd.available()
    with Ejabberd(tmp_path_factory.mktemp("ejabberd"), 200) as server:
        yield server


@pytest.fixture(scope="session", params=["prosody", "ejabberd"])
def xmpp_server(request: pytest.FixtureRequest) -> XmppServer:
    """Either of them."""
    server: XmppServer = request.getfixturevalue(request.param)
    return server


@pytest.fixture(scope="session")
def prosody_services(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prosody]:
    """prosody with all services, and accounts for users 1 to 300."""
    Prosody.available()
    with Prosody(tmp_path_factory.mktemp("prosody-services"), 300, services=True) as server:
        yield server


@pytest.fixture(scope="session")
def ejabberd_services(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ejabberd]:
    """ejabberd with all services, and accounts for users 1 to 300."""
    Ejabberd.available()
    with Ejabberd(tmp_path_factory.mktemp("ejabberd-services"), 300, services=True) as server:
        yield server


@pytest.fixture(scope="session", params=["prosody", "ejabberd"])
def services(request: pytest.FixtureRequest) -> XmppServer:
    """A server with all services."""
    server: XmppServer = request.getfixturevalue(f"{request.param}_services")
    return server
